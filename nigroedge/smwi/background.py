# SPDX-License-Identifier: Apache-2.0
"""Take away the field of what lies outside the mask: air, bone, and the slab's surroundings.

Such a field is harmonic inside, so the mean over a ball equals the value at its centre, and field
minus ball mean keeps local sources only, wherever the ball fits into the mask. A slab is thin: a
ball of 12 mm fits into 6 of its 30 mm. V-SHARP takes at each voxel the largest ball that fits;
RESHARP takes one small ball and solves for the local field that explains its result.

A ball must fit into the mask *and* the slab: what lies above and below the slab is not known, so
the slab's own faces count as outside.
"""

from __future__ import annotations

import numpy as np

from nigroedge.errors import GeometryError
from nigroedge.smwi.fourier import Complexes, Floats, FourierGrid, Mask
from nigroedge.smwi.kernels import sphere_kernel
from nigroedge.smwi.masked import MaskedMap
from nigroedge.smwi.solvers import Step, Stopping, conjugate_gradients, ignore

#: V-SHARP: radii in mm, each tried where no larger ball fits (Wu 2012). For whole heads 12 to 1 mm
#: are common; on slabs of 30 mm these few score better at either end (docs/notes/smwi.md).
VSHARP_RADII_MM = (6.0, 5.0, 4.0, 3.0, 2.0)
#: V-SHARP: frequencies at which 1 − ball is smaller than this are not divided by (Schweser 2011).
VSHARP_THRESHOLD = 0.05
#: RESHARP: Tikhonov weight (Sun and Wilman 2014 use 1e-4 … 5e-3).
RESHARP_LAMBDA = 1e-4
RESHARP_RADIUS_MM = 6.0
RESHARP_STOPPING = Stopping(tolerance=1e-2, iterations=30)
#: At least this part of the mask must be left.
MIN_LEFT = 0.05


def vsharp(
    field: MaskedMap,
    *,
    radii_mm: tuple[float, ...] = VSHARP_RADII_MM,
    threshold: float = VSHARP_THRESHOLD,
    step: Step = ignore,
) -> MaskedMap:
    """Variable-radius SHARP.

    Parameters
    ----------
    field : MaskedMap
        Total field, any unit, on a grid with a margin of at least the largest radius.
    radii_mm : tuple of float
        Falling. Those that fit nowhere are passed over.
    threshold : float
        Of the deconvolution.
    step : callable
        Called after each ball, with the part of all of them that is done.

    Returns
    -------
    MaskedMap
        The field of sources inside, in the mask without the rim into which no ball fits.

    Raises
    ------
    GeometryError
        If the smallest ball fits into less than 5 % of the mask.

    Notes
    -----
    Schweser 2011 (SHARP), Li 2011 and Wu 2012 (variable radius).
    """
    grid = field.grid
    spectrum = grid.forward(field.values)
    mask_spectrum = grid.forward(field.mask.astype(np.float32))
    high_passed = np.zeros(grid.shape, np.float32)
    left = np.zeros(grid.shape, bool)
    largest = None
    for n, radius in enumerate(radii_mm):
        ball = sphere_kernel(grid, radius)
        here = _fits(ball, mask_spectrum, grid) & ~left
        if here.any():
            largest = 1 - ball if largest is None else largest
            high_passed[here] = grid.crop(grid.inverse(spectrum * (1 - ball)))[here]
            left |= here
        step((n + 1) / len(radii_mm))
    _check_rim(left, field.mask, radii_mm[-1])
    assert largest is not None  # some voxels are left, so a ball fitted
    inverse = np.where(np.abs(largest) > threshold, 1 / np.where(largest == 0, 1, largest), 0)
    return MaskedMap(grid.convolve(high_passed, inverse.astype(np.float32)), left, grid)


def resharp(
    field: MaskedMap,
    *,
    radius_mm: float = RESHARP_RADIUS_MM,
    regularisation: float = RESHARP_LAMBDA,
    stopping: Stopping = RESHARP_STOPPING,
    step: Step = ignore,
) -> MaskedMap:
    """Regularised SHARP: min ‖M (1 − ball) (field − local)‖² + λ ‖local‖², by conjugate gradients.

    Parameters
    ----------
    field : MaskedMap
        Total field, any unit, on a grid with a margin of at least the radius.
    radius_mm : float
        The rim of this width is lost.
    regularisation : float
        λ.
    stopping : Stopping
        By the relative residual of the normal equations, or by iterations.
    step : callable
        Called after each iteration, with the part of all of them that is done.

    Returns
    -------
    MaskedMap
        As of `vsharp`.

    Raises
    ------
    GeometryError
        If the ball fits into less than 5 % of the mask.

    Notes
    -----
    Sun and Wilman 2014.
    """
    grid = field.grid
    ball = sphere_kernel(grid, radius_mm)
    left = _fits(ball, grid.forward(field.mask.astype(np.float32)), grid)
    _check_rim(left, field.mask, radius_mm)
    kernel = 1 - ball
    inside = grid.pad(left.astype(np.float32))

    def project(values: Floats) -> Floats:
        """Adjoint of the high-pass, on what lies inside."""
        return grid.inverse(grid.forward(values * inside) * kernel)

    def normal(values: Floats) -> Floats:
        high_passed = grid.inverse(grid.forward(values) * kernel)
        return project(high_passed) + np.float32(regularisation) * values

    right = project(grid.inverse(grid.forward(grid.pad(field.values)) * kernel))
    local = conjugate_gradients(normal, right, stopping, step=step)
    return MaskedMap(grid.crop(local), left, grid)


def _fits(ball: Floats, mask_spectrum: Complexes, grid: FourierGrid) -> Mask:
    """Where the ball lies inside the mask, all of it but a thousandth for rounding."""
    return grid.crop(grid.inverse(mask_spectrum * ball)) > np.float32(0.999)


def _check_rim(left: Mask, mask: Mask, radius_mm: float) -> None:
    if left.sum() < MIN_LEFT * mask.sum():
        raise GeometryError(
            f"expected a ball of {radius_mm:g} mm to fit into at least {100 * MIN_LEFT:.0f} % of "
            f"the mask, it fits into {left.sum()} of {mask.sum()} voxels: the slab or the mask is "
            f"too thin"
        )
