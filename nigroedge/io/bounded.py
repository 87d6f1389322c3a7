# SPDX-License-Identifier: Apache-2.0
"""Read a small file whole, after making sure that it is one: a regular file of bounded size."""

from __future__ import annotations

from pathlib import Path

from nigroedge.errors import FormatError, InputError
from nigroedge.io.kind import N_BYTES, check_regular, kind_of


def read_bounded(path: Path, *, what: str, max_bytes: int) -> bytes:
    """Give the bytes of a file.

    Parameters
    ----------
    what : str
        The kind of file, for messages, such as "a table".
    max_bytes : int
        No more is read.

    Raises
    ------
    FormatError
        If it begins as another kind of file does.
    InputError
        If the name holds a NUL, the path is no regular file, or it holds more.
    OSError
        If it cannot be read.
    """
    if "\0" in str(path):
        raise InputError("expected a file name without NUL")
    check_regular(path.stat().st_mode)
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    found = kind_of(content[:N_BYTES]) if content else None  # callers say what an empty one lacks
    if found is not None:
        raise FormatError(f"expected {what}, got {found}")
    if len(content) > max_bytes:
        raise InputError(f"expected {what} of at most {max_bytes} bytes, got more")
    return content
