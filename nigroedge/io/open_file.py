# SPDX-License-Identifier: Apache-2.0
"""A file that is held open and read where something of it is needed.

It is never mapped: what shrinks under a mapping ends the process. Another file that takes its name,
or nothing that does, makes no difference; what is written into it does, and is an error. So all
that is read, now or later, belongs to one state of one file, and its SHA-256 to that.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from nigroedge.errors import InputError
from nigroedge.names import quoted

_CHUNK = 1 << 18


@contextmanager
def about(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say which file an error is about, and turn the system's errors into ours."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{quoted(path)}: {error}") from error
    except OSError as error:
        from nigroedge.io.kind import reason_of  # where something is wrong already

        raise InputError(f"{quoted(path)}: {reason_of(error, path)}") from error


class OpenFile:
    """A regular file that is held open.

    Any number of threads may read it at once. Errors do not name it: see `about`. A change is known
    by size and time of change, as the system tells them; one within the tick of the file system's
    clock in which the file was opened, some milliseconds, is not seen.

    Parameters
    ----------
    path : str

    Raises
    ------
    InputError
        If the name holds a NUL or is not a regular file's.
    OSError
        If it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = -1
        if "\0" in path:
            raise InputError("expected a file name without NUL")
        # Without O_NONBLOCK a pipe would be waited for.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            from nigroedge.io.kind import check_regular

            check_regular(status.st_mode)
        self.size = status.st_size
        self._changed_ns = status.st_mtime_ns

    def __del__(self, close=os.close) -> None:  # type: ignore[no-untyped-def]  # os may be gone
        if self._descriptor >= 0:
            close(self._descriptor)

    def read(self, size: int, offset: int) -> bytes:
        """Give `size` bytes from `offset` on, fewer only where the file ends before."""
        content = os.pread(self._descriptor, size, offset)
        while len(content) < size:  # a read may come back short
            more = os.pread(self._descriptor, size - len(content), offset + len(content))
            if not more:
                break
            content += more
        return content

    def content(self) -> bytes:
        """Give the whole file. Whoever calls has looked at its size.

        Raises
        ------
        InputError
            If it has changed since it was opened, or is not as long as its size says.
        OSError
            If the system cannot read it.
        """
        content = self.read(self.size + 1, 0)
        self.check_unchanged()
        if len(content) != self.size:
            got = "more" if len(content) > self.size else len(content)
            raise InputError(f"expected {self.size} bytes, as its size says, got {got}")
        return content

    def read_into(self, target: memoryview, offset: int) -> None:
        """Fill `target` with the bytes from `offset` on.

        Whoever has read all that it needs calls `check_unchanged`.

        Raises
        ------
        InputError
            If the file ends before.
        OSError
            If the system cannot read it.
        """
        filled = self._fill(target, offset)
        if filled < target.nbytes:
            self.check_unchanged()
            raise InputError(
                f"expected {target.nbytes} bytes from byte {offset} on, as its size says, "
                f"got {filled}"
            )

    def read_runs(self, target: memoryview, offsets: Iterable[int], size: int) -> None:
        """Fill `target` with `size` bytes from each offset on, one after another.

        Raises as `read_into` does.
        """
        preadv, descriptor = os.preadv, self._descriptor
        for n, offset in enumerate(offsets):
            part = target[n * size : (n + 1) * size]
            if preadv(descriptor, (part,), offset) != size:
                self.read_into(part, offset)

    def _fill(self, target: memoryview, offset: int) -> int:
        """Read until `target` is full or the file ends: a read may come back short."""
        filled = 0
        while filled < target.nbytes:
            n = os.preadv(self._descriptor, [target[filled:]], offset + filled)
            if n == 0:
                break
            filled += n
        return filled

    def reader(self) -> Reader:
        """Read from the first byte on; any number of readers may be about."""
        return Reader(self)

    def chunks(self) -> Iterator[memoryview]:
        """Give all bytes in order; each chunk is overwritten by the next.

        Raises
        ------
        InputError
            If the file has changed since it was opened.
        OSError
            If the system cannot read it.
        """
        buffer = memoryview(bytearray(_CHUNK))
        for offset in range(0, self.size, _CHUNK):
            chunk = buffer[: self.size - offset]
            self.read_into(chunk, offset)
            yield chunk
        self.check_unchanged()

    def check_unchanged(self) -> None:
        """Make sure that what was read until now is of the file as it was opened.

        Raises
        ------
        InputError
            If it has another size or time of change.
        """
        status = os.fstat(self._descriptor)
        if status.st_size != self.size:
            change = "cut short" if status.st_size < self.size else "added to"
            raise InputError(
                f"expected {self.size} bytes, as when it was opened, got {status.st_size}: it was "
                f"{change} meanwhile"
            )
        if status.st_mtime_ns != self._changed_ns:
            raise InputError(
                f"expected its {self.size} bytes as when it was opened, got others: it was written "
                f"to meanwhile"
            )


class Reader:
    """Reads a file from its first byte to its last."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._offset = 0

    def read(self, size: int, /) -> bytes:
        """Give the next `size` bytes, fewer only at the end of the file."""
        content = self._file.read(size, self._offset)
        self._offset += len(content)
        return content
