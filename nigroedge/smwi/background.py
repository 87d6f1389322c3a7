# SPDX-License-Identifier: Apache-2.0
"""Take away the field of what lies outside the mask: air, bone, and the slab's surroundings.

Such a field is harmonic inside, so the mean over a ball equals the value at its centre, and field
minus ball mean keeps local sources only, wherever the ball fits into the mask. A slab is thin: a
ball of 12 mm fits into 6 of its 30 mm. V-SHARP takes at each voxel the largest ball that fits;
RESHARP takes one small ball and solves for the local field that explains its result.
"""

from __future__ import annotations

import numpy as np

from nigroedge.smwi.fourier import Floats
from nigroedge.smwi.high_pass import check_rim, fits, shells
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
    high_passed = np.zeros(grid.shape, np.float32)
    left = np.zeros(grid.shape, bool)
    largest = None
    for shell in shells(field, radii_mm, step=step):
        largest = shell.kernel if largest is None else largest
        high_passed += shell.values
        left |= shell.where
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
    left = fits(ball, grid.forward(field.mask.astype(np.float32)), grid)
    check_rim(left, field.mask, radius_mm)
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
