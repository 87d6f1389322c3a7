# SPDX-License-Identifier: Apache-2.0
"""Concordance and errors."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.study.residual import scores
from nigroedge.study.rho_c import (
    concordance,
    concordance_of_moments,
    fisher_interval,
    lin_interval,
    lin_variance,
)

PAIRS = st.lists(
    st.tuples(st.floats(-10, 10, width=32), st.floats(-10, 10, width=32)), min_size=2, max_size=30
)


def test_concordance_by_hand():
    # x = 1, 2, 3 and y = 2, 3, 4: s_xy = s_x² = s_y² = 2/3, means one apart: (4/3) / (4/3 + 1).
    assert pytest.approx(4 / 7) == concordance([1, 2, 3], [2, 3, 4])


def test_scores_by_hand():
    got = scores([1, 2, 5], [1, 2, 2])

    assert {"rmse", "mae", "rho_c"} == set(got)
    assert pytest.approx((np.sqrt(3), 1.0)) == (got["rmse"], got["mae"])


def test_one_pair_has_no_concordance():
    assert np.isnan(concordance([2.5], [2.1]))
    assert np.isnan(concordance([2.5], [2.5]))
    assert np.isnan(scores([2.5], [2.1])["rho_c"])


def test_a_constant_prediction_has_no_concordance():
    assert concordance([2, 2, 2], [1, 2, 3]) == 0
    assert np.isnan(concordance([2, 2], [2, 2]))


@given(PAIRS)
def test_concordance_is_symmetric_and_at_most_one(pairs):
    x, y = np.array(pairs).T
    if np.ptp(x) < 1e-3 or np.ptp(y) < 1e-3:
        return
    assert concordance(x, y) == pytest.approx(concordance(y, x))
    assert abs(concordance(x, y)) <= 1 + 1e-12


@given(PAIRS)
def test_concordance_is_one_minus_the_squared_error_over_that_of_strangers(pairs):
    # Lin's other definition: 1 − E[(x − y)²] / E[(x − y′)²], y′ drawn without regard to x.
    x, y = np.array(pairs).T
    strangers = ((x[:, None] - y[None, :]) ** 2).mean()
    if strangers < 1e-6:
        return
    expected = 1 - ((x - y) ** 2).mean() / strangers

    assert pytest.approx(expected, abs=1e-9) == concordance(x, y)


# ---------------------------------------------------------------------------------------- intervals


def test_the_papers_interval_comes_out():
    # Bae 2023: 0.7443 (0.6216–0.8314) of 74 participants; printed with one rounding of its own.
    found = fisher_interval(0.7443, 74)

    assert (found.low, found.high) == pytest.approx((0.6215, 0.8314), abs=2e-4)


def test_too_few_participants_have_no_interval():
    assert fisher_interval(0.5, 3) is None
    assert fisher_interval(1.0, 50) is None
    assert lin_interval([1, 2, 3], [1, 2, 4]) is None
    assert lin_interval([1, 1, 1, 1, 1], [1, 2, 3, 4, 5]) is None
    assert lin_interval([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]) is None


def moments_of(rho, mean, sd):
    """Means, variances and covariance of x ~ (0, 1) and y ~ (mean, sd) with correlation rho."""
    return np.array([0, mean, 1, sd**2, rho * sd])


def rho_c_of(moments):
    mean_x, mean_y, variance_x, variance_y, covariance = moments
    return concordance_of_moments(covariance, variance_x, variance_y, mean_x - mean_y)


def delta_variance(rho, mean, sd):
    """Variance of ρc, times n, by the delta method: none of the printed formula.

    Gradient of ρc in the moments of a bivariate normal sample, and their asymptotic covariance, by
    n: cov(x̄, ȳ) = Σ, cov(s_ij, s_kl) = σ_ik σ_jl + σ_il σ_jk.
    """
    s = np.array([[1, rho * sd], [rho * sd, sd**2]])
    pairs = [(0, 0), (1, 1), (0, 1)]
    covariance = np.zeros((5, 5))
    covariance[:2, :2] = s
    covariance[2:, 2:] = [
        [s[i, k] * s[j, m] + s[i, m] * s[j, k] for k, m in pairs] for i, j in pairs
    ]
    at, step = moments_of(rho, mean, sd), 1e-6
    gradient = np.array(
        [(rho_c_of(at + step * e) - rho_c_of(at - step * e)) / (2 * step) for e in np.eye(5)]
    )
    return gradient @ covariance @ gradient


@pytest.mark.parametrize("rho", [-0.6, 0.3, 0.7443, 0.98])
@pytest.mark.parametrize(("mean", "sd"), [(0, 1), (0.5, 1), (0.2, 0.6), (-1, 2)])
def test_lins_variance_is_that_of_the_delta_method(rho, mean, sd):
    rho_c = rho_c_of(moments_of(rho, mean, sd))

    # Central differences of step 1e-6 are good to about 1e-9.
    assert lin_variance(rho_c, rho, mean**2 / sd) == pytest.approx(
        delta_variance(rho, mean, sd), rel=1e-6
    )


def drawn(rng, n, rho=0.75, shift=0.3, sd=0.8):
    x = rng.standard_normal(n)
    return x, shift + sd * (rho * x + np.sqrt(1 - rho**2) * rng.standard_normal(n))


@given(st.integers(0, 99), st.integers(4, 30), st.floats(-2, 2), st.floats(0.3, 30))
def test_lins_interval_is_1_96_sds_about_atanh_of_rho_c_in_any_unit(seed, n, shift, unit):
    x, y = unit * np.array(drawn(np.random.default_rng(seed), n, shift=shift))
    rho_c, found = concordance(x, y), lin_interval(x, y)
    of_x = (np.corrcoef(x, y)[0, 1], (y.mean() - x.mean()) / x.std(), y.std() / x.std())
    half = 1.959964 * np.sqrt(delta_variance(*of_x) / (n - 2)) / (1 - rho_c**2)

    assert np.arctanh([found.low, found.high]) == pytest.approx(
        np.arctanh(rho_c) + half * np.array([-1, 1]), rel=1e-4, abs=1e-6
    )


def test_intervals_hold_the_truth_in_about_95_of_100_samples():
    rng = np.random.default_rng(0)
    truth = rho_c_of(moments_of(0.75, 0.3, 0.8))
    n, trials = 74, 2000
    hits = {"fisher": 0, "lin": 0}
    for _ in range(trials):
        x, y = drawn(rng, n)
        found = {"fisher": fisher_interval(concordance(x, y), n), "lin": lin_interval(x, y)}
        for name, interval in found.items():
            hits[name] += interval.low <= truth <= interval.high

    # Of 2000 samples 95 % is 1900 ± 10 (one SD). Lin's is asymptotic; Fisher's takes ρc for a
    # correlation and is a little too wide here.
    assert 0.935 < hits["lin"] / trials < 0.965
    assert 0.94 < hits["fisher"] / trials < 0.985


@pytest.mark.parametrize("seed", range(5))
def test_concordance_is_that_of_torchmetrics(seed):
    from torchmetrics.functional import concordance_corrcoef

    x, y = drawn(np.random.default_rng(seed), 60)
    # torchmetrics has moments over n − 1, 60/59 of ours: the same ρc where the squared difference
    # of the means is 60/59 of ours too.
    apart = (x.mean() - y.mean()) * (np.sqrt(60 / 59) - 1)
    wide = concordance_corrcoef(torch.from_numpy(x + apart), torch.from_numpy(y))

    assert concordance(x, y) == pytest.approx(float(wide), abs=1e-9)
