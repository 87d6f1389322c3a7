# SPDX-License-Identifier: Apache-2.0
"""The C header and the library as files, and the C++ tests that run on it."""

from __future__ import annotations

import ctypes
import re
import shutil
import sys
from pathlib import Path

import pytest

import nigroedge
from tests.c_library import STRICT, opened, run
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    return opened(nigroedge.get_library())


@pytest.mark.parametrize("standard", ["c99", "c11", "c++17"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_header_compiles_alone(tmp_path, compiler, standard):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    source = tmp_path / ("alone.cpp" if "+" in standard else "alone.c")
    source.write_text("#include <nigroedge.h>\nint main(void) { return NIGRO_OK; }\n")
    include = f"-I{nigroedge.get_include()}"

    run(compiler, f"-std={standard}", *STRICT, include, "-fsyntax-only", source)


def test_the_header_is_more_prose_than_code():
    text = (ROOT / "csrc/include/nigroedge.h").read_text()
    prose = sum(len(comment.split()) for comment in re.findall(r"/\*.*?\*/", text, re.S))
    code = len(re.sub(r"/\*.*?\*/", "", text, flags=re.S).split())

    assert prose > 2 * code


def test_the_version_is_that_of_the_package(library):
    header = (ROOT / "csrc/include/nigroedge.h").read_text()

    assert nigroedge.__version__ == library.nigro_version().decode()
    assert f'#define NIGRO_VERSION "{nigroedge.__version__}"' in header


def test_the_stripped_library_is_small(tmp_path):
    run("strip", "--strip-unneeded", nigroedge.get_library(), "-o", tmp_path / "stripped.so")

    # 712 kB: kernels of three instruction sets, the core, and the C++ runtime.
    assert (tmp_path / "stripped.so").stat().st_size < 800_000


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the C++ runtime is the system's")
def test_the_library_needs_the_c_library_alone():
    for archive in ("libstdc++.a", "libgcc_eh.a"):
        if not Path(run("c++", f"-print-file-name={archive}").strip()).is_absolute():
            pytest.skip(f"this compiler comes without {archive}")
    needed = re.findall(r"NEEDED.*\[(.*?)\.so", run("readelf", "-d", nigroedge.get_library()))

    assert {"libc"} <= set(needed) <= {"libc", "libm", "libpthread", "ld-linux-x86-64"}


# ------------------------------------------------------------------------------------ C++ programs


@pytest.mark.parametrize("name", ["test_capi", "test_capi_refusals", "test_capi_memory"])
def test_the_c_programs_pass_on_the_shared_library(tmp_path, name):
    """Answers, refusals, memory, each allocation failing; ctest runs them sanitized."""
    library = nigroedge.get_library()
    run(
        *("c++", "-std=c++17", "-O0", *STRICT, f"-I{nigroedge.get_include()}"),
        *("-DNIGROEDGE_TEST_NATIVE", ROOT / f"tests/cpp/{name}.cpp", "-o", tmp_path / name),
        *(library, f"-Wl,-rpath,{Path(library).parent}", "-lpthread"),
    )

    assert " 0 failed" in run(tmp_path / name, cwd=tmp_path)
