# SPDX-License-Identifier: Apache-2.0
"""Intervals by drawing participants anew (BCa, Efron 1987), so that both sides go together.

Every statistic here depends on the data through sums alone. What each participant adds to them is
computed once; a resample adds up the rows that it drew.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from nigroedge.study.interval import LEVEL, Estimate, Interval, Z, interval, scipy_stats
from nigroedge.study.rho_c import Floats, concordance_of_moments

RESAMPLES = 9999
SEED = 20231
#: Numbers that a batch of resamples may hold at once: 64 MB.
_BATCH_NUMBERS = 8_000_000
#: Fewer say nothing about how participants vary.
MIN_PARTICIPANTS = 4

_COUNT, _X, _Y, _XX, _YY, _XY, _ABSOLUTE, _SQUARE = range(8)

Statistics = Callable[[Floats], Floats]


def participant_sums(
    predicted: Floats, measured: Floats, participants: npt.NDArray[np.intp]
) -> Floats:
    """Give what each participant adds to the sums.

    Parameters
    ----------
    predicted, measured : (n,)
        SBR.
    participants : (n,) of int
        Whose row it is, 0 to p − 1.

    Returns
    -------
    (p, 8)
        Count, Σx, Σy, Σx², Σy², Σxy, Σ|x − y|, Σ(x − y)², with x predicted and y measured, both
        less one number, which loses no digits to the means.
    """
    middle = (predicted.mean() + measured.mean()) / 2
    x, y, error = predicted - middle, measured - middle, predicted - measured
    columns = (np.ones_like(x), x, y, x * x, y * y, x * y, np.abs(error), error**2)
    return np.stack([np.bincount(participants, weights=column) for column in columns], axis=1)


def joint_sums(
    predictions: Sequence[Floats], measured: Floats, participants: npt.NDArray[np.intp]
) -> Floats:
    """Give the `participant_sums` of k predictions beside one another: (p, 8 · k)."""
    each = [participant_sums(predicted, measured, participants) for predicted in predictions]
    return np.concatenate(each, axis=1)


def performance_of_sums(sums: Floats) -> Floats:
    """Give ρc, MAE, RMSE, bias and the two limits of agreement (6, …) of sums (…, 8)."""
    total = np.moveaxis(sums, -1, 0)
    count = total[_COUNT]
    mean = total / count
    bias = mean[_X] - mean[_Y]
    rho_c = concordance_of_moments(
        mean[_XY] - mean[_X] * mean[_Y],
        mean[_XX] - mean[_X] ** 2,
        mean[_YY] - mean[_Y] ** 2,
        bias,
    )
    variance = np.maximum(mean[_SQUARE] - bias**2, 0) * count / (count - 1)
    half = Z * np.sqrt(variance)
    rmse = np.sqrt(mean[_SQUARE])
    return np.stack([rho_c, mean[_ABSOLUTE], rmse, bias, bias - half, bias + half])


def difference_of_sums(sums: Floats) -> Floats:
    """Give ρc, MAE and RMSE of the first 8 sums less those of the second 8 → (3, …)."""
    return (performance_of_sums(sums[..., :8]) - performance_of_sums(sums[..., 8:]))[:3]


def bca_intervals(
    statistics: Statistics, sums: Floats, *, resamples: int = RESAMPLES, seed: int = SEED
) -> list[Interval | None]:
    """Give the BCa interval of each of several statistics.

    Parameters
    ----------
    statistics : callable
        Sums (…, k) → (m, …).
    sums : (p, k)
        What each participant adds.
    resamples, seed : int
        The same seed draws the same participants.

    Returns
    -------
    list of m
        None where a statistic does not vary, or is undefined for a resample, and for fewer than 4
        participants.
    """
    with np.errstate(all="ignore"):
        of_all = statistics(sums.sum(axis=0))
    if len(sums) < MIN_PARTICIPANTS:
        return [None] * len(of_all)

    def of_drawn(rows: npt.NDArray[np.intp], axis: int) -> Floats:
        return statistics(_times_drawn(rows, len(sums)) @ sums)

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what is degenerate comes back as NaN, and leaves as None
        result = scipy_stats().bootstrap(
            (np.arange(len(sums)),),
            of_drawn,
            n_resamples=resamples,
            batch=max(1, _BATCH_NUMBERS // len(sums)),
            vectorized=True,
            confidence_level=LEVEL,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    ends = zip(result.confidence_interval.low, result.confidence_interval.high, strict=True)
    return [interval(low, high) for low, high in ends]


def bca_estimates(
    statistics: Statistics, sums: Floats, *, resamples: int = RESAMPLES
) -> list[Estimate]:
    """Give each of several statistics with its interval 'bca'; see `bca_intervals`."""
    with np.errstate(all="ignore"):
        values = statistics(sums.sum(axis=0))
    intervals = bca_intervals(statistics, sums, resamples=resamples)
    return [
        Estimate(float(value), {"bca": found})
        for value, found in zip(values, intervals, strict=True)
    ]


def _times_drawn(rows: npt.NDArray[np.intp], n: int) -> Floats:
    """Count how often each of n participants was drawn: (…, any) of row numbers → (…, n).

    Adding up what was drawn is then one product of matrices.
    """
    samples = rows.reshape(-1, rows.shape[-1])
    places = samples + n * np.arange(len(samples))[:, None]
    counts = np.bincount(places.ravel(), minlength=n * len(samples))
    return counts.reshape(*rows.shape[:-1], n).astype(np.float64)
