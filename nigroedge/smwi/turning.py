# SPDX-License-Identifier: Apache-2.0
"""Whether the phase of each echo has turned as far as its echo time says.

From voxel to voxel phase differs by 2π · (difference in frequency) · (echo time), whatever the
frequency is, plus what the coil adds, which is smooth, and noise. So the differences of two echoes
vary together over a brain by the product of their times: the echoes themselves say when they were,
but for a common factor, to 1 % at an SNR of 20 and to 7 % at 10. An echo that is exchanged with
another, negated or in another scale says another time. A ramp of phase, such as bipolar readouts
leave in every second echo, is a constant difference, and taken away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from nigroedge.errors import InputError
from nigroedge.smwi.differences import neighbours
from nigroedge.smwi.fourier import Floats, Mask

#: Pairs of neighbours that are looked at: so many say a time to a few per cent at an SNR of 10.
MAX_PAIRS = 150_000
#: Radians. Neighbours that differ by more in some echo are left out: fat beside water, or so noisy
#: that whole turns cannot be told.
MAX_STEP = math.pi / 2
#: Radians. What is noisier from voxel to voxel (an SNR below 2.4) has whole turns among its steps,
#: and says too short a time.
MAX_NOISE = 0.6
#: The noise of phase times the magnitude is one for all echoes; beyond so many times that of the
#: others it is no noise of this scan.
MAX_NOISE_RATIO = 3.0
#: A time is another one if it is so many standard errors away.
SIGNIFICANT = 5.0
#: The time that an echo says may be so many times too long or too short. Of three echoes in vivo at
#: 7 T one is 1.3 times off: what turns otherwise (the coil, blood that flows) is a part of 4 ms.
#: Half a scale is 2 times off.
MAX_FACTOR = 1.5
#: Seconds. What all echoes share besides (the coil's own phase) makes all times seem longer or
#: shorter by up to so much: by 2.5 ms with a coil as uneven as simulated ones.
MAX_OFFSET_S = 4e-3
#: Of the factor analysis: after half as many nothing changes by more than 1 %.
ROUNDS = 300

Doubles = npt.NDArray[np.float64]


def check_turning(
    magnitude: Floats, radians: Floats, mask: Mask, echo_times_s: Sequence[float]
) -> None:
    """Refuse echoes whose phases have not turned in proportion to their times.

    Parameters
    ----------
    magnitude, radians : (nx, ny, nz, n_echoes, n_channels) float32
    mask : (nx, ny, nz) bool
        Where there is brain.
    echo_times_s : sequence of float
        Of two echoes the sign alone is judged: their order and scale do not show.

    Raises
    ------
    InputError
        If the phase of an echo is noise where its magnitude is none, or turns against the others,
        less than that of an earlier echo, or as at another time.
    """
    steps, weights = _steps(magnitude, radians, mask)
    if not weights.any():
        return
    turned = _Turned.of(steps, weights, np.asarray(echo_times_s))
    turned.check_noise(np.median(magnitude[mask], axis=(0, 2)))
    turned.check_sign()
    if turned.judged.sum() > 2:
        turned.check_order()
        turned.check_scale()


def _steps(magnitude: Floats, radians: Floats, mask: Mask) -> tuple[Doubles, Doubles]:
    """Differences of phase between neighbours along the first two axes, and what they weigh.

    Returns
    -------
    (n_echoes, n_pairs) float64, (n_pairs,) float64
        Radians, of mean 0 along each axis; any unit.
    """
    thin = np.index_exp[:, :, :: max(1, round(2 * mask.sum() / MAX_PAIRS))]
    magnitude, radians, mask = magnitude[thin], radians[thin], mask[thin]
    found = [_steps_along(axis, magnitude, radians, mask) for axis in (0, 1)]
    steps, weights = zip(*found, strict=True)
    return np.concatenate(steps, axis=1), np.concatenate(weights)


def _steps_along(
    axis: int, magnitude: Floats, radians: Floats, mask: Mask
) -> tuple[Doubles, Doubles]:
    here, there = neighbours(axis)
    both = mask[here] & mask[there]
    turn = np.exp(1j * (radians[there][both] - radians[here][both]))
    product = np.einsum("pec,pec->ep", magnitude[there][both] * magnitude[here][both], turn)
    steps, weights = np.angle(product), np.abs(product).min(axis=0, initial=np.inf)
    kept = (np.abs(steps) < MAX_STEP).all(axis=0) & (weights > 0)
    steps, weights = steps[:, kept].astype(np.float64), weights[kept].astype(np.float64)
    mean = steps @ weights / max(weights.sum(), np.finfo(np.float64).tiny)
    return steps - mean[:, None], weights


@dataclass(frozen=True, eq=False)
class _Turned:
    """How far the phase of each echo turns from voxel to voxel.

    Parameters
    ----------
    times_s : (n_echoes,) float64
        As they were said.
    radians, noise, error : (n_echoes,) float64
        Of what all echoes have in common, and of what each has for itself; the standard error of
        the first.
    """

    times_s: Doubles
    radians: Doubles
    noise: Doubles
    error: Doubles

    @classmethod
    def of(cls, steps: Doubles, weights: Doubles, times_s: Doubles) -> _Turned:
        covariance = (steps * weights) @ steps.T / weights.sum()
        radians = _common(covariance)
        noise = np.sqrt(np.maximum(np.diag(covariance) - radians**2, 0))
        n_pairs = weights.sum() ** 2 / (weights @ weights)
        share = float(noise @ noise) / max(float(radians @ radians), np.finfo(np.float64).tiny)
        return cls(times_s, radians, noise, noise * math.sqrt((1 + share) / n_pairs))

    @property
    def judged(self) -> npt.NDArray[np.bool_]:
        """Echoes that are not too noisy to say a time."""
        judged: npt.NDArray[np.bool_] = self.noise < MAX_NOISE
        return judged

    @property
    def _factor(self) -> float:
        """Radians per second of echo time, of most echoes."""
        return float(np.median((self.radians / self.times_s)[self.judged]))

    def check_noise(self, magnitudes: Floats) -> None:
        """Noise is that of the scan, over the magnitude of the echo."""
        noise = self.noise * magnitudes
        for echo in np.flatnonzero(noise > MAX_NOISE_RATIO * np.median(noise)):
            if self.noise[echo] > MAX_NOISE:
                raise InputError(
                    f"expected the phase of echo {echo + 1} to be as noisy as its magnitude says, "
                    f"got {noise[echo] / np.median(noise):.2g} times that of the others: is it the "
                    f"phase of this echo?"
                )

    def check_sign(self) -> None:
        """The common sign is that of most: the scan's own is for `phase_sign` to say."""
        for echo in np.flatnonzero(self.judged & (self.radians < -SIGNIFICANT * self.error)):
            raise self._error(f"is the phase of echo {echo + 1} negated?")

    def check_order(self) -> None:
        """A later echo has turned more: not less, by half of what exchanged times would make it."""
        for before, after in pairwise(np.flatnonzero(self.judged)):
            least = self.radians[before] * math.sqrt(self.times_s[before] / self.times_s[after])
            margin = SIGNIFICANT * math.hypot(self.error[before], self.error[after])
            if self.radians[after] < least - margin:
                raise self._error(
                    f"are echoes {before + 1} and {after + 1} in the order of their times, and in "
                    f"one scale?"
                )

    def check_scale(self) -> None:
        """An echo is off if no offset that all share explains it either."""
        times, radians = self.times_s[self.judged], self.radians[self.judged]
        pairs = np.triu_indices(len(times), 1)
        slope = np.median(
            np.subtract.outer(radians, radians)[pairs] / np.subtract.outer(times, times)[pairs]
        )
        limit = MAX_OFFSET_S * self._factor
        offset = np.clip(np.median(radians - slope * times), -limit, limit)
        is_off = self._is_off(self._factor * self.times_s)
        is_off &= self._is_off(slope * self.times_s + offset)
        for echo in np.flatnonzero(self.judged & is_off):
            raise self._error(f"is the phase of echo {echo + 1} in the scale of the others?")

    def _is_off(self, expected: Doubles) -> npt.NDArray[np.bool_]:
        margin = SIGNIFICANT * self.error
        too_short = self.radians < expected / MAX_FACTOR - margin
        return too_short | (self.radians > expected * MAX_FACTOR + margin)

    def _error(self, what: str) -> InputError:
        said, got = (
            ", ".join(f"{1e3 * time:.3g}" for time in times)
            for times in (self.times_s, self.radians / self._factor)
        )
        return InputError(
            f"expected phases that turn from voxel to voxel in proportion to their echo times of "
            f"{said} ms, got them as at {got} ms: {what}"
        )


def _common(covariance: Doubles) -> Doubles:
    """The one factor v of a covariance, v vᵀ beside its diagonal, which holds noise too.

    Principal factor analysis: the largest eigenvector, with v² in the diagonal, until it stays.
    """
    beside = covariance - np.diag(np.diag(covariance))
    shared = np.abs(beside).max(axis=0)
    factor = np.zeros(len(covariance))
    for _ in range(ROUNDS):
        values, vectors = np.linalg.eigh(beside + np.diag(shared))
        factor = vectors[:, -1] * math.sqrt(max(float(values[-1]), 0.0))
        shared = np.minimum(factor**2, np.diag(covariance))
    return factor if factor.sum() >= 0 else -factor
