# SPDX-License-Identifier: Apache-2.0
"""The grid of a patch: how many voxels, how far apart, along which of the patient's directions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

#: Letters of an axis and the patient's axis that each runs along.
_DIRECTION = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
_SWAP_SIDES = str.maketrans("LR", "RL")

#: More voxels than any network of this method takes, and few enough to allocate without asking.
MAX_PATCH_VOXELS = 1 << 24


@dataclass(frozen=True)
class PatchGrid:
    """The grid of a patch.

    Parameters
    ----------
    shape : (int, int, int)
        Voxels along each patch axis.
    spacing_mm : (float, float, float)
        Distance of neighbouring voxels along each patch axis, in millimetres.
    axes : str
        Where each axis grows to, in the patient's directions: 'ALI' says axis 0 to anterior, axis 1
        to left, axis 2 to inferior.
    flipped : bool
        Whether the patch is cropped with left and right exchanged and then flipped along
        left–right, as `numpy.flip` does. Its axes grow as named all the same, but there voxel
        n − 1 − n/2 lies on the centroid and not n/2: n/2 − 1 if n is even.

    Raises
    ------
    ValueError
        If a size or a spacing is not positive, there are more than 2²⁴ voxels, or the axes do not
        name each of left–right, anterior–posterior and superior–inferior once.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    axes: str
    flipped: bool = False

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1 or math.prod(self.shape) > MAX_PATCH_VOXELS:
            raise ValueError(f"expected three patch sizes of at least 1, got {self.shape}")
        if len(self.spacing_mm) != 3 or not all(0 < s < math.inf for s in self.spacing_mm):
            raise ValueError(f"expected three positive spacings in mm, got {self.spacing_mm}")
        if sorted(_DIRECTION.get(letter, -1) for letter in self.axes) != [0, 1, 2]:
            raise ValueError(f"expected axes such as 'ALI', got {self.axes!r}")

    def mirrored(self) -> PatchGrid:
        """Give the same grid with left and right exchanged."""
        return replace(self, axes=self.axes.translate(_SWAP_SIDES))

    @property
    def lateral_axis(self) -> int:
        """The patch axis that runs along left–right."""
        return next(i for i, letter in enumerate(self.axes) if letter in "LR")
