# SPDX-License-Identifier: Apache-2.0
"""Striatal dopamine-transporter binding ratio from a midbrain SMWI, in milliseconds on any CPU.

Research use only. Not for diagnosis.
"""

__version__ = "0.1.0"

from nigroedge.embed import get_cmake_dir, get_include, get_library
from nigroedge.io.landmarks import load_landmarks
from nigroedge.io.nifti import load_volume, save_volume
from nigroedge.model import Model, ModelCard, ModelSpec, load_model
from nigroedge.preprocess import active_isa, available_isas, crop_patch, normalize
from nigroedge.result import Result, SideResult
from nigroedge.volume import Volume

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
