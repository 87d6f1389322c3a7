# SPDX-License-Identifier: Apache-2.0
"""The command line of export: help, usage, refusals, and one small job from end to end."""

import json
import subprocess
import sys

import pytest

from export.__main__ import main
from nigroedge.model import load_model
from tests.conftest import ROOT
from tests.onnx_files import float_model, random_net

COMMANDS = (
    *("init", "cohort", "train", "onnx", "quantize", "from-savedmodel", "parity", "reference"),
)


def test_help_names_every_command_and_imports_no_torch():
    code = (
        "import sys, export.__main__ as m\n"
        "try: m.main(['--help'])\n"
        "finally: print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert all(command in done.stdout for command in COMMANDS)
    assert done.stdout.endswith("False\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])

    assert 0 == stopped.value.code
    assert "usage: python -m export " + command in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["init", "--preset", "vgg", "-o", "x"], "invalid choice: 'vgg'"),
        (["init", "--preset", "slim", "--seed", "-1", "-o", "x"], "at least 0, got '-1'"),
        (["quantize", "m.onnx", "--patches", "0"], "at least 1, got '0'"),
        (["train", "--cohort", "t", "--contrast", "-1"], "a number of at least 0, got '-1'"),
        (["train", "--cohort", "t", "--average", "1"], "from 0 to below 1, got '1'"),
        (["train", "--preset", "slim"], "--cohort, --epochs, -o/--output"),
        (["from-savedmodel", "d", "--axes", "ALL"], "expected axes such as 'ALI', got 'ALL'"),
        (["from-savedmodel", "d", "--spacing", "1,1"], "expected X,Y,Z in mm, got '1,1'"),
        (["from-savedmodel", "d", "--spacing", "1,1,0"], "expected X,Y,Z in mm, got '1,1,0'"),
    ],
)
def test_wrong_usage_says_what_was_expected(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)

    assert 2 == stopped.value.code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quantize", "absent.onnx"], "export quantize: model file absent.onnx"),
        (["parity", "absent.onnx"], "export parity: model file absent.onnx"),
        (["onnx", "absent", "--cohort", "t", "-o", "x"], "export onnx: expected the folder of"),
        (
            [
                "train",
                "--preset",
                "slim",
                "--cohort",
                "t",
                "--epochs",
                "1",
                "--jitter",
                "9",
                "-o",
                "r",
            ],
            "export train: expected jitter within 0 and 3, got 9",
        ),
        (
            ["train", "--preset", "slim", "--cohort", "absent", "--epochs", "1", "-o", "r"],
            "export train: 'absent': No such file",
        ),
    ],
)
def test_a_refusal_is_one_line_and_exit_code_1(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert 1 == main(arguments)
    captured = capsys.readouterr()
    assert "" == captured.out
    assert captured.err.startswith(message)
    assert 1 == captured.err.count("\n")


def test_init_writes_a_model_that_loads(tmp_path, capsys):
    path = tmp_path / "m.onnx"

    assert 0 == main(["init", "--preset", "mri-dat", "--seed", "7", "-o", str(path)])
    assert f"{path}\n" == capsys.readouterr().out
    assert "mri-dat-random-7" == load_model(path).spec.card.name


def test_quantize_then_parity_on_a_small_model(tmp_path, capsys):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(float_model(random_net(shape=(8, 8, 6))).SerializeToString())

    # Enough to see the range of values that others have: a random net promises nothing by itself.
    assert 0 == main(["quantize", str(path), "--patches", "64"])
    assert 2 == capsys.readouterr().out.count("\n")
    assert 0 == main(["parity", str(path), "--patches", "8", "--threads", "1", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert {"tiny.onnx", "tiny.int8.onnx", "tiny.int8.xml"} == {row["model"] for row in rows}
    assert all(row["passed"] for row in rows)
