# SPDX-License-Identifier: Apache-2.0
"""Whether the phase of each echo turns as far as its time says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nigroedge.errors import InputError
from nigroedge.smwi.turning import check_turning

TIMES = np.array([0.010, 0.020, 0.030, 0.040, 0.050])
SHAPE = (32, 30, 12)
MASK = np.ones(SHAPE, bool)
HZ = np.cumsum(np.cumsum(np.random.default_rng(3).normal(size=SHAPE), 0), 1)
HZ *= 4 / np.std(np.diff(HZ, axis=0))


def echoes(times_s=TIMES, snr=20.0, offset=0.0, decay=20.0, seed=0):
    """Magnitude and phase (nx, ny, nz, n_echoes, 1) of voxels whose neighbours differ by 4 Hz."""
    rng = np.random.default_rng(seed)
    signal = np.exp((2j * np.pi * HZ[..., None] - decay) * np.asarray(times_s))
    signal = signal * np.exp(1j * np.broadcast_to(np.asarray(offset), HZ.shape))[..., None]
    noise = rng.normal(size=(2, *signal.shape)) / snr
    signal = (signal + noise[0] + 1j * noise[1])[..., None]
    return np.abs(signal).astype(np.float32), np.angle(signal).astype(np.float32)


def refusal(magnitude, radians, times_s=TIMES, mask=MASK):
    """Why it is refused; nothing where it is taken."""
    try:
        check_turning(magnitude, radians, mask, times_s)
    except InputError as error:
        return str(error)
    return ""


def test_the_times_that_the_echoes_say_by_hand():
    """A voxel that differs from both its neighbours by 0.1, 0.1 and 0.3 radians."""
    radians = np.zeros((3, 1, 1, 3, 1))
    radians[1, 0, 0, :, 0] = 0.1, 0.1, 0.3
    mask = np.ones((3, 1, 1), bool)

    check_turning(np.ones_like(radians), radians, mask, (0.01, 0.011, 0.03))
    said = refusal(np.ones_like(radians), radians, (0.01, 0.02, 0.03), mask)
    assert "10, 20, 30 ms, got them as at 10, 10, 30 ms: is the phase of echo 2 in" in said


@pytest.mark.parametrize("snr", [8, 20, 200])
def test_echoes_that_turn_as_their_times_say_are_taken(snr):
    assert not refusal(*echoes(snr=snr))


@settings(max_examples=15)
@given(
    st.lists(st.floats(0.003, 0.012), min_size=2, max_size=5),
    st.floats(0, 40),
    st.sampled_from([1, -1]),
)
def test_whatever_the_times_the_decay_and_the_sign_of_all(gaps_s, decay, sign):
    times = np.cumsum(gaps_s)
    magnitude, radians = echoes(times, decay=decay)

    assert not refusal(magnitude, sign * radians, times)


X, Y = np.linspace(-1, 1, SHAPE[0])[:, None, None], np.linspace(-1, 1, SHAPE[1])[:, None]
EVERY_SECOND = np.array([0, 1, 0, 1, 0])[:, None]


def test_coils_and_bipolar_readouts_do_no_harm():
    magnitude, radians = echoes(offset=2 * X**2 + 2 * np.cos(3 * Y))

    assert not refusal(magnitude, radians)
    ramp = (0.5 + 4 * X + 0.5 * Y**2)[..., None, None] * EVERY_SECOND
    assert not refusal(magnitude, np.angle(np.exp(1j * (radians + ramp))))


@settings(max_examples=25)
@given(st.permutations(range(5)).filter(lambda order: order != [0, 1, 2, 3, 4]))
def test_any_other_order_of_the_phases_is_refused(order):
    """Before, all but the wholly reversed one passed, with up to six times the χ."""
    magnitude, radians = echoes()

    assert "in the order of their times" in refusal(magnitude, radians[..., order, :])
    assert "in the order of their times" in refusal(
        magnitude[..., order, :], radians[..., order, :]
    )


@pytest.mark.parametrize("echo", range(5))
@pytest.mark.parametrize(("factor", "why"), [(-1, "negated"), (0.5, "scale"), (0.1, "scale")])
def test_one_echo_negated_or_in_another_scale_is_refused(echo, factor, why):
    magnitude, radians = echoes()
    radians[..., echo, :] *= factor

    said = refusal(magnitude, radians)
    assert why in said
    assert f"{echo + 1}" in said.partition(" ms: ")[2]


@pytest.mark.parametrize("factor", [0.5, 2 / 3 * 0.9])
def test_the_middle_echoes_in_another_scale_are_refused(factor):
    magnitude, radians = echoes()
    radians[..., 1:4, :] *= factor

    assert "scale" in refusal(magnitude, radians)


def test_of_two_echoes_the_sign_is_judged():
    magnitude, radians = echoes(TIMES[:2])

    assert not refusal(magnitude, radians, TIMES[:2])
    radians[..., 1, :] *= -1
    assert "negated" in refusal(magnitude, radians, TIMES[:2])


def test_a_phase_that_is_noise_is_refused_where_the_magnitude_is_none():
    magnitude, radians = echoes()
    radians[..., 2, :] = np.random.default_rng(9).uniform(-np.pi, np.pi, (*SHAPE, 1))

    assert "the phase of echo 3 to be as noisy as its magnitude says" in refusal(magnitude, radians)


def test_a_late_echo_that_has_decayed_to_noise_does_no_harm():
    times = (*TIMES, 0.15)

    assert not refusal(*echoes(times, decay=30), times)


@pytest.mark.parametrize("n", [0, 1, 8])
def test_a_mask_too_small_to_tell_is_no_reason(n):
    magnitude, radians = echoes()
    mask = np.zeros(SHAPE, bool)
    mask.flat[:n] = True

    assert not refusal(magnitude, radians[..., ::-1, :], mask=mask)
