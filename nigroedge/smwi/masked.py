# SPDX-License-Identifier: Apache-2.0
"""A map that is known within a mask, on the grid on which it is transformed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nigroedge.smwi.fourier import Floats, FourierGrid, Mask


@dataclass(frozen=True, eq=False)
class MaskedMap:
    """A field or another map, and where it is known.

    Parameters
    ----------
    values : (nx, ny, nz) float32
        Any unit; put to 0 outside the mask.
    mask : (nx, ny, nz) bool
    grid : FourierGrid
        Of the same shape.
    """

    values: Floats
    mask: Mask
    grid: FourierGrid

    def __post_init__(self) -> None:
        if not self.values.shape == self.mask.shape == self.grid.shape:
            raise ValueError(
                f"expected a map and a mask of the grid's shape {self.grid.shape}, got "
                f"{self.values.shape} and {self.mask.shape}"
            )
        object.__setattr__(self, "values", inside(self.values, self.mask))


def inside(values: Floats, mask: Mask) -> Floats:
    """Put 0 outside a mask."""
    return np.where(mask, values, np.float32(0))
