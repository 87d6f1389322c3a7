# SPDX-License-Identifier: Apache-2.0
"""From the phase of every echo to one frequency map, and how far to trust it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nigroedge.smwi.fourier import Floats, Mask

#: Gyromagnetic ratio of the proton over 2π, MHz/T (CODATA 2018): 1 ppm of B0 in Hz per tesla.
GAMMA_BAR_MHZ_PER_T = 42.577478518


def hz_per_ppm(field_strength_t: float) -> float:
    """Frequency of one part per million of B0: 127.7 Hz at 3 T."""
    return GAMMA_BAR_MHZ_PER_T * field_strength_t


def fit_frequency(unwrapped: Floats, magnitude: Floats, echo_times_s: Sequence[float]) -> Floats:
    """Weighted least squares through the origin: f = Σ m² t φ / (2π Σ m² t²).

    Parameters
    ----------
    unwrapped, magnitude : (nx, ny, nz, n_echoes) float32
        Radians, free of an offset; any unit.
    echo_times_s : sequence of float
        Seconds.

    Returns
    -------
    (nx, ny, nz) float32
        Hz; 0 where all magnitudes are 0. Accumulated in float32 over the echoes.
    """
    above = np.zeros(unwrapped.shape[:3], np.float32)
    below = np.zeros(unwrapped.shape[:3], np.float32)
    for echo, time in enumerate(echo_times_s):
        weight = magnitude[..., echo] ** 2 * np.float32(time)
        above += weight * unwrapped[..., echo]
        below += weight * np.float32(time)
    below[below == 0] = np.inf
    return above / (np.float32(2 * math.pi) * below)


def unwrap_in_time(
    phase: Floats, difference: Floats, magnitude: Floats, echo_times_s: Sequence[float]
) -> Floats:
    """Unwrap each echo along time, given one spatially unwrapped phase difference.

    Starting from the difference of echoes 1 and 2 (scaled to echo 1), each echo is moved by whole
    turns to where the fit through the echoes before it expects it.

    Parameters
    ----------
    phase, magnitude : (nx, ny, nz, n_echoes) float32
        Radians, wrapped, free of an offset; any unit.
    difference : (nx, ny, nz) float32
        Unwrapped phase between echoes 1 and 2, radians.
    echo_times_s : sequence of float
        Seconds.

    Returns
    -------
    (nx, ny, nz, n_echoes) float32
        Radians.
    """
    turn = np.float32(2 * math.pi)
    unwrapped = np.empty_like(phase)
    rate = difference / np.float32(echo_times_s[1] - echo_times_s[0])
    above = np.zeros(difference.shape, np.float32)
    below = np.full(difference.shape, np.finfo(np.float32).tiny, np.float32)
    for echo, time in enumerate(echo_times_s):
        expected = rate * np.float32(time)
        wrapped = phase[..., echo]
        unwrapped[..., echo] = wrapped + turn * np.rint((expected - wrapped) / turn)
        weight = magnitude[..., echo] ** 2 * np.float32(time)
        above += weight * unwrapped[..., echo]
        below += weight * np.float32(time)
        rate = np.where(above == 0, rate, above / below)
    return unwrapped


def reliability(
    phase: Floats,
    magnitude: Floats,
    frequency_hz: Floats,
    echo_times_s: Sequence[float],
    mask: Mask,
) -> Floats:
    """How well one frequency explains all echoes: |Σ m² e^{i(φ − 2πft)}| / Σ m².

    Returns
    -------
    (nx, ny, nz) float32
        1 where every echo agrees, about 1/√n_echoes for noise, 0 outside the mask. A constant phase
        common to all echoes does not lower it.
    """
    total = np.zeros(frequency_hz.shape, np.complex64)
    weights = np.full(frequency_hz.shape, np.finfo(np.float32).tiny, np.float32)
    for echo, time in enumerate(echo_times_s):
        weight = magnitude[..., echo] ** 2
        expected = np.float32(2 * math.pi * time) * frequency_hz
        total += weight * np.exp(1j * (phase[..., echo] - expected))
        weights += weight
    return np.where(mask, np.abs(total) / weights, 0).astype(np.float32)
