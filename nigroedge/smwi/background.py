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

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nigroedge.errors import GeometryError
from nigroedge.smwi.fourier import Complexes, Floats, FourierGrid, Mask
from nigroedge.smwi.kernels import sphere_kernel

#: V-SHARP: radii in mm, each tried where no larger ball fits (Wu 2012). For whole heads 12 to 1 mm
#: are common; on slabs of 30 mm these few score better at either end (docs/notes/smwi.md).
VSHARP_RADII_MM = (6.0, 5.0, 4.0, 3.0, 2.0)
#: V-SHARP: frequencies at which 1 − ball is smaller than this are not divided by (Schweser 2011).
VSHARP_THRESHOLD = 0.05
#: RESHARP: Tikhonov weight (Sun and Wilman 2014 use 1e-4 … 5e-3).
RESHARP_LAMBDA = 1e-4
RESHARP_RADIUS_MM = 6.0
RESHARP_ITERATIONS = 30
RESHARP_TOLERANCE = 1e-2
#: At least this part of the mask must be left.
MIN_LEFT = 0.05

Step = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class LocalField:
    """The field of sources inside the mask.

    Parameters
    ----------
    field : (nx, ny, nz) float32
        Unit of the field given; 0 outside the mask.
    mask : (nx, ny, nz) bool
        The mask given, without the rim into which no ball fits.
    """

    field: Floats
    mask: Mask


def _nothing(done: float) -> None:
    pass


def vsharp(
    field: Floats,
    mask: Mask,
    grid: FourierGrid,
    *,
    radii_mm: tuple[float, ...] = VSHARP_RADII_MM,
    threshold: float = VSHARP_THRESHOLD,
    step: Step = _nothing,
) -> LocalField:
    """Variable-radius SHARP.

    Parameters
    ----------
    field : (nx, ny, nz) float32
        Total field, any unit.
    mask : (nx, ny, nz) bool
    grid : FourierGrid
        With a margin of at least the largest radius.
    radii_mm : tuple of float
        Falling. Those that fit nowhere are passed over.
    threshold : float
        Of the deconvolution.

    Raises
    ------
    GeometryError
        If the smallest ball fits into less than 5 % of the mask.

    Notes
    -----
    Schweser 2011 (SHARP), Li 2011 and Wu 2012 (variable radius).
    """
    spectrum = grid.forward(np.where(mask, field, np.float32(0)))
    inside = grid.forward(mask.astype(np.float32))
    high_passed = np.zeros(grid.shape, np.float32)
    left = np.zeros(grid.shape, bool)
    largest = None
    for n, radius in enumerate(radii_mm):
        ball = sphere_kernel(grid, radius)
        here = _fits(ball, inside, grid) & ~left
        if here.any():
            largest = 1 - ball if largest is None else largest
            high_passed[here] = grid.crop(grid.inverse(spectrum * (1 - ball)))[here]
            left |= here
        step((n + 1) / len(radii_mm))
    _check_rim(left, mask, radii_mm[-1])
    assert largest is not None  # some voxels are left, so a ball fitted
    inverse = np.where(np.abs(largest) > threshold, 1 / np.where(largest == 0, 1, largest), 0)
    local = grid.convolve(high_passed, inverse.astype(np.float32))
    return LocalField(np.where(left, local, np.float32(0)), left)


def resharp(
    field: Floats,
    mask: Mask,
    grid: FourierGrid,
    *,
    radius_mm: float = RESHARP_RADIUS_MM,
    regularisation: float = RESHARP_LAMBDA,
    iterations: int = RESHARP_ITERATIONS,
    tolerance: float = RESHARP_TOLERANCE,
    step: Step = _nothing,
) -> LocalField:
    """Regularised SHARP: min ‖M (1 − ball) (field − local)‖² + λ ‖local‖², by conjugate gradients.

    Parameters
    ----------
    field : (nx, ny, nz) float32
        Total field, any unit.
    mask : (nx, ny, nz) bool
    grid : FourierGrid
        With a margin of at least the radius.
    radius_mm : float
        The rim of this width is lost.
    regularisation : float
        λ.
    iterations, tolerance : int, float
        Stop at this many steps, or at this relative residual of the normal equations.

    Raises
    ------
    GeometryError
        If the ball fits into less than 5 % of the mask.

    Notes
    -----
    Sun and Wilman 2014.
    """
    ball = sphere_kernel(grid, radius_mm)
    left = _fits(ball, grid.forward(mask.astype(np.float32)), grid)
    _check_rim(left, mask, radius_mm)
    kernel = 1 - ball
    inside = grid.pad(left.astype(np.float32))

    def project(values: Floats) -> Floats:
        """Adjoint of the high-pass, on what lies inside."""
        return grid.inverse(grid.forward(values * inside) * kernel)

    def normal(values: Floats) -> Floats:
        high_passed = grid.inverse(grid.forward(values) * kernel)
        return project(high_passed) + np.float32(regularisation) * values

    masked = grid.pad(np.where(mask, field, np.float32(0)))
    right = project(grid.inverse(grid.forward(masked) * kernel))
    local = grid.crop(_conjugate_gradients(normal, right, iterations, tolerance, step))
    return LocalField(np.where(left, local, np.float32(0)), left)


def _conjugate_gradients(
    normal: Callable[[Floats], Floats],
    right: Floats,
    iterations: int,
    tolerance: float,
    step: Step,
) -> Floats:
    """Solve normal(x) = right for a positive definite operator (Hestenes and Stiefel 1952)."""
    solution = np.zeros_like(right)
    residual = right.copy()
    direction = right.copy()
    energy = start = _dot(residual, residual)
    for n in range(iterations):
        if energy <= tolerance**2 * start:
            break
        image = normal(direction)
        length = np.float32(energy / _dot(direction, image))
        solution += length * direction
        residual -= length * image
        energy, previous = _dot(residual, residual), energy
        direction = residual + np.float32(energy / previous) * direction
        step((n + 1) / iterations)
    return solution


def _dot(a: Floats, b: Floats) -> float:
    """Inner product: float32 within a plane, float64 over planes."""
    return float(sum(float(np.vdot(p, q)) for p, q in zip(a, b, strict=True)))


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
