# SPDX-License-Identifier: Apache-2.0
"""Training in miniature: it learns, resumes to the bit, and never mixes participants."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from export.augment import Augmentation
from export.learner import Recipe
from export.split import Split, baselines, split_rows
from export.train import TrainConfig, train, write_best
from nigroedge.errors import InputError, TableError
from nigroedge.model import load_model
from nigroedge.study.table import Row, read_table, write_table
from tests.cohorts import write_cohort

RECIPE = Recipe(
    epochs=2, batch=4, schedule="one-cycle", learning_rate=1e-3, weight_decay=0.01, average=0.9
)
CONFIG = TrainConfig("slim", RECIPE, threads=1)
#: A cohort of six: four train, one validates, one tests.
SPLITS = ("train", "train", "validation", "train", "test", "train")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("cohort"), 6, splits=SPLITS)


@pytest.fixture(scope="module")
def trained(cache, table, tmp_path_factory):
    """The folder of a run that was not cut off."""
    run = tmp_path_factory.mktemp("whole") / "run"
    train(CONFIG, table, run, cache=cache)
    return run


def log(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def learned(run):
    return torch.load(run / "checkpoint.pt", weights_only=True)["learner"]


def same_weights(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_leaves_a_model_with_an_honest_card(trained):
    model = load_model(trained / "run.onnx")
    card = model.spec.card

    assert ("run", "both", "right") == (card.name, model.spec.side, model.spec.mirror)
    assert card.training_data.startswith("4 simulated participants (batch 4, AdamW 0.001 one-cycle")
    assert card.training_data.endswith("the epochs were watched on 1 others")
    assert "say nothing about patients" in card.limits
    assert {"network", "constant", "reading", "oracle", "data", "epochs"} == set(card.metrics)
    assert "1 simulated participants held out" == card.metrics["data"]
    assert [1, 2] == [entry["epoch"] for entry in log(trained)]
    assert "<svg" in (trained / "log.svg").read_text()


def test_a_run_of_patches_cropped_and_then_flipped_says_so(trained, table, cache, tmp_path):
    config = replace(CONFIG, mirror_centre="n/2-1", recipe=replace(RECIPE, epochs=1))
    train(config, table, tmp_path / "run", cache=cache)
    write_best(tmp_path / "run", table, tmp_path / "again.onnx", cache=cache)

    assert "n/2" == load_model(trained / "run.onnx").spec.mirror_centre
    assert "n/2-1" == load_model(tmp_path / "run/run.onnx").spec.mirror_centre
    assert (tmp_path / "run/run.onnx").read_bytes() == (tmp_path / "again.onnx").read_bytes()
    with pytest.raises(InputError, match=r"begun with mirror_centre n/2-1; got mirror_centre n/2$"):
        train(
            replace(config, mirror_centre="n/2"), table, tmp_path / "run", cache=cache, resume=True
        )


class KilledError(Exception):
    """Stands for a kill: nothing of train() runs after it."""


@pytest.mark.parametrize("when", ["save", "run_epoch"])
def test_a_run_killed_in_its_second_epoch_and_resumed_gives_the_same_bits(
    when, trained, table, cache, tmp_path, monkeypatch
):
    calls = []

    def kill_the_second(training, *args):
        calls.append(1)
        if len(calls) == 2:
            raise KilledError
        return original(training, *args)

    original = getattr(train.__globals__["_Training"], when)
    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(f"export.train._Training.{when}", kill_the_second)
        with pytest.raises(KilledError):
            train(CONFIG, table, run, cache=cache)
    train(CONFIG, table, run, cache=cache, resume=True)

    assert same_weights(learned(trained)["network"], learned(run)["network"])
    assert same_weights(learned(trained)["average"], learned(run)["average"])
    assert (trained / "run.onnx").read_bytes() == (run / "run.onnx").read_bytes()
    for a, b in zip(log(trained), log(run), strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}


def test_the_best_epoch_of_a_run_can_be_written_at_any_time(trained, table, cache, tmp_path):
    write_best(trained, table, tmp_path / "again.onnx", cache=cache)

    assert (trained / "run.onnx").read_bytes() == (tmp_path / "again.onnx").read_bytes()
    with pytest.raises(InputError, match="at least one epoch done"):
        write_best(tmp_path, table, tmp_path / "none.onnx", cache=cache)


def test_a_run_is_not_overwritten_or_resumed_as_another(trained, table, cache):
    def resumed(**recipe):
        config = replace(CONFIG, recipe=replace(RECIPE, **recipe))
        train(config, table, trained, cache=cache, resume=True)

    with pytest.raises(InputError, match="which exists; --resume goes on with it"):
        train(CONFIG, table, trained, cache=cache)
    with pytest.raises(InputError, match=r"begun with batch 4; got batch 8"):
        resumed(batch=8)
    with pytest.raises(InputError, match=r"begun with noise 0.03; got noise 0.1"):
        resumed(augmentation=Augmentation(noise=0.1))
    # Every rate of the cycle follows from the number of epochs.
    with pytest.raises(InputError, match=r"begun with epochs 2; got epochs 3"):
        resumed(epochs=3)


def test_a_run_is_not_resumed_on_another_table(trained, table, cache):
    rows = read_table(table)
    other = table.with_name("other.tsv")
    write_table(other, [replace(rows[0], sbr=rows[0].sbr + 0.1), *rows[1:]])

    with pytest.raises(InputError, match=r"begun with table 12-windows-\w+-\w+; got table 12-"):
        train(CONFIG, other, trained, cache=cache, resume=True)


def test_more_epochs_may_be_added_while_the_rate_is_constant(table, cache, tmp_path):
    recipe = Recipe(epochs=1, batch=8)
    train(replace(CONFIG, recipe=recipe), table, tmp_path / "run", cache=cache)
    more = replace(CONFIG, recipe=replace(recipe, epochs=2))
    train(more, table, tmp_path / "run", cache=cache, resume=True)

    assert [1, 2] == [entry["epoch"] for entry in log(tmp_path / "run")]


def test_training_learns(table, cache, tmp_path):
    still = Augmentation(0, 0, 0, 0, 0)
    recipe = Recipe(epochs=6, batch=8, learning_rate=3e-4, augmentation=still)
    train(replace(CONFIG, recipe=recipe), table, tmp_path / "run", cache=cache)
    losses = [entry["train_rmse"] for entry in log(tmp_path / "run")]

    assert losses[-1] < 0.8 * losses[0]


def test_patience_ends_a_run_that_no_longer_gains(table, cache, tmp_path):
    recipe = Recipe(epochs=50, batch=8, learning_rate=0.0)  # nothing is ever learned
    config = replace(CONFIG, recipe=recipe, patience=2)
    model = train(config, table, tmp_path / "run", cache=cache)
    entries = log(tmp_path / "run")

    assert 3 == len(entries)  # the first is the best, two more are waited for
    assert 1 == len({entry["validation_rmse"] for entry in entries})
    assert 3 == load_model(model).spec.card.metrics["epochs"]


def test_test_rows_change_nothing_but_the_scores_on_the_card(trained, table, cache, tmp_path):
    rows = read_table(table)
    other = table.with_name("tested.tsv")
    moved = [replace(r, sbr=0.5, reading="lost") if r.split == "test" else r for r in rows]
    write_table(other, moved)
    train(CONFIG, other, tmp_path / "run", cache=cache)

    assert same_weights(learned(trained)["network"], learned(tmp_path / "run")["network"])
    for a, b in zip(log(trained), log(tmp_path / "run"), strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}
    one, two = (load_model(r / "run.onnx").spec.card.metrics for r in (trained, tmp_path / "run"))
    assert one["network"] != two["network"]


def test_a_run_can_start_from_a_model_file(trained, table, cache, tmp_path):
    recipe = Recipe(epochs=1, batch=8, learning_rate=0.0)  # so that the start is all there is
    config = replace(CONFIG, recipe=recipe, start=trained / "run.onnx")
    started = load_model(train(config, table, tmp_path / "run", cache=cache))
    patches = np.random.default_rng(0).uniform(0.5, 1.5, (4, 50, 50, 20)).astype(np.float32)

    # Standardising and folding back rounds the last layer twice: a few float32 steps of 2 SBR.
    before = load_model(trained / "run.onnx").predict_patches(patches)
    np.testing.assert_allclose(started.predict_patches(patches), before, atol=2e-6)
    assert "from the weights of run.onnx" in started.spec.card.training_data
    with pytest.raises(InputError, match="expected a model of preset mri-dat to start from"):
        train(replace(config, preset="mri-dat"), table, tmp_path / "other", cache=cache)


def test_bf16_learns_something_near_float32_and_the_same_twice(table, cache, tmp_path):
    runs = {}
    for name, precision in (("wide", "float32"), ("one", "bf16"), ("two", "bf16")):
        recipe = Recipe(epochs=1, batch=4, learning_rate=1e-4, precision=precision)
        train(replace(CONFIG, recipe=recipe), table, tmp_path / name, cache=cache)
        runs[name] = log(tmp_path / name)[0]["train_rmse"]

    assert runs["one"] == runs["two"]
    assert runs["one"] != runs["wide"]
    # bf16 keeps 8 bits: outputs are about 2 % off, and so is the error of the whole.
    assert runs["wide"] == pytest.approx(runs["one"], rel=0.05)


def test_a_cohort_without_readings_or_hidden_states_is_a_real_one(table, cache, tmp_path):
    bare = [replace(row, reading=None, expected_sbr=None, split=None) for row in read_table(table)]
    path = table.with_name("bare.tsv")
    write_table(path, bare)
    recipe = Recipe(epochs=1, batch=8)
    card = load_model(
        train(replace(CONFIG, recipe=recipe), path, tmp_path / "run", cache=cache)
    ).spec.card

    assert {"network", "constant", "data", "epochs"} == set(card.metrics)
    assert "simulated" not in f"{card.training_data} {card.limits} {card.metrics['data']}"
    assert "unknown" in card.licence


# ---- who trains ----------------------------------------------------------------------------------


def people(n, splits=None):
    return [
        Row(f"P{i}", side, sbr=1.0, split=splits and splits[i])
        for i in range(n)
        for side in ("left", "right")
    ]


@given(participants=st.integers(4, 200), seed=st.integers(0, 99))
def test_both_sides_of_everybody_are_in_one_part(participants, seed):
    split = split_rows(people(participants), seed)
    parts = [split.train, split.validation, split.test]

    assert list(range(2 * participants)) == sorted(np.concatenate(parts))
    for part in parts:
        assert len(part) > 0
        whose, sides = np.unique(part // 2, return_counts=True)
        assert set(sides) == {2}
        assert len(whose) == len(part) // 2


@given(
    few=st.integers(2, 40),
    more=st.integers(2, 40),
    seed=st.integers(0, 99),
    named=st.booleans(),
)
def test_fewer_participants_are_always_among_more(few, more, seed, named):
    kinds = ("train", "train", "validation", "test") if named else ("train", "test")
    rows = people(80, [kinds[i % len(kinds)] for i in range(80)])
    small, large = (split_rows(rows, seed, participants=n) for n in sorted((few, more)))

    assert set(small.train) <= set(large.train)
    assert set(small.validation) <= set(large.validation)
    assert 2 * min(few, more) == len(small.train) + len(small.validation)
    for split in (small, large):
        assert {"test"} == {rows[i].split for i in split.test}
        assert not {"test"} & {rows[i].split for i in (*split.train, *split.validation)}


def test_a_table_keeps_the_splits_that_it_gives():
    rows = people(3, ["test", "train", "validation"])
    split = split_rows(rows, 0)

    assert [[2, 3], [4, 5], [0, 1]] == [
        p.tolist() for p in (split.train, split.validation, split.test)
    ]


@pytest.mark.parametrize(
    ("rows", "wanted", "message"),
    [
        (people(2), None, "expected at least 3 participants to split, got 2"),
        (people(2, ["test", "test"]), None, "got 0 and 0"),
        (people(3, ["train", "train", "test"]), 3, "at least 3 participants to learn from, got 2"),
    ],
)
def test_too_few_participants_are_refused(rows, wanted, message):
    with pytest.raises(InputError, match=message):
        split_rows(rows, 0, participants=wanted)


def test_baselines_by_hand():
    measured = [1.0, 3, 2, 4, 0, 0, 2, 6]
    expected = [0.0, 0, 0, 0, 0, 0, 2, 5]
    intact = [False, True, False, True, False, False, False, True]
    rows = [
        Row(
            f"P{i // 2}",
            ("left", "right")[i % 2],
            sbr=m,
            expected_sbr=e,
            reading="intact" if read else "lost",
        )
        for i, (m, e, read) in enumerate(zip(measured, expected, intact, strict=True))
    ]
    split = Split(np.arange(4), np.array([4, 5]), np.array([6, 7]))
    got = {name: row["mae"] for name, row in baselines(rows, split, split.test).items()}

    # constant 2.5; lost 1.5 and intact 3.5; the state's own mean.
    assert {"constant": (0.5 + 3.5) / 2, "reading": (0.5 + 2.5) / 2, "oracle": 0.5} == got


# ---- hostile tables ------------------------------------------------------------------------------


def test_everything_wrong_with_a_table_is_said_before_anything_is_made(table, cache, tmp_path):
    lines = table.read_text().splitlines()
    lines[1] = lines[1].replace("left", "Left")
    lines[3] = lines[3].replace("\ttrain", "\ttest")
    broken = table.with_name("broken.tsv")
    broken.write_text("\n".join(lines))

    with pytest.raises(TableError) as refused:
        train(CONFIG, broken, tmp_path / "run", cache=cache)
    assert all(f"line {n}: " in str(refused.value) for n in (2, 5))
    assert not (tmp_path / "run").exists()


def test_scores_that_one_row_cannot_have_are_null_and_cost_no_run(table, cache, tmp_path):
    sides = [row for row in read_table(table) if row.split == "train" or row.side == "left"]
    write_table(table.with_name("sides.tsv"), sides)
    model = load_model(train(CONFIG, table.with_name("sides.tsv"), tmp_path / "run", cache=cache))

    assert {None} == {entry["validation_rho_c"] for entry in log(tmp_path / "run")}
    assert model.spec.card.metrics["network"]["rho_c"] is None
    assert model.spec.card.metrics["network"]["rmse"] > 0


def test_rows_that_do_not_differ_in_sbr_teach_nothing(table, cache, tmp_path):
    flat = table.with_name("flat.tsv")
    write_table(flat, [replace(row, sbr=2.5) for row in read_table(table)])

    with pytest.raises(InputError, match=r"training rows that differ in SBR, got 2\.5"):
        train(CONFIG, flat, tmp_path / "run", cache=cache)
