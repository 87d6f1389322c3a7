# SPDX-License-Identifier: Apache-2.0
"""Packages that only an extra installs: imported where they are used, or said with their pip line.

Imports stay plain imports, in a ``with`` that turns their failure into the error of the tree.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from nigroedge.errors import MissingDependencyError

#: What the loader of shared libraries says (glibc's elf/dl-load.c) where it gets no memory.
_NO_ROOM = ("failed to map segment from shared object", "cannot map zero-fill pages")


@contextmanager
def from_extra(extra: str, said: str, package: str) -> Iterator[None]:
    """Import a package that an extra installs, or say how to install it.

    >>> with from_extra("smwi", "SMWI needs", "scipy"):
    ...     import scipy.fft

    Parameters
    ----------
    extra : str
        As in pyproject.toml.
    said : str
        What needs it, with the verb: "SMWI needs".
    package : str

    Raises
    ------
    MissingDependencyError
        If an import fails; with the reason where the package is there and something else is not.
    ImportError
        If there is not enough memory for it: installing it again would help nobody.
    """
    try:
        yield
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and _top(error.name) == package
        if lacks_memory(error):
            raise
        reason = "" if absent else f" ({reason_of(error)})"
        raise MissingDependencyError(f"{said} {package}{reason}: {pip_line(extra)}") from error


def pip_line(extra: str) -> str:
    """Say how to install an extra: its brackets in quotes, as zsh would take them for a pattern.

    >>> pip_line("smwi")
    "pip install 'nigroedge[smwi]' (in a clone: '.[smwi]')"
    """
    return f"pip install 'nigroedge[{extra}]' (in a clone: '.[{extra}]')"


def reason_of(error: ImportError) -> str:
    """Give the one line of an import's failure that says why: numpy's, the last, ends a page."""
    return str(error).strip().rpartition("\n")[2].removeprefix("Original error was: ")


def lacks_memory(error: ImportError) -> bool:
    """Whether a library could not be loaded for want of memory, in the words of the loader."""
    return any(words in str(error) for words in (*_NO_ROOM, os.strerror(errno.ENOMEM)))


def _top(module: str | None) -> str:
    return (module or "").partition(".")[0]
