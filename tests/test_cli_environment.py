# SPDX-License-Identifier: Apache-2.0
"""Every command works in a bare environment, or says in one line what it lacks.

Without docstrings and asserts, where no thread is to be had, on a root that is read-only.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nigroedge import __version__, _core, cli
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
    return run_module("nigroedge", *arguments, **environment)


def python_export(*arguments, **environment):
    return run_module("export", *arguments, **environment)


def run_module(name, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", name, *map(str, arguments)],
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


#: The same through the C library, which cuts to this machine's processors.
OPEN_MODEL = """
import sys
from ctypes import Structure, byref, c_int32, c_size_t, c_void_p, sizeof
import nigroedge
from examples.predict_ctypes import load_library
class Options(Structure):
    _fields_ = (("sizeof_options", c_size_t), ("num_threads", c_int32))
library, model = load_library(str(nigroedge.get_library())), c_void_p()
for threads in (1, 2):
    options = Options(sizeof(Options), threads)
    print(library.nigro_model_open(sys.argv[1].encode(), byref(options), byref(model)))
print(library.nigro_last_error().decode())
"""


def test_the_c_library_says_how_many_threads_it_got(threads, models):
    if _core.usable_processors() < 2:
        pytest.skip("on one processor no second thread is asked for")
    done = subprocess.run(
        [sys.executable, "-c", OPEN_MODEL, models / "tiny.onnx"],
        env={**threads(0), "OPENBLAS_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    one, two, why = done.stdout.splitlines()

    assert ("0", "8") == (one, two)  # NIGRO_OK, NIGRO_NO_MEMORY
    assert why.startswith("expected 2 threads, the system gave 1 (")


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


def test_export_needs_no_thread_for_its_help(threads):
    done = python_export("--help", **threads(0))

    assert (0, "") == (done.returncode, done.stderr)
    assert "from-torch" in done.stdout


def test_export_that_gets_no_thread_says_so_or_needs_none(threads, tmp_path):
    command = ("init", "--preset", "slim", "-o", tmp_path / "m.onnx")
    if (os.cpu_count() or 1) > 1:
        done = python_export(*command, **{**threads(0), "OMP_NUM_THREADS": "2"})
        assert (1, "", 1) == (done.returncode, done.stdout, done.stderr.count("\n"))
        assert done.stderr.startswith("export init: expected the threads asked for")
        assert "OMP_NUM_THREADS=1" in done.stderr
    alone = python_export(*command, **{**threads(0), "OMP_NUM_THREADS": "1"})

    assert (0, "") == (alone.returncode, alone.stderr)


# ---------------------------------------------------------------------------------------- no memory


@pytest.mark.parametrize("program", ["nigroedge", "export"])
@pytest.mark.parametrize("megabytes", [40, 60])
def test_libraries_that_get_no_memory_are_one_line(program, megabytes):
    """Less than numpy's libraries take: before, a bug of ours, or a page and a traceback."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs a limit of address space")
    command = f"ulimit -v {1024 * megabytes}; exec {sys.executable} -m {program} "
    command += "info" if program == "nigroedge" else "--help"
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )

    assert (1, "", 1) == (done.returncode, done.stdout, done.stderr.count("\n"))
    assert done.stderr.startswith(f"{program}: expected enough memory, got none: lib")


def test_memory_that_torch_does_not_get_is_no_bug_of_ours(capsys, monkeypatch):
    torch_says = (
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 172800000 bytes. Error code 12 (Cannot allocate memory)"
    )
    monkeypatch.setattr(cli, "_run", lambda *_: _raise(RuntimeError(torch_says)))

    assert 1 == cli.main(["info"])
    assert "expected enough memory, got none: [enforce fail" in capsys.readouterr().err


@pytest.mark.parametrize(("limited", "code"), [(True, 1), (False, 3)])
def test_what_python_says_of_a_library_without_memory_is_no_bug_under_a_limit(
    capsys, monkeypatch, limited, code
):
    """So ended `smwi` at 110 MB."""
    monkeypatch.setattr(
        cli, "_run", lambda *_: _raise(SystemError("error return without exception set"))
    )
    monkeypatch.setattr(cli, "_is_limited", lambda: limited)

    assert code == cli.main(["info"])
    assert ("expected enough memory" in capsys.readouterr().err) == limited


