# SPDX-License-Identifier: Apache-2.0
"""Files are written whole or not at all: beside their names first, under them when on the disk.

A full disk, Ctrl-C or a power cut leaves no part of a file under a name that somebody would read.
What belongs together gets its names together, after the last byte of the last file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Literal, NamedTuple

from nigroedge.errors import InputError
from nigroedge.io.open_file import about

#: What becomes of a file that has the name already: the work is refused, it goes, or it stays.
IfExists = Literal["refuse", "replace", "keep"]


_PARTIAL = ".nigroedge-{}.partial"


class _Part(NamedTuple):
    """A file that has not got its name yet."""

    partial: Path
    path: Path
    if_exists: IfExists

    def give_name(self) -> bool:
        """Whether the name is that of this file now."""
        if self.if_exists == "replace":
            self.partial.replace(self.path)
            return True
        try:
            _rename_to_new(self.partial, self.path)
        except FileExistsError:
            if self.if_exists == "refuse":
                raise InputError("expected a new file, but another program made one") from None
            return False
        return True


class Together:
    """Files of one piece of work; made by `together`."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    @contextmanager
    def open(
        self, path: str | os.PathLike[str], *, if_exists: IfExists = "refuse"
    ) -> Iterator[IO[bytes]]:
        """Give a file to write to, in binary; folders above it are made.

        Parameters
        ----------
        path : path-like
            The name that it gets with the others.
        if_exists : {'refuse', 'replace', 'keep'}
            What becomes of a file of that name, be it there now or made meanwhile.

        Raises
        ------
        InputError
            If it cannot be written, or the name is taken: by any file where that is to be refused,
            by a folder or device where it is to be replaced.
        """
        with about(path):
            name = _checked(path, if_exists)
            name.parent.mkdir(parents=True, exist_ok=True)
            partial = name.with_name(_partial_name())
            with partial.open("xb") as file:
                self._parts.append(_Part(partial, name, if_exists))
                yield file
                file.flush()
                os.fsync(file.fileno())  # a full disk may say so only now

    def write(
        self,
        path: str | os.PathLike[str],
        content: bytes | str,
        *,
        if_exists: IfExists = "refuse",
    ) -> None:
        """Write a file of that content; text in UTF-8. Raises as `open` does."""
        with self.open(path, if_exists=if_exists) as file:
            file.write(content.encode() if isinstance(content, str) else content)

    def _give_names(self) -> None:
        given: list[_Part] = []
        try:
            for part in self._parts:
                with about(part.path):
                    if part.give_name():
                        given.append(part)
        except BaseException:
            for part in given:
                if part.if_exists == "refuse":  # ours alone
                    _remove(part.path)
            raise
        for folder in {part.path.parent for part in given}:
            _sync(folder)

    def _remove_partial_files(self) -> None:
        for part in self._parts:
            _remove(part.partial)


@contextmanager
def together() -> Iterator[Together]:
    """Write files that get their names when the block ends; none does if it raises.

    >>> with together() as files:
    ...     files.write("sub-01_SMWI.json", "{}")
    ...     with files.open("sub-01_SMWI.nii") as file:
    ...         file.write(b"...")

    Raises
    ------
    InputError
        At the end, if another program has taken a name that was to be new: all are given up.
    """
    files = Together()
    try:
        yield files
        files._give_names()
    finally:
        files._remove_partial_files()


def write_file(
    path: str | os.PathLike[str], content: bytes | str, *, if_exists: IfExists = "refuse"
) -> None:
    """Write one file, as `Together.write` does."""
    with together() as files:
        files.write(path, content, if_exists=if_exists)


def check_writable(
    paths: Iterable[str | os.PathLike[str]], *, if_exists: IfExists = "refuse"
) -> None:
    """Refuse before the work what could not be written after it; nothing is left behind.

    Parameters
    ----------
    paths : iterable of path-like
        In folders that need not be there yet.
    if_exists : {'refuse', 'replace', 'keep'}

    Raises
    ------
    InputError
        If a name is taken, as `Together.open` has it, or its folder cannot be made or written to.
    """
    checked = set()
    for path in paths:
        with about(path):
            folder = _checked(path, if_exists).absolute().parent
            if folder not in checked:
                _check_folder(folder)
                checked.add(folder)


def remove_leftovers(folder: Path) -> None:
    """Remove what programs that were killed have left in a folder that no other writes to."""
    for partial in folder.glob(_PARTIAL.format("*")):
        _remove(partial)


@contextmanager
def scratch_folder(beside: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a folder beside a file or folder that may not be there yet; it goes with the block."""
    nearest = _nearest(Path(beside).absolute().parent)
    with TemporaryDirectory(prefix=".nigroedge-", dir=nearest) as folder:
        yield Path(folder)


def _checked(path: str | os.PathLike[str], if_exists: IfExists) -> Path:
    """The name to write: where a file is replaced, that which a link leads to."""
    name = Path(path)
    if if_exists == "refuse" and os.path.lexists(name):
        raise InputError("expected a new file, got one that exists: nothing is overwritten")
    if if_exists == "replace":
        name = name.resolve()
        if name.exists() and not name.is_file():
            raise InputError("expected a file, got a folder or a device of that name")
    return name


def _check_folder(folder: Path) -> None:
    probe = _nearest(folder) / _partial_name()
    with probe.open("xb"):
        probe.unlink()


def _nearest(folder: Path) -> Path:
    """The folder, or the first above it that is there."""
    return next(each for each in (folder, *folder.parents) if os.path.lexists(each))


def _partial_name() -> str:
    """A name of its own: neither its length nor its ending is that of the file to be."""
    return _PARTIAL.format(os.urandom(8).hex())


def _rename_to_new(partial: Path, path: Path) -> None:
    """Rename, where rename() itself would overwrite."""
    try:
        path.hardlink_to(partial)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: take the name, then the file
        path.open("xb").close()
        try:
            partial.replace(path)
        except BaseException:
            _remove(path)
            raise
    else:
        partial.unlink()


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _sync(folder: Path) -> None:
    """Have the names on the disk too, where a folder can be synchronised."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
