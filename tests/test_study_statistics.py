# SPDX-License-Identifier: Apache-2.0
"""The study's statistics: the paper's own arithmetic, and scipy, statsmodels and torchmetrics."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.api import OLS, add_constant
from statsmodels.stats.contingency_tables import Table
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW, ttest_ind
from torchmetrics.functional import mean_absolute_error, mean_squared_error, pearson_corrcoef

from nigroedge.study.agreement import agreement, calibration
from nigroedge.study.baseline import by_reading, constant
from nigroedge.study.bootstrap import (
    bca_estimates,
    bca_intervals,
    difference_of_sums,
    joint_sums,
    participant_sums,
    performance_of_sums,
)
from nigroedge.study.comparison import compare
from nigroedge.study.contingency import contingency, count_readings
from nigroedge.study.evaluation import performance
from nigroedge.study.groups import compare_by_reading, group, paired_test, two_sample_test
from nigroedge.study.residual import residuals, scores
from nigroedge.study.rho_c import concordance
from nigroedge.study.table import Row
from nigroedge.study.unit import make_units

SEEDS = range(5)


def pairs(seed, n=60):
    """Measured and predicted SBR of n participants."""
    rng = np.random.default_rng(seed)
    measured = rng.normal(2.8, 1.2, n)
    return 0.6 * measured + rng.normal(1.2, 0.7, n), measured


def exactly(n, mean, sd, seed=0):
    """Draw n values with exactly this mean and sample SD."""
    values = np.random.default_rng(seed).standard_normal(n)
    return mean + sd * (values - values.mean()) / values.std(ddof=1)


# --------------------------------------------------------------------------- the paper's arithmetic


def errors_of_the_paper():
    """74 absolute errors of mean 0.6837 and population SD 0.5972: two values that have these."""
    few = 16
    share = few / 74
    gap = 0.5972 / math.sqrt(share * (1 - share))
    low = 0.6837 - share * gap
    return np.r_[np.full(few, low + gap), np.full(74 - few, low)]


def test_the_papers_mae_sd_and_rmse_fit_together():
    error = errors_of_the_paper()
    found = residuals(error, np.zeros(74))

    assert (found.mae.value, found.sd) == pytest.approx((0.6837, 0.5972))
    # √(0.6837² + 0.5972²): 0.9078 as printed.
    assert found.rmse.value == pytest.approx(0.9078, abs=5e-5)
    # 0.5467–0.8207 as printed.
    ends = found.mae.intervals["normal"]
    assert (ends.low, ends.high) == pytest.approx((0.5467, 0.8207), abs=1e-4)


def test_the_papers_interval_of_the_rmse_lies_about_the_mean_square():
    # Two values of the squared error with the paper's mean and with the SD that its interval,
    # 0.7183–1.0641, implies: half of 1.0641² − 0.7183², times √74 / 1.96.
    mean, sd, few = 0.9078**2, (1.0641**2 - 0.7183**2) / 2 * math.sqrt(74) / 1.96, 8
    share = few / 74
    gap = sd * math.sqrt(73 / 74) / math.sqrt(share * (1 - share))
    square = np.r_[np.full(few, mean + (1 - share) * gap), np.full(74 - few, mean - share * gap)]
    found = residuals(np.sqrt(square), np.zeros(74)).rmse

    assert found.value == pytest.approx(0.9078)
    assert square.min() > 0
    ends = found.intervals["normal"]
    assert (ends.low, ends.high) == pytest.approx((0.7183, 1.0641), abs=2e-4)


def test_the_papers_normalised_error_is_over_the_range():
    error = errors_of_the_paper()
    measured = np.linspace(0.5, 6.9, 74)  # a range of 6.40
    found = residuals(measured + error, measured)

    assert found.measured_range == pytest.approx(6.40)
    # 10.68 ± 9.39 % as printed, of a range that was not rounded to 6.40.
    assert (found.normalised_mean, found.normalised_sd) == pytest.approx((10.68, 9.39), abs=0.07)


PAPER_TABLE_1 = ((58, 16), (1, 292))


def test_table_1_of_the_paper():
    found = contingency(PAPER_TABLE_1)

    assert found.concordance.value == pytest.approx(95.4, abs=0.05)
    assert found.concordance.value == pytest.approx(100 * 350 / 367)
    assert "chi-square test" == found.test.name
    # n (ad − bc)² / (products of the margins), by hand.
    square = 367 * (58 * 292 - 16 * 1) ** 2 / (74 * 293 * 59 * 308)
    assert found.test.statistic == pytest.approx(square)
    assert found.test.p < 1e-50


def table_2_of_the_paper():
    """Rows with the measured moments of Bae 2023's table 2."""
    groups = {"intact": exactly(19, 4.16, 1.24), "lost": exactly(55, 2.31, 0.85)}
    values = [(reading, value) for reading, group in groups.items() for value in group]
    return [Row(f"P{i}", "left", sbr=sbr, reading=r) for i, (r, sbr) in enumerate(values)]


