# SPDX-License-Identifier: Apache-2.0
"""File names as text for people and for JSON.

A name is bytes. Where Python's file system encoding is not UTF-8 (LC_ALL=C with PYTHONUTF8=0), it
stands for each byte that it does not understand by a lone surrogate: nobody can read that, and no
other program can open it. Nearly every name is UTF-8 and is given as that.
"""

from __future__ import annotations

import os
import sys


def readable(path: str | os.PathLike[str]) -> str:
    """Give a name as UTF-8 has it; a byte that is not UTF-8 stays a lone surrogate.

    >>> readable("scan.nii")
    'scan.nii'
    """
    name = os.fspath(path)
    if sys.getfilesystemencoding() == "utf-8":
        return name
    try:
        return os.fsencode(name).decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a name that was not the file system's, such as one out of JSON
        return name


def quoted(path: str | os.PathLike[str]) -> str:
    """Give a name between quotes, for a message: what cannot be printed is escaped, once."""
    return repr(readable(path))
