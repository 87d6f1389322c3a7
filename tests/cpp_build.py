# SPDX-License-Identifier: Apache-2.0
"""The C++ build that tests share with each other and with `make lint`: compiled once, and kept."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

BUILD = ROOT / "build" / "cpp"
#: Where pip put a CMake beside Python, and where the system has one.
PLACES = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def tool(name: str) -> str:
    """Path of a program of CMake's; skip where there is none."""
    found = shutil.which(name, path=PLACES)
    if found is None:
        pytest.skip(f"building the C++ tests needs {name}: pip install cmake")
    return found


def cpp_build() -> Path:
    """Folder of a finished build of everything, one process at a time."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _run(tool("cmake"), "-S", ROOT / "csrc", "-B", BUILD, "-DNIGROEDGE_TESTS=ON")
        _run(tool("cmake"), "--build", BUILD, "--parallel", "2")
    return BUILD


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
