# SPDX-License-Identifier: Apache-2.0
"""Hand csrc/CMakeLists.txt to CMake and put the module it builds where setuptools wants it.

CMake is the only description of the build; everything else about the package is in pyproject.toml.
NIGROEDGE_CMAKE_ARGS adds arguments for CMake, separated by spaces.
"""

import os
import subprocess
import sys
from pathlib import Path

import pybind11
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCE = Path(__file__).resolve().parent / "csrc"


class CMakeBuild(build_ext):
    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        build = Path(self.build_temp).resolve() / "cmake"
        configure = [
            "cmake",
            *("-S", str(SOURCE), "-B", str(build), "-G", "Ninja"),
            "-DCMAKE_BUILD_TYPE=Release",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DNIGROEDGE_MODULE_DIR={target.parent}",
            f"-DNIGROEDGE_MODULE_NAME={target.name}",
            *os.environ.get("NIGROEDGE_CMAKE_ARGS", "").split(),
        ]
        subprocess.run(configure, check=True)
        subprocess.run(["cmake", "--build", str(build), "--target", "_core"], check=True)


setup(
    ext_modules=[Extension("nigroedge._core", sources=[])],
    cmdclass={"build_ext": CMakeBuild},
)
