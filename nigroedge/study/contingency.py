# SPDX-License-Identifier: Apache-2.0
"""MRI reading against SPECT reading: counts, concordance, and a test of independence (Table 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nigroedge.study.groups import READINGS, Test
from nigroedge.study.interval import Estimate, interval, scipy_stats

SPECT = ("normal", "abnormal")
#: Below this expected count in a cell, Fisher's exact test is done instead of chi-square.
MIN_EXPECTED = 5


@dataclass(frozen=True)
class Contingency:
    """Two readings of the same sides or participants.

    Parameters
    ----------
    counts : ((int, int), (int, int))
        Rows intact, lost; columns SPECT normal, abnormal.
    concordance : Estimate
        Share that agrees (intact and normal, or lost and abnormal), per cent; interval 'wilson'.
    test : Test
        Pearson's chi-square without continuity correction, one degree of freedom.
    """

    counts: tuple[tuple[int, int], tuple[int, int]]
    concordance: Estimate
    test: Test


def count_readings(
    readings: Sequence[str | None], spect: Sequence[str | None]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Count the pairs; those that lack a reading are left out."""
    pairs = list(zip(readings, spect, strict=True))
    intact, lost = ([pairs.count((reading, s)) for s in SPECT] for reading in READINGS)
    return (intact[0], intact[1]), (lost[0], lost[1])


def contingency(counts: Sequence[Sequence[int]]) -> Contingency | None:
    """Compare two readings; None without any pair.

    Parameters
    ----------
    counts : ((int, int), (int, int))
        As `count_readings` gives them, of independent pairs.
    """
    table = np.asarray(counts)
    n, agreeing = int(table.sum()), int(np.trace(table))
    if n == 0:
        return None
    ends = scipy_stats().binomtest(agreeing, n).proportion_ci(method="wilson")
    (a, b), (c, d) = table.tolist()
    return Contingency(
        ((a, b), (c, d)),
        Estimate(100 * agreeing / n, {"wilson": interval(100 * ends.low, 100 * ends.high)}),
        _test(table),
    )


def _test(table: np.ndarray[tuple[int, ...], np.dtype[np.int_]]) -> Test:
    stats = scipy_stats()
    if 0 in table.sum(axis=0) or 0 in table.sum(axis=1):
        return Test(None, "one of the readings never differs")
    smallest = float(stats.contingency.expected_freq(table).min())
    if smallest < MIN_EXPECTED:
        result = stats.fisher_exact(table)
        reason = f"an expected count of {smallest:.1f} is below {MIN_EXPECTED}"
        return Test("Fisher's exact test", reason, float(result.statistic), float(result.pvalue))
    result = stats.chi2_contingency(table, correction=False)
    reason = f"every expected count is at least {MIN_EXPECTED} (smallest {smallest:.1f})"
    return Test("chi-square test", reason, float(result.statistic), float(result.pvalue))
