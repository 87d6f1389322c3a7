# SPDX-License-Identifier: Apache-2.0
"""Bounds of what a scan, and what comes of it, can be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import InputError
from nigroedge.smwi.bounds import (
    check_chi,
    check_decay,
    check_echo_times,
    check_evolution,
    check_field_strength,
    check_magnitude,
)


@pytest.mark.parametrize("tesla", [0.2, 0.55, 1.5, 2.89362, 3, 7, 11.7])
def test_fields_of_scanners_are_taken(tesla):
    check_field_strength(tesla)


@pytest.mark.parametrize("tesla", [-3, 0, 0.03, 0.19, 12.1, 30, 127.7, np.inf, np.nan])
def test_fields_of_no_scanner_are_refused(tesla):
    with pytest.raises(InputError, match=r"0\.2 to 12"):
        check_field_strength(tesla)


@given(st.lists(st.floats(0.6e-3, 0.02), min_size=2, max_size=8))
def test_rising_times_are_seconds_and_neither_milliseconds_nor_kiloseconds(gaps_s):
    times = np.cumsum(gaps_s)

    check_echo_times(times)
    with pytest.raises(InputError, match="milliseconds"):
        check_echo_times(1e3 * times)
    with pytest.raises(InputError, match="a thousand twice"):
        check_echo_times(times / 1e3)


def chi_beyond(value, n):
    """χ over a mask of 1000 voxels: within ±3 ppm but for n of them."""
    chi = np.full((10, 20, 10), 99, np.float32)
    mask = np.zeros(chi.shape, bool)
    mask[:, 5:15] = True
    chi[mask] = np.linspace(-3, 3, 1000)
    chi[2, 5 : 5 + n, 3] = value
    return chi, mask


@pytest.mark.parametrize("value", [3.01, -212.0, np.inf, np.nan])
def test_a_thousandth_of_the_mask_may_go_beyond_and_no_more(value):
    check_chi(*chi_beyond(value, 0))
    check_chi(*chi_beyond(value, 1))
    with pytest.raises(InputError, match=r"within ±3 ppm.*got 0\.2 % of the mask beyond"):
        check_chi(*chi_beyond(value, 2))


TIMES = np.array([0.01, 0.02, 0.03, 0.04, 0.05])


@given(st.floats(0, 70), st.floats(1, 1e4))
def test_a_signal_that_decays_as_in_a_brain_is_taken(r2star, start):
    check_decay(list(start * np.exp(-r2star * TIMES)), TIMES, 3)


@given(st.floats(3, 70), st.floats(1, 1e4))
def test_echoes_backwards_and_times_a_tenth_are_refused(r2star, start):
    medians = start * np.exp(-r2star * TIMES)

    with pytest.raises(InputError, match="in the order of their times"):
        check_decay(list(medians[::-1]), TIMES, 3)
    if r2star > 9:
        with pytest.raises(InputError, match=r"up to 80 /s, as in a brain at 3 T, .* times too"):
            check_decay(list(medians), TIMES / 10, 3)


def test_the_decay_grows_with_the_field():
    medians = list(np.exp(-100 * TIMES))

    check_decay(medians, TIMES, 7)
    with pytest.raises(InputError, match=r"up to 50 /s, as in a brain at 1\.5 T, got 100 /s"):
        check_decay(medians, TIMES, 1.5)


def test_an_echo_that_is_brighter_than_the_one_before_is_no_harm():
    check_decay([100, 90, 91, 80, 110], TIMES, 3)
    check_decay([1, 1, 1, 1, 1], TIMES, 3)  # all echoes weigh alike
    check_decay([100, 50, 20, 5, 0], TIMES, 3)


@given(st.integers(0, 4), st.sampled_from([20, 10, 0.1, 0.05]), st.floats(3, 40))
def test_one_echo_in_another_scale_is_refused(echo, factor, r2star):
    """Before, an echo twenty times as bright as the rest passed, and was all that counted.

    A tenth of the last echo, or ten times the first, are 2.2 · 3 times what the fastest decay does.
    """
    medians = 1000 * np.exp(-r2star * TIMES)
    medians[echo] *= factor

    with pytest.raises(InputError, match=rf"are echoes .*{echo + 1}.* in one scale\?"):
        check_decay(list(medians), TIMES, 3)


@pytest.mark.parametrize("brightest", [1e-20, 3e15, np.inf])
def test_a_magnitude_whose_squares_are_no_numbers_is_refused(brightest):
    image = np.linspace(0, 1, 8, dtype=np.float32)
    check_magnitude(image * np.float32(1e-14))
    check_magnitude(image * np.float32(9e14))

    with pytest.raises(InputError, match=r"a magnitude of up to 1e-15 to 1e[+]15"):
        check_magnitude(np.maximum(image, 1) * np.float32(brightest))


def test_a_magnitude_on_top_of_an_offset_is_refused():
    image = np.linspace(0, 1000, 1000, dtype=np.float32)
    check_magnitude(image + 8000)  # 0.89
    check_magnitude(np.ones_like(image))  # all voxels weigh alike

    for offset in (1e4, 1e9):
        with pytest.raises(InputError, match=r"darkest voxel is below 0\.9 of its brightest, got "):
            check_magnitude(image + np.float32(offset))


@pytest.mark.parametrize(
    ("last_s", "tesla"), [(0.045, 3), (0.012, 7), (0.04, 1.5), (0.04, 0.55), (0.0067, 3)]
)
def test_echoes_in_which_susceptibility_shows_are_taken(last_s, tesla):
    check_evolution([last_s / 2, last_s], tesla)


@pytest.mark.parametrize(("last_s", "tesla"), [(0.0046, 3), (0.00952, 1.5), (0.00204, 7)])
def test_the_echoes_of_a_field_map_are_refused(last_s, tesla):
    with pytest.raises(InputError, match=r"late enough for susceptibility, .* is this a field map"):
        check_evolution([last_s / 2, last_s], tesla)
