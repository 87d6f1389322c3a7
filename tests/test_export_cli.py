# SPDX-License-Identifier: Apache-2.0
"""The command line of export: help, usage, and how it ends, in one line each."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from export import commands
from export.__main__ import main, parser
from nigroedge import cli
from tests.conftest import ROOT

COMMANDS = (
    *(
        "init",
        "cohort",
        "train",
        "onnx",
        "quantize",
        "from-onnx",
        "from-savedmodel",
        "from-torch",
        "parity",
        "reference",
    ),
)


@pytest.fixture
def run(capsys):
    """Run the command line in this process; give exit code, output and complaint."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


def python(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "export", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


# -------------------------------------------------------------------------------------------- help


def test_help_names_every_command_and_imports_no_torch():
    code = (
        "import sys, export.__main__ as m\n"
        "m.main(['--help'])\n"
        "print({'torch', 'onnx', 'openvino', 'scipy', 'tqdm'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert all(command in done.stdout for command in COMMANDS)
    assert done.stdout.endswith("set()\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run, command):
    code, out, err = run(command, "--help")

    assert (0, "") == (code, err)
    assert "usage: python -m export " + command in out
    assert "exit codes: 0 done, 1 refused input, 2 usage, 3 internal error" in out


def parsers_of(program):
    """Give every command's parser by name."""
    (subparsers,) = (a for a in program._actions if isinstance(a, argparse._SubParsersAction))
    return subparsers.choices


@pytest.mark.parametrize("program", [parser(), cli.parser()], ids=["export", "nigroedge"])
def test_every_argument_says_what_it_is(program):
    silent = [
        f"{name} {action.option_strings or action.metavar}"
        for name, command in parsers_of(program).items()
        for action in command._actions
        if not action.help or action.dest == action.metavar
    ]

    assert [] == silent


def test_a_module_of_its_own_brings_each_command():
    modules = {
        path.stem
        for path in (ROOT / "export/commands").glob("*.py")
        if "COMMAND = " in path.read_text()
    }

    assert {name.replace("-", "_") for name in COMMANDS} == modules
    assert set(COMMANDS) == {command.name for command in commands.COMMANDS}


# ------------------------------------------------------------------------------------------- usage

SAVED_MODEL = (
    *("from-savedmodel", "d", "--side", "right", "--normalize", "mean", "--axes", "ALI"),
    *("--scale", "1", "-o", "x"),
)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "export: the following arguments are required: COMMAND"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["init", "--preset", "vgg", "-o", "x"], "export init: argument --preset: invalid choice"),
        (["init", "--preset", "slim", "--seed", "-1", "-o", "x"], "at least 0, got '-1'"),
        (["init", "--preset", "slim", "--seed", "9" * 5000, "-o", "x"], "at least 0, got '99"),
        (["init", "--pre", "slim", "-o", "x"], "required: --preset"),
        (["quantize", "m.onnx", "--patches", "0"], "at least 1, got '0'"),
        (["train", "--cohort", "t", "--contrast", "-1"], "a number of at least 0, got '-1'"),
        (["train", "--cohort", "t", "--average", "1"], "from 0 to below 1, got '1'"),
        (["train", "--preset", "slim"], "--cohort, --epochs, -o/--output"),
        (["from-savedmodel", "d", "--axes", "ALL"], "expected axes such as 'ALI', got 'ALL'"),
        (["from-savedmodel", "d", "--spacing", "1,1"], "expected X,Y,Z in mm, got '1,1'"),
        (["from-savedmodel", "d", "--spacing", "1,1,0"], "expected X,Y,Z in mm, got '1,1,0'"),
        (["from-savedmodel", "d", "--scale", "nan"], "a number other than 0, got 'nan'"),
        (["from-savedmodel", "d", "--scale", "0"], "a number other than 0, got '0'"),
        (["from-savedmodel", "d", "--scale", "-6,84"], "got '-6,84': write -6.84, with a point"),
        (["from-onnx", "f", "--offset", "-x"], "--offset: expected one argument"),
        (["from-onnx", "f", "--offset", "1,2,3"], "expected a number, got '1,2,3' (see"),
        ([*SAVED_MODEL, "--mirror", "left"], "--mirror left is of a side that --side right does"),
        ([*SAVED_MODEL, "--mirror", "right"], "--mirror right needs --mirror-centre: n/2-1 if you"),
        ([*SAVED_MODEL, "--mirror-centre", "n/2-1"], "give --mirror too"),
        ([*SAVED_MODEL, "--mirror-centre", "n/2+1"], "invalid choice: 'n/2+1'"),
        (["init", "--preset", "slim", "--mirror-centre", "", "-o", "x"], "invalid choice: ''"),
        (["train", "--preset", "slim", "--mirror-centre", "24"], "invalid choice: '24'"),
        (["cohort", "--table", "t.csv", "--participants", "3", "-o", "o"], "not allowed with"),
        (["cohort", "--table", "t.csv", "--fast", "-o", "o"], "are for simulated participants"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run, arguments, message):
    code, out, err = run(*arguments)

    assert (2, "", 1) == (code, out, err.count("\n"))
    assert err.startswith("export")
    assert message in err
    assert err.endswith(" --help)\n")


# -------------------------------------------------------------------------------------------- ends

TRAIN = ("train", "--preset", "slim", "--epochs", "1", "--cohort", "absent", "-o", "r")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quantize", "absent.onnx"], "export quantize: model file absent.onnx"),
        (["parity", "absent.onnx"], "export parity: model file absent.onnx"),
        (["onnx", "absent", "--cohort", "t", "-o", "x"], "export onnx: expected the folder of"),
        ([*TRAIN, "--jitter", "9"], "export train: expected jitter within 0 and 3, got 9"),
        (TRAIN, "export train: 'absent': No such file"),
        (
            ["init", "--preset", "mri-dat", "-o", "/dev/null/m.onnx"],
            "export init: '/dev/null/m.onnx': Not a directory",
        ),
        (
            ["cohort", "--seed", "16384", "--participants", "3", "--fast", "-o", "c"],
            "export cohort: expected a seed from 0 to 16383, got 16384",
        ),
        (
            [
                *("from-savedmodel", "absent", "--side", "left", "--normalize", "mean"),
                *("--axes", "ALI", "--scale", "1", "-o", "x"),
            ],
            "export from-savedmodel: expected a folder with saved_model.pb, got absent",
        ),
    ],
)
def test_a_refusal_is_one_line_and_exit_code_1(run, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)

    assert (1, "", 1) == (code, out, err.count("\n"))
    assert err.startswith(message)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["quantize", "parity"])
