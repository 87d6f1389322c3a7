# SPDX-License-Identifier: Apache-2.0
"""Phase units: found where the values show them, refused where they do not."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import InputError
from nigroedge.smwi.phase import UNIT_NAMES, UNITS, read_phase

TRUE = np.random.default_rng(0).uniform(-math.pi, math.pi, (20, 20, 20))
TRUE.flat[:2] = -math.pi, math.pi - 1e-3


def stored_as(unit):
    turn = UNITS[unit]
    return TRUE % (2 * math.pi) if unit == "rad-positive" else TRUE * turn.turn / (
        2 * math.pi
    ) + turn.zero  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_each_unit_is_found_and_gives_the_same_radians(unit):
    phase = read_phase(stored_as(unit))

    assert (unit, True) == (phase.unit, phase.is_detected)
    np.testing.assert_allclose(np.exp(1j * TRUE), np.exp(1j * phase.radians), atol=1e-5)


def test_integers_by_hand():
    phase = read_phase(np.array([[[0, 2048, 4095]]]), unit="0..4095")

    np.testing.assert_allclose([[[-math.pi, 0, math.pi * 2047 / 2048]]], phase.radians, rtol=1e-6)


@given(st.floats(1e-4, 2.0))
def test_one_turn_over_any_symmetric_range_is_found_by_its_full_ends(half):
    phase = read_phase(TRUE * half / math.pi)

    assert phase.unit == "full-range"
    np.testing.assert_allclose(TRUE, phase.radians, atol=2e-3)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.random.default_rng(0).normal(scale=40, size=(20, 20, 20)), "Hz"),
        (np.abs(np.random.default_rng(0).normal(scale=40, size=(20, 20, 20))), "no unit"),
        (np.zeros((4, 4, 4)), "0 in every voxel"),
        (np.full((4, 4, 4), np.nan), "100 % NaN"),
    ],
    ids=["field-map", "magnitude", "zeros", "nan"],
)
def test_what_is_no_phase_is_refused(values, reason):
    with pytest.raises(InputError, match=reason):
        read_phase(values)


def test_a_named_unit_that_the_values_break_is_refused():
    with pytest.raises(InputError, match=r"within -3\.14.*got 0 … 4095"):
        read_phase(np.array([[[0, 4095]]]), unit="rad")


def test_an_unknown_unit_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=", ".join(UNIT_NAMES).replace(".", r"\.")):
        read_phase(TRUE, unit="degrees")


def test_nan_becomes_zero_and_is_remembered():
    values = TRUE.copy()
    values[3, 4, 5] = np.nan

    phase = read_phase(values)

    assert phase.radians[3, 4, 5] == 0
    assert [[3, 4, 5]] == np.argwhere(~phase.finite).tolist()
