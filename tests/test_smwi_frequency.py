# SPDX-License-Identifier: Apache-2.0
"""Frequency: the fit, unwrapping along time, and how far to trust it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.smwi.frequency import fit_frequency, hz_per_ppm, reliability, unwrap_in_time
from nigroedge.smwi.unwrap import wrap

TIMES = (0.010, 0.020, 0.030, 0.040, 0.050)
HZ = np.linspace(-45, 45, 60).reshape(5, 4, 3)
PHASE = (2 * math.pi * HZ[..., None] * np.array(TIMES)).astype(np.float32)
ONES = np.ones_like(PHASE)
MASK = np.ones(HZ.shape, bool)


def test_at_3_tesla_a_ppm_is_127_7_hz():
    assert hz_per_ppm(3.0) == pytest.approx(127.73, abs=0.01)


def test_fit_by_hand():
    """Two echoes that disagree: f = (m₁² t₁ φ₁ + m₂² t₂ φ₂) / 2π (m₁² t₁² + m₂² t₂²)."""
    phase = np.array([[[[1.0, 3.0]]]], np.float32)
    magnitude = np.array([[[[2.0, 1.0]]]], np.float32)

    got = fit_frequency(phase, magnitude, (0.01, 0.02))

    expected = (4 * 0.01 * 1 + 1 * 0.02 * 3) / (4 * 0.01**2 + 1 * 0.02**2) / (2 * math.pi)
    assert got.item() == pytest.approx(expected, rel=1e-6)


@given(st.integers(0, 100))
def test_fit_agrees_with_least_squares_in_double_precision(seed):
    rng = np.random.default_rng(seed)
    phase, magnitude = rng.normal(size=(2, 3, 3, 2, 5))
    design = np.array(TIMES)[:, None] * 2 * math.pi
    truth = [
        np.linalg.lstsq(design * m[:, None], p * m, rcond=None)[0].item()
        for p, m in zip(phase.reshape(-1, 5), magnitude.reshape(-1, 5), strict=True)
    ]

    got = fit_frequency(phase.astype(np.float32), magnitude.astype(np.float32), TIMES)

    np.testing.assert_allclose(truth, got.ravel(), rtol=1e-4, atol=1e-4)


def test_no_magnitude_gives_zero_hz():
    assert (fit_frequency(PHASE, 0 * ONES, TIMES) == 0).all()


def test_unwrapping_in_time_finds_every_turn():
    difference = (PHASE[..., 1] - PHASE[..., 0]).astype(np.float32)

    got = unwrap_in_time(wrap(PHASE), difference, ONES, TIMES)

    np.testing.assert_allclose(PHASE, got, atol=1e-4)


@pytest.mark.parametrize(
    ("magnitude", "third", "expected"),
    [
        # Rates 0.5 and 0 weigh m² t²: 1 and 4, so 0.1, and 1 is expected at time 10.
        ((1, 1, 1), -1.5, -1.5),  # were they to weigh m², 2.5: a turn more
        # 9 and 4, so 0.346: 3.46 is expected.
        ((3, 1, 1), -0.34, 2 * math.pi - 0.34),  # by m t², 2.1: no turn more
    ],
)
def test_echoes_that_disagree_weigh_by_magnitude_and_time(magnitude, third, expected):
    phase = np.array([[[[0.5, 0.0, third]]]], np.float32)
    weight = np.array([[[magnitude]]], np.float32)

    got = unwrap_in_time(phase, phase[..., 1] - phase[..., 0], weight, (1, 2, 10))

    np.testing.assert_allclose([0.5, 0, expected], got[0, 0, 0], atol=1e-6)


@given(st.integers(0, 1000))
def test_each_echo_is_put_where_the_fit_through_those_before_expects_it(seed):
    """The fit in double precision, for phases without sense: nothing but the rule decides."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(-math.pi, math.pi, (6, 5, 4, 5)).astype(np.float32)
    magnitude = rng.uniform(0.1, 3, phase.shape).astype(np.float32)

    got = unwrap_in_time(phase, phase[..., 1] - phase[..., 0], magnitude, TIMES)

    turns = (got - phase) / (2 * math.pi)
    np.testing.assert_allclose(turns, turns.round(), atol=1e-5)
    for echo in range(1, len(TIMES)):
        before = np.array(TIMES[:echo])
        for place in np.ndindex(phase.shape[:3]):
            m = magnitude[place][:echo].astype(float)
            fit = np.linalg.lstsq((m * before)[:, None], m * got[place][:echo], rcond=None)[0]
            # Half a turn at most; float32 rounds phases of some tens of radians.
            assert abs(got[place][echo] - fit.item() * TIMES[echo]) < math.pi + 1e-3


def test_reliability_by_hand():
    """Two echoes in opposition: |m₁² − m₂²| / (m₁² + m₂²)."""
    phase = np.array([[[[0.0, math.pi]]]], np.float32)
    magnitude = np.array([[[[2.0, 1.0]]]], np.float32)
    one = np.ones((1, 1, 1))

    got = reliability(phase, magnitude, 0 * one, (0.01, 0.02), one > 0)
    turned = reliability(phase, magnitude, 25 * one, (0.01, 0.02), one > 0)

    assert got.item() == pytest.approx(3 / 5, rel=1e-6)
    # |4 e^{-iπ/2} + e^{i(π − π)}| = √17
    assert turned.item() == pytest.approx(math.sqrt(17) / 5, rel=1e-6)
    assert 0 == reliability(phase, magnitude, 0 * one, (0.01, 0.02), one == 0).item()


def test_reliability_is_one_for_agreement_and_low_for_noise():
    noise = np.random.default_rng(0).uniform(-math.pi, math.pi, (20, 20, 20, 5))
    zero = np.zeros((20, 20, 20), np.float32)
    everywhere = np.ones(zero.shape, bool)

    agreeing = reliability(PHASE + 0.3, ONES, HZ.astype(np.float32), TIMES, MASK)
    noisy = reliability(noise.astype(np.float32), np.ones_like(noise), zero, TIMES, everywhere)

    np.testing.assert_allclose(agreeing, 1, atol=1e-5)
    assert noisy.mean() == pytest.approx(math.sqrt(math.pi / 4 / 5), abs=0.02)
