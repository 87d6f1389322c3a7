# SPDX-License-Identifier: Apache-2.0
"""Read files: images into volumes, landmarks into millimetres."""

from nigroedge.io.landmarks import load_landmarks
from nigroedge.io.nifti import Series, load_series, load_volume, save_volume

__all__ = ["Series", "load_landmarks", "load_series", "load_volume", "save_volume"]
