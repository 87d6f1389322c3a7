# SPDX-License-Identifier: Apache-2.0
"""Striatal dopamine-transporter binding ratio from a midbrain SMWI, in milliseconds on any CPU.

Research use only. Not for diagnosis.

What is listed here is imported when it is first used: a program that predicts does not wait for the
reader of landmarks.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nigroedge.embed import get_cmake_dir, get_include, get_library
    from nigroedge.io.landmarks import load_landmarks
    from nigroedge.io.nifti import load_volume, save_volume
    from nigroedge.model import Model, load_model
    from nigroedge.preprocess import active_isa, available_isas, crop_patch, normalize
    from nigroedge.result import Result, SideResult
    from nigroedge.spec import ModelCard, ModelSpec
    from nigroedge.volume import Volume

__version__ = "0.1.0"

__all__ = [
    "Model",
    "ModelCard",
    "ModelSpec",
    "Result",
    "SideResult",
    "Volume",
    "active_isa",
    "available_isas",
    "crop_patch",
    "get_cmake_dir",
    "get_include",
    "get_library",
    "load_landmarks",
    "load_model",
    "load_volume",
    "normalize",
    "save_volume",
]

_HOME = {
    "Model": "model",
    "ModelCard": "spec",
    "ModelSpec": "spec",
    "Result": "result",
    "SideResult": "result",
    "Volume": "volume",
    "active_isa": "preprocess",
    "available_isas": "preprocess",
    "crop_patch": "preprocess",
    "get_cmake_dir": "embed",
    "get_include": "embed",
    "get_library": "embed",
    "load_landmarks": "io.landmarks",
    "load_model": "model",
    "load_volume": "io.nifti",
    "normalize": "preprocess",
    "save_volume": "io.nifti",
}


def __getattr__(name: str) -> Any:
    if name == "_core":
        return _import_core()
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def _import_core() -> Any:
    try:
        return import_module(f"{__name__}._core")
    except ModuleNotFoundError as error:
        from nigroedge.errors import MissingCoreError

        folder = __path__[0]
        raise MissingCoreError(
            f"the compiled part of nigroedge is not in {folder!r}: run `pip install .` in that "
            f"clone, with this Python, or start Python elsewhere to use one that is installed"
        ) from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