def test_a_seed_without_subjects_is_refused(run, command, tmp_path):
    model = tmp_path / "m.onnx"
    assert 0 == run("init", "--preset", "mri-dat", "-o", model)[0]

    for extra in (("--seed", 16384), ("--patches", 131073)):
        code, out, err = run(command, model, *extra)
        assert (1, "") == (code, out)
        assert f"export {command}: expected " in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("missing", "code", "message"),
    [
        ("torch", 1, "export init: import of torch halted; None in sys.modules; pip install"),
        ("export.init", 3, "export init: internal error: ModuleNotFoundError"),  # not pip's affair
    ],
)
def test_a_package_that_is_missing_is_said_with_the_pip_line(missing, code, message, tmp_path):
    program = (
        f"import sys; sys.modules[{missing!r}] = None; from export.__main__ import main; "
        "sys.exit(main(['init', '--preset', 'slim', '-o', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "m.onnx"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (code, "", 1) == (done.returncode, done.stdout, done.stderr.count("\n"))
    assert done.stderr.startswith(message)


def test_a_clone_without_the_compiled_part_says_so_in_one_line(tmp_path):
    shutil.copytree(
        ROOT / "nigroedge", tmp_path / "nigroedge", ignore=shutil.ignore_patterns("_core*.so")
    )
    shutil.copytree(ROOT / "export", tmp_path / "export")

    assert 0 == python("train", "--help", cwd=tmp_path).returncode
    for arguments in (
        ("init", "--preset", "slim", "-o", "m.onnx"),
        ("quantize", "m.onnx"),
        ("cohort", "--participants", "3", "--fast", "-o", "c"),
        ("reference", "--miniature"),
    ):
        done = python(*arguments, cwd=tmp_path)
        assert (1, "", 1) == (done.returncode, done.stdout, done.stderr.count("\n")), done.stderr
        assert "run `pip install .` in that clone" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="sends the signal of Ctrl-C to a group")
def test_ctrl_c_is_one_line_from_all_processes(tmp_path):
    command = [sys.executable, "-m", "export", "cohort", "--participants", "400", "--fast"]
    command += ["--workers", "2", "-o", str(tmp_path)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's background job ignores Ctrl-C, and so does all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        while running.poll() is None and not list((tmp_path).glob("images/sim-*")):
            time.sleep(0.02)
        os.killpg(running.pid, signal.SIGINT)
        _, err = running.communicate(timeout=60)

    assert 130 == running.returncode
    assert "Traceback" not in err
    assert "export cohort: interrupted" == err.splitlines()[-1]
