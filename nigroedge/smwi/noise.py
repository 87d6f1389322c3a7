# SPDX-License-Identifier: Apache-2.0
"""How noisy a field is, from itself."""

from __future__ import annotations

import numpy as np

from nigroedge.smwi.differences import neighbours
from nigroedge.smwi.masked import MaskedMap

#: The median of the size of a normal variable, in SDs.
_MEDIAN_SIZE = 0.6745
#: The root of the sum of squares of 1, −3, 3, −1.
_GAIN = 20**0.5


def noise_sd(field: MaskedMap) -> float:
    """SD of what differs from voxel to voxel, in the field's unit; 0 where none can be told.

    The median size of third differences along the axis of the shortest voxels, which pass noise and
    next to nothing of a field made further off (after Immerkær 1996, who took second differences
    in two directions). Edges of χ raise it: 0.4 ppb of noise reads as 0.6 on a simulated head.
    """
    axis = int(np.argmin(field.grid.voxel_size_mm))
    here, there = neighbours(axis)
    values, inside = field.values, field.mask
    for _ in range(3):
        values = values[there] - values[here]
        inside = inside[there] & inside[here]
    if not inside.any():
        return 0.0
    return float(np.median(np.abs(values[inside]))) / _MEDIAN_SIZE / _GAIN
