# SPDX-License-Identifier: Apache-2.0
"""The noise of a field from itself: right on noise, blind to what is smooth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nigroedge.smwi.fourier import FourierGrid
from nigroedge.smwi.masked import MaskedMap
from nigroedge.smwi.noise import noise_sd

GRID = FourierGrid((40, 36, 20), (1.0, 0.5, 1.0), 6.0)
INSIDE = np.ones(GRID.shape, bool)
INSIDE[:3] = INSIDE[:, -4:] = False
X, Y, Z = np.indices(GRID.shape)


def measured(values, mask=INSIDE):
    return noise_sd(MaskedMap(values.astype(np.float32), mask, GRID))


def test_a_third_difference_of_one_voxel_can_be_checked_by_hand():
    """Along a line 0 0 1 0 0 there are two, −3 and 3."""
    grid = FourierGrid((5, 1, 1), (0.5, 1.0, 1.0), 6.0)
    line = np.array([0, 0, 1, 0, 0], np.float32).reshape(grid.shape)

    found = noise_sd(MaskedMap(line, np.ones(grid.shape, bool), grid))

    # The median of their sizes, over that of a normal variable and the gain.
    assert found == pytest.approx(3 / 0.6745 / 20**0.5)


@settings(max_examples=10)
@given(st.floats(1e-4, 10), st.integers(0, 100), st.floats(-1, 1), st.floats(-1, 1))
def test_noise_is_found_below_a_smooth_field(sd, seed, slope, bend):
    noise = sd * np.random.default_rng(seed).normal(size=GRID.shape)
    smooth = sd * (20 * slope * X + bend * (Y - 18) ** 2 + slope * Z * Y)

    # 20,000 differences, of which a fourth are independent: 3 standard errors are 3 %; float32
    # holds the smooth part to 1e-4 of the noise.
    assert measured(noise + smooth) == pytest.approx(sd, rel=0.04)


def test_what_is_outside_the_mask_is_not_seen():
    values = np.random.default_rng(1).normal(size=GRID.shape)
    spoilt = np.where(INSIDE, values, 1e6)

    assert measured(values) == measured(spoilt)


def test_a_mask_without_four_voxels_in_a_row_has_no_noise_to_tell():
    assert 0 == measured(np.random.default_rng(2).normal(size=GRID.shape), Y % 4 > 0)
