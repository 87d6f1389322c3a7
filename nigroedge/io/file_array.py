# SPDX-License-Identifier: Apache-2.0
"""An array whose elements lie in a file and are read where they are needed."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nigroedge.io.open_file import OpenFile, about

if TYPE_CHECKING:
    import numpy.typing as npt

#: A read costs as much as this many bytes more: some microseconds on a local disk. On a share it
#: costs more, and fewer, longer reads would be better still.
_READ_COST_BYTES = 1 << 16


class FileArray:
    """An array that lies in a file.

    Parameters
    ----------
    file : OpenFile
    path : path-like
        What the user calls the file, for messages.
    dtype : numpy.dtype
        Of any byte order.
    offset : int
        Bytes before the first element.
    shape : tuple of int
    order : {'F', 'C'}
        Which axis is the fastest: the first or the last.
    """

    def __init__(
        self,
        file: OpenFile,
        path: str | os.PathLike[str],
        dtype: np.dtype[Any],
        offset: int,
        shape: tuple[int, ...],
        order: Literal["F", "C"],
    ) -> None:
        self.dtype, self.shape = dtype, shape
        self._file, self._path, self._offset = file, path, offset
        self._order = order

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def __repr__(self) -> str:
        """Say what it is without reading it."""
        return f"<{self.dtype.name} {self.shape} in a file>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process, which may not have the file, as an array in memory."""
        return np.asarray, (self.read(),)

    def read(self) -> npt.NDArray[Any]:
        """Read the whole array, as `window` does."""
        return self.window((0,) * self.ndim, self.shape)

    def part(self, index: int) -> npt.NDArray[Any]:
        """Read what has this index along the slowest axis; that axis is left out."""
        slowest = 0 if self._order == "C" else self.ndim - 1
        begin, end = [0] * self.ndim, list(self.shape)
        begin[slowest], end[slowest] = index, index + 1
        return self.window(begin, end).squeeze(slowest)

    def window(self, begin: Sequence[int], end: Sequence[int]) -> npt.NDArray[Any]:
        """Read the box [begin, end) of the array: 0 ≤ begin < end ≤ shape along each axis.

        Runs of the file that hold it are read, some elements beside it with them, but of memory
        never more than its own and 64 KiB for each of its rows.

        Returns
        -------
        ndarray of dtype, read-only, of some strides

        Raises
        ------
        InputError
            If the file has changed since it was opened, or cannot be read.
        """
        if not all(0 <= b < e <= n for b, e, n in zip(begin, end, self.shape, strict=True)):
            raise ValueError(
                f"expected a window within {self.shape}, got {tuple(begin)} to {tuple(end)}"
            )
        with about(self._path):
            window = self._read(begin, end)
            self._file.check_unchanged()
        window.setflags(write=False)
        return window

    def _read(self, begin: Sequence[int], end: Sequence[int]) -> npt.NDArray[Any]:
        if self._order == "C":
            return self._read_c(self.shape, begin, end)
        return self._read_c(self.shape[::-1], begin[::-1], end[::-1]).transpose()

    def _read_c(
        self, shape: Sequence[int], begin: Sequence[int], end: Sequence[int]
    ) -> npt.NDArray[Any]:
        """Read a box of the file's array in C order, whose last axis is the fastest."""
        itemsize = self.dtype.itemsize
        steps = [itemsize * math.prod(shape[i + 1 :]) for i in range(len(shape))]
        extent = [e - b for b, e in zip(begin, end, strict=True)]
        n_outer, run = _cheapest_runs(extent, steps, itemsize)
        outer = extent[:n_outer]
        offsets = [self._offset + sum(b * step for b, step in zip(begin, steps, strict=True))]
        for n, step in zip(outer, steps, strict=False):
            offsets = [offset + i * step for offset in offsets for i in range(n)]
        content = np.empty(len(offsets) * run, np.uint8)
        self._file.read_runs(content.data, offsets, run)
        packed = [run * math.prod(outer[i + 1 :]) for i in range(n_outer)]
        return np.ndarray(extent, self.dtype, content, 0, [*packed, *steps[n_outer:]])


def _cheapest_runs(extent: Sequence[int], steps: Sequence[int], itemsize: int) -> tuple[int, int]:
    """Choose the runs to read: one for each index of so many outer axes, of so many bytes each.

    A run reaches from the first to the last element of the box along the inner axes: the more axes
    it spans, the fewer reads, and the more bytes that lie between.
    """
    choices, run = [], itemsize
    for n_outer in reversed(range(len(extent))):
        run += (extent[n_outer] - 1) * steps[n_outer]
        choices.append((math.prod(extent[:n_outer]) * (run + _READ_COST_BYTES), n_outer, run))
    _, n_outer, run = min(choices)
    return n_outer, run
