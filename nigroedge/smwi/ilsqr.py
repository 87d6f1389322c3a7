# SPDX-License-Identifier: Apache-2.0
"""iLSQR: susceptibility with its streaks estimated and taken away (Li 2015, NeuroImage 108:111).

Four steps: a least-squares map, streaky where the dipole kernel is small; a fast map without
streaks, good for nothing but knowing where edges are; the streaks, which live in the cone of small
|D| alone, fitted to the gradient of the first map where the second says there is no edge; and the
difference. Weights and percentiles are those of the public implementations (QSM.m, QSM.rs), but for
the gradient's, which is taken by size: a steep fall is an edge too. Both solvers stop at relative
residual 0.01 or after 50 iterations, and by no other rule.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from nigroedge.smwi.dipole import (
    Susceptibility,
    _forward_difference,
    _gradient_adjoint,
    inverse_dipole,
    referenced,
)
from nigroedge.smwi.fourier import Complexes, Floats, FourierGrid, Mask, Vector3
from nigroedge.smwi.kernels import dipole_kernel, sphere_kernel
from nigroedge.smwi.lsqr import Solution, lsmr, lsqr

#: Both solvers: relative residual, and iterations.
TOLERANCE = 0.01
MAX_ITERATIONS = 50
#: Weight of the field by its Laplacian: 1 below the first percentile, 0 above the second.
LAPLACIAN_PERCENTILES = (60.0, 99.9)
#: Weight of a gradient of the fast map, likewise.
GRADIENT_PERCENTILES = (50.0, 70.0)
#: Streaks live where |D| is smaller.
CONE = 0.1
#: Fast map: |D|^0.001 between these percentiles weighs plain against smoothed frequencies.
FAST_EXPONENT = 0.001
FAST_PERCENTILES = (1.0, 30.0)
FAST_RADIUS_MM = 3.0
#: The fast map is scaled to a TKD map of this threshold.
TKD_THRESHOLD = 1 / 8


def ilsqr(
    field_ppm: Floats,
    mask: Mask,
    grid: FourierGrid,
    b0: Vector3,
    *,
    step: Callable[[float], None] = lambda done: None,
) -> Susceptibility:
    """Susceptibility by iLSQR.

    Parameters
    ----------
    field_ppm : (nx, ny, nz) float32
        Local field, 0 outside the mask.
    mask : (nx, ny, nz) bool
    grid : FourierGrid
    b0 : (float, float, float)
        Unit vector of B0 in image axes.
    step : callable
        Called with the part that is done, 0 to 1.
    """
    dipole = dipole_kernel(grid, b0)
    first = least_squares(
        field_ppm, mask, grid, dipole, step=lambda n: step(n / (2 * MAX_ITERATIONS))
    )
    streaky = np.where(mask, grid.crop(first.values), np.float32(0))
    fast = fast_map(field_ppm, mask, grid, dipole)
    streaks = estimate_streaks(
        streaky, fast, mask, grid, dipole, step=lambda n: step(0.5 + n / (2 * MAX_ITERATIONS))
    )
    chi = referenced(streaky - grid.crop(streaks.values), mask)
    return Susceptibility(
        chi,
        {
            "lsqr_iterations": first.iterations,
            "lsqr_residual": first.residual,
            "lsqr_stopped_by": first.stopped_by,
            "lsmr_iterations": streaks.iterations,
            "lsmr_residual": streaks.residual,
            "lsmr_stopped_by": streaks.stopped_by,
        },
    )


def least_squares(
    field_ppm: Floats,
    mask: Mask,
    grid: FourierGrid,
    dipole: Floats,
    *,
    step: Callable[[int], None] = lambda n: None,
) -> Solution:
    """Step 1: LSQR on D F W F⁻¹ D χ̂ = D F W f, with W from the field's Laplacian.

    Outside the mask, f is 0 and W is 1, on the padded box too: χ must make hardly any field there.
    That is a prior and not a measurement, and not quite true: a brain's local field does not end
    at its border, and sources near it are bound too tightly. But it is small there
    (docs/notes/smwi.md), and with a weight of 0 maps whose field lies outside, long streaks above
    all, would be free.

    Half-spectra hold one of each pair of opposite frequencies; scaled by √2 where that is so, they
    have the norm of the whole, and LSQR runs on them as if they were the volume. The values of the
    solution are χ on the padded box, in image space.
    """
    weight = np.ones(grid.padded, np.float32)
    grid.crop(weight)[...] = _laplacian_weight(field_ppm, mask, grid)
    pairs = _pair_scale(grid)
    into, out = dipole / pairs, dipole * pairs

    def apply(spectrum: Complexes) -> Complexes:
        image = grid.inverse(spectrum * into)
        image *= weight
        result = grid.forward(image)
        result *= out
        return result

    right = grid.forward(weight * grid.pad(field_ppm)) * out
    found = lsqr(apply, apply, right, tolerance=TOLERANCE, iterations=MAX_ITERATIONS, step=step)
    chi = grid.inverse(found.values / pairs)
    return Solution(chi, found.iterations, found.residual, found.normal_residual, found.stopped_by)


def _pair_scale(grid: FourierGrid) -> Floats:
    n = grid.padded[2]
    scale = np.full(n // 2 + 1, np.sqrt(2), np.float32)
    scale[0] = 1.0
    if n % 2 == 0:
        scale[-1] = 1.0
    return scale


def _falling_weight(values: Floats, mask: Mask, percentiles: tuple[float, float]) -> Floats:
    """1 below the first percentile (over the mask), 0 above the second, straight between."""
    low, high = np.percentile(values[mask], percentiles)
    ramp = (np.float32(high) - values) / np.float32(max(high - low, 1e-30))
    return np.where(mask, np.clip(ramp, 0, 1), np.float32(0))


def _laplacian_weight(field: Floats, mask: Mask, grid: FourierGrid) -> Floats:
    """Less the more the field bends upwards; 1 where it does not, and outside the mask."""
    laplacian = np.zeros_like(field)
    for axis, size in enumerate(grid.voxel_size_mm):
        laplacian += _second_difference(field, mask, axis) / np.float32(size**2)
    return np.where(mask, _falling_weight(laplacian, mask, LAPLACIAN_PERCENTILES), np.float32(1))


def _second_difference(field: Floats, mask: Mask, axis: int) -> Floats:
    """Second difference along one axis, of the nearest three voxels of the mask.

    Central where both neighbours are inside, else one-sided; 0 where too few are.
    """
    f, m = np.moveaxis(field, axis, 0), np.moveaxis(mask, axis, 0)
    out = np.zeros_like(f)
    bend = f[:-2] - 2 * f[1:-1] + f[2:]
    three = m[:-2] & m[1:-1] & m[2:]
    # The central difference of a triple also serves an end voxel that has no centre of its own.
    out[:-2][three] = bend[three]
    out[2:][three] = bend[three]
    out[1:-1][three] = bend[three]
    return np.moveaxis(out, 0, axis)


def fast_map(field_ppm: Floats, mask: Mask, grid: FourierGrid, dipole: Floats) -> Floats:
    """Step 2: sign(D) F f, smoothed twice by balls where |D| is small, scaled to a TKD map."""
    field = grid.forward(field_ppm)
    ball = sphere_kernel(grid, FAST_RADIUS_MM)
    strength = np.abs(dipole) ** np.float32(FAST_EXPONENT)
    low, high = np.percentile(strength, FAST_PERCENTILES)
    plain = np.clip((strength - low) / max(high - low, 1e-30), 0, 1).astype(np.float32)
    smoothing = plain + (1 - plain) * ball
    once = grid.crop(grid.inverse(field * (np.sign(dipole) * smoothing)))
    twice = grid.convolve(np.where(mask, once, np.float32(0)), smoothing)
    scale_to = grid.crop(grid.inverse(field * inverse_dipole(dipole, TKD_THRESHOLD)))
    slope, offset = _line(twice * mask, scale_to * mask)
    return np.where(mask, np.float32(slope) * twice + np.float32(offset), np.float32(0))


def _line(x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Slope and intercept of y over x, over every voxel, in float64."""
    mean_x, mean_y = x.mean(dtype=np.float64), y.mean(dtype=np.float64)
    product = np.mean(x * y, dtype=np.float64) - mean_x * mean_y
    square = np.mean(x * x, dtype=np.float64) - mean_x**2
    slope = product / square if square > 0 else 1.0
    return float(slope), float(mean_y - slope * mean_x)


