# SPDX-License-Identifier: Apache-2.0
"""An estimate and its 95 % intervals, each under the name of how it was got."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nigroedge.extra import from_extra

LEVEL = 0.95
#: Quantile of the standard normal distribution at (1 + LEVEL) / 2.
Z = 1.959963984540054


@dataclass(frozen=True)
class Interval:
    """From low to high, 95 %."""

    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A number and its intervals.

    Parameters
    ----------
    value : float
    intervals : dict of str → Interval or None
        Name of the method → interval; None where the method has no answer for these data.
    """

    value: float
    intervals: Mapping[str, Interval | None] = field(default_factory=dict)


def interval(low: float, high: float) -> Interval | None:
    """Give the interval, or None if an end is not finite."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    return Interval(float(low), float(high))


def scipy_stats() -> Any:
    """Import scipy.stats.

    Raises
    ------
    MissingDependencyError
        Without scipy.
    """
    with from_extra("plots", "the study's statistics need", "scipy"):
        from scipy import stats
    return stats
