# SPDX-License-Identifier: Apache-2.0
"""iLSQR's steps against the same problems written down plainly and solved by scipy in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import linalg

from nigroedge.smwi import ilsqr as module
from nigroedge.smwi.fourier import FourierGrid
from nigroedge.smwi.ilsqr import (
    CONE,
    GRADIENT_PERCENTILES,
    _falling_weight,
    _inner_gradient,
    _laplacian_weight,
    _second_difference,
    estimate_streaks,
    fast_map,
    least_squares,
)
from nigroedge.smwi.kernels import dipole_kernel

VOXEL_MM = (0.5, 0.5, 1.0)
GRID = FourierGrid((12, 14, 9), VOXEL_MM, 2.0)
DIPOLE = dipole_kernel(GRID, (0.0, 0.6, 0.8))
MASK = np.zeros(GRID.shape, bool)
MASK[1:-1, 2:-1, 1:-2] = True
FIELD = (np.random.default_rng(0).normal(scale=0.01, size=GRID.shape) * MASK).astype(np.float32)
N = int(np.prod(GRID.padded))
AXES = (0, 1, 2)


def filtered(values, kernel):
    spectrum = np.fft.rfftn(values.reshape(GRID.padded), axes=AXES) * kernel
    return np.fft.irfftn(spectrum, s=GRID.padded, axes=AXES)


@pytest.mark.parametrize(("iterations", "close"), [(10, 0.005), (50, 0.15)])
def test_step_1_is_lsqr_on_the_weighted_field(monkeypatch, iterations, close):
    """In image space, A = C W C with C the dipole's convolution, b = C W f.

    Float32 loses orthogonality as iterations go on, and this noise has no regular solution.
    """
    monkeypatch.setattr(module, "MAX_ITERATIONS", iterations)
    weight = np.ones(GRID.padded)
    weight[: GRID.shape[0], : GRID.shape[1], : GRID.shape[2]] = _laplacian_weight(FIELD, MASK, GRID)
    kernel = DIPOLE.astype(float)

    def apply(x):
        return filtered(weight * filtered(x, kernel), kernel).ravel()

    operator = linalg.LinearOperator((N, N), matvec=apply, rmatvec=apply, dtype=float)
    right = filtered(weight * GRID.pad(FIELD), kernel).ravel()
    found = least_squares(FIELD, MASK, GRID, DIPOLE)
    truth = linalg.lsqr(operator, right, atol=0, btol=0, iter_lim=found.iterations)

    residual = np.linalg.norm(right - apply(found.values.astype(float))) / np.linalg.norm(right)
    assert found.residual == pytest.approx(residual, rel=0.02)
    assert (found.stopped_by == "residual") == (found.residual <= 0.01)
    assert found.iterations <= iterations
    error = np.linalg.norm(found.values.ravel() - truth[0]) / np.linalg.norm(truth[0])
    assert error < close


def test_step_3_is_lsmr_on_the_gradient_within_the_cone(monkeypatch):
    monkeypatch.setattr(module, "MAX_ITERATIONS", 12)
    rng = np.random.default_rng(1)
    streaky, fast = (
        (rng.normal(size=GRID.shape) * MASK).astype(np.float32) for _ in ("streaky", "fast")
    )
    cone = (np.abs(DIPOLE) < CONE).astype(float)
    weights = [
        GRID.pad(
            _falling_weight(
                np.abs(_inner_gradient(fast, MASK, axis, size)), MASK, GRADIENT_PERCENTILES
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

    found = estimate_streaks(streaky, fast, MASK, GRID, DIPOLE)

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

    weight = _laplacian_weight(field, MASK, GRID)

    assert (weight[~MASK] == 1).all()
    assert [0, 0, 0.75, 1] == weight[[5, 6, 6, 6], [7, 8, 7, 7], [4, 4, 3, 4]].tolist()


def test_the_first_map_makes_little_field_outside_the_mask():
    """Where 0 is taken for measured; with a weight of 0 there it was 0.42 of the field inside."""
    found = least_squares(FIELD, MASK, GRID, DIPOLE)

    made = filtered(found.values.astype(float), DIPOLE.astype(float))
    inside = GRID.pad(MASK.astype(np.float32)) > 0
    outer, inner = (np.sqrt((made[where] ** 2).mean()) for where in (~inside, inside))
    assert outer < 0.25 * inner


@given(st.integers(0, 100))
def test_second_differences_of_a_parabola_are_constant_to_the_masks_edge(seed):
    a, b, c = np.random.default_rng(seed).normal(size=3)
    x = np.arange(9.0)[:, None, None] * np.ones((9, 2, 2))
    parabola = (a * x**2 + b * x + c).astype(np.float32)
    mask = np.zeros(x.shape, bool)
    mask[2:7] = True

    bend = _second_difference(parabola, mask, 0)

    np.testing.assert_allclose(2 * a, bend[2:7], atol=1e-3)
    assert (bend[~mask] == 0).all()


def test_too_few_voxels_in_a_row_bend_not():
    mask = np.zeros((5, 1, 1), bool)
    mask[1:3] = True

    assert (_second_difference(np.ones((5, 1, 1), np.float32), mask, 0) == 0).all()


@settings(max_examples=10)
@given(st.floats(0.1, 10))
def test_the_fast_map_scales_with_the_field(gain):
    plain = fast_map(FIELD, MASK, GRID, DIPOLE)
    scaled = fast_map(np.float32(gain) * FIELD, MASK, GRID, DIPOLE)

    np.testing.assert_allclose(gain * plain, scaled, atol=1e-4 * gain * np.abs(plain).max())
