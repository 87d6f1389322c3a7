# SPDX-License-Identifier: Apache-2.0
"""The learning rate over a run: constant, or one cycle that climbs and falls once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.recipe import LOWEST_RATE, Recipe


def test_a_cycle_of_ten_steps():
    rates = [Recipe(1, schedule="one-cycle", learning_rate=1.0).rate(i, 10) for i in range(10)]

    # Half way up the first fifth, at the top, half way down the cosine, at the bottom.
    assert pytest.approx([0.525, 1.0, 0.525, LOWEST_RATE]) == [rates[i] for i in (0, 1, 5, 9)]


@given(n_steps=st.integers(1, 400), peak=st.floats(1e-6, 1))
def test_a_cycle_climbs_and_falls_once_within_its_bounds(n_steps, peak):
    recipe = Recipe(1, schedule="one-cycle", learning_rate=peak)
    rates = [recipe.rate(i, n_steps) for i in range(n_steps)]
    top = rates.index(max(rates))

    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert min(rates) >= LOWEST_RATE * peak * (1 - 1e-12)  # a rounding below
    assert pytest.approx(LOWEST_RATE * peak) == rates[-1]
    assert {peak} == {Recipe(1, learning_rate=peak).rate(i, n_steps) for i in range(n_steps)}
