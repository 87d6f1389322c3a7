# SPDX-License-Identifier: Apache-2.0
"""The numeric contract: each part alone can break it, in SBR or in units of the answers' SD."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.promise import PROMISES, Errors, concordance_loss, unit_of

NONE = Errors(worst=0.0, mean=0.0, selftest=0.0, rho_c_loss=0.0)


@pytest.mark.parametrize("field", ["worst", "mean", "selftest", "rho_c_loss"])
@pytest.mark.parametrize("precision", PROMISES)
def test_each_number_alone_can_break_a_promise(field, precision):
    promise = PROMISES[precision]

    assert [] == promise.broken(NONE)
    for value in (0.16, float("nan"), float("inf")):
        (said,) = promise.broken(replace(NONE, **{field: value}))
        assert said.startswith({"rho_c_loss": "ρc loss", "selftest": "self-test"}.get(field, field))


def test_what_is_broken_by_hand():
    # Twice INT8's 0.15 and 0.05 are 0.3 and 0.1; a self-test has no unit, as when a file is opened.
    errors = Errors(worst=0.31, mean=0.1, selftest=0.16, rho_c_loss=None)

    assert ["worst 0.31 > 0.3 SBR", "self-test 0.16 > 0.15 SBR"] == PROMISES["int8"].broken(
        errors, unit=2.0
    )


def test_units_by_hand():
    assert 1 == unit_of(np.array([-1.0, 15.0]))  # an SD of 8, but each of them can be an SBR
    assert 8.5 == unit_of(np.array([-1.0, 16.0]))
    assert 1 == unit_of(np.array([99.0, 99.5]))  # an SD of 0.25
    assert 1 == unit_of(np.array([99.0]))
    assert 1 == unit_of(np.array([2.0, np.nan]))
    assert 1 == unit_of(np.array([2.0, np.inf]))


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20), st.floats(0, 1))
def test_a_promise_grows_with_answers_beyond_sbr_and_is_never_tighter(answers, error):
    unit = unit_of(np.array(answers))
    errors = replace(NONE, worst=error)

    assert 1 <= unit <= max(1.0, np.std(answers))
    assert set(PROMISES["int8"].broken(errors, unit=unit)) <= {
        f"worst {error:.2g} > {0.15 * unit:.2g} SBR"
    }
    assert (error <= 0.15 * unit) == (PROMISES["int8"].broken(errors, unit=unit) == [])


def test_concordance_is_lost_only_where_it_was_measured():
    measured = np.array([1.0, 2.0, 3.0, np.nan])
    # ρc of x against itself is 1; of x + 1 it is 2 · 2/3 / (2/3 + 2/3 + 1) = 4/7.
    wanted, got = measured, measured + 1

    assert pytest.approx(1 - 4 / 7) == concordance_loss(measured, wanted, got)
    assert concordance_loss(measured[2:], wanted[2:], got[2:]) is None