def test_what_cannot_be_imported_is_a_bug_if_it_is_ours(capsys, monkeypatch):
    for error, code, words in (
        (
            ImportError("page\nOriginal error was: libx.so.1: not found"),
            1,
            "got libx.so.1: not fou",
        ),
        (ImportError("cannot import name 'x'", name="nigroedge.volume"), 3, "internal error: Imp"),
        (ModuleNotFoundError("No module named 'numpy'", name="numpy"), 3, "internal error: Module"),
    ):
        monkeypatch.setattr(cli, "_run", lambda *_, error=error: _raise(error))
        assert code == cli.main(["info"])
        err = capsys.readouterr().err
        assert words in err
        assert 1 == err.count("\n")


# ------------------------------------------------------------------------------ nothing to write to


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["info", "--help"], ["info"]])
@pytest.mark.parametrize("program", ["nigroedge", "export"])
@pytest.mark.parametrize("buffered", ["", "1"])
def test_output_that_cannot_be_written_is_no_success(program, arguments, buffered):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    if program == "export" and "info" in arguments:
        arguments = ["init", "--help"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", program, *arguments],
            env={**os.environ, "PYTHONUNBUFFERED": buffered},
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
            check=False,
        )

    assert (1, 1) == (done.returncode, done.stderr.count("\n"))
    assert "cannot read or write: [Errno 28] No space left on device" in done.stderr


@pytest.mark.parametrize(("arguments", "code"), [(["info", "nothere"], 1), (["frob"], 2)])
@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", ">/dev/full 2>&1"])
def test_an_exit_code_does_not_hang_on_who_reads_complaints(redirection, buffered, arguments, code):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    command = f"exec {sys.executable} -m nigroedge {' '.join(arguments)} {redirection}"
    done = subprocess.run(
        ["sh", "-c", command],
        env={**os.environ, "PYTHONUNBUFFERED": buffered},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert (code, "", "") == (done.returncode, done.stdout, done.stderr)


#: Mounts a folder of its own, makes all else read-only, and goes on as the command that follows.
READ_ONLY = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$0"
mount -o remount,bind,ro /
if touch /var/tmp/nigroedge-test 2>/dev/null; then exit 77; fi
"$@"
ls -A "$0" >&2
"""


@pytest.fixture
def read_only(tmp_path):
    """Run a command on a root mounted read-only with one writable folder, and list that folder."""
    unshare = shutil.which("unshare")
    command = [unshare, "--mount", "sh", "-c", READ_ONLY]
    if unshare is None or subprocess.run([*command, tmp_path, "true"], check=False).returncode:
        pytest.skip("needs Linux and the right to mount a root read-only")

    def run(*arguments):
        done = subprocess.run(
            [*command, tmp_path, sys.executable, "-m", "nigroedge", *map(str, arguments)],
            env={name: value for name, value in os.environ.items() if name != "TMPDIR"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr.splitlines()

    return run


@pytest.fixture
def predictions(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "table.csv"
    sides = [(i, side) for i in range(5) for side in ("left", "right")]
    lines = [f"p{i},{side},{i}.5,{i}.{i}\n" for i, side in sides]
    path.write_text("participant_id,side,sbr,predicted\n" + "".join(lines))
    return path


def test_an_evaluation_needs_no_more_than_its_folder(read_only, predictions, tmp_path):
    code, out, err = read_only("evaluate", predictions, "--out", tmp_path)

    assert (0, ["predictions.csv", "report.html", "results.json"]) == (code, err)
    assert "5 participants" in out


def test_a_figure_needs_no_more_than_its_folder(read_only, shared_cases, tmp_path):
    scan = shared_cases / "00-base-right/gre/sub-01"
    command = ("smwi", "--bids", scan, "--method", "fast", "--figure")
    code, out, err = read_only(*command, "--out", tmp_path / "derivatives")

    assert (0, ["derivatives"]) == (code, err)
    assert "sub-01_desc-stages_figure.png" in out


def test_a_prediction_needs_no_folder(read_only, slab, models):
    code, out, err = read_only("predict", slab, *BOTH, "--model", models / "tiny.onnx")

    assert (0, []) == (code, err)
    assert out.startswith("side ")


def test_a_folder_that_cannot_be_written_to_is_told_before_the_work(read_only, predictions):
    code, out, err = read_only("evaluate", predictions, "--out", "/var/tmp/nigroedge-test")

    assert (1, "") == (code, out)
    assert ["nigroedge: '/var/tmp/nigroedge-test/report.html': Read-only file system"] == err[:1]
