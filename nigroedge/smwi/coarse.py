# SPDX-License-Identifier: Apache-2.0
"""A field on voxels of about a millimetre: large scales are found in a quarter of the time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nigroedge.smwi.fourier import Floats, FourierGrid, Mask, Shape3, Vector3
from nigroedge.smwi.masked import MaskedMap

#: Millimetres. Edges are doubled up to here, where a ball of 2 mm still is one.
MAX_EDGE_MM = 1.2


@dataclass(frozen=True)
class Blocks:
    """How many voxels along each axis, 1 or 2, become one.

    Parameters
    ----------
    grid : FourierGrid
        The fine one.
    """

    grid: FourierGrid

    @property
    def factors(self) -> Shape3:
        """1 where a doubled edge would be longer than MAX_EDGE_MM."""
        a, b, c = (2 if 2 * size <= MAX_EDGE_MM else 1 for size in self.grid.voxel_size_mm)
        return a, b, c

    def coarsened(self, field: MaskedMap, weight: Floats) -> tuple[MaskedMap, Floats]:
        """Weighted means of a field over blocks that lie in its mask whole, and their weights.

        Parameters
        ----------
        field : MaskedMap
        weight : (nx, ny, nz) float32
            1 / SD of the field, any scale; the mean's own is given back.
        """
        whole: Mask = self._split(field.mask.astype(np.float32)).min(axis=(1, 3, 5)) > 0
        weight2 = self._split(weight**2)
        total = weight2.sum(axis=(1, 3, 5))
        mean = (weight2 * self._split(field.values)).sum(axis=(1, 3, 5))
        mean /= np.where(total > 0, total, 1)
        return MaskedMap(mean, whole, self._grid(whole)), np.sqrt(total)

    def refined(self, values: Floats) -> Floats:
        """Give each voxel its block's value; 0 where an odd one has none."""
        for axis, factor in enumerate(self.factors):
            values = np.repeat(values, factor, axis)
        missing = [(0, n - m) for n, m in zip(self.grid.shape, values.shape, strict=True)]
        return np.pad(values, missing)

    def _split(self, values: Floats) -> Floats:
        """Shape (blocks, voxels of a block) along each axis in turn, without odd last voxels."""
        shape: list[int] = []
        for n, factor in zip(values.shape, self.factors, strict=True):
            shape += [n // factor, factor]
        even = tuple(slice(n - n % f) for n, f in zip(values.shape, self.factors, strict=True))
        split: Floats = values[even].reshape(shape)
        return split

    def _grid(self, mask: Mask) -> FourierGrid:
        fine = self.grid
        sizes = zip(fine.voxel_size_mm, self.factors, strict=True)
        a, b, c = (size * factor for size, factor in sizes)
        voxel_size_mm: Vector3 = (a, b, c)
        shape: Shape3 = (mask.shape[0], mask.shape[1], mask.shape[2])
        return FourierGrid(shape, voxel_size_mm, fine.margin_mm, fine.workers)