def test_the_baselines_of_the_papers_test_set():
    rows = table_2_of_the_paper()
    measured = np.array([row.sbr for row in rows])
    # Group means of the very rows: twins of each, as training rows, have the same means.
    twins = [Row(f"T{i}", "left", sbr=row.sbr, reading=row.reading) for i, row in enumerate(rows)]
    reading = scores(by_reading(rows, twins).predicted, measured)
    plain = scores(constant(rows, twins).predicted, measured)

    assert (reading["rmse"], reading["rho_c"]) == pytest.approx((0.949, 0.592), abs=1e-3)
    assert plain["rmse"] == pytest.approx(1.247, abs=1e-3)
    assert plain["rho_c"] == pytest.approx(0, abs=1e-12)


def test_table_2_of_the_paper():
    rows = table_2_of_the_paper()
    found = compare_by_reading([row.sbr for row in rows], [row.reading for row in rows])

    assert (19, 55) == (found.intact.n, found.lost.n)
    assert (found.intact.mean, found.intact.sd) == pytest.approx((4.16, 1.24))
    assert (found.lost.mean, found.lost.sd) == pytest.approx((2.31, 0.85))
    assert found.test.p < 1e-3


# ------------------------------------------------------------------------------------ cross-checks


@pytest.mark.parametrize("seed", SEEDS)
def test_residuals_against_torchmetrics_and_statsmodels(seed):
    predicted, measured = pairs(seed)
    found = residuals(predicted, measured)
    a, b = torch.from_numpy(predicted), torch.from_numpy(measured)
    error = DescrStatsW(np.abs(predicted - measured))

    assert found.mae.value == pytest.approx(float(mean_absolute_error(a, b)))
    assert found.rmse.value == pytest.approx(float(mean_squared_error(a, b, squared=False)))
    assert found.mae.value**2 + found.sd**2 == pytest.approx(found.rmse.value**2)
    ends = found.mae.intervals["normal"]
    assert (ends.low, ends.high) == pytest.approx(error.zconfint_mean())
    square = DescrStatsW((predicted - measured) ** 2).zconfint_mean()
    ends = found.rmse.intervals["normal"]
    assert (ends.low**2, ends.high**2) == pytest.approx(square)
    assert found.median == pytest.approx(np.median(np.abs(predicted - measured)))


@pytest.mark.parametrize("seed", SEEDS)
def test_bias_against_scipy_and_statsmodels(seed):
    predicted, measured = pairs(seed)
    found = agreement(predicted, measured)
    paired = stats.ttest_rel(predicted, measured)
    ends = found.bias.intervals["t"]

    assert found.bias.value == pytest.approx(predicted.mean() - measured.mean())
    assert (ends.low, ends.high) == pytest.approx(tuple(paired.confidence_interval()))
    assert (ends.low, ends.high) == pytest.approx(DescrStatsW(predicted - measured).tconfint_mean())
    assert found.upper.value - found.lower.value == pytest.approx(
        2 * stats.norm.ppf(0.975) * np.std(predicted - measured, ddof=1)
    )


def test_the_intervals_of_the_limits_hold_the_truth_in_about_95_of_100_samples():
    rng = np.random.default_rng(0)
    truth, hits, trials = stats.norm.ppf(0.975), 0, 1000
    for _ in range(trials):
        ends = agreement(rng.standard_normal(40), np.zeros(40)).upper.intervals["t"]
        hits += ends.low <= truth <= ends.high

    # 950 ± 7 (one SD) if it were exact; Bland and Altman's variance is approximate.
    assert 0.925 < hits / trials < 0.975


