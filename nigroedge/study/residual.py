# SPDX-License-Identifier: Apache-2.0
"""How far predicted SBR is from measured SBR: absolute, squared, and as a share of the range."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nigroedge.study.interval import Estimate, Interval, Z, interval
from nigroedge.study.rho_c import Floats, concordance


@dataclass(frozen=True)
class Residuals:
    """Absolute errors |predicted − measured|, SBR.

    Parameters
    ----------
    mae : Estimate
        Mean; interval 'normal': ± z s / √n with the sample SD s, as Bae 2023 has it.
    sd, median : float
        Population SD (1/n), so that mae² + sd² = rmse²; median.
    rmse : Estimate
        Root mean squared error; interval 'normal': roots of that interval about the mean squared
        error, its lower end not below 0, as Bae 2023 has it.
    measured_range : float
        Largest less smallest measured SBR.
    normalised_mean, normalised_sd, normalised_median : float
        Of the absolute error over that range, per cent; NaN if the range is 0.
    """

    mae: Estimate
    sd: float
    median: float
    rmse: Estimate
    measured_range: float
    normalised_mean: float
    normalised_sd: float
    normalised_median: float


def scores(predicted: npt.ArrayLike, measured: npt.ArrayLike) -> dict[str, float]:
    """Give RMSE and mean absolute error (SBR) and ρc, each in float64."""
    error = np.asarray(predicted, np.float64) - np.asarray(measured, np.float64)
    return {
        "rmse": float(np.sqrt((error**2).mean())),
        "mae": float(np.abs(error).mean()),
        "rho_c": concordance(predicted, measured),
    }


def residuals(predicted: npt.ArrayLike, measured: npt.ArrayLike) -> Residuals:
    """Summarise the errors of n predictions; the intervals take them for independent.

    Parameters
    ----------
    predicted, measured : (n,) array_like
        SBR, n ≥ 1.
    """
    measured = np.asarray(measured, np.float64)
    absolute = np.abs(np.asarray(predicted, np.float64) - measured)
    square = _mean_interval(absolute**2)
    span = float(np.ptp(measured))
    percent = 100 / span if span > 0 else math.nan
    mae, sd, median = float(absolute.mean()), float(absolute.std()), float(np.median(absolute))
    return Residuals(
        mae=Estimate(mae, {"normal": _mean_interval(absolute)}),
        sd=sd,
        median=median,
        rmse=Estimate(
            math.sqrt(float((absolute**2).mean())),
            {"normal": square and interval(math.sqrt(max(square.low, 0)), math.sqrt(square.high))},
        ),
        measured_range=span,
        normalised_mean=mae * percent,
        normalised_sd=sd * percent,
        normalised_median=median * percent,
    )


def _mean_interval(values: Floats) -> Interval | None:
    if len(values) < 2:
        return None
    half = Z * float(values.std(ddof=1)) / math.sqrt(len(values))
    return interval(float(values.mean()) - half, float(values.mean()) + half)
