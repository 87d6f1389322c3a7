# SPDX-License-Identifier: Apache-2.0
"""iLSQR's steps against the same problems written down plainly and solved by scipy in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import linalg

from nigroedge.smwi.differences import inner_difference
from nigroedge.smwi.fourier import FourierGrid
from nigroedge.smwi.ilsqr import (
    CONE,
    GRADIENT_PERCENTILES,
    _falling_weight,
    _laplacian_weight,
    estimate_streaks,
    fast_map,
    least_squares,
)
from nigroedge.smwi.kernels import dipole_kernel
from nigroedge.smwi.masked import MaskedMap
from nigroedge.smwi.solvers import Stopping

VOXEL_MM = (0.5, 0.5, 1.0)
GRID = FourierGrid((12, 14, 9), VOXEL_MM, 2.0)
DIPOLE = dipole_kernel(GRID, (0.0, 0.6, 0.8))
MASK = np.zeros(GRID.shape, bool)
MASK[1:-1, 2:-1, 1:-2] = True
NOISE = np.random.default_rng(0).normal(scale=0.01, size=GRID.shape).astype(np.float32)
FIELD = MaskedMap(NOISE, MASK, GRID)
N = int(np.prod(GRID.padded))
AXES = (0, 1, 2)


def filtered(values, kernel):
    spectrum = np.fft.rfftn(values.reshape(GRID.padded), axes=AXES) * kernel
    return np.fft.irfftn(spectrum, s=GRID.padded, axes=AXES)


@pytest.mark.parametrize(("iterations", "close"), [(10, 0.005), (50, 0.15)])
def test_step_1_is_lsqr_on_the_weighted_field(iterations, close):
    """In image space, A = C W C with C the dipole's convolution, b = C W f.

    Float32 loses orthogonality as iterations go on, and this noise has no regular solution.
    """
    weight = np.ones(GRID.padded)
    weight[: GRID.shape[0], : GRID.shape[1], : GRID.shape[2]] = _laplacian_weight(FIELD)
    kernel = DIPOLE.astype(float)

    def apply(x):
        return filtered(weight * filtered(x, kernel), kernel).ravel()

    operator = linalg.LinearOperator((N, N), matvec=apply, rmatvec=apply, dtype=float)
    right = filtered(weight * GRID.pad(FIELD.values), kernel).ravel()
    found = least_squares(FIELD, DIPOLE, stopping=Stopping(0.01, iterations))
    truth = linalg.lsqr(operator, right, atol=0, btol=0, iter_lim=found.iterations)

    residual = np.linalg.norm(right - apply(found.values.astype(float))) / np.linalg.norm(right)
    assert found.residual == pytest.approx(residual, rel=0.02)
    assert (found.stopped_by == "residual") == (found.residual <= 0.01)
    assert found.iterations <= iterations
    error = np.linalg.norm(found.values.ravel() - truth[0]) / np.linalg.norm(truth[0])
    assert error < close


def test_step_3_is_lsmr_on_the_gradient_within_the_cone():
    rng = np.random.default_rng(1)
    streaky, fast = (
        (rng.normal(size=GRID.shape) * MASK).astype(np.float32) for _ in ("streaky", "fast")
    )
    cone = (np.abs(DIPOLE) < CONE).astype(float)
    weights = [
        GRID.pad(
            _falling_weight(
                np.abs(inner_difference(fast, MASK, axis, size)), MASK, GRADIENT_PERCENTILES
            )
        )
        for axis, size in enumerate(VOXEL_MM)
    ]

    def gradient(x):
        return np.stack(
            [
                w * (np.roll(x, -1, axis) - x) / size
                for axis, (w, size) in enumerate(zip(weights, VOXEL_MM, strict=True))
            ]
        )

    def adjoint(y):
        parts = y.reshape(3, *GRID.padded)
        total = sum(
            (np.roll(w * p, 1, axis) - w * p) / size
            for axis, (w, p, size) in enumerate(zip(weights, parts, VOXEL_MM, strict=True))
        )
        return filtered(total, cone).ravel()

    operator = linalg.LinearOperator(
        (3 * N, N), matvec=lambda x: gradient(filtered(x, cone)).ravel(), rmatvec=adjoint
    )
    right = gradient(GRID.pad(streaky).astype(float)).ravel()
    truth = linalg.lsmr(operator, right, atol=0, btol=0, conlim=0, maxiter=12)[0]

    found = estimate_streaks(
        MaskedMap(streaky, MASK, GRID), fast, DIPOLE, stopping=Stopping(0.01, 12)
    )

    assert (12, "iterations") == (found.iterations, found.stopped_by)
    expected = filtered(truth, cone).ravel()
    error = np.linalg.norm(found.values.ravel() - expected) / np.linalg.norm(expected)
    assert error < 0.01


def test_falling_weight_by_hand():
    values = np.arange(11, dtype=np.float32).reshape(11, 1, 1)
    mask = np.ones(values.shape, bool)
    mask[10] = False

    weight = _falling_weight(values, mask, (0.0, 100.0))

    np.testing.assert_allclose([1, 5 / 9, 0, 0], weight.ravel()[[0, 4, 9, 10]], atol=1e-6)


def test_the_laplacian_weight_by_hand():
    """A spike bends the field by 1 / 0.5² at its neighbours in plane, by 1 / 1² across.

    Of 660 voxels the 60th percentile is then 0 and the 99.9th 4.
    """
    field = np.zeros(GRID.shape, np.float32)
    field[6, 7, 4] = 1.0

    weight = _laplacian_weight(MaskedMap(field, MASK, GRID))

    assert (weight[~MASK] == 1).all()
    assert [0, 0, 0.75, 1] == weight[[5, 6, 6, 6], [7, 8, 7, 7], [4, 4, 3, 4]].tolist()


def test_the_first_map_makes_little_field_outside_the_mask():
    """Where 0 is taken for measured; with a weight of 0 there it was 0.42 of the field inside."""
    found = least_squares(FIELD, DIPOLE)

    made = filtered(found.values.astype(float), DIPOLE.astype(float))
    inside = GRID.pad(MASK.astype(np.float32)) > 0
    outer, inner = (np.sqrt((made[where] ** 2).mean()) for where in (~inside, inside))
    assert outer < 0.25 * inner


@settings(max_examples=10)
@given(st.floats(0.1, 10))
def test_the_fast_map_scales_with_the_field(gain):
    plain = fast_map(FIELD, DIPOLE)
    scaled = fast_map(MaskedMap(np.float32(gain) * NOISE, MASK, GRID), DIPOLE)

    np.testing.assert_allclose(gain * plain, scaled, atol=1e-4 * gain * np.abs(plain).max())
