# SPDX-License-Identifier: Apache-2.0
"""Unwrapping: known wraps come off, exactly or up to a harmonic field."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import MissingDependencyError
from nigroedge.smwi.unwrap import unwrap_exact, unwrap_laplacian, wrap

VOXEL_MM = (0.5, 0.5, 1.0)


def smooth_phase(shape, seed, swing):
    """Bent and tilted by so many radians, or as far as leaves neighbours 0.9 π apart at most."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    a = np.random.default_rng(seed).uniform(-1, 1, 6)
    phase = a[0] * x + a[1] * y + a[2] * z + a[3] * x * y + a[4] * y * z + a[5] * z**2
    steepest = max(np.abs(np.diff(phase, axis=axis)).max() for axis in range(3))
    return (min(swing, 0.9 * math.pi / steepest) * phase).astype(np.float32)


def test_wrap_by_hand():
    given_, expected = [0, 3.5, -3.5, 7, 40], [0, 3.5 - 2 * math.pi, 2 * math.pi - 3.5, None, None]
    got = wrap(np.array(given_, np.float32))

    np.testing.assert_allclose(expected[:3], got[:3], atol=1e-6)
    np.testing.assert_allclose([7 - 2 * math.pi, 40 - 12 * math.pi], got[3:], atol=1e-5)


def test_a_ramp_along_one_axis_by_hand():
    ramp = np.arange(12, dtype=np.float32)[:, None, None] * np.ones((12, 3, 2), np.float32)
    mask = np.ones(ramp.shape, bool)

    exact = unwrap_exact(wrap(ramp), mask, mask.astype(np.float32))

    # Whole turns only, and the median within π of 0.
    np.testing.assert_allclose(np.diff(ramp, axis=0), np.diff(exact, axis=0), atol=1e-5)
    assert abs(np.median(exact)) <= math.pi


@given(st.integers(0, 1000), st.floats(1, 40))
def test_exact_unwrapping_adds_whole_turns_and_finds_the_phase(seed, swing):
    phase = smooth_phase((14, 12, 8), seed, swing)
    mask = np.ones(phase.shape, bool)
    mask[3:6, 4:7, 2:5] = False

    got = unwrap_exact(wrap(phase), mask, np.ones_like(phase))

    turns = (got - phase)[mask] / (2 * math.pi)
    np.testing.assert_allclose(turns, turns.round(), atol=1e-4)
    assert len(np.unique(turns.round())) == 1
    assert (got[~mask] == 0).all()


@given(st.integers(0, 1000), st.floats(1, 40))
def test_laplacian_unwrapping_finds_the_phase_where_nothing_contradicts(seed, swing):
    phase = smooth_phase((14, 12, 8), seed, swing)

    got = unwrap_laplacian(wrap(phase), np.ones(phase.shape, bool), VOXEL_MM)

    difference = got - phase
    assert np.ptp(difference) < 1e-3
    # The constant is whole turns.
    assert difference.mean() / (2 * math.pi) == pytest.approx(
        round(float(difference.mean()) / (2 * math.pi)), abs=1e-3
    )


def test_outside_a_mask_noise_does_not_leak_into_the_laplacian():
    phase = smooth_phase((24, 24, 12), 1, 8)
    mask = np.zeros(phase.shape, bool)
    mask[4:-4, 4:-4, 2:-2] = True
    noisy = np.where(mask, phase, np.random.default_rng(0).uniform(-3, 3, phase.shape))

    clean = unwrap_laplacian(wrap(phase), mask, VOXEL_MM)
    got = unwrap_laplacian(wrap(noisy.astype(np.float32)), mask, VOXEL_MM)

    np.testing.assert_array_equal(clean, got)
    # What is wrong inside is harmonic: its discrete Laplacian is 0 away from the mask's edge.
    error = (got - phase).astype(float)
    laplacian = sum(
        (np.roll(error, 1, a) + np.roll(error, -1, a) - 2 * error) / h**2
        for a, h in enumerate(VOXEL_MM)
    )
    assert np.abs(laplacian[6:-6, 6:-6, 4:-4]).max() < 1e-3


def test_exact_unwrapping_goes_round_a_patch_of_noise():
    phase = smooth_phase((20, 20, 6), 3, 12)
    trust = np.ones_like(phase)
    noisy = phase.copy()
    noisy[8:12, 8:12] = np.random.default_rng(0).uniform(-3, 3, (4, 4, 6))
    trust[8:12, 8:12] = 0.01

    got = unwrap_exact(wrap(noisy), np.ones(phase.shape, bool), trust)

    turns = ((got - phase) / (2 * math.pi))[trust == 1]
    assert np.ptp(turns) < 1e-4


def test_parts_that_do_not_touch_are_each_brought_near_zero():
    phase = np.zeros((9, 3, 3), np.float32)
    phase[:4], phase[5:] = 1.0, -2.0
    mask = np.ones(phase.shape, bool)
    mask[4] = False

    got = unwrap_exact(phase, mask, mask.astype(np.float32))

    np.testing.assert_allclose(phase * mask, got)


def test_exact_unwrapping_agrees_with_scikit_image():
    restoration = pytest.importorskip("skimage.restoration", reason="pip install scikit-image")
    phase = smooth_phase((20, 18, 10), 7, 7)
    noise = np.random.default_rng(0).normal(scale=0.1, size=phase.shape).astype(np.float32)
    wrapped = wrap(phase + noise)
    mask = np.ones(phase.shape, bool)

    theirs = restoration.unwrap_phase(wrapped.astype(float))
    got = unwrap_exact(wrapped, mask, np.ones_like(phase))

    turns = np.round((got - theirs) / (2 * math.pi))
    assert np.mean(turns == np.median(turns)) == 1


def test_without_scipy_exact_unwrapping_says_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    phase = np.zeros((4, 4, 4), np.float32)

    with pytest.raises(MissingDependencyError, match=r"scipy: pip install nigroedge\[smwi\]"):
        unwrap_exact(phase, phase == 0, phase)
