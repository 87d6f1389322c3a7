# SPDX-License-Identifier: Apache-2.0
"""Training in miniature: it learns, resumes to the bit, and refuses what it cannot learn from."""

import json
from dataclasses import replace

import pytest
import torch

from export.augment import Augmentation
from export.recipe import Recipe
from export.run import Run
from export.train import train, write_best
from export.training import Training
from nigroedge.errors import InputError, TableError
from nigroedge.model import load_model
from nigroedge.study.table import read_table, write_table
from tests.training_runs import CONFIG, RECIPE

pytestmark = pytest.mark.usefixtures("no_curve")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


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
    assert card.training_data.endswith("the epochs were watched on 1 other")
    assert "say nothing about patients" in card.limits
    assert {"network", "constant", "reading", "oracle", "data", "epochs"} == set(card.metrics)
    assert "1 simulated participant held out" == card.metrics["data"]
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


@pytest.mark.parametrize(("owner", "when"), [(Run, "save"), (Training, "run_epoch")])
def test_a_run_killed_in_its_second_epoch_and_resumed_gives_the_same_bits(
    owner, when, trained, table, cache, tmp_path, monkeypatch
):
    calls = []

    def kill_the_second(self, *args):
        calls.append(1)
        if len(calls) == 2:
            raise KilledError
        return original(self, *args)

    original = getattr(owner, when)
    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(owner, when, kill_the_second)
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


# ---- hostile tables ------------------------------------------------------------------------------


def test_everything_wrong_with_a_table_is_said_before_anything_is_made(table, cache, tmp_path):
    lines = table.read_text().splitlines()
    lines[1] = lines[1].replace("left", "vasen")
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
