# SPDX-License-Identifier: Apache-2.0
"""A model file with random weights, by command: it loads; the same seed gives the same bytes."""

import json

from export.__main__ import main
from nigroedge.model import load_model


def test_init_writes_a_model_that_loads(tmp_path, capsys):
    path, again = tmp_path / "new/folder/m.onnx", tmp_path / "again.onnx"

    assert 0 == main(["init", "--preset", "mri-dat", "--seed", "7", "-o", str(path)])
    assert f"{path}\n" == capsys.readouterr().out
    assert "mri-dat-random-7" == load_model(path).spec.card.name
    assert 0 == main(["init", "--preset", "mri-dat", "--seed", "7", "-o", str(again), "--json"])
    assert {"written": [str(again)]} == json.loads(capsys.readouterr().out)
    assert path.read_bytes() == again.read_bytes()


def test_init_says_where_the_centroid_of_a_mirrored_side_lies(tmp_path):
    arguments = ("init", "--preset", "mri-dat", "--mirror-centre", "n/2-1")

    assert 0 == main([*arguments, "-o", str(tmp_path / "flipped.onnx")])
    assert 0 == main([*arguments[:3], "-o", str(tmp_path / "about.onnx")])
    assert "n/2-1" == load_model(tmp_path / "flipped.onnx").spec.mirror_centre
    assert "n/2" == load_model(tmp_path / "about.onnx").spec.mirror_centre
