# SPDX-License-Identifier: Apache-2.0
"""What one value stands for, and the baselines that every score stands beside."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nigroedge.study
from nigroedge.study.baseline import by_reading, constant, oracle
from nigroedge.study.evaluation import evaluate
from nigroedge.study.prediction import unique_names
from nigroedge.study.table import Row
from nigroedge.study.unit import make_units, worst
from tests.conftest import ROOT


def row(name, side, sbr, reading=None, spect=None, **more):
    return Row(name, side, sbr=sbr, reading=reading, spect=spect, **more)


ROWS = [
    row("A", "left", 2.0, "lost", "abnormal", expected_sbr=2.5),
    row("B", "right", 5.0, "intact", "normal", expected_sbr=4.5),
    row("A", "right", 4.0, "intact", "normal", expected_sbr=3.5),
]
PREDICTED = np.array([1.0, 6.0, 5.0])


def test_a_participant_is_the_mean_of_the_sides_that_there_are():
    units = {unit.name: unit for unit in make_units(ROWS, {"model": PREDICTED})}

    assert ["participant", "left", "right", "side"] == list(units)
    assert [3.0, 5.0] == units["participant"].measured.tolist()
    assert [3.0, 6.0] == units["participant"].predictions["model"].tolist()
    assert ("lost", "intact") == units["participant"].readings
    assert ("abnormal", "normal") == units["participant"].spect
    assert [5.0, 4.0] == units["right"].measured.tolist()
    assert [0, 1, 0] == units["side"].participants.tolist()
    assert 2 == units["side"].n_participants
    assert {"side": False} == {n: u.independent for n, u in units.items() if not u.independent}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["lost", None], "lost"),
        (["intact", None], None),
        (["intact", "intact"], "intact"),
        ([None], None),
    ],
)
def test_one_bad_side_is_enough_and_a_missing_one_leaves_it_open(words, expected):
    assert expected == worst(words, "lost")


TRAINING = [
    row("T1", "left", 1.0, "lost"),
    row("T1", "right", 2.0, "lost"),
    row("T2", "left", 6.0, "intact"),
]


def test_baselines_learn_from_the_training_rows():
    assert [3.0, 3.0, 3.0] == constant(ROWS, TRAINING).predicted.tolist()
    assert [1.5, 6.0, 6.0] == by_reading(ROWS, TRAINING).predicted.tolist()
    assert [2.5, 4.5, 3.5] == oracle(ROWS).predicted.tolist()


def test_without_training_rows_baselines_leave_the_participant_out():
    # A has B alone to learn from, and B both sides of A.
    assert [5.0, 3.0, 5.0] == constant(ROWS, []).predicted.tolist()
    # Nobody but A is lost: nothing to learn the left side of A from.
    assert by_reading(ROWS, []).predicted is None
    assert constant(ROWS[:1], []).predicted is None


@given(st.lists(st.floats(0, 9), min_size=2, max_size=9))
def test_without_training_rows_nobody_is_in_the_own_mean(values):
    rows = [row(f"P{i}", "left", value) for i, value in enumerate(values)]
    expected = [(sum(values) - value) / (len(values) - 1) for value in values]

    assert constant(rows, []).predicted == pytest.approx(expected)


def test_a_baseline_that_cannot_be_is_missing_with_a_reason():
    unread = [*ROWS, row("C", "left", 3.0)]

    assert by_reading(unread, TRAINING).predicted is None
    assert "1 of 4 evaluated rows have no reading" == by_reading(unread, TRAINING).source
    assert oracle(unread).predicted is None
    found = evaluate(unread, unread, {"model": np.array([1.0, 6.0, 5.0, 3.0])}, resamples=9)
    assert ["constant"] == list(found.baselines)
    assert found.baseline_sources["oracle"].startswith("none: ")


@settings(max_examples=10)  # each computes every statistic twice
@given(st.lists(st.floats(0, 9), min_size=4, max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(values, random):
    rows = [
        row(f"P{i // 2}", ("left", "right")[i % 2], value, "lost", expected_sbr=value + 1)
        for i, value in enumerate(values)
    ]
    predicted = np.array(values[::-1])
    order = random.sample(range(len(rows)), len(rows))
    once = evaluate(rows, rows, {"model": predicted}, resamples=9)
    again = [rows[i] for i in order]
    again = evaluate(again, again, {"model": predicted[order]}, resamples=9)

    for name, unit in once.results.items():
        for one, other in zip(
            unit.performance.values(), again.results[name].performance.values(), strict=True
        ):
            a, b = one.residuals, other.residuals
            assert (a.mae.value, a.rmse.value) == pytest.approx((b.mae.value, b.rmse.value))
            assert one.rho_c.value == pytest.approx(other.rho_c.value, abs=1e-9, nan_ok=True)


def test_a_model_may_not_take_the_name_of_a_baseline():
    with pytest.raises(ValueError, match="oracle"):
        evaluate(ROWS, ROWS, {"oracle": PREDICTED})


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (["", "oracle"], ["prediction", "oracle (predicted)"]),
        (["a", "a", "a (2)", "a"], ["a", "a (2)", "a (2) (2)", "a (3)"]),
    ],
)
def test_every_prediction_has_a_name_of_its_own(names, expected):
    assert expected == unique_names(names)


def test_the_oracle_is_the_ceiling_and_the_reading_the_floor_of_a_model():
    rng = np.random.default_rng(0)
    expected = rng.uniform(1, 5, 80)
    sbr = expected + rng.normal(0, 0.8, 80)
    near = expected + rng.normal(0, 0.3, 80)
    rows = [
        row(f"P{i}", "left", s, "intact" if e > 3 else "lost", expected_sbr=e)
        for i, (s, e) in enumerate(zip(sbr, expected, strict=True))
    ]
    found = evaluate(rows, rows, {"as oracle": expected, "near": near}, resamples=499)
    ceiling = found.results["participant"].ceiling
    of = found.results["participant"].performance

    assert [100, 100] == [ceiling["as oracle"].rho_c.value, ceiling["as oracle"].rmse.value]
    rmse = {name: one.residuals.rmse.value for name, one in of.items()}
    share = (rmse["reading"] - rmse["near"]) / (rmse["reading"] - rmse["oracle"])
    assert ceiling["near"].rmse.value == pytest.approx(100 * share)
    assert ceiling["near"].rho_c.value == pytest.approx(
        100 * of["near"].rho_c.value / of["oracle"].rho_c.value
    )
    for estimate in (ceiling["near"].rmse, ceiling["near"].rho_c):
        drawn = estimate.intervals["bca"]
        assert drawn.low < estimate.value < drawn.high
    assert found.simulated


def test_there_is_no_ceiling_where_the_oracle_is_no_better_than_the_reading():
    wrong = {"intact": 1.0, "lost": 4.0}
    rows = [
        row(f"P{i}", "left", s, reading, expected_sbr=wrong[reading])
        for i, (s, reading) in enumerate([(4.0, "intact"), (1.0, "lost"), (4.2, "intact")] * 4)
    ]
    found = evaluate(rows, rows, {"model": np.full(12, 2.0)}, resamples=9)

    assert {} == found.results["participant"].ceiling


def test_every_public_name_is_there_and_none_is_hidden_by_a_file():
    files = {path.stem for path in (ROOT / "nigroedge/study").glob("*.py")}
    for name in nigroedge.study.__all__:
        assert not inspect.ismodule(getattr(nigroedge.study, name))
        assert name not in files  # importing the file would put it in the name's place
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        nigroedge.study.nothing  # noqa: B018
