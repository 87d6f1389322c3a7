# SPDX-License-Identifier: Apache-2.0
"""The field minus its mean over a ball, voxel by voxel with the largest ball that fits.

A field of sources outside the ball is harmonic in it, so its mean over the ball is its value at the
centre: what is left is made by sources inside (Schweser 2011). A ball must fit into the mask *and*
the slab: what lies above and below the slab is not known, so its own faces count as outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nigroedge.errors import GeometryError
from nigroedge.smwi.fourier import Complexes, Floats, FourierGrid, Mask
from nigroedge.smwi.kernels import sphere_kernel
from nigroedge.smwi.masked import MaskedMap
from nigroedge.smwi.solvers import Step, ignore

#: At least this part of the mask must be left.
MIN_LEFT = 0.05


@dataclass(frozen=True, eq=False)
class Shell:
    """What one ball gives.

    Parameters
    ----------
    kernel : half-spectrum, float32
        1 − ball.
    where : (nx, ny, nz) bool
        The ball fits here, and no larger one does.
    values : (nx, ny, nz) float32
        The field less its mean over the ball; 0 elsewhere.
    """

    kernel: Floats
    where: Mask
    values: Floats


def shells(field: MaskedMap, radii_mm: Sequence[float], *, step: Step = ignore) -> Iterator[Shell]:
    """Pass a field through balls, from the largest to the smallest (Li 2011, Wu 2012).

    Parameters
    ----------
    field : MaskedMap
        On a grid with a margin of at least the largest radius.
    radii_mm : sequence of float
        Falling. Those that fit nowhere are passed over.
    step : callable
        Called after each ball, with the part of all of them that is done.

    Raises
    ------
    GeometryError
        After the last, if the smallest ball fits into less than 5 % of the mask.
    """
    grid = field.grid
    spectrum = grid.forward(field.values)
    mask_spectrum = grid.forward(field.mask.astype(np.float32))
    left = np.zeros(grid.shape, bool)
    for n, radius in enumerate(radii_mm):
        ball = sphere_kernel(grid, radius)
        here = fits(ball, mask_spectrum, grid) & ~left
        if here.any():
            left |= here
            kernel = 1 - ball
            passed = grid.crop(grid.inverse(spectrum * kernel))
            yield Shell(kernel, here, np.where(here, passed, np.float32(0)))
        step((n + 1) / len(radii_mm))
    check_rim(left, field.mask, radii_mm[-1])


def fits(ball: Floats, mask_spectrum: Complexes, grid: FourierGrid) -> Mask:
    """Where the ball lies inside the mask, all of it but a thousandth for rounding."""
    return grid.crop(grid.inverse(mask_spectrum * ball)) > np.float32(0.999)


def check_rim(left: Mask, mask: Mask, radius_mm: float) -> None:
    """Refuse a mask of which next to nothing is left.

    Raises
    ------
    GeometryError
        If less than MIN_LEFT of it is.
    """
    if left.sum() < MIN_LEFT * mask.sum():
        raise GeometryError(
            f"expected a ball of {radius_mm:g} mm to fit into at least {100 * MIN_LEFT:.0f} % of "
            f"the mask, it fits into {left.sum()} of {mask.sum()} voxels: the slab or the mask is "
            f"too thin"
        )
