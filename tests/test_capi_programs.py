# SPDX-License-Identifier: Apache-2.0
"""Programs that use the C library from where it is installed, and what they find there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nigroedge
from nigroedge.io.nifti import load_volume
from nigroedge.model import load_model
from nigroedge.volume import Volume
from tests.c_library import STRICT, declared, exported, run, scan
from tests.conftest import ROOT
from tests.cpp_build import cpp_build, tool
from tests.onnx_files import float_model, random_net


@pytest.fixture(scope="module")
def model_path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("capi") / "tiny.onnx"
    path.write_bytes(float_model(random_net(seed=5)).SerializeToString())
    return path


@pytest.fixture(scope="module")
def image_path(tmp_path_factory) -> Path:
    import nibabel

    image = scan()
    path = tmp_path_factory.mktemp("image") / "scan.nii"
    nibabel.Nifti1Image(image.voxels, image.affine).to_filename(path)
    return path


@pytest.fixture(scope="module")
def expected_lines(model_path, image_path) -> list[str]:
    image = load_volume(image_path)
    result = load_model(model_path, threads=1).predict(image, left=(-4, 0, 0), right=(4, 0.5, 0))
    return [
        f"{side} {getattr(result, side).sbr:.9g} {getattr(result, side).coverage:.6g}"
        for side in ("left", "right")
    ]


POINTS = ("left", "-4,0,0", "right", "4,0.5,0")


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """What `cmake --install` gives, moved elsewhere afterwards: the tree is relocatable."""
    first, last = (tmp_path_factory.mktemp("tree") / name for name in ("first", "last"))
    run(tool("cmake"), "--install", cpp_build(), "--prefix", first)
    first.rename(last)
    return last


def shared_library(tree: Path) -> Path:
    return next(tree.glob("lib*/**/libnigroedge.so.0"))


@pytest.fixture(params=["installed package", "cmake tree"])
def place(request) -> tuple[str, str, str]:
    """Folder of the header, path of the library, folder of the CMake package."""
    if request.param == "installed package":
        return nigroedge.get_include(), nigroedge.get_library(), nigroedge.get_cmake_dir()
    moved = request.getfixturevalue("tree")
    config = next(moved.glob("lib*/**/nigroedgeConfig.cmake"))
    return str(moved / "include"), str(shared_library(moved)), str(config.parent)


def test_the_c_example_gives_the_results_of_python(
    place, tmp_path, model_path, image_path, expected_lines
):
    include, library, _ = place
    program = tmp_path / "predict"
    run(
        *("cc", "-std=c99", *STRICT, "-O2", f"-I{include}", ROOT / "examples/predict.c"),
        *("-o", program, library, f"-Wl,-rpath,{Path(library).parent}", "-lm"),
    )

    assert expected_lines == run(program, model_path, image_path, *POINTS).splitlines()


def test_the_cmake_example_gives_the_results_of_python(
    place, tmp_path, model_path, image_path, expected_lines
):
    run("cmake", "-S", ROOT / "examples/cmake", "-B", tmp_path, f"-Dnigroedge_DIR={place[2]}")
    run("cmake", "--build", tmp_path)

    printed = run(tmp_path / "predict", model_path, image_path, *POINTS)

    assert expected_lines == printed.splitlines()


def test_pkg_config_gives_the_results_of_python(
    place, tmp_path, model_path, image_path, expected_lines
):
    if shutil.which("pkg-config") is None:
        pytest.skip("pkg-config is not installed")
    folder = Path(place[1]).parent / "pkgconfig"
    flags = run("pkg-config", "--cflags", "--libs", "nigroedge", PKG_CONFIG_PATH=str(folder))
    run("cc", ROOT / "examples/predict.c", "-o", tmp_path / "predict", *flags.split(), "-lm")

    printed = run(tmp_path / "predict", model_path, image_path, *POINTS)

    assert expected_lines == printed.splitlines()


def test_the_ctypes_example_gives_the_results_of_python(model_path, image_path, expected_lines):
    program = ROOT / "examples/predict_ctypes.py"
    printed = run(sys.executable, program, model_path, image_path, *POINTS, PYTHONPATH=str(ROOT))

    assert expected_lines == printed.splitlines()


def test_the_csharp_example_gives_the_results_of_python(tmp_path, model_path):
    if shutil.which("mcs") is None or shutil.which("mono") is None:
        pytest.skip("no C# compiler and runtime: apt-get install mono-mcs mono-runtime")
    image = Volume(scan().voxels, np.diag([0.5, 0.5, 1, 1]))
    (tmp_path / "scan.raw").write_bytes(image.voxels.tobytes(order="F"))
    result = load_model(model_path, threads=1).predict(image, left=(5, 6, 8))
    sources = [ROOT / "examples/Predict.cs", f"-out:{tmp_path / 'Predict.exe'}"]
    run("mcs", "-warnaserror", "-r:System.Core", *sources)

    printed = run(
        *("mono", tmp_path / "Predict.exe", model_path, tmp_path / "scan.raw"),
        *("24,22,16", "0.5,0.5,1", "left", "5,6,8"),
        LD_LIBRARY_PATH=str(Path(nigroedge.get_library()).parent),
    )

    assert f"left {result.left.sbr:.9g}\n" == printed


def spoiled(path: Path, tmp_path: Path, at: int, new: bytes) -> Path:
    content = bytearray(path.read_bytes())
    content[at : at + len(new)] = new
    changed = tmp_path / f"changed{at}.nii"
    changed.write_bytes(content)
    return changed


@pytest.mark.parametrize(
    ("at", "new", "reason"),
    [
        (0, b"\0\0\1\x5c", "byte order"),
        (40, b"\2\0", "three dimensions"),
        (42, b"\0\0", "three dimensions"),
        (42, b"\xff\x7f", "cut short"),
        (48, b"\2\0", None),  # dim[4] counts only where dim[0] says so
        (70, b"\x20\0", "64 bit floats"),
        (72, b"\x20\0", "64 bit floats"),
        (80, b"\0\0\x80\x3f", "as long as pixdim says"),
        (80, b"\0\0\xc0\x7f", "as long as pixdim says"),
        (80, b"\0\0\0\0", None),  # says nothing
        (108, b"\0\0\0\0", "vox_offset"),
        (108, b"\0\0\xc0\x7f", "vox_offset"),
        (112, b"\0\0\x80\x7f", "scl_slope"),
        (123, b"\1", "millimetres"),
        (252, b"\1\0", "within 1 mm"),
        (254, b"\0\0", "sform"),
        (344, b"ni1\0", "single-file"),
    ],
)
def test_the_c_example_refuses_what_it_does_not_read(
    tmp_path, model_path, image_path, c_example, at, new, reason
):
    # A qform that lies elsewhere: nibabel writes one that agrees, with code 0.
    image = spoiled(spoiled(image_path, tmp_path, 268, b"\0\0\0\0"), tmp_path, at, new)
    done = subprocess.run(
        [c_example, model_path, image, *POINTS], capture_output=True, text=True, check=False
    )

    if reason is None:
        assert 0 == done.returncode
    else:
        assert 1 == done.returncode
        assert "" == done.stdout
        assert re.search(reason, done.stderr)


@pytest.fixture(scope="module")
def c_example(tmp_path_factory) -> Path:
    program = tmp_path_factory.mktemp("example") / "predict"
    library = nigroedge.get_library()
    run(
        *("cc", "-std=c99", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
        *(f"-I{nigroedge.get_include()}", ROOT / "examples/predict.c", "-o", program),
        *(library, f"-Wl,-rpath,{Path(library).parent}", "-lm"),
    )
    return program


def test_only_the_functions_of_the_header_are_exported(place):
    assert 10 == len(declared())
    assert declared() == exported(place[1])
