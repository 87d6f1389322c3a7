# SPDX-License-Identifier: Apache-2.0
"""Channels: offsets come off, whatever they are; magnitude is the root of the sum of squares."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nigroedge.smwi.channels import channel_offsets, combine_channels, root_sum_of_squares
from nigroedge.smwi.unwrap import unwrap_exact, wrap

SHAPE = (24, 20, 12)
X, Y, Z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
HZ = 12 * X - 9 * Y + 6 * Z * X
MASK = np.ones(SHAPE, bool)


def channels_of(times, offsets, sensitivities):
    phase = np.stack(
        [np.stack([2 * math.pi * HZ * t + o for o in offsets], -1) for t in times], axis=-2
    )
    magnitude = np.stack([np.stack(sensitivities, -1) * math.exp(-20 * t) for t in times], axis=-2)
    return magnitude.astype(np.float32), wrap(phase.astype(np.float32))


def test_root_sum_of_squares_by_hand():
    assert [5.0, 13.0] == root_sum_of_squares(np.array([[3, 4], [5, 12]], np.float32)).tolist()


def test_channels_weigh_as_the_squares_of_their_magnitudes():
    """Of magnitudes 2 and 1, whose phases part in the third echo: 4 + 1i, not 2 + 1i."""
    magnitude = np.broadcast_to(np.float32([2, 1]), (4, 4, 4, 3, 2))
    phase = np.zeros((4, 4, 4, 3, 2), np.float32)
    phase[..., 2, 1] = math.pi / 2

    _, combined = combine_channels(
        magnitude, phase, (0.01, 0.02, 0.03), np.ones((4, 4, 4), bool), unwrap_exact
    )

    assert np.ravel(combined[0, 0, 0]) == pytest.approx([0, 0, math.atan(1 / 4)], abs=1e-6)
    # So do the differences of echoes 1 and 2, of which the offset takes TE₁ / (TE₂ − TE₁) = 1.
    offsets = channel_offsets(
        magnitude, phase[..., [0, 2], :], (0.01, 0.02), np.ones((4, 4, 4), bool), wrap, (1, 1, 1)
    )
    unit = (4 - 1j) / abs(4 - 1j)
    assert np.stack(offsets) == pytest.approx(np.full((2, 4, 4, 4), unit), abs=1e-6)


@pytest.mark.parametrize("times", [(0.010, 0.020, 0.030), (0.004, 0.0097, 0.0154)])
def test_smooth_offsets_of_every_channel_come_off(times):
    offsets = [1 + X, -2 + 0.5 * Y, 3 * np.ones(SHAPE), -X + Z]
    magnitude, phase = channels_of(times, offsets, [2 + X, 2 - X, 2 + Y, 2 - Y])

    combined_magnitude, combined = combine_channels(
        magnitude, phase, times, MASK, unwrap_exact, sigma_voxels=(1, 1, 1)
    )

    np.testing.assert_allclose(root_sum_of_squares(magnitude), combined_magnitude)
    inner = (slice(4, -4),) * 3
    for echo, time in enumerate(times):
        error = wrap((combined[..., echo] - 2 * math.pi * HZ * time).astype(np.float32))
        assert np.abs(error[inner]).max() < 0.02


def test_where_the_ratio_of_times_is_not_whole_wraps_between_echoes_come_off_too():
    """A steep field: Δφ of echoes 1 and 2 goes to ±5.8 rad, and 0.7 of a turn is no whole turn."""
    times, steep = (0.004, 0.0097, 0.0154), 6 * HZ
    assert 1.8 * math.pi < 2 * math.pi * np.abs(steep).max() * (times[1] - times[0])
    phase = np.stack([2 * math.pi * steep * t + 1 + X for t in times], -1)[..., None]
    magnitude = np.ones_like(phase, np.float32)

    _, combined = combine_channels(
        magnitude, wrap(phase.astype(np.float32)), times, MASK, unwrap_exact, sigma_voxels=(1, 1, 1)
    )

    inner = (slice(4, -4),) * 3
    for echo, time in enumerate(times):
        error = wrap((combined[..., echo] - 2 * math.pi * steep * time).astype(np.float32))
        assert np.abs(error[inner]).max() < 0.02  # as of the offsets above


@pytest.mark.parametrize("times", [(0.010, 0.020), (0.012, 0.018), (0.0123, 0.0246)])
def test_where_the_ratio_of_times_is_whole_nothing_is_unwrapped(times):
    asked = []

    def unwrap(phase, mask, trust):
        asked.append(phase)
        return phase

    combine_channels(*channels_of(times, [1 + X], [2 + X]), times, MASK, unwrap)

    assert asked == []


@settings(max_examples=8)
@given(st.floats(-3, 3))
def test_a_constant_offset_of_one_channel_does_not_matter(offset):
    times = (0.010, 0.020)
    first, second = (
        combine_channels(*channels_of(times, [o * np.ones(SHAPE)], [2 + X]), times, MASK,
                         unwrap_exact)[1]
        for o in (0.0, offset)
    )  # fmt: skip

    assert np.abs(wrap(first - second)).max() < 1e-4
