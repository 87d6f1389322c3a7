# SPDX-License-Identifier: Apache-2.0
"""Differences: small ones by hand, adjoints by their definition, edges of a mask."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.smwi.differences import (
    forward_difference,
    gradient_adjoint,
    inner_difference,
    neighbours,
    second_difference,
)

VOXEL_MM = (0.5, 0.5, 1.0)
shapes = st.tuples(*[st.integers(2, 6)] * 3)


def test_neighbours_by_hand():
    values = np.arange(6).reshape(1, 3, 2)
    here, there = neighbours(1)

    assert [[0, 1], [2, 3]] == values[here][0].tolist()
    assert [[2, 3], [4, 5]] == values[there][0].tolist()


def test_a_forward_difference_wraps_around():
    values = np.array([1, 4, 6], np.float32).reshape(1, 3, 1)

    assert [6, 4, -10] == forward_difference(values, 1, 0.5).ravel().tolist()


@given(shapes, st.integers(0, 2), st.integers(0, 100))
def test_a_forward_difference_is_numpys(shape, axis, seed):
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)

    expected = (np.roll(values, -1, axis) - values) / np.float32(0.5)

    np.testing.assert_array_equal(expected, forward_difference(values, axis, 0.5))


@given(shapes, st.integers(0, 100))
def test_the_adjoint_of_the_gradient_is_its_adjoint(shape, seed):
    """⟨∇x, y⟩ = ⟨x, ∇ᵀy⟩, to the rounding of float32 sums of some hundred terms."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape).astype(np.float32)
    y = [rng.normal(size=shape).astype(np.float32) for _ in VOXEL_MM]

    gradient = [forward_difference(x, axis, size) for axis, size in enumerate(VOXEL_MM)]
    forth = sum(float(np.vdot(g, part)) for g, part in zip(gradient, y, strict=True))
    back = float(np.vdot(x, gradient_adjoint(y, VOXEL_MM)))

    size = sum(np.linalg.norm(g) * np.linalg.norm(p) for g, p in zip(gradient, y, strict=True))
    assert abs(forth - back) <= 1e-5 * size


def test_an_inner_difference_stays_within_the_mask():
    """To the next voxel; at the mask's last one to the previous; alone it has none."""
    values = np.array([9, 1, 4, 6, 9, 7], np.float32).reshape(6, 1, 1)
    mask = np.array([0, 1, 1, 1, 0, 1], bool).reshape(6, 1, 1)

    assert [0, 6, 4, 4, 0, 0] == inner_difference(values, mask, 0, 0.5).ravel().tolist()


@given(st.integers(0, 100))
def testsecond_differences_of_a_parabola_are_constant_to_the_masks_edge(seed):
    a, b, c = np.random.default_rng(seed).normal(size=3)
    x = np.arange(9.0)[:, None, None] * np.ones((9, 2, 2))
    parabola = (a * x**2 + b * x + c).astype(np.float32)
    mask = np.zeros(x.shape, bool)
    mask[2:7] = True

    bend = second_difference(parabola, mask, 0)

    np.testing.assert_allclose(2 * a, bend[2:7], atol=1e-3)
    assert (bend[~mask] == 0).all()


def test_too_few_voxels_in_a_row_bend_not():
    mask = np.zeros((5, 1, 1), bool)
    mask[1:3] = True

    assert (second_difference(np.ones((5, 1, 1), np.float32), mask, 0) == 0).all()
