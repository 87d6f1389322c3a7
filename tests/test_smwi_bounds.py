# SPDX-License-Identifier: Apache-2.0
"""Bounds of what a scan, and what comes of it, can be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import InputError
from nigroedge.smwi.bounds import check_chi, check_echo_times, check_field_strength


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


@pytest.mark.parametrize(("n_beyond", "is_refused"), [(0, False), (1, False), (2, True)])
@pytest.mark.parametrize("value", [3.01, -212.0, np.inf, np.nan])
def test_a_hair_of_the_mask_may_go_beyond(n_beyond, is_refused, value):
    """1000 voxels of a mask: one of them is a thousandth."""
    chi = np.full((10, 20, 10), 99, np.float32)
    mask = np.zeros(chi.shape, bool)
    mask[:, 5:15] = True
    chi[mask] = np.linspace(-3, 3, 1000)
    chi[2, 5 : 5 + n_beyond, 3] = value

    if not is_refused:
        return check_chi(chi, mask)
    with pytest.raises(InputError, match=r"within ±3 ppm.*got 0\.2 % of the mask beyond"):
        check_chi(chi, mask)
