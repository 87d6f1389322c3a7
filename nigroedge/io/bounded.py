# SPDX-License-Identifier: Apache-2.0
"""Read a small file whole, after making sure that it is one: a regular file of bounded size."""

from __future__ import annotations

from pathlib import Path

from nigroedge.errors import FormatError, InputError
from nigroedge.io.kind import N_BYTES, kind_of
from nigroedge.io.open_file import OpenFile


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
        If the name holds a NUL, the path is no regular file, it holds more, or it is written to
        while it is read.
    OSError
        If it cannot be read.
    """
    file = OpenFile(str(path))
    start = file.read(N_BYTES, 0)
    found = kind_of(start) if start else None  # callers say what an empty one lacks
    if found is not None:
        raise FormatError(f"expected {what}, got {found}")
    if file.size > max_bytes:
        raise InputError(f"expected {what} of at most {max_bytes} bytes, got {file.size}")
    return file.content()
