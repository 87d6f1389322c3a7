# SPDX-License-Identifier: Apache-2.0
"""The folder of a run: its name is the model's, and one that holds something else is refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from export.__main__ import main
from export.course import TrainConfig
from export.recipe import Recipe
from export.run import Run
from export.train import train, write_best
from nigroedge.errors import InputError
from tests.training_runs import CONFIG


def test_a_run_is_named_after_its_folder(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")

    assert ("mine", Path("mine.onnx")) == (Run(Path()).name, Run(Path()).model)
    assert "mine" == Run(tmp_path / "mine").name
    assert tmp_path.name == Run(Path("..")).name


def test_the_config_is_read_back_as_it_was(trained):
    assert CONFIG == Run(trained).config()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", b"{"),
        ("config.json", b"[]"),
        ("config.json", b"{}"),
        ("config.json", b"\xff"),
        ("config.json", None),
        ("checkpoint.pt", b""),
        ("checkpoint.pt", b"not a checkpoint"),
        ("checkpoint.pt", "half"),
    ],
)
def test_a_folder_that_is_broken_is_refused_in_one_line(
    trained, table, tmp_path, file, content, capsys
):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    whole = (run / file).read_bytes()
    (run / file).unlink()
    if content is not None:
        (run / file).write_bytes(whole[: len(whole) // 2] if content == "half" else content)

    command = ["onnx", str(run), "--cohort", str(table), "--cache", str(trained.parent / "cache")]
    assert 1 == main([*command, "-o", str(tmp_path / "m.onnx")])
    said = f"export onnx: {run}: expected the folder of a run, got a {file} that is none of a run"
    assert said == capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "m.onnx").exists()


def test_the_checkpoint_of_another_preset_is_refused(trained, table, tmp_path):
    run = tmp_path / "run"
    config = replace(CONFIG, preset="mri-dat", recipe=Recipe(epochs=1, batch=8))
    train(config, table, run, cache=trained.parent / "cache")
    shutil.copy(trained / "checkpoint.pt", run)

    with pytest.raises(InputError, match=r"a checkpoint\.pt that is none of a run"):
        write_best(run, table, tmp_path / "m.onnx", cache=trained.parent / "cache")


@pytest.mark.parametrize("threads", [0, 1025])
def test_threads_that_no_machine_has_are_refused(threads):
    with pytest.raises(InputError, match=f"expected 1 to 1024 threads, got {threads}"):
        TrainConfig("slim", Recipe(epochs=1), threads=threads)


def test_a_name_that_a_card_cannot_have_is_refused_before_anything_is_made(table, tmp_path):
    with pytest.raises(InputError, match="control characters"):
        train(CONFIG, table, tmp_path / "a\x1bb", cache=tmp_path / "cache")

    assert [] == list(tmp_path.iterdir())
