# SPDX-License-Identifier: Apache-2.0
"""The command line takes arguments as people type them, and ends as it says it does."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nigroedge
from nigroedge import cli
from nigroedge.errors import InternalError
from nigroedge.subcommand import Subcommand
from tests.conftest import BOTH

# -------------------------------------------------------------------------------------------- usage


coordinates = st.tuples(*[st.floats(-200, 200)] * 3)


@given(coordinates, st.sampled_from(["{:.3f},{:.3f},{:.3f}", "{},{},{}", "{:.1e},{:g}, {:.0f}"]))
def test_coordinates_are_taken_as_typed(xyz, form):
    text = form.format(*xyz)
    expected = tuple(float(part) for part in text.split(","))
    parser = cli.parser()
    for arguments in (
        ["predict", "image", "--left", text],
        ["predict", "image", f"--left={text}"],
        ["predict", "--left", text, "image"],
        ["predict", "--left", text, "--right", text, "--", "image"],
    ):
        options = parser.parse_args(cli._joined(arguments))
        assert (expected, "image") == (options.left, options.image)


def test_words_after_two_dashes_are_left_alone():
    arguments = ["predict", "--left=1,2,3", "--", "--left", "-9"]

    assert arguments == cli._joined(arguments)
    assert ["--left=-.5,0,0"] == cli._joined(["--left", "-.5,0,0"])
    assert ["--left", "--right"] == cli._joined(["--left", "--right"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: COMMAND"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["predict"], "required: IMAGE"),
        (["predict", "image"], "expected either --landmarks, or --left, --right or both"),
        (["predict", "image", "--left", "1,2,3", "--landmarks", "x"], "expected either"),
        (["predict", "image", "--left", "1,2"], "expected X,Y,Z in mm such as -9,-18,-14"),
        (["predict", "image", "--left", "-1,2"], "expected X,Y,Z in mm such as -9,-18,-14"),
        (["predict", "image", "--left", "1,2,nan"], "expected X,Y,Z in mm"),
        (["predict", "image", "--left", "1,2,inf"], "expected X,Y,Z in mm"),
        (["predict", "image", "--left", "1,2,1_0"], "expected X,Y,Z in mm"),
        (["predict", "image", "--left", "1,2,\u0664"], "expected X,Y,Z in mm"),
        (["predict", "image", "--left"], "--left: expected one argument"),
        (["predict", "image", "--left", "--right", "1,2,3"], "--left: expected one argument"),
        (["predict", "image", "--left=1,2,3", "--left=1,2,3"], "--left is given twice"),
        (["predict", "image", "--lef=1,2,3"], "--lef=1,2,3"),
        (["predict", "image", "--left=1,2,3", "--threads", "x"], "invalid int value: 'x'"),
        (["predict", "image", "--left=1,2,3", "--transform", "x"], "invalid choice: 'x'"),
        (["predict", "image", "--left=1,2,3", "a\nb"], r"unrecognized arguments: a\nb"),
        (["demo", "--seed", "-1"], "expected --seed from 0"),
        (["info", "a", "b"], "unrecognized arguments: b"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run, arguments, words):
    code, out, err = run(*arguments)

    assert (2, "", 1) == (code, out, err.count("\n"))
    assert err.startswith("nigroedge: ")
    assert words in err
    assert err.endswith(" --help)\n")


@pytest.mark.parametrize("command", [[], ["predict"], ["demo"], ["info"], ["verify"]])
def test_help_says_what_where_and_what_not(run, command):
    code, out, err = run(*command, "--help")

    assert (0, "") == (code, err)
    assert "Research use only. Not for diagnosis." in out
    assert "exit codes: 0 done, 1 refused input, 2 usage, 3 internal error" in out


def test_version(run):
    assert (0, f"nigroedge {nigroedge.__version__}\n", "") == run("--version")


# --------------------------------------------------------------------------------------------- ends


def python(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "nigroedge.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


@pytest.fixture
def info_does(monkeypatch):
    """Let the command info do something else."""

    def info_does(work):
        info = Subcommand("info", "info", lambda parser: None, lambda options, progress: work())
        monkeypatch.setattr(cli, "COMMANDS", (info,))

    return info_does


def raise_(error):
    raise error


def test_a_bug_is_one_line_and_exit_code_3(run, info_does):
    for error in (InternalError("of ours"), ZeroDivisionError("a\nb")):
        info_does(partial(raise_, error))
        code, out, err = run("info")
        assert (3, "", 1) == (code, out, err.count("\n"))
        assert f"internal error: {type(error).__name__}" in err
        assert "NIGROEDGE_DEBUG=1" in err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "expected enough memory, got none"),
        (MemoryError("std::bad_alloc"), "expected enough memory, got none: std::bad_alloc"),
    ],
)
def test_memory_that_is_not_to_be_had_is_no_bug(run, info_does, error, line):
    info_does(partial(raise_, error))

    assert (1, "", f"nigroedge: {line}\n") == run("info")


def test_the_traceback_of_a_bug_is_shown_on_request(run, info_does, monkeypatch):
    monkeypatch.setenv("NIGROEDGE_DEBUG", "1")
    info_does(lambda: 1 / 0)
    code, _, err = run("info")

    assert 3 == code
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("nigroedge: internal error: ZeroDivisionError")


def test_ctrl_c_is_one_line(run, info_does):
    info_does(partial(raise_, KeyboardInterrupt()))

    assert (130, "", "nigroedge: interrupted\n") == run("info")


def test_a_reader_that_leaves_is_no_bug(models):
    process = python("info", models / "tiny.onnx")
    process.stdout.close()

    assert (1, b"") == (process.wait(60), process.stderr.read())
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_cannot_be_written_is_one_line(models):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "nigroedge.cli", "info", models / "tiny.onnx"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert 1 == done.returncode
    assert "nigroedge: cannot read or write: [Errno 28] No space left on device\n" == done.stderr


def test_a_terminal_that_knows_no_unicode_is_no_bug(models, slab, tmp_path):
    path = tmp_path / os.fsdecode("smwi-é\n\xff.nii".encode() + b"\xfe")
    path.write_bytes(slab.read_bytes())
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = ("predict", os.fsencode(path).decode("utf-8", "surrogateescape"))
    process = python(*command, *BOTH, "--model", models / "tiny.onnx", env=environment)
    out, err = process.communicate(timeout=60)

    assert (0, b"") == (process.returncode, err)
    assert rb"smwi-\xe9\n\xff.nii\udcfe" in out
