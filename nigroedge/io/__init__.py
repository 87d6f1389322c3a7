# SPDX-License-Identifier: Apache-2.0
"""Read files: images into volumes, landmarks into millimetres."""

from nigroedge.io.landmarks import load_landmarks
from nigroedge.io.nifti import load_volume, save_volume

__all__ = ["load_landmarks", "load_volume", "save_volume"]
