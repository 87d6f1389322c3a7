# SPDX-License-Identifier: Apache-2.0
"""Bias, limits of agreement and calibration by hand; see test_study_statistics for other programs.

t is 12.706205 for 1 degree of freedom and 4.302653 for 2.
"""

import math

import pytest

from nigroedge.study.agreement import agreement, calibration


def three(estimate):
    ends = estimate.intervals["t"]
    return estimate.value, ends.low, ends.high


def about(value, half):
    return pytest.approx((value, value - half, value + half), rel=1e-6)


def test_the_limits_and_their_intervals_by_hand():
    # Differences −1, 0, 1 have s = 1.
    found, half = agreement([1, 3, 5], [2, 3, 4]), 4.302653 * math.sqrt(1 / 3 + 1.959964**2 / 4)

    assert about(-1.959964, half) == three(found.lower)
    assert about(1.959964, half) == three(found.upper)


def test_two_pairs_have_limits_and_one_has_none():
    # Differences 1 and −1: s = √2, s / √n = 1.
    two, one = agreement([2, 4], [1, 5]), agreement([2], [1])

    assert two.sd == pytest.approx(math.sqrt(2))
    assert three(two.bias) == pytest.approx((0, -12.706205, 12.706205), rel=1e-6)
    assert (1, None) == (one.bias.value, one.bias.intervals["t"])
    assert math.isnan(one.sd)
    assert math.isnan(one.upper.value)
    assert {"t": None} == one.lower.intervals


def test_three_pairs_have_a_line_and_two_have_none():
    # Sxx = 2, Sxy = 3, residuals 1/6, −1/3, 1/6: squares of sum 1/6 over n − 2 = 1.
    found = calibration([0, 1, 2], [0, 1, 3])

    assert about(1.5, 12.706205 * math.sqrt(1 / 6 / 2)) == three(found.slope)
    assert about(-1 / 6, 12.706205 * math.sqrt(1 / 6 * (1 / 3 + 1 / 2))) == three(found.intercept)
    assert calibration([0, 1], [0, 1]) is None
    assert calibration([1, 1, 1], [0, 1, 3]) is None
