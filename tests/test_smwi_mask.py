# SPDX-License-Identifier: Apache-2.0
"""Masks: brain is the largest bright part, parted from scalp; a given one is checked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import GeometryError, InputError
from nigroedge.smwi.mask import brain_mask, checked_mask, distance_mm, otsu_threshold

VOXEL_MM = (1.0, 1.0, 2.0)
X, Y = np.meshgrid(np.arange(-32, 32), np.arange(-32, 32), indexing="ij")
RADIUS = np.hypot(X, Y)[..., None] * np.ones(12)


def test_brain_is_parted_from_scalp_and_its_holes_are_filled():
    magnitude = np.where((RADIUS < 20) | ((RADIUS > 25) & (RADIUS < 29)), 100.0, 5.0)
    magnitude[30:34, 30:34] = 5.0
    magnitude[31:33, 20:32] = 100.0
    magnitude[30:33, 50:58] = 100.0

    mask = brain_mask(magnitude.astype(np.float32), VOXEL_MM)

    assert mask[32, 32].all()
    assert not mask[RADIUS > 24].any()
    assert mask[RADIUS < 18].mean() == 1


def test_without_any_air_all_is_brain():
    magnitude = np.random.default_rng(0).normal(100, 8, (32, 32, 12)).astype(np.float32)

    assert brain_mask(magnitude, VOXEL_MM).mean() > 0.99


def test_nothing_bright_is_refused():
    with pytest.raises(InputError, match="expected a brain"):
        brain_mask(np.where(X == Y, 9, 1)[..., None] * np.ones(12, np.float32), VOXEL_MM)


@given(st.floats(0.5, 3), st.floats(8, 12), st.integers(0, 100))
def test_otsu_parts_two_clouds(low, high, seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(low, 0.5, 400), rng.normal(high, 0.5, 300)])

    threshold = otsu_threshold(values.astype(np.float32))

    assert values[:400].max() <= threshold + 0.1
    assert threshold < values[400:].min() + 0.1


def test_distance_is_in_millimetres():
    inside = np.ones((5, 5, 3), bool)
    inside[2, 2, 0] = False

    assert distance_mm(inside, VOXEL_MM)[2, 2, 2] == 4


def test_a_mask_that_misses_the_slab_is_refused():
    with pytest.raises(GeometryError, match="misses it"):
        checked_mask(np.zeros((4, 4, 4)), (4, 4, 4))


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(GeometryError, match=r"shape \(4, 4, 4\), got \(4, 4\)"):
        checked_mask(np.ones((4, 4)), (4, 4, 4))
