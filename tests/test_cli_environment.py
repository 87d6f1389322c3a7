# SPDX-License-Identifier: Apache-2.0
"""Every command works in a bare environment, or says in one line what it lacks.

Without docstrings and asserts, and where no thread is to be had.
"""

import os
import subprocess
import sys

import pytest

from nigroedge import __version__, cli
from tests import no_threads
from tests.conftest import BOTH, ROOT

#: Runs several commands in one process; numpy's start takes most of the time of one.
RUN_EACH = """
import shlex, sys
from nigroedge import cli
for line in sys.argv[1:]:
    code = cli.main(shlex.split(line))
    if code:
        sys.exit(f"{line}: exit code {code}")
"""

COMMANDS = tuple(command.name for command in cli.COMMANDS)


def nigroedge(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "nigroedge", *map(str, arguments)],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


# ------------------------------------------------------------------------ no docstrings, no asserts


def without_docstrings(*lines):
    done = subprocess.run(
        [sys.executable, "-OO", "-c", RUN_EACH, *lines],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


def test_the_version_needs_no_docstrings():
    done = nigroedge("--version", PYTHONOPTIMIZE="2")

    assert (0, f"nigroedge {__version__}\n", "") == (done.returncode, done.stdout, done.stderr)


def test_the_help_of_every_command_needs_no_docstrings(capsys):
    bare = without_docstrings("--help", *(f"{command} --help" for command in COMMANDS))
    for arguments in (["--help"], *([command, "--help"] for command in COMMANDS)):
        cli.main(arguments)

    assert capsys.readouterr().out == bare


def test_commands_need_no_docstrings(slab, models, tmp_path):
    model = models / "tiny.onnx"
    out = without_docstrings(
        *("demo", "info", f"predict {slab} {' '.join(BOTH)} --model {model}"),
        f"verify {model} --threads 1",
    )

    assert "left      4.77" in out
    assert "FAIL" not in out


def test_reconstruction_and_evaluation_need_no_docstrings(shared_cases, tmp_path):
    scan, table = shared_cases / "00-base-right/gre/sub-01", tmp_path / "table.csv"
    table.write_text(
        "participant_id,side,sbr,predicted\n"
        + "".join(f"p{i},{side},{i}.5,{i}.{i}\n" for i in range(6) for side in ("left", "right"))
    )
    out = without_docstrings(
        f"smwi --bids {scan} --method fast --figure --out {tmp_path}/made",
        f"evaluate {table} --out {tmp_path}/evaluated",
    )

    assert "6 participants" in out


# ---------------------------------------------------------------------------------------- no thread


@pytest.fixture(scope="module")
def threads(tmp_path_factory):
    """Give the environment in which so many threads are to be had, beside the first."""
    folder = tmp_path_factory.mktemp("threads")
    return lambda most: no_threads.environment(folder, most)


@pytest.mark.parametrize(
    "command", [["info"], ["demo", "--threads", "1"], ["predict", "--threads", "1"]]
)
def test_one_thread_needs_no_other(threads, slab, models, command):
    if command[0] == "predict":
        command += [slab, *BOTH, "--model", models / "tiny.onnx"]
    alone, free = nigroedge(*command, **threads(0)), nigroedge(*command)

    assert (0, "") == (alone.returncode, alone.stderr)
    assert answers(free.stdout) == answers(alone.stdout)


def answers(out):
    """All that is printed but the times."""
    return [line for line in out.splitlines() if not line.startswith("time ")]


def refused_for_threads(done):
    assert (1, "", 1) == (done.returncode, done.stdout, done.stderr.count("\n"))
    assert done.stderr.startswith("nigroedge: expected ")
    assert " threads" in done.stderr
    assert "the system gave" in done.stderr
    assert "ask for fewer, " in done.stderr
    return True


#: In Python, without the cut to this machine's processors: the engine as it is asked.
OPEN_NETWORK = """
import sys
from pathlib import Path
from nigroedge import _core
from nigroedge.errors import NigroedgeError
content = Path(sys.argv[1]).read_bytes()
try:
    _core.Network(content, threads=int(sys.argv[2]))
except NigroedgeError as error:
    print(error)
else:
    print("opened")
"""


@pytest.mark.parametrize("most", range(5))
def test_the_engine_gives_back_the_threads_that_it_got(threads, models, most):
    done = subprocess.run(
        [sys.executable, "-c", OPEN_NETWORK, models / "tiny.onnx", "5"],
        env={**threads(most), "OPENBLAS_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,  # a thread that nobody joins would hang
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)
    expected = "opened" if most == 4 else f"expected 5 threads, the system gave {most + 1} ("
    assert done.stdout.startswith(expected)


def test_a_reconstruction_that_gets_no_thread_says_so(threads, shared_cases, tmp_path):
    command = ("smwi", "--bids", shared_cases / "00-base-right/gre/sub-01", "--method", "fast")
    two = nigroedge(*command, "--threads", 2, "--out", tmp_path / "two", **threads(0))
    one = nigroedge(*command, "--threads", 1, "--out", tmp_path / "one", **threads(0))

    assert (0, "") == (one.returncode, one.stderr)
    if (os.cpu_count() or 1) > 1:
        assert refused_for_threads(two)


def test_a_thread_that_python_does_not_get_is_one_line(capsys, monkeypatch):
    for error in (
        RuntimeError("can't start new thread"),
        RuntimeError(os.strerror(11)),
        BlockingIOError(11, os.strerror(11)),
    ):
        monkeypatch.setattr(cli, "_run", lambda *_, error=error: _raise(error))
        assert 1 == cli.main(["info"])
        assert "ask for fewer, --threads 1 needs none" in capsys.readouterr().err
    for error in (RuntimeError("other"), BlockingIOError(11, "write could not complete")):
        monkeypatch.setattr(cli, "_run", lambda *_, error=error: _raise(error))
        assert 3 == cli.main(["info"])


def _raise(error):
    raise error
