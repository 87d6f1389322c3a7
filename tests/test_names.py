# SPDX-License-Identifier: Apache-2.0
"""File names in any locale: shown readably, and in JSON so that other programs open them again."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.names import quoted, readable
from tests.model_family import write_model

#: A file system encoding of ASCII, as programs have it that were started without a locale.
BARE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@given(st.text(st.characters(exclude_characters="\0")))
def test_where_names_are_utf_8_they_stay_as_they_are(name):
    assert name == readable(name)
    assert repr(name) == quoted(name)


def command(*arguments, locale):
    return subprocess.run(
        [sys.executable, "-m", "nigroedge", *map(str, arguments)],
        env={**os.environ, **locale},
        capture_output=True,
        check=False,
    )


@pytest.fixture
def predict(slab, tmp_path):
    """Run predict on an image in a folder `ü x`; give what is printed."""
    folder = tmp_path / "ü x"
    folder.mkdir()
    (folder / "scan.nii").write_bytes(slab.read_bytes())
    model = write_model(folder / "tiny.onnx")

    def predict(*more, locale=BARE):
        image = folder / "scan.nii"
        return command(
            *("predict", image, "--left", "-9,-18,-14", "--model", model, *more), locale=locale
        )

    return folder, predict


def test_json_holds_what_opens_the_file_again(predict):
    folder, run = predict
    done = run("--json")

    assert b"" == done.stderr
    path = json.loads(done.stdout)["input"]["path"]
    assert str(folder / "scan.nii") == path


def test_people_read_the_name_or_one_escape_for_each_character(predict):
    _, run = predict

    assert b"/\\xfc x/scan.nii" in run().stdout
    assert "/ü x/scan.nii".encode() in run(locale={"LC_ALL": "C.UTF-8"}).stdout


def test_refusals_name_files_the_same_way(predict):
    folder, run = predict
    (folder / "scan.nii").write_bytes(b"no image")
    done = run()

    assert 1 == done.returncode
    assert b"/\\xfc x/scan.nii': " in done.stderr
    assert b"udc" not in done.stderr
    (folder / "scan.nii").unlink()
    assert b"/\\xfc x/scan.nii': No such file" in run().stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
def test_a_name_that_is_not_utf_8_is_escaped_once(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.nii"  # Latin-1, of an old share
    for locale in (BARE, {"LC_ALL": "C.UTF-8"}):
        done = subprocess.run(
            [sys.executable, "-m", "nigroedge", "predict", name, "--left", "1,2,3"],
            env={**os.environ, **locale},
            capture_output=True,
            check=False,
        )
        assert b"/caf\\udce9.nii': No such file or directory\n" in done.stderr
