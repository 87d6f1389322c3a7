# SPDX-License-Identifier: Apache-2.0
"""Hand csrc/CMakeLists.txt to CMake and put what it builds where setuptools wants it.

That is the module `_core`, and the C library with its header and its CMake and pkg-config files.
CMake is the only description of the build; everything else about the package is in pyproject.toml.
They are also put beside the sources: in a clone Python finds the package there before any other.
NIGROEDGE_CMAKE_ARGS adds arguments for CMake, separated by spaces.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pybind11
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
SOURCE = ROOT / "csrc"


class CMakeBuild(build_ext):
    def run(self) -> None:
        super().run()  # for a wheel into build_lib, for an editable install beside the sources
        module = Path(self.get_ext_fullpath(self.extensions[0].name)).resolve()
        self.install_library(module.parent)
        clone = ROOT / "nigroedge"
        if module.parent != clone and os.access(clone, os.W_OK):
            shutil.copy2(module, clone)
            self.install_library(clone)

    def install_library(self, package: Path) -> None:
        where = ["--prefix", str(package), "--component", "nigroedge", "--strip"]
        subprocess.run(["cmake", "--install", str(self.cmake_build), *where], check=True)

    @property
    def cmake_build(self) -> Path:
        return Path(self.build_temp).resolve() / "cmake"

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        build = ["cmake", "--build", str(self.cmake_build), "--target", "_core", "nigroedge"]
        configure = [
            # What the last build found, such as a ninja of another environment, may be gone.
            *("cmake", "--fresh"),
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


def files_of_csrc() -> list[str]:
    """What an sdist must hold, relative to the project as setuptools wants it."""
    return sorted(str(path.relative_to(ROOT)) for path in SOURCE.rglob("*") if path.is_file())


setup(
    ext_modules=[Extension("nigroedge._core", sources=[], depends=files_of_csrc())],
    cmdclass={"build_ext": CMakeBuild},
)
