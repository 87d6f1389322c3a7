# SPDX-License-Identifier: Apache-2.0
"""Compare SBR between sides or participants read as intact and as lost.

The test follows from the data, by one rule: Welch's t-test if Shapiro–Wilk finds neither group at
odds with a normal distribution (p ≥ 0.05), else Mann–Whitney U.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nigroedge.study.interval import scipy_stats
from nigroedge.study.rho_c import Floats

READINGS = ("intact", "lost")
#: Below it a group is taken for not normal.
NORMALITY_P = 0.05
#: Fewer values than Shapiro–Wilk takes.
MIN_GROUP = 3


@dataclass(frozen=True)
class Group:
    """Values of one group: count, mean, sample SD, median; NaN where there are too few."""

    n: int
    mean: float
    sd: float
    median: float


@dataclass(frozen=True)
class Test:
    """A test that was chosen, why, and what came out.

    Parameters
    ----------
    name : str or None
        None if none was done.
    reason : str
        Why this one, or why none.
    statistic, p : float or None
        Two-sided.
    """

    __test__ = False  # for pytest, which would collect it by its name

    name: str | None
    reason: str
    statistic: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class ByReading:
    """One quantity in the two groups, and the test of their difference."""

    intact: Group
    lost: Group
    test: Test


def compare_by_reading(values: npt.ArrayLike, readings: Sequence[str | None]) -> ByReading:
    """Compare a quantity between the readings; values without a reading are left out.

    Parameters
    ----------
    values : (n,) array_like
        Independent of one another.
    readings : n of 'intact', 'lost' or None
    """
    values = np.asarray(values, np.float64)
    intact, lost = (values[[r == reading for r in readings]] for reading in READINGS)
    return ByReading(group(intact), group(lost), two_sample_test(intact, lost))


def group(values: Floats) -> Group:
    """Summarise the values of a group."""
    n = len(values)
    return Group(
        n,
        float(values.mean()) if n else math.nan,
        float(values.std(ddof=1)) if n > 1 else math.nan,
        float(np.median(values)) if n else math.nan,
    )


def two_sample_test(first: Floats, second: Floats) -> Test:
    """Test whether two independent groups differ."""
    if min(len(first), len(second)) < MIN_GROUP:
        return Test(None, f"fewer than {MIN_GROUP} in a group")
    normal = [shapiro_p(values) for values in (first, second)]
    said = "Shapiro–Wilk " + ", ".join(
        f"{reading} {p_text(p)}" for reading, p in zip(READINGS, normal, strict=True)
    )
    stats = scipy_stats()
    if min(normal) >= NORMALITY_P:
        result = stats.ttest_ind(first, second, equal_var=False)
        name, why = "Welch's t-test", f"both groups pass for normal: {said}"
    else:
        result = stats.mannwhitneyu(first, second, alternative="two-sided")
        name, why = "Mann–Whitney U", f"a group is not normal: {said}"
    return Test(name, why, float(result.statistic), float(result.pvalue))


def paired_test(differences: Floats) -> Test:
    """Test whether paired differences lie about 0: paired t, or Wilcoxon's signed ranks."""
    if len(differences) < MIN_GROUP:
        return Test(None, f"fewer than {MIN_GROUP} pairs")
    if not differences.any():
        return Test(None, "no difference in any pair")
    normal = shapiro_p(differences)
    said = f"Shapiro–Wilk {p_text(normal)}"
    stats = scipy_stats()
    if normal >= NORMALITY_P:
        result = stats.ttest_1samp(differences, 0.0)
        name, why = "paired t-test", f"the differences pass for normal: {said}"
    else:
        result = stats.wilcoxon(differences)
        name, why = "Wilcoxon signed-rank test", f"the differences are not normal: {said}"
    return Test(name, why, float(result.statistic), float(result.pvalue))


def p_text(p: float) -> str:
    """Give a p-value as people write it."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def shapiro_p(values: Floats) -> float:
    """Give the p-value of Shapiro–Wilk; 0 for constant values, which are never normal.

    Beyond 5000 values it is approximate, and small for any real data: ranks are compared then.
    """
    if np.ptp(values) == 0 or len(values) > 5000:
        return 0.0
    return float(scipy_stats().shapiro(values).pvalue)
