# SPDX-License-Identifier: Apache-2.0
"""The package can be built: its sdist holds what that takes, a former build is not in the way."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nigroedge import __version__
from tests.conftest import ROOT

#: What a build frontend calls, by PEP 517; here without the network that its isolation needs.
CALL = "import sys; from setuptools import build_meta; print(build_meta.{hook}(sys.argv[1]))"


NINJA = shutil.which("ninja", path=str(Path(sys.executable).parent)) or shutil.which("ninja")


def build(hook: str, source: Path, target: Path, *tools: Path) -> subprocess.CompletedProcess:
    """Build an sdist or a wheel of a source tree, with some tools found before all others."""
    path = os.pathsep.join([*map(str, tools), str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        [sys.executable, "-c", CALL.format(hook=hook), target],
        cwd=source,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def made(done: subprocess.CompletedProcess) -> Path:
    """What a build made."""
    assert 0 == done.returncode, done.stdout + done.stderr
    return Path(done.args[-1]) / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """What a clone has: the files that git knows, without any that were built."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs the git repository")
    clone = tmp_path_factory.mktemp("clone")
    names = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    for name in filter(None, names):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, clone / name)
    return clone


@pytest.fixture(scope="module")
def sdist(clone, tmp_path_factory):
    """The sdist, unpacked."""
    packed = made(build("build_sdist", clone, tmp_path_factory.mktemp("sdist")))
    unpacked = tmp_path_factory.mktemp("unpacked")
    # Not by tarfile: Python 3.11 before .4 knows no filter, and later ones ask for one.
    subprocess.run(["tar", "-xf", packed, "-C", unpacked], check=True)
    return unpacked / f"nigroedge-{__version__}"


def test_an_sdist_holds_all_that_a_build_needs(sdist, clone):
    needed = [clone / "setup.py", clone / "pyproject.toml", clone / "README.md", clone / "LICENSE"]
    needed += [path for path in clone.glob("csrc/**/*") if path.is_file()]
    needed += [path for path in clone.glob("nigroedge/**/*") if path.is_file()]
    relative = {path.relative_to(clone) for path in needed}

    assert len(relative) > 100
    assert set() == {path for path in relative if not (sdist / path).is_file()}


def test_a_build_finds_its_own_ninja_where_that_of_the_last_is_gone(sdist, tmp_path):
    """An isolated build has a ninja of its own, which is gone when the build ends.

    CMake remembers it. Here both end as soon as everything is configured; test_readme.py compiles.
    """
    for name in ("first", "second"):
        ninja = tmp_path / name / "ninja"
        ninja.parent.mkdir()
        ninja.write_text(f'#!/bin/sh\ncase "$*" in *_core*) exit 9;; esac\nexec {NINJA} "$@"\n')
        ninja.chmod(0o755)
        done = build("build_wheel", sdist, tmp_path / "wheel", ninja.parent)

        assert done.returncode != 0
        assert "exit status 9" in done.stderr
        (cache,) = sdist.glob("build/**/CMakeCache.txt")
        assert f"CMAKE_MAKE_PROGRAM:FILEPATH={ninja}" in cache.read_text()
        ninja.unlink()
