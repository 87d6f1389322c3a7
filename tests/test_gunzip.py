# SPDX-License-Identifier: Apache-2.0
"""The bounded gzip reader gives what gzip gives, and never more than was asked for."""

import gzip
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import FormatError
from nigroedge.io import gunzip


def stream(content):
    return gunzip.GunzipStream(io.BytesIO(content))


def test_pieces_of_one_stream():
    reader = stream(gzip.compress(b"nigrosome"))

    assert [b"nig", b"ro", b"some", b""] == [reader.read(size) for size in (3, 2, 99, 1)]


def test_an_array_is_filled_as_far_as_the_stream_goes():
    target = np.zeros(6, np.uint8)

    assert 4 == stream(gzip.compress(bytes([1, 2, 3, 4]))).read_into(target)
    assert [1, 2, 3, 4, 0, 0] == target.tolist()
    members = gzip.compress(bytes([5, 6])) + gzip.compress(bytes([7, 8, 9, 10, 11, 12]))
    assert 6 == stream(members).read_into(target)
    assert [5, 6, 7, 8, 9, 10] == target.tolist()


def test_members_are_read_wherever_chunks_end_and_are_counted(monkeypatch):
    monkeypatch.setattr(gunzip, "_COMPRESSED_CHUNK", 1)
    monkeypatch.setattr(gunzip, "MAX_MEMBERS", 3)
    member = gzip.compress(b"ab") + bytes(3)

    assert b"ababab" == stream(3 * member).read(99)
    with pytest.raises(FormatError, match="at most 3 gzip members"):
        stream(4 * member).read(99)


@given(st.binary(max_size=1500), st.lists(st.integers(1, 2000)), st.integers(1, 5))
def test_the_gunzip_stream_gives_what_gzip_gives_in_any_pieces(content, sizes, n_members):
    step = len(content) // n_members + 1
    parts = [content[i : i + step] for i in range(0, max(len(content), 1), step)]
    reader = stream(b"".join(map(gzip.compress, parts)))
    pieces = [reader.read(size) for size in sizes]

    assert all(len(piece) <= size for piece, size in zip(pieces, sizes, strict=True))
    assert content == b"".join(pieces) + reader.read(5000)
    assert b"" == reader.read(1)


BROKEN = {
    "empty": (b"", "cut short"),
    "magic alone": (b"\x1f\x8b", "cut short"),
    "last byte missing": (gzip.compress(b"abc")[:-1], "cut short"),
    "text": (b"text", "incorrect header check"),
    "wrong checksum": (gzip.compress(b"abc")[:-8] + bytes(8), "incorrect data check"),
    "garbage behind": (gzip.compress(b"abc") + b"abc", "incorrect header check"),
    "second cut": (gzip.compress(b"abc") + gzip.compress(b"abc")[:-1], "cut short"),
}


@pytest.mark.parametrize(("content", "words"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_gzip_stream_is_refused(content, words):
    with pytest.raises(FormatError, match=words):
        stream(content).read(100)


def test_output_that_waits_in_the_decompressor_is_not_lost():
    # All input is taken long before all output is given.
    content = bytes(10 << 20)
    reader = stream(gzip.compress(content))

    assert content == b"".join(iter(lambda: reader.read(1 << 19), b""))
