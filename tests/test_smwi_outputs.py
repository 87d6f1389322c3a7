# SPDX-License-Identifier: Apache-2.0
"""What a reconstruction writes: all of it or nothing, refused before the work where it can be."""

import os
import resource
import subprocess
import sys
import threading

import numpy as np
import pytest

from nigroedge.cli import main
from nigroedge.errors import InputError
from nigroedge.smwi import outputs, reconstruction
from nigroedge.smwi.outputs import IMAGES, check_outputs, output_paths, write_outputs
from nigroedge.smwi.reconstruction import SmwiResult
from tests.conftest import ROOT

#: Fields of a result that are none, or that have a value of their own.
NO_IMAGES = {"affine", "slope", "intercept", "source", "parameters"}
OUT_OF_SPACE = OSError(28, os.strerror(28))


def result(value=1.0):
    """A reconstruction whose images are of one value."""
    image = np.full((4, 5, 6), value, np.float32)
    images = {name: image for name in SmwiResult.__dataclass_fields__ if name not in NO_IMAGES}
    masks = {"mask": image > 0, "eroded_mask": image > 0}
    return SmwiResult(**{**images, **masks, "affine": np.eye(4), "parameters": {"value": value}})


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_every_image_has_its_sidecar_and_the_folder_says_what_it_is(tmp_path):
    write_outputs(result(), tmp_path, {"sub": "01"})
    stems = {f"sub-01/anat/sub-01_{end}" for end in IMAGES}

    assert files_of(tmp_path) == {
        *(f"{stem}{suffix}" for stem in stems for suffix in (".nii", ".json")),
        "dataset_description.json",
    }
    assert {f"{stem}.nii" for stem in stems} == {
        path.relative_to(tmp_path).as_posix() for path in output_paths(tmp_path, {"sub": "01"})
    }


@pytest.mark.parametrize(
    ("said", "is_raw"),
    [
        ("{}", True),
        ('{"DatasetType": "raw", "GeneratedBy": [{"Name": "a converter"}]}', True),
        ('{"DatasetType": "study"}', True),
        ('{"DatasetType": "derivative"}', False),
        ('{"PipelineDescription": {"Name": "of old"}}', False),
        (None, False),
    ],
)
def test_derivatives_are_not_written_among_raw_data(tmp_path, capsys, said, is_raw):
    """Before, `--out` of the raw dataset itself mixed both, in silence."""
    if said is not None:
        (tmp_path / "dataset_description.json").write_text(said)
    assert 1 == main(["smwi", "--bids", str(tmp_path / "sub-1"), "--out", str(tmp_path)])

    error = capsys.readouterr().err
    assert ("expected a folder of derivatives" in error) == is_raw
    assert ("expected the folder of a BIDS subject" in error) != is_raw


@pytest.mark.parametrize("nth", [0, 1, 7, 15, 16])
def test_a_disk_that_is_full_at_any_file_leaves_nothing(tmp_path, monkeypatch, nth):
    calls = iter(range(100))

    def fsync(descriptor):
        if next(calls) == nth:
            raise OUT_OF_SPACE

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(InputError, match="No space left on device"):
        write_outputs(result(), tmp_path, {"sub": "01"})
    assert set() == files_of(tmp_path)

    monkeypatch.undo()
    write_outputs(result(), tmp_path, {"sub": "01"})  # once there is room
    assert len(files_of(tmp_path)) == 2 * len(IMAGES) + 1


@pytest.mark.parametrize("end", [*(f"{end}.nii" for end in IMAGES), "Chimap.json"])
def test_each_file_that_exists_is_refused_before_the_work(tmp_path, end):
    path = tmp_path / f"sub-01/anat/sub-01_{end}"
    path.parent.mkdir(parents=True)
    path.write_text("mine")

    with pytest.raises(InputError, match=f"{end}'?: expected a new file, got one that exists"):
        check_outputs(output_paths(tmp_path, {"sub": "01"}))


@pytest.mark.parametrize("subjects", [(1, 2), (1, 1)])
def test_runs_into_one_folder_keep_their_work(tmp_path, subjects):
    for n in range(10):
        out, gate, said = tmp_path / str(n), threading.Barrier(2), []

        def run(subject, out=out, gate=gate, said=said):
            gate.wait()
            try:
                write_outputs(result(float(subject)), out, {"sub": f"{subject:02}"})
            except InputError as error:
                said.append(str(error))

        runs = [threading.Thread(target=run, args=(subject,)) for subject in subjects]
        for each in runs:
            each.start()
        for each in runs:
            each.join()

        # Two people are both written; of one person the files of one run, and no mixture.
        n_people = len(set(subjects))
        assert n_people * 2 * len(IMAGES) + 1 == len(files_of(out))
        assert 2 - n_people == len(said)
        assert all("expected a new file" in text for text in said)


def test_the_race_that_lost_work_is_won_by_all(shared_cases, tmp_path):
    done = subprocess.run(
        [sys.executable, shared_cases / "17-two-runs-one-output/race.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "{'ok': 60}\n" == done.stdout


# ----------------------------------------------------------------------------------- the command


@pytest.fixture
def scan(shared_cases):
    return ["smwi", "--bids", str(shared_cases / "00-base-right/gre/sub-01"), "--method", "fast"]


def test_a_run_that_finds_the_disk_full_can_be_run_again(scan, tmp_path):
    command = [sys.executable, "-m", "nigroedge", *scan, "--out", str(tmp_path)]
    limit = 300 * 1024  # less than one image

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    first = subprocess.run(
        command, cwd=ROOT, preexec_fn=limited, capture_output=True, text=True, check=False
    )
    left = files_of(tmp_path)
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (1, "", 1) == (first.returncode, first.stdout, first.stderr.count("\n"))
    assert "sub-01_SMWI.nii': File too large" in first.stderr
    assert set() == left
    assert (0, "") == (second.returncode, second.stderr)
    assert "sub-01/anat/sub-01_SMWI.nii" in files_of(tmp_path)


@pytest.mark.parametrize("obstacle", ["an image", "a file for a folder", "no matplotlib"])
def test_what_cannot_be_written_is_told_before_the_work(
    scan, tmp_path, capsys, monkeypatch, obstacle
):
    monkeypatch.setattr(reconstruction, "reconstruct", lambda *_, **__: pytest.fail("worked"))
    out = tmp_path / "out"
    if obstacle == "an image":
        (out / "sub-01/anat").mkdir(parents=True)
        (out / "sub-01/anat/sub-01_desc-eroded_mask.json").touch()
        expected = "expected a new file, got one that exists"
    elif obstacle == "a file for a folder":
        out.touch()
        expected = "Not a directory"
    else:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        expected = "the figure needs matplotlib"

    assert 1 == main([*scan, "--out", str(out), "--figure"])
    assert expected in capsys.readouterr().err
    assert outputs.IMAGES
