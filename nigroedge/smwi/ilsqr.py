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

from dataclasses import replace

import numpy as np

from nigroedge.smwi.differences import (
    forward_difference,
    gradient_adjoint,
    inner_difference,
    second_difference,
)
from nigroedge.smwi.dipole import Susceptibility, inverse_dipole, referenced
from nigroedge.smwi.fourier import Complexes, Floats, FourierGrid, Mask, Vector3
from nigroedge.smwi.kernels import dipole_kernel, sphere_kernel
from nigroedge.smwi.masked import MaskedMap, inside
from nigroedge.smwi.solvers import Operator, Solution, Step, Stopping, ignore, lsmr, lsqr

#: Of both solvers, by the relative residual.
STOPPING = Stopping(tolerance=0.01, iterations=50)
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


def ilsqr(field: MaskedMap, b0: Vector3, *, step: Step = ignore) -> Susceptibility:
    """Susceptibility by iLSQR.

    Parameters
    ----------
    field : MaskedMap
        Local field, ppm.
    b0 : (float, float, float)
        Unit vector of B0 in image axes.
    step : callable
        Called with the part that is done, 0 to 1.
    """
    mask, grid = field.mask, field.grid
    dipole = dipole_kernel(grid, b0)
    first = least_squares(field, dipole, step=lambda done: step(done / 2))
    streaky = MaskedMap(grid.crop(first.values), mask, grid)
    fast = fast_map(field, dipole)
    streaks = estimate_streaks(streaky, fast, dipole, step=lambda done: step(0.5 + done / 2))
    chi = referenced(streaky.values - grid.crop(streaks.values), mask)
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
    field: MaskedMap, dipole: Floats, *, stopping: Stopping = STOPPING, step: Step = ignore
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
    grid = field.grid
    weight = np.ones(grid.padded, np.float32)
    grid.crop(weight)[...] = _laplacian_weight(field)
    pairs = _pair_scale(grid)
    into, out = dipole / pairs, dipole * pairs

    def apply(spectrum: Complexes) -> Complexes:
        image = grid.inverse(spectrum * into)
        image *= weight
        result = grid.forward(image)
        result *= out
        return result

    right = grid.forward(weight * grid.pad(field.values)) * out
    found = lsqr(Operator(apply, apply), right, stopping, step=step)
    return replace(found, values=grid.inverse(found.values / pairs))


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
    return inside(np.clip(ramp, 0, 1), mask)


def _laplacian_weight(field: MaskedMap) -> Floats:
    """Less the more the field bends upwards; 1 where it does not, and outside the mask."""
    laplacian = np.zeros_like(field.values)
    for axis, size in enumerate(field.grid.voxel_size_mm):
        laplacian += second_difference(field.values, field.mask, axis) / np.float32(size**2)
    weight = _falling_weight(laplacian, field.mask, LAPLACIAN_PERCENTILES)
    return np.where(field.mask, weight, np.float32(1))


def fast_map(field: MaskedMap, dipole: Floats) -> Floats:
    """Step 2: sign(D) F f, smoothed twice by balls where |D| is small, scaled to a TKD map."""
    mask, grid = field.mask, field.grid
    spectrum = grid.forward(field.values)
    ball = sphere_kernel(grid, FAST_RADIUS_MM)
    strength = np.abs(dipole) ** np.float32(FAST_EXPONENT)
    low, high = np.percentile(strength, FAST_PERCENTILES)
    plain = np.clip((strength - low) / max(high - low, 1e-30), 0, 1).astype(np.float32)
    smoothing = plain + (1 - plain) * ball
    once = grid.crop(grid.inverse(spectrum * (np.sign(dipole) * smoothing)))
    twice = grid.convolve(inside(once, mask), smoothing)
    scale_to = grid.crop(grid.inverse(spectrum * inverse_dipole(dipole, TKD_THRESHOLD)))
    slope, offset = _line(twice * mask, scale_to * mask)
    return inside(np.float32(slope) * twice + np.float32(offset), mask)


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope and intercept of y over x, over every voxel, in float64."""
    mean_x, mean_y = x.mean(dtype=np.float64), y.mean(dtype=np.float64)
    product = np.mean(x * y, dtype=np.float64) - mean_x * mean_y
    square = np.mean(x * x, dtype=np.float64) - mean_x**2
    slope = product / square if square > 0 else 1.0
    return float(slope), float(mean_y - slope * mean_x)


def estimate_streaks(
    streaky: MaskedMap,
    fast: Floats,
    dipole: Floats,
    *,
    stopping: Stopping = STOPPING,
    step: Step = ignore,
) -> Solution:
    """Step 3: the map within the cone whose gradient explains the first map's where no edge is.

    Minimises ‖W ∇ (first − cone(s))‖ over s by LSMR; values are cone(s) on the padded box.
    """
    grid, sizes = streaky.grid, streaky.grid.voxel_size_mm
    cone = (np.abs(dipole) < CONE).astype(np.float32)
    weights = [grid.pad(weight) for weight in _gradient_weights(fast, streaky.mask, sizes)]

    def within_cone(values: Floats) -> Floats:
        return grid.inverse(grid.forward(values) * cone)

    def gradient(values: Floats) -> Floats:
        return np.stack(
            [w * forward_difference(values, axis, sizes[axis]) for axis, w in enumerate(weights)]
        )

    def adjoint(parts: Floats) -> Floats:
        weighted = [w * part for w, part in zip(weights, parts, strict=True)]
        return within_cone(gradient_adjoint(weighted, sizes))

    operator = Operator(lambda values: gradient(within_cone(values)), adjoint)
    return lsmr(operator, gradient(grid.pad(streaky.values)), stopping, step=step)


def _gradient_weights(fast: Floats, mask: Mask, voxel_size_mm: Vector3) -> list[Floats]:
    """For each axis: less the steeper the fast map is along it, 0 where that must be an edge."""
    steepness = (
        np.abs(inner_difference(fast, mask, axis, size)) for axis, size in enumerate(voxel_size_mm)
    )
    return [_falling_weight(each, mask, GRADIENT_PERCENTILES) for each in steepness]
