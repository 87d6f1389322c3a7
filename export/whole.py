# SPDX-License-Identifier: Apache-2.0
"""Files that are there whole or not at all, whenever the program is ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nigroedge.errors import InputError
from nigroedge.names import quoted


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a name beside a file to write under; it takes the file's place when the block ends.

    Raises
    ------
    InputError
        If the folder is not there.
    """
    if not path.parent.is_dir():
        raise InputError(
            f"expected a folder to write {quoted(path.name)} into, got none at "
            f"{quoted(path.parent)}"
        )
    partial = path.with_name(f".{path.name}")
    partial.unlink(missing_ok=True)  # of a program that was killed
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")
