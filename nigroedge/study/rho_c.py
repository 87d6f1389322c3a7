# SPDX-License-Identifier: Apache-2.0
"""Lin's concordance correlation coefficient ρc, and two of its intervals.

ρc = 2 s_xy / (s_x² + s_y² + (x̄ − ȳ)²) with 1/n moments (Lin 1989, Biometrics 45:255,
doi 10.2307/2532051). The third interval, by resampling participants, is that of any statistic:
`nigroedge.study.bootstrap`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nigroedge.study.interval import Interval, Z, interval

Floats = npt.NDArray[np.float64]


def concordance(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Lin's concordance correlation coefficient, in float64.

    Parameters
    ----------
    x, y : (n,) array_like
        The same quantity by two methods; which is which does not matter.

    Returns
    -------
    float
        −1 to 1; NaN of fewer than 2 pairs, which cannot vary, and if both are constant and equal.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(x) < 2:
        return math.nan
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    return float(concordance_of_moments(covariance, x.var(), y.var(), x.mean() - y.mean()))


def concordance_of_moments(
    covariance: Any, variance_x: Any, variance_y: Any, mean_difference: Any
) -> Any:
    """Give ρc of 1/n moments: numbers, or arrays of them; NaN where nothing varies or differs."""
    spread = np.asarray(variance_x + variance_y + mean_difference**2)
    return np.divide(2 * covariance, spread, out=np.full(spread.shape, np.nan), where=spread > 0)[
        ()
    ]


def fisher_interval(rho_c: float, n: int) -> Interval | None:
    """Give tanh(atanh ρc ± z / √(n − 3)), as Bae 2023 does.

    It treats ρc as a correlation of a bivariate normal sample of n participants.

    Returns
    -------
    Interval or None
        None for fewer than 4 participants, or |ρc| = 1.
    """
    if n < 4 or not abs(rho_c) < 1:
        return None
    centre, half = math.atanh(rho_c), Z / math.sqrt(n - 3)
    return Interval(math.tanh(centre - half), math.tanh(centre + half))


def lin_interval(x: npt.ArrayLike, y: npt.ArrayLike) -> Interval | None:
    """Give the interval of Lin's asymptotic variance, on the scale of atanh ρc.

    With Pearson's r and u = (x̄ − ȳ) / √(s_x s_y), the variance of ρc is

        [(1 − r²) ρc² (1 − ρc²) / r² + 2 ρc³ (1 − ρc) u² / r − ρc⁴ u⁴ / (2 r²)] / (n − 2)

    as corrected in Biometrics 56:324 (2000), and that of atanh ρc is it over (1 − ρc²)². It holds
    for bivariate normal, independent pairs.

    Returns
    -------
    Interval or None
        None for fewer than 4 pairs, where r is 0, or where ρc is 1 or −1.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    rho_c, n = concordance(x, y), len(x)
    sd_x, sd_y = float(x.std()), float(y.std())
    if n < 4 or sd_x * sd_y == 0 or not 0 < abs(rho_c) < 1:
        return None
    r = float(((x - x.mean()) * (y - y.mean())).mean()) / (sd_x * sd_y)
    u2 = float(x.mean() - y.mean()) ** 2 / (sd_x * sd_y)
    variance = lin_variance(rho_c, r, u2) / (n - 2)
    half = Z * math.sqrt(max(variance, 0.0)) / (1 - rho_c**2)
    return interval(math.tanh(math.atanh(rho_c) - half), math.tanh(math.atanh(rho_c) + half))


def lin_variance(rho_c: float, r: float, u2: float) -> float:
    """Give n times the asymptotic variance of ρc; u2 is the square of the location shift u."""
    return (
        (1 - r**2) * rho_c**2 * (1 - rho_c**2) / r**2
        + 2 * rho_c**3 * (1 - rho_c) * u2 / r
        - rho_c**4 * u2**2 / (2 * r**2)
    )