@pytest.mark.parametrize("seed", SEEDS)
def test_calibration_against_statsmodels(seed):
    predicted, measured = pairs(seed)
    found = calibration(predicted, measured)
    fitted = OLS(measured, add_constant(predicted)).fit()

    assert (found.intercept.value, found.slope.value) == pytest.approx(tuple(fitted.params))
    for estimate, expected in zip((found.intercept, found.slope), fitted.conf_int(), strict=True):
        ends = estimate.intervals["t"]
        assert (ends.low, ends.high) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("seed", SEEDS)
def test_normal_groups_get_welchs_test(seed):
    first, second = exactly(19, 4.2, 1.2, seed), exactly(55, 3.6, 0.8, seed + 50)
    # Uniform quantiles of a normal distribution: as normal as a sample can be.
    first = first.mean() + first.std(ddof=1) * stats.norm.ppf((np.arange(19) + 0.5) / 19)
    second = second.mean() + second.std(ddof=1) * stats.norm.ppf((np.arange(55) + 0.5) / 55)
    found = two_sample_test(first, second)
    t, p, _ = ttest_ind(first, second, usevar="unequal")

    assert "Welch's t-test" == found.name
    assert (found.statistic, found.p) == pytest.approx((t, p))


@pytest.mark.parametrize("seed", SEEDS)
def test_skewed_groups_get_mann_whitney(seed):
    rng = np.random.default_rng(seed)
    first, second = np.exp(rng.normal(0, 1.5, 30)), np.exp(rng.normal(0.8, 1.5, 50))
    found = two_sample_test(first, second)
    above = (first[:, None] > second).sum()  # U by its definition; no ties among such numbers
    mean, sd = 30 * 50 / 2, math.sqrt(30 * 50 * 81 / 12)
    p = 2 * stats.norm.sf((abs(above - mean) - 0.5) / sd)

    assert "Mann–Whitney U" == found.name
    assert (found.statistic, found.p) == (above, pytest.approx(p))


@pytest.mark.parametrize("seed", SEEDS)
def test_paired_tests_against_statsmodels_and_by_hand(seed):
    normal = 0.1 + stats.norm.ppf((np.random.default_rng(seed).permutation(40) + 0.5) / 40)
    found = paired_test(normal)
    t, p, _ = DescrStatsW(normal).ttest_mean(0)
    assert ("paired t-test", pytest.approx((t, p))) == (found.name, (found.statistic, found.p))

    skewed = np.exp(np.random.default_rng(seed).normal(0, 1.5, 60)) - 1.2
    found = paired_test(skewed)
    ranks = stats.rankdata(np.abs(skewed))
    smaller = min(ranks[skewed > 0].sum(), ranks[skewed < 0].sum())
    assert ("Wilcoxon signed-rank test", smaller) == (found.name, found.statistic)
    assert found.p == pytest.approx(stats.wilcoxon(skewed).pvalue)


@pytest.mark.parametrize("seed", SEEDS)
def test_contingency_against_statsmodels(seed):
    counts = np.random.default_rng(seed).integers(12, 90, (2, 2))
    found = contingency(counts.tolist())
    expected = Table(counts, shift_zeros=False).test_nominal_association()
    n, agreeing = int(counts.sum()), int(np.trace(counts))
    ends = found.concordance.intervals["wilson"]

    assert (found.test.statistic, found.test.p) == pytest.approx(
        (expected.statistic, expected.pvalue)
    )
    assert (ends.low / 100, ends.high / 100) == pytest.approx(
        proportion_confint(agreeing, n, method="wilson")
    )


def test_few_counts_get_fishers_exact_test_and_none_gets_none():
    # Tea: 3 of 4 told right on each side; 34/70, the textbook's.
    found = contingency(((3, 1), (1, 3)))

    assert "Fisher's exact test" == found.test.name
    assert found.test.p == pytest.approx(34 / 70)
    assert contingency(((5, 7), (0, 0))).test.name is None
    assert contingency(((0, 0), (0, 0))) is None
    assert ((1, 0), (1, 1)) == count_readings(
        ["intact", "lost", "lost", "lost", None], ["normal", "normal", "abnormal", None, "normal"]
    )


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [([1.0, 2], [1.0, 2, 3], "fewer than 3"), ([2.0] * 5, [1.0] * 5, "not normal")],
)
def test_groups_that_are_few_or_constant(first, second, reason):
    found = two_sample_test(np.array(first), np.array(second))

    assert reason in found.reason
    assert found.name in (None, "Mann–Whitney U")
    assert math.isnan(group(np.array([1.0])).sd)
    assert "no difference" in paired_test(np.zeros(9)).reason


