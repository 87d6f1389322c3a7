# SPDX-License-Identifier: Apache-2.0
"""Hand csrc/CMakeLists.txt to CMake and put what it builds where setuptools wants it.

That is the module `_core`, and the C library with its header and its CMake and pkg-config files.
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
    def run(self) -> None:
        super().run()  # for a wheel into build_lib, for an editable install beside the sources
        package = Path(self.get_ext_fullpath(self.extensions[0].name)).resolve().parent
        where = ["--prefix", str(package), "--component", "nigroedge", "--strip"]
        subprocess.run(["cmake", "--install", str(self.cmake_build), *where], check=True)

    @property
    def cmake_build(self) -> Path:
        return Path(self.build_temp).resolve() / "cmake"

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        build = ["cmake", "--build", str(self.cmake_build), "--target", "_core", "nigroedge"]
        configure = [
            "cmake",
            *("-S", str(SOURCE), "-B", str(self.cmake_build), "-G", "Ninja"),
            *("-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_INSTALL_LIBDIR=lib"),
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DNIGROEDGE_MODULE_DIR={target.parent}",
            f"-DNIGROEDGE_MODULE_NAME={target.name}",
            *os.environ.get("NIGROEDGE_CMAKE_ARGS", "").split(),
        ]
        subprocess.run(configure, check=True)
        subprocess.run(build, check=True)


setup(
    ext_modules=[Extension("nigroedge._core", sources=[])],
    cmdclass={"build_ext": CMakeBuild},
)