def estimate_streaks(
    streaky: Floats,
    fast: Floats,
    mask: Mask,
    grid: FourierGrid,
    dipole: Floats,
    *,
    step: Callable[[int], None] = lambda n: None,
) -> Solution:
    """Step 3: the map within the cone whose gradient explains the first map's where no edge is.

    Minimises ‖W ∇ (first − cone(s))‖ over s by LSMR; values are cone(s) on the padded box.
    """
    cone = (np.abs(dipole) < CONE).astype(np.float32)
    sizes = grid.voxel_size_mm
    weights = [
        grid.pad(
            _falling_weight(
                np.abs(_inner_gradient(fast, mask, axis, size)), mask, GRADIENT_PERCENTILES
            )
        )
        for axis, size in enumerate(sizes)
    ]

    def within_cone(values: Floats) -> Floats:
        return grid.inverse(grid.forward(values) * cone)

    def gradient(values: Floats) -> Floats:
        return np.stack(
            [w * _forward_difference(values, axis, sizes[axis]) for axis, w in enumerate(weights)]
        )

    def adjoint(parts: Floats) -> Floats:
        weighted = [w * part for w, part in zip(weights, parts, strict=True)]
        return within_cone(_gradient_adjoint(weighted, grid))

    return lsmr(
        lambda values: gradient(within_cone(values)),
        adjoint,
        gradient(grid.pad(streaky)),
        tolerance=TOLERANCE,
        iterations=MAX_ITERATIONS,
        step=step,
    )


def _inner_gradient(values: Floats, mask: Mask, axis: int, size_mm: float) -> Floats:
    """Difference to the next voxel, to the previous where the next is outside the mask, or 0."""
    f, m = np.moveaxis(values, axis, 0), np.moveaxis(mask, axis, 0)
    difference = (f[1:] - f[:-1]) / np.float32(size_mm)
    both = m[1:] & m[:-1]
    out = np.zeros_like(f)
    out[1:][both] = difference[both]
    out[:-1][both] = difference[both]
    return np.moveaxis(out, 0, axis)
