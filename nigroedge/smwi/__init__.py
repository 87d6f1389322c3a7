# SPDX-License-Identifier: Apache-2.0
"""SMWI from the magnitude and phase of a multi-echo gradient echo.

`reconstruct(MultiEcho(...))` gives an SmwiResult: a Volume that predict takes, with every stage.
Needs scipy: pip install nigroedge[smwi].
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nigroedge.smwi.method import METHODS, Method
    from nigroedge.smwi.reconstruction import SmwiResult, reconstruct
    from nigroedge.smwi.scan import MultiEcho

__all__ = ["METHODS", "Method", "MultiEcho", "SmwiResult", "reconstruct"]

_HOME = {
    "METHODS": "method",
    "Method": "method",
    "MultiEcho": "scan",
    "SmwiResult": "reconstruction",
    "reconstruct": "reconstruction",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: the command line's --help needs none of it."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
