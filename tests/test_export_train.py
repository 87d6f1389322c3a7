# SPDX-License-Identifier: Apache-2.0
"""Training in miniature: it learns, resumes to the bit, and never mixes participants."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from export.spec import make_card, method_spec
from export.split import Split, baselines, split_rows
from export.train import TrainConfig, train, write_best
from export.windows import CohortConfig, Windows, load_windows
from nigroedge.errors import InputError
from nigroedge.model import load_model
from nigroedge.phantom import draw_subject, patch_grid, render
from nigroedge.preprocess import prepare_patch
from nigroedge.volume import Volume

CONFIG = TrainConfig("slim", participants=6, epochs=2, batch=4, threads=1)
SPEC = method_spec(
    make_card(name="test", licence="test", training_data="none", limits="means nothing")
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def trained(cache, tmp_path_factory):
    """The folder of a run that was not cut off."""
    run = tmp_path_factory.mktemp("whole") / "run"
    train(CONFIG, run, cache=cache)
    return run


@pytest.fixture(scope="module")
def cohort(cache, trained):
    return load_windows(CohortConfig(6, seed=0, reader_jitter_mm=0.5), cache, workers=1)


def log(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_a_run_leaves_a_model_with_an_honest_card(trained):
    model = load_model(trained / "run.onnx")
    card = model.spec.card

    assert ("run", "both", "right") == (card.name, model.spec.side, model.spec.mirror)
    assert "4 simulated participants" in card.training_data
    assert "say nothing about patients" in card.limits
    assert {"network", "constant", "reading", "oracle", "data", "epochs"} == set(card.metrics)
    assert [1, 2] == [entry["epoch"] for entry in log(trained)]


def test_a_resumed_run_gives_the_same_bits(trained, cache, tmp_path):
    run = tmp_path / "run"
    train(replace(CONFIG, epochs=1), run, cache=cache)
    train(CONFIG, run, cache=cache, resume=True)
    whole, resumed = (
        torch.load(folder / "checkpoint.pt", weights_only=True)["network"]
        for folder in (trained, run)
    )

    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert (trained / "run.onnx").read_bytes() == (run / "run.onnx").read_bytes()
    for a, b in zip(log(trained), log(run), strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}


def test_the_best_epoch_of_a_run_can_be_written_at_any_time(trained, cache, tmp_path):
    write_best(trained, tmp_path / "again.onnx", cache=cache)

    assert (trained / "run.onnx").read_bytes() == (tmp_path / "again.onnx").read_bytes()
    with pytest.raises(InputError, match="at least one epoch done"):
        write_best(tmp_path, tmp_path / "none.onnx", cache=cache)


def test_a_run_is_not_overwritten_or_resumed_as_another(trained, cache):
    with pytest.raises(InputError, match="which exists; --resume goes on with it"):
        train(CONFIG, trained, cache=cache)
    with pytest.raises(InputError, match=r"begun with batch 4; got batch 8"):
        train(replace(CONFIG, batch=8), trained, cache=cache, resume=True)


def test_a_run_is_not_resumed_on_another_cohort(trained, cache, monkeypatch):
    monkeypatch.setattr("export.windows.STORED_MAXIMUM", 1000)  # as if the generator had changed

    with pytest.raises(InputError, match=r"begun with cohort 6-participants-\w+; got cohort 6-"):
        train(CONFIG, trained, cache=cache, resume=True)


def test_training_learns(cache, tmp_path):
    config = replace(CONFIG, epochs=6, learning_rate=1e-3, shift_mm=0.0)
    train(config, tmp_path / "run", cache=cache)
    losses = [entry["train_rmse"] for entry in log(tmp_path / "run")]

    assert losses[-1] < 0.8 * losses[0]


@given(participants=st.integers(6, 200), seed=st.integers(0, 99))
def test_both_sides_of_everybody_are_in_one_part(participants, seed):
    split = split_rows(participants, seed)
    parts = [split.train, split.validation, split.test]

    assert list(range(2 * participants)) == sorted(np.concatenate(parts))
    for part in parts:
        assert len(part) > 0
        people, sides = np.unique(part // 2, return_counts=True)
        assert set(sides) == {2}
        assert len(people) == len(part) // 2


def test_too_few_participants_are_refused():
    with pytest.raises(InputError, match="expected at least 6 participants to split, got 5"):
        split_rows(5, 0)


def test_baselines_by_hand():
    windows = Windows(
        voxels=np.zeros((8, 1, 1, 1), np.int16),
        affine=np.zeros((8, 4, 4)),
        centroid_mm=np.zeros((8, 3)),
        sbr=np.array([1.0, 3, 2, 4, 0, 0, 2, 6]),
        expected_sbr=np.array([0.0, 0, 0, 0, 0, 0, 2, 5]),
        intact=np.array([False, True, False, True, False, False, False, True]),
    )
    split = Split(np.arange(4), np.array([4, 5]), np.array([6, 7]))
    got = {name: row["mae"] for name, row in baselines(windows, split).items()}

    # constant 2.5; lost 1.5 and intact 3.5; the state's own mean.
    assert {"constant": (0.5 + 3.5) / 2, "reading": (0.5 + 2.5) / 2, "oracle": 0.5} == got


def test_a_cohort_is_rendered_once_and_the_same_by_any_number_of_workers(cohort, cache, tmp_path):
    (folder,) = cache.iterdir()
    again = load_windows(CohortConfig(6, seed=0, reader_jitter_mm=0.5), tmp_path, workers=2)

    np.testing.assert_array_equal(cohort.voxels, again.voxels)
    np.testing.assert_array_equal(cohort.sbr, again.sbr)
    assert [folder.name] == [p.name for p in tmp_path.iterdir()]
    written = (folder / "voxels.npy").stat().st_mtime_ns
    load_windows(CohortConfig(6, seed=0, reader_jitter_mm=0.5), cache, workers=1)
    assert written == (folder / "voxels.npy").stat().st_mtime_ns


def test_windows_give_the_patches_of_the_subjects_that_they_hold(cohort):
    got = cohort.patches([2, 3], SPEC, np.zeros((2, 3)))

    for patch, side in zip(got, ("left", "right"), strict=True):
        subject = draw_subject(1, reader_jitter_mm=0.5)
        scan = render(subject, *patch_grid(subject, side, cohort.voxels.shape[1:]))
        stored = Volume(np.rint(scan.voxels.clip(0, 4095)).astype(np.int16), scan.affine)
        centre = getattr(subject, side).centroid_mm
        expected = prepare_patch(stored, centre, SPEC.grid_for(side), "mean")
        np.testing.assert_array_equal(expected.values, patch)


def test_a_shift_moves_the_patch(cohort):
    still = cohort.patches([0], SPEC, np.zeros((1, 3)))[0]
    moved = cohort.patches([0], SPEC, np.array([[-1.0, 0, 0]]))[0]  # 1 mm to the patient's left

    ratio = moved[:, :-2] / still[:, 2:]
    np.testing.assert_allclose(ratio, ratio[0, 0, 0], rtol=1e-5)
