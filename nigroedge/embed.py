# SPDX-License-Identifier: Apache-2.0
"""Where the C library of this package lies, for those who build programs against it.

How to use it: docs/embedding.md, and the header itself.
"""

from pathlib import Path

from nigroedge.errors import MissingDependencyError

_PACKAGE = Path(__file__).resolve().parent


def get_include() -> str:
    """Give the folder of nigroedge.h.

    Raises
    ------
    MissingDependencyError
        If this installation has no C library.
    """
    return str(_found("include", "nigroedge.h").parent)


def get_library() -> str:
    """Give the path of the shared library: to link with, or to open at run time.

    Raises
    ------
    MissingDependencyError
        If this installation has no C library.
    """
    return str(_found("lib", "libnigroedge.*"))


def get_cmake_dir() -> str:
    """Give the folder of nigroedgeConfig.cmake, as CMake's ``nigroedge_DIR`` wants it.

    Raises
    ------
    MissingDependencyError
        If this installation has no C library.
    """
    return str(_found("lib/cmake/nigroedge", "nigroedgeConfig.cmake").parent)


def _found(folder: str, pattern: str) -> Path:
    paths = sorted((_PACKAGE / folder).glob(pattern))
    if len(paths) != 1:
        raise MissingDependencyError(
            f"expected one {pattern} in {_PACKAGE / folder}, found {len(paths)}: install "
            f"nigroedge again (pip install --force-reinstall nigroedge)"
        )
    return paths[0]
