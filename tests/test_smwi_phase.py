# SPDX-License-Identifier: Apache-2.0
"""Phase units: found where the values show them, refused where they do not."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import InputError
from nigroedge.smwi.phase import read_phase
from nigroedge.smwi.phase_unit import FULL_RANGE, SAME_NUMBERS, UNIT_NAMES, UNITS

TRUE = np.random.default_rng(0).uniform(-math.pi, math.pi, (20, 20, 20))
TRUE.flat[:2] = -math.pi, math.pi - 1e-3


def stored_as(unit, true=TRUE):
    turn = UNITS[unit]
    stored = true * turn.turn / (2 * math.pi) + turn.zero
    return (stored - turn.low) % turn.turn + turn.low


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


@given(st.floats(-1e4, 1e4), st.floats(0.5, 1e4))
def test_one_turn_over_any_range_is_found_and_goes_round_evenly(low, turn):
    phase = read_phase((TRUE / (2 * math.pi) + 0.5) * turn + low)

    assert phase.unit == FULL_RANGE or turn == pytest.approx(UNITS[phase.unit].turn, rel=0.01)
    offset = phase.radians - TRUE
    off_centre = np.exp(1j * (offset - offset.flat[0]))
    np.testing.assert_allclose(1, off_centre, atol=0.07)  # 1 % of a turn, as units are found


@pytest.mark.parametrize("n", [255, 1023, 4095, 65535, 700])
@pytest.mark.parametrize("unit", [None, "full-range"])
def test_integers_from_0_are_one_turn_of_one_level_more(n, unit):
    """Before, full-range took 0 … 255 for the half of ± 255, and halved the phase."""
    levels = np.floor((TRUE / (2 * math.pi) + 0.5) * (n + 1)).clip(0, n)

    phase = read_phase(levels, unit=unit)

    assert (
        f"0..{n}" == phase.unit if f"0..{n}" in UNITS and unit is None else FULL_RANGE == phase.unit
    )
    np.testing.assert_allclose(TRUE, phase.radians, atol=2 * math.pi / (n + 1) + 1e-5)


def test_the_whole_range_by_hand():
    def radians(stored):
        return read_phase(np.array([[stored]]), unit="full-range").radians[0, 0].tolist()

    assert pytest.approx([-math.pi, 0, math.pi / 2]) == radians([0, 2, 3])  # four levels
    assert pytest.approx([-math.pi, 0, math.pi]) == radians([0, 0.5, 1])
    assert pytest.approx([-math.pi, 0, math.pi * 0.98]) == radians([-100, 0, 98])  # about 0
    assert pytest.approx([-math.pi, 0, math.pi]) == radians([-100.5, 100, 300.5])


@pytest.mark.parametrize("unit", SAME_NUMBERS)
def test_an_angle_that_is_named_may_start_at_0(unit):
    """Units of a sidecar say radians, and not where the turn starts."""
    phase = read_phase(stored_as(SAME_NUMBERS[unit]), unit=unit)

    assert SAME_NUMBERS[unit] == phase.unit
    np.testing.assert_allclose(np.exp(1j * TRUE), np.exp(1j * phase.radians), atol=1e-5)


def echoes_in(*units):
    return np.stack([stored_as(unit) for unit in units], axis=3)


@pytest.mark.parametrize(
    ("units", "message"),
    [
        (("-4096..4096", "rad", "-4096..4096"), r"-3\.14\d+ … 3\.14\d+ in echo 2, .*'rad' fits"),
        (("0..4095", "0..4095", "0..1023"), "echo 3, where one turn of all is 0 … 4096: '0..1023'"),
        (("deg", "rad"), "in echo 2, where one turn of all is -180 … 180: 'rad' fits"),
    ],
)
def test_echoes_in_two_units_are_refused(units, message):
    """Before, an echo in radians beside one in −4096 … 4096 was a phase of nearly 0."""
    with pytest.raises(InputError, match=f"all echoes in one unit, got .*{message}"):
        read_phase(echoes_in(*units))
    with pytest.raises(InputError, match=message):
        read_phase(echoes_in(*units), unit=units[0])


@pytest.mark.parametrize("unit", [None, "full-range"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("low", "turn"), [(1.0, 1.0), (100.0, 200.0), (-3.0, 2.0), (10.0, 256.0)])
def test_what_is_no_number_does_not_change_the_unit(unit, bad, low, turn):
    """Before, it counted as 0, which widened a range that 0 is not in, and narrowed the phase."""
    stored = (TRUE / (2 * math.pi) + 0.5) * turn + low
    stored = np.floor(stored) if turn == 256 else stored
    whole = read_phase(stored, unit=unit)
    stored[3:9, 4, 5] = bad

    phase = read_phase(stored, unit=unit)

    assert whole.unit == phase.unit
    np.testing.assert_array_equal(whole.radians[phase.finite], phase.radians[phase.finite])
    assert (phase.radians[~phase.finite] == 0).all()


@pytest.mark.parametrize("half", [0.1, 1.5, 2.5])
def test_echoes_of_one_unit_need_not_all_fill_it(half):
    """A ramp, as of an early echo, does not go round: its ends never meet."""
    values = echoes_in("rad", "rad", "rad")
    values[..., 0] = np.linspace(-half, half, 20)[:, None]

    assert "rad" == read_phase(values).unit


@pytest.mark.parametrize("factor", [0.1, 0.5, 0.8, 2.0])
@pytest.mark.parametrize("unit", ["rad", "-4096..4096", "0..4095"])
@pytest.mark.parametrize("n_echoes", [2, 3])
def test_an_echo_that_goes_round_in_another_scale_is_refused(factor, unit, n_echoes):
    """Before, half a scale in one echo or in most of them passed, and χ was three times as wide."""
    values = echoes_in(*[unit] * n_echoes)
    values[..., 1] *= factor

    with pytest.raises(InputError, match=r"phase of all echoes in one unit, got|fits no unit"):
        read_phase(values)


def test_an_echo_of_one_value_is_refused():
    values = echoes_in("rad", "rad")
    values[..., 1] = 1.5

    with pytest.raises(InputError, match=r"got 1\.5 in every voxel of echo 2"):
        read_phase(values)


FIELD_MAP = np.random.default_rng(0).normal(scale=40, size=(20, 20, 20))
BRIGHT = np.abs(FIELD_MAP)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (FIELD_MAP.clip(-60, 60), "not filled as by a phase that goes round"),
        ((BRIGHT * 4).clip(0, 255).round(), "would fit 0..255, but its ends are not filled"),
        (BRIGHT * 360 / BRIGHT.max(), "would fit deg-positive, but its ends"),
        (np.where(BRIGHT < 30, 0, BRIGHT * 4).clip(0, 255).round(), "would fit 0..255"),
        (np.random.default_rng(0).normal(scale=40, size=(20, 20, 20)), "Hz"),
        (np.abs(np.random.default_rng(0).normal(scale=40, size=(20, 20, 20))), "no unit"),
        (np.zeros((4, 4, 4)), "0 in every voxel"),
        (np.full((4, 4, 4), np.nan), "100 % NaN"),
    ],
    ids=[
        *("clipped-field-map", "windowed-magnitude", "magnitude-to-360", "windowed-in-a-mask"),
        *("field-map", "magnitude", "zeros", "nan"),
    ],
)
def test_what_is_no_phase_is_refused(values, reason):
    with pytest.raises(InputError, match=reason):
        read_phase(values)


def test_a_named_unit_that_the_values_break_is_refused():
    with pytest.raises(InputError, match=r"within -3\.14.*got 0 … 4095: '0\.\.4095' fits"):
        read_phase(np.array([[[0, 4095]]]), unit="rad")
    with pytest.raises(InputError, match="got 0 … 700: no unit with a name fits; 'full-range'"):
        read_phase(np.array([[[0, 700]]]), unit="rad")


@pytest.mark.parametrize(
    ("named", "stored"),
    [("-4096..4096", "rad"), ("mrad", "rad"), ("0..4095", "0..1023"), ("deg", "rad")],
)
def test_a_named_unit_that_the_values_hardly_fill_is_refused(named, stored):
    """Before, a thousandth of a turn was believed to be all that there was of phase."""
    with pytest.raises(
        InputError, match=f"in {named!r} .* and to fill it, got .*: {stored!r} fits"
    ):
        read_phase(stored_as(stored), unit=named)


def test_an_unknown_unit_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=", ".join(UNIT_NAMES).replace(".", r"\.")):
        read_phase(TRUE, unit="degrees")


def test_nan_becomes_zero_and_is_remembered():
    values = TRUE.copy()
    values[3, 4, 5] = np.nan

    phase = read_phase(values)

    assert phase.radians[3, 4, 5] == 0
    assert [[3, 4, 5]] == np.argwhere(~phase.finite).tolist()