# --------------------------------------------------------------------------------------- bootstrap


def pearson_unit(seed, n=60, sides=2):
    predicted, measured = pairs(seed, n * sides)
    rows = [
        Row(f"P{i // sides}", ("left", "right")[i % sides], sbr=value)
        for i, value in enumerate(measured)
    ]
    units = make_units(rows, {"model": predicted})
    return {unit.name: unit for unit in units}


@pytest.mark.parametrize("seed", SEEDS)
def test_statistics_of_sums_are_those_of_the_values(seed):
    predicted, measured = pairs(seed)
    sums = participant_sums(predicted, measured, np.arange(60) // 3).sum(axis=0)
    found = scores(predicted, measured)
    limits = agreement(predicted, measured)

    assert performance_of_sums(sums) == pytest.approx(
        [
            *(found["rho_c"], found["mae"], found["rmse"]),
            *(limits.bias.value, limits.lower.value, limits.upper.value),
        ],
        rel=1e-12,
    )


@pytest.mark.parametrize("seed", range(2))
def test_bca_is_scipys_of_the_pairs_themselves(seed):
    predicted, measured = pairs(seed, 40)
    sums = participant_sums(predicted, measured, np.arange(40))
    found = bca_intervals(performance_of_sums, sums, resamples=999, seed=seed)[0]
    expected = stats.bootstrap(
        (predicted, measured),
        concordance,
        paired=True,
        vectorized=False,
        n_resamples=999,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval

    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_both_sides_of_a_participant_are_drawn_together():
    # The same value on both sides says nothing new: the interval is that of one side.
    predicted, measured = pairs(3, 50)
    whose = np.arange(50)
    once = bca_intervals(performance_of_sums, participant_sums(predicted, measured, whose))
    twice = bca_intervals(
        performance_of_sums,
        participant_sums(np.tile(predicted, 2), np.tile(measured, 2), np.tile(whose, 2)),
    )

    for a, b in list(zip(once, twice, strict=True))[:4]:  # SD has n − 1, and so the limits
        assert (a.low, a.high) == pytest.approx((b.low, b.high))


def test_bca_holds_the_truth_in_about_95_of_100_samples():
    rng = np.random.default_rng(0)
    rho, hits, trials = 0.8, 0, 200
    for _ in range(trials):
        x = rng.standard_normal(60)
        y = rho * x + math.sqrt(1 - rho**2) * rng.standard_normal(60)
        found = bca_intervals(
            performance_of_sums, participant_sums(x, y, np.arange(60)), resamples=500
        )[0]
        hits += found.low <= rho <= found.high

    # 190 ± 3 (one SD) if it were exact; BCa of 60 is a little short.
    assert 0.885 < hits / trials < 0.99


def test_what_does_not_vary_has_no_interval():
    constant_prediction = participant_sums(np.full(9, 2.0), np.full(9, 3.0), np.arange(9))

    assert [None] * 6 == bca_intervals(performance_of_sums, constant_prediction)
    assert [None] * 6 == bca_intervals(performance_of_sums, constant_prediction[:3])


# --------------------------------------------------------------------------- paired, and everything


def test_a_model_compared_with_itself_does_not_differ():
    predicted, measured = pairs(0)
    found = compare(predicted, predicted, measured, np.arange(60))

    assert (0, 0, 0) == (found.rho_c.value, found.mae.value, found.rmse.value)
    assert (None, None) == (found.test.name, found.rmse.intervals["bca"])


@pytest.mark.parametrize("seed", SEEDS)
def test_comparison_is_the_difference_of_the_scores_and_turns_round(seed):
    predicted, measured = pairs(seed)
    other = predicted + np.random.default_rng(seed + 9).normal(0, 0.8, 60)
    whose = np.arange(60) // 2
    found = compare(predicted, other, measured, whose, resamples=499)
    turned = compare(other, predicted, measured, whose, resamples=499)
    a, b = scores(predicted, measured), scores(other, measured)

    assert 30 == found.participants
    for name in ("rho_c", "mae", "rmse"):
        estimate, back = getattr(found, name), getattr(turned, name)
        assert estimate.value == pytest.approx(a[name] - b[name])
        # Not exactly so: scipy counts resamples below and above the estimate, ties apart.
        assert estimate.intervals["bca"].low == pytest.approx(-back.intervals["bca"].high, abs=0.02)
    assert found.test.p == pytest.approx(turned.test.p)


def test_a_worse_model_is_told_from_a_better_one():
    predicted, measured = pairs(1)
    found = compare(predicted, predicted + 1.5, measured, np.arange(60))

    assert found.test.p < 0.001
    assert found.mae.intervals["bca"].high < 0
    assert found.rmse.intervals["bca"].high < 0
    assert found.rho_c.intervals["bca"].low > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_precision_times_accuracy_is_rho_c(seed):
    unit = pearson_unit(seed)["left"]
    predicted = unit.predictions["model"]
    found = performance(predicted, unit, resamples=99)
    r = float(pearson_corrcoef(torch.from_numpy(predicted), torch.from_numpy(unit.measured)))

    assert found.pearson_r == pytest.approx(r, abs=1e-6)  # torchmetrics adds up in its own way
    assert found.pearson_r * found.accuracy == pytest.approx(found.rho_c.value)
    assert found.accuracy <= 1


def test_a_constant_prediction_has_no_interval_of_rho_c():
    for unit in pearson_unit(0).values():
        found = performance(np.full(len(unit.measured), 2.7), unit, resamples=99)
        assert {"fisher": None, "lin": None, "bca": None} == found.rho_c.intervals
        assert found.rho_c.value == pytest.approx(0, abs=1e-12)
        assert found.residuals.rmse.intervals["bca"] is not None


def test_agreement_of_one_participant_is_undefined_and_not_0():
    for unit in pearson_unit(0, n=1).values():
        found = performance(unit.predictions["model"], unit, resamples=99)
        other = compare(unit.predictions["model"], unit.measured, unit.measured, unit.participants)
        assert np.isnan([found.rho_c.value, found.pearson_r, found.accuracy]).all()
        assert {None} == {*found.rho_c.intervals.values()}
        assert np.isnan(other.rho_c.value)
        assert found.residuals.rmse.value == pytest.approx(other.rmse.value)


def test_where_both_sides_count_only_intervals_by_participant_are_given():
    unit = pearson_unit(0)["side"]
    found = performance(unit.predictions["model"], unit, resamples=99)
    alone = performance(unit.predictions["model"], pearson_unit(0, 120, 1)["left"], resamples=99)

    assert (None, None) == (found.rho_c.intervals["lin"], found.residuals.mae.intervals["normal"])
    assert found.agreement.bias.intervals["t"] is None
    assert found.calibration.slope.intervals["t"] is None
    assert found.residuals.mae.intervals["bca"] is not None
    # Fisher's has 60 participants, not 120 sides: wider by √(117 / 57) on its scale.
    widths = [
        math.atanh(one.rho_c.intervals["fisher"].high) - math.atanh(one.rho_c.value)
        for one in (found, alone)
    ]
    assert widths[0] / widths[1] == pytest.approx(math.sqrt(117 / 57))


@given(st.lists(st.floats(0, 6), min_size=4, max_size=12), st.floats(0.1, 3), st.floats(-2, 2))
def test_scores_follow_the_scale_and_not_the_origin(measured, factor, shift):
    measured = np.array(measured)
    predicted = measured[::-1]
    before = residuals(predicted, measured)
    after = residuals(factor * predicted + shift, factor * measured + shift)

    assert after.mae.value == pytest.approx(factor * before.mae.value, abs=1e-9)
    assert after.rmse.value == pytest.approx(factor * before.rmse.value, abs=1e-9)
    if np.ptp(measured) > 1e-3:
        assert after.normalised_mean == pytest.approx(before.normalised_mean, rel=1e-6, abs=1e-6)


def test_the_difference_of_sums_takes_the_second_from_the_first():
    predicted, measured = pairs(0)
    sums = joint_sums((predicted, measured), measured, np.arange(60) // 2)
    found = scores(predicted, measured)
    expected = [found["rho_c"] - 1, found["mae"], found["rmse"]]

    assert (30, 16) == sums.shape
    assert difference_of_sums(sums.sum(axis=0)) == pytest.approx(expected)


def test_an_estimate_is_the_statistic_of_all_with_the_interval_of_the_drawn():
    predicted, measured = pairs(0)
    sums = participant_sums(predicted, measured, np.arange(60))
    found = bca_estimates(performance_of_sums, sums, resamples=99)

    assert performance_of_sums(sums.sum(axis=0)).tolist() == [each.value for each in found]
    intervals = bca_intervals(performance_of_sums, sums, resamples=99)
    assert intervals == [each.intervals["bca"] for each in found]
