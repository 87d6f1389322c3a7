# SPDX-License-Identifier: Apache-2.0
"""Coarse voxels: weighted means of whole blocks, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.smwi.coarse import Blocks
from nigroedge.smwi.fourier import FourierGrid
from nigroedge.smwi.masked import MaskedMap


@pytest.mark.parametrize(
    ("voxel_size_mm", "factors"),
    [((0.5, 0.5, 1.0), (2, 2, 1)), ((1.0, 0.6, 0.6), (1, 2, 2)), ((0.7, 0.7, 0.7), (1, 1, 1))],
)
def test_edges_are_doubled_up_to_a_limit(voxel_size_mm, factors):
    assert factors == Blocks(FourierGrid((8, 8, 8), voxel_size_mm, 6.0)).factors


def test_a_block_is_the_weighted_mean_of_its_voxels():
    """4 × 3 × 1 voxels: two blocks of 2 × 2, and an odd column of which none is made."""
    grid = FourierGrid((4, 3, 1), (0.5, 0.5, 1.0), 6.0)
    values = np.array([[1, 2, 9], [3, 4, 9], [5, 6, 9], [7, 8, 9]], np.float32)[..., None]
    weight = np.array([[1, 1, 9], [1, 1, 9], [1, 2, 9], [2, 0, 9]], np.float32)[..., None]
    mask = np.ones(values.shape, bool)

    field, out = Blocks(grid).coarsened(MaskedMap(values, mask, grid), weight)

    assert ((2, 1, 1), (1.0, 1.0, 1.0)) == (field.grid.shape, field.grid.voxel_size_mm)
    # (1 + 2 + 3 + 4) / 4, and (5 + 4 · 6 + 4 · 7) / 9.
    assert [2.5, 57 / 9] == pytest.approx(field.values.ravel())
    assert [2.0, 3.0] == pytest.approx(out.ravel())
    refined = Blocks(grid).refined(field.values)
    assert [2.5, 2.5, 0.0] == pytest.approx(refined[1, :, 0])


def test_a_block_that_is_partly_outside_is_outside():
    grid = FourierGrid((4, 2, 1), (0.5, 0.5, 1.0), 6.0)
    mask = np.ones(grid.shape, bool)
    mask[0, 0, 0] = False

    field, _ = Blocks(grid).coarsened(
        MaskedMap(np.ones(grid.shape, np.float32), mask, grid), np.ones(grid.shape, np.float32)
    )

    assert [False, True] == field.mask.ravel().tolist()


@given(st.tuples(*[st.integers(2, 7)] * 3), st.floats(-5, 5))
def test_a_constant_stays_one_and_shapes_come_back(shape, constant):
    grid = FourierGrid(shape, (0.5, 0.6, 0.5), 6.0)
    values = np.full(shape, constant, np.float32)
    weight = np.random.default_rng(0).uniform(0.1, 1, shape).astype(np.float32)

    field, _ = Blocks(grid).coarsened(MaskedMap(values, np.ones(shape, bool), grid), weight)
    back = Blocks(grid).refined(field.values)

    assert shape == back.shape
    even = tuple(slice(n - n % 2) for n in shape)
    np.testing.assert_allclose(back[even], constant, rtol=1e-5, atol=1e-6)
