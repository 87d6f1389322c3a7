# SPDX-License-Identifier: Apache-2.0
"""Bland–Altman: bias, limits of agreement, and the line that would calibrate the predictions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nigroedge.study.interval import Estimate, Z, interval, scipy_stats


@dataclass(frozen=True)
class Agreement:
    """Bland and Altman's bias and limits, of predicted − measured, SBR.

    Parameters
    ----------
    bias : Estimate
        Mean difference; interval 't': ± t s / √n.
    sd : float
        Sample SD s of the difference.
    lower, upper : Estimate
        bias ∓ 1.96 s; interval 't': ± t s √(1/n + 1.96² / (2 (n − 1))) (Bland & Altman 1999,
        Stat Methods Med Res 8:135).
    """

    bias: Estimate
    sd: float
    lower: Estimate
    upper: Estimate


@dataclass(frozen=True)
class Calibration:
    """Least-squares line measured = intercept + slope · predicted; 1 and 0 need no correction."""

    slope: Estimate
    intercept: Estimate


def agreement(predicted: npt.ArrayLike, measured: npt.ArrayLike) -> Agreement:
    """Give the bias and limits of agreement; the intervals take the n pairs for independent."""
    difference = np.asarray(predicted, np.float64) - np.asarray(measured, np.float64)
    n, bias = len(difference), float(difference.mean())
    if n < 2:
        missing = Estimate(math.nan, {"t": None})
        return Agreement(Estimate(bias, {"t": None}), math.nan, missing, missing)
    sd, t = float(difference.std(ddof=1)), float(scipy_stats().t.ppf(0.975, n - 1))
    of_bias = t * sd / math.sqrt(n)
    of_limit = t * sd * math.sqrt(1 / n + Z**2 / (2 * (n - 1)))
    return Agreement(
        _symmetric(bias, of_bias),
        sd,
        _symmetric(bias - Z * sd, of_limit),
        _symmetric(bias + Z * sd, of_limit),
    )


def calibration(predicted: npt.ArrayLike, measured: npt.ArrayLike) -> Calibration | None:
    """Give the line from predicted to measured, with t intervals; None if it has no slope."""
    predicted, measured = np.asarray(predicted, np.float64), np.asarray(measured, np.float64)
    n = len(predicted)
    if n < 3 or np.ptp(predicted) == 0:
        return None
    line = scipy_stats().linregress(predicted, measured)
    t = float(scipy_stats().t.ppf(0.975, n - 2))
    return Calibration(
        _symmetric(float(line.slope), t * float(line.stderr)),
        _symmetric(float(line.intercept), t * float(line.intercept_stderr)),
    )


def _symmetric(value: float, half: float) -> Estimate:
    return Estimate(value, {"t": interval(value - half, value + half)})
