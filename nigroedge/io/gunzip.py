# SPDX-License-Identifier: Apache-2.0
"""A gzip stream read in pieces whose size the caller bounds, so that no file can fill the memory.

zlib of the standard library does the work. isal would read a simulated 384 × 384 × 30 slab (6 MB
packed) in 23 instead of 44 ms, but of the slab kept uncompressed both patches are read in 0.5 ms:
not worth a second decoder that every hostile file would have to be tried on.
"""

from __future__ import annotations

import zlib
from typing import Protocol

import numpy as np
import numpy.typing as npt

from nigroedge.errors import FormatError

#: bgzip writes members of 64 KiB: 2¹⁶ of them hold 4 GiB. The cap bounds the work that a file made
#: of empty members can ask for.
MAX_MEMBERS = 1 << 16

_COMPRESSED_CHUNK = 1 << 16
_PIECE = 1 << 20
_WBITS_GZIP = 31  # 16 asks zlib for gzip's header and checksum, 15 is the largest window


class Readable(Protocol):
    """What a stream is read from."""

    def read(self, size: int, /) -> bytes:
        """Give the next `size` bytes, fewer only at the end."""


class GunzipStream:
    """Decompresses a file of one or more gzip members, followed by nothing but zeros.

    Parameters
    ----------
    file : Readable
        At the first member. Not closed here.
    """

    def __init__(self, file: Readable) -> None:
        self._file = file
        self._member = zlib.decompressobj(_WBITS_GZIP)
        self._n_members = 1
        self._compressed = b""

    def read(self, size: int) -> bytes:
        """Give the next bytes: `size` of them, or fewer at the end of the stream.

        Raises
        ------
        FormatError
            If the stream is damaged, cut short, or followed by something that is not gzip.
        """
        pieces = []
        while size > 0 and (piece := self._next(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def read_into(self, target: npt.NDArray[np.uint8]) -> int:
        """Fill `target`, a one-dimensional array, and give the number of bytes written.

        Fewer than asked for means that the stream has ended. Raises as `read` does.
        """
        filled = 0
        while filled < target.size and (piece := self._next(target.size - filled)):
            target[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
            filled += len(piece)
        return filled

    def _next(self, max_size: int) -> bytes:
        """Give 1 to `max_size` bytes, none only at the end of the last member."""
        while True:
            if self._member.eof and not self._open_next_member():
                return b""
            compressed = self._compressed or self._file.read(_COMPRESSED_CHUNK)
            try:
                # Even without input: the last output may still lie in the decompressor.
                piece = self._member.decompress(compressed, min(max_size, _PIECE))
            except zlib.error as error:
                reason = str(error).rpartition(": ")[2]  # "Error -3 while …: incorrect data check"
                raise FormatError(f"expected a valid gzip stream, got {reason}") from error
            eof = self._member.eof
            self._compressed = self._member.unused_data if eof else self._member.unconsumed_tail
            if piece:
                return piece
            if not compressed and not eof:
                raise FormatError("expected a whole gzip stream, got one that is cut short")

    def _open_next_member(self) -> bool:
        rest = self._compressed.lstrip(b"\0")
        while not rest and (chunk := self._file.read(_COMPRESSED_CHUNK)):
            rest = chunk.lstrip(b"\0")
        if not rest:
            return False
        self._n_members += 1
        if self._n_members > MAX_MEMBERS:
            raise FormatError(f"expected at most {MAX_MEMBERS} gzip members, got more")
        self._member = zlib.decompressobj(_WBITS_GZIP)
        self._compressed = rest
        return True
