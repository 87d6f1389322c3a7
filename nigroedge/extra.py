# SPDX-License-Identifier: Apache-2.0
"""Packages that only an extra installs: imported where they are used, or said with their pip line.

Imports stay plain imports, in a ``with`` that turns their failure into the error of the tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nigroedge.errors import MissingDependencyError


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
    """
    try:
        yield
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and _top(error.name) == package
        reason = "" if absent else f" ({error})"
        raise MissingDependencyError(
            f"{said} {package}{reason}: pip install nigroedge[{extra}]"
        ) from error


def _top(module: str | None) -> str:
    return (module or "").partition(".")[0]
