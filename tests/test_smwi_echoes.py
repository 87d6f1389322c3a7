# SPDX-License-Identifier: Apache-2.0
"""Echoes that are blank, there twice, or without some of their slices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import InputError
from nigroedge.smwi.echoes import check_echoes

SHAPE = (16, 15, 9, 3)


def scan(seed=0):
    rng = np.random.default_rng(seed)
    magnitude = rng.uniform(0, 1, SHAPE).astype(np.float32)
    return magnitude, rng.uniform(-3, 3, SHAPE).astype(np.float32)


def test_echoes_that_are_there_are_taken():
    magnitude, radians = scan()
    check_echoes(magnitude, radians)
    check_echoes(np.ones_like(magnitude), radians)
    check_echoes(magnitude[..., None], radians[..., None])


@given(st.integers(0, 2), st.integers(0, 99))
def test_an_echo_without_a_signal_is_refused(echo, seed):
    magnitude, radians = scan(seed)
    magnitude[..., echo] = 0

    with pytest.raises(InputError, match=f"above 0 in every echo, got none in echo {echo + 1}"):
        check_echoes(magnitude, radians)


@given(st.sampled_from([(0, 1), (0, 2), (1, 2)]), st.booleans(), st.integers(0, 99))
def test_an_echo_that_is_there_twice_is_refused(pair, is_phase, seed):
    both = scan(seed)
    both[is_phase][..., pair[1]] = both[is_phase][..., pair[0]]
    what = ("magnitude", "phase")[is_phase]

    with pytest.raises(InputError, match=f"same {what} in echoes {pair[0] + 1} and {pair[1] + 1}"):
        check_echoes(*both)


@given(st.integers(0, 2), st.integers(0, 2), st.integers(0, 8), st.booleans(), st.integers(0, 99))
def test_slices_that_one_echo_has_lost_are_refused(axis, echo, k, is_phase, seed):
    both = scan(seed)
    np.moveaxis(both[is_phase][..., echo], axis, 0)[k] = 0
    what = ("magnitude", "phase")[is_phase]

    with pytest.raises(
        InputError, match=f"{what} in slice {k} along axis {axis} of echo {echo + 1}"
    ):
        check_echoes(*both)


def test_slices_that_all_echoes_lack_are_no_harm():
    """A head that was cut out of its background."""
    magnitude, radians = scan()
    magnitude[:, :, :2], radians[:, :, :2] = 0, 0

    check_echoes(magnitude, radians)


def test_one_voxel_makes_a_slice():
    magnitude, radians = scan()
    magnitude[:, :, 4, 1] = 0
    magnitude[3, 5, 4, 1] = 1

    check_echoes(magnitude, radians)


def test_a_slice_is_lost_however_little_of_it_the_head_fills():
    magnitude, radians = scan()
    magnitude[4:], radians[4:] = 0, 0  # a head cut out of its background, a quarter of the matrix
    magnitude[:, :, 4, 1] = 0

    with pytest.raises(InputError, match="magnitude in slice 4 along axis 2 of echo 2"):
        check_echoes(magnitude, radians)


def test_a_background_that_was_cut_out_may_differ_by_echo():
    magnitude, radians = scan()
    magnitude[:, :, 0], radians[:, :, 0] = 0, -3
    magnitude[:4, 0, 0, 1], radians[:4, 0, 0, 1] = 1, np.arange(4)  # 1.7 % of the slice

    check_echoes(magnitude, radians)
