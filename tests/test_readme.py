# SPDX-License-Identifier: Apache-2.0
"""A newcomer's way: `pip install .` in a clone, then what the README says, there and as typed."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import ROOT

#: Blocks of the README that can be typed; what cannot is marked ```text.
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What CI runs by itself, and what the fixture has done.
ELSEWHERE = re.compile(r"^(make |pip install ).*$", re.MULTILINE)


def blocks():
    return [(language, text) for language, text in BLOCK.findall((ROOT / "README.md").read_text())]


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert 0 == done.returncode, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone in a folder of which nobody would think, without anything that was built."""
    clone = tmp_path_factory.mktemp("a b ü") / "nigroedge"
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in listed.splitlines():
        if (ROOT / name).is_file():  # not one that was deleted and is not committed yet
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name)
    return clone


@pytest.fixture(scope="module")
def environment(clone):
    """An environment into which `pip install .` was typed in the clone.

    What else it needs is taken from the environment that runs the tests, without a network. The
    compiler does not optimise: that takes three quarters of the time, and changes no bit.
    """
    folder = clone.parent / "env"
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    scripts = folder / "bin"
    pip = f'exec "{sys.executable}" -m pip --python "{scripts}/python" "$@"'
    (scripts / "pip").write_text(f"#!/bin/sh\n{pip}\n")
    (scripts / "pip").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join(
            [str(scripts), str(Path(sys.executable).parent), os.environ["PATH"]]
        ),
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say that there is to be none
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "NIGROEDGE_CMAKE_ARGS": "-DCMAKE_CXX_FLAGS_RELEASE=-O0",
    }
    run("sh", "-c", "pip install .", cwd=clone, env=environment)
    return environment


def test_the_clone_and_what_is_installed_are_two_packages(clone, environment, tmp_path):
    where = ("python", "-c", "import nigroedge; nigroedge.load_model(); print(nigroedge.__file__)")

    assert str(clone / "nigroedge/__init__.py") == run(*where, cwd=clone, env=environment).strip()
    installed = Path(run(*where, cwd=tmp_path, env=environment).strip()).parent
    assert installed.is_relative_to(clone.parent / "env")
    assert "left      4.77" in run("nigroedge", "demo", cwd=tmp_path, env=environment)
    assert (installed / "include/nigroedge.h").is_file()
    assert list((installed / "lib").glob("libnigroedge.*"))


def test_the_clone_exports(clone, environment):
    command = (
        "python -m export init --preset slim --seed 1 -o random.onnx && nigroedge info random.onnx"
    )

    assert "random" in run("sh", "-c", command, cwd=clone, env=environment)


def test_every_block_of_the_readme_runs_as_typed(clone, environment):
    assert {"sh", "python"} <= {language for language, _ in blocks()}
    for language, text in blocks():
        if language == "sh":
            run("sh", "-ec", ELSEWHERE.sub("", text), cwd=clone, env=environment)
        else:
            run("python", "-c", text, cwd=clone, env=environment)


def test_what_was_not_built_is_said_in_one_line(clone, environment):
    bare = clone.parent / "bare"
    shutil.copytree(
        clone / "nigroedge", bare / "nigroedge", ignore=shutil.ignore_patterns("_core*.so")
    )
    done = subprocess.run(
        ["python", "-m", "nigroedge", "demo"],
        cwd=bare,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (1, "", 1) == (done.returncode, done.stdout, done.stderr.count("\n"))
    package = bare / "nigroedge"
    assert f"nigroedge is not in '{package}': run `pip install .` in that clone" in done.stderr
