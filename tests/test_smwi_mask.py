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


SHAPE = (8, 8, 4)
INSIDE = np.random.default_rng(0).random(SHAPE) < 0.3


@pytest.mark.parametrize("value", [1, 255, 4095, -0.0 + 7.5])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i2"])
def test_a_mask_of_two_values_is_what_it_says(value, dtype):
    mask = np.where(INSIDE, value, 0).astype(dtype)

    assert (checked_mask(mask, SHAPE) == INSIDE).all()


def test_bool_is_a_mask_and_so_is_one_that_is_everywhere():
    assert (checked_mask(INSIDE, SHAPE) == INSIDE).all()
    assert checked_mask(np.full(SHAPE, 255), SHAPE).all()


@given(st.integers(0, 1000))
def test_a_probability_is_decided_at_one_half(seed):
    probability = np.random.default_rng(seed).random(SHAPE).astype(np.float32)

    assert (checked_mask(probability, SHAPE) == (probability >= 0.5)).all()


def test_a_resampled_mask_may_overshoot():
    assert (checked_mask(np.where(INSIDE, 1.08, -0.07), SHAPE) == INSIDE).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_mask_that_is_no_number_somewhere_is_refused(bad):
    """Before, NaN was outside, in silence."""
    mask = INSIDE.astype(np.float32)
    mask[1, 2, :3] = bad

    with pytest.raises(InputError, match="finite numbers, got NaN or infinity in 3 voxels"):
        checked_mask(mask, SHAPE)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((1, 2), "got 1 and 2"),  # 0 and 1 whose intercept was lost
        ((-1, 0), "got -1 and 0"),  # 255 read as a signed byte
        ((0, 1, 2), "got 0 and 1 and 2"),
        ((0, 100, 40), "got 0 and 40 and 100"),  # per cent
        ((0, 1, 2, 3, 4), "got 5 values from 0 to 4"),  # labels
    ],
)
def test_a_mask_that_leaves_a_doubt_is_refused(values, words):
    mask = np.resize(np.array(values, np.float64), SHAPE)

    with pytest.raises(InputError, match=f"0 and one other value, or a probability .*{words}"):
        checked_mask(mask, SHAPE)


def test_a_probability_that_never_reaches_one_half_misses_the_slab():
    with pytest.raises(GeometryError, match="misses it"):
        checked_mask(np.where(INSIDE, 0.4, 0), SHAPE)
