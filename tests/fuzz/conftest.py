# SPDX-License-Identifier: Apache-2.0
"""Build the programs of this folder, once for all tests and workers, with sanitizers."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

BUILD = ROOT / "build" / "fuzz-short"
PROGRAMS = ("onnx_reader_fuzz_standalone", "onnx_dump")


@pytest.fixture(scope="session")
def programs() -> Path:
    """Folder of the programs, built with address and undefined-behaviour sanitizers."""
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("needs cmake and a C++ compiler")
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # workers of pytest-xdist share the build
        _run("cmake", "-S", str(ROOT / "csrc"), "-B", str(BUILD), "-DNIGROEDGE_FUZZ=ON")
        _run("cmake", "--build", str(BUILD), "--parallel", "2", "--target", *PROGRAMS)
    return BUILD / "fuzz"


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
