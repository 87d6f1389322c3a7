# SPDX-License-Identifier: Apache-2.0
"""Concordance and errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.study import concordance, scores

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
