# SPDX-License-Identifier: Apache-2.0
"""How well predicted SBR agrees with measured SBR."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def concordance(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Lin's concordance correlation coefficient (Lin 1989, doi 10.2307/2532051), 1/n moments.

    2 s_xy / (s_x² + s_y² + (x̄ − ȳ)²), in float64; NaN if both are constant and equal.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    spread = x.var() + y.var() + (x.mean() - y.mean()) ** 2
    return float(2 * covariance / spread) if spread > 0 else float("nan")


def scores(predicted: npt.ArrayLike, measured: npt.ArrayLike) -> dict[str, float]:
    """Give RMSE and mean absolute error (SBR) and ρc, each in float64."""
    error = np.asarray(predicted, np.float64) - np.asarray(measured, np.float64)
    return {
        "rmse": float(np.sqrt((error**2).mean())),
        "mae": float(np.abs(error).mean()),
        "rho_c": concordance(predicted, measured),
    }
