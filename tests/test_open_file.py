# SPDX-License-Identifier: Apache-2.0
"""A file held open: short reads, errors of the system, and what counts as a change."""

import errno
import gc
import io
import os
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import FormatError, InputError
from nigroedge.io import open_file
from nigroedge.io.open_file import OpenFile, about

CONTENT = bytes(range(256)) * 10


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


def opened(path) -> OpenFile:
    return OpenFile(str(path))


def test_bytes_are_read_from_where_they_are_asked_for(path):
    file = opened(path)
    target = bytearray(4)
    file.read_into(memoryview(target), 254)

    assert b"\xfe\xff\0\1" == bytes(target)
    assert b"\xfe\xff" == file.read(100, len(CONTENT) - 2)
    assert b"" == file.read(1, len(CONTENT) + 9)
    assert 2560 == file.size


@given(sizes=st.lists(st.integers(0, 900), min_size=1))
def test_a_reader_gives_what_a_plain_file_gives(tmp_path_factory, sizes):
    path = tmp_path_factory.mktemp("reader") / "file"
    path.write_bytes(CONTENT)
    ours, theirs = opened(path).reader(), io.BytesIO(CONTENT)

    assert [theirs.read(size) for size in sizes] == [ours.read(size) for size in sizes]


@pytest.mark.parametrize("chunk", [1, 7, 2559, 2560, 2561])
def test_chunks_are_the_file(path, monkeypatch, chunk):
    monkeypatch.setattr(open_file, "_CHUNK", chunk)

    assert CONTENT == b"".join(bytes(piece) for piece in opened(path).chunks())


def test_reads_that_come_back_short_are_gone_on_with(path, monkeypatch):
    """As reads of a share, or of more than 2 GiB, may."""
    pread, preadv = os.pread, os.preadv
    monkeypatch.setattr(os, "pread", lambda file, size, at: pread(file, min(size, 100), at))
    monkeypatch.setattr(
        os, "preadv", lambda file, targets, at: preadv(file, [targets[0][:100]], at)
    )
    file, target = opened(path), bytearray(2000)
    file.read_into(memoryview(target), 500)

    assert CONTENT == file.read(9999, 0) == file.content()
    assert CONTENT[500:2500] == target
    file.read_runs(memoryview(target), (0, 1000), 1000)
    assert CONTENT[:1000] + CONTENT[1000:2000] == target


def test_an_end_that_comes_too_soon_says_where(path, monkeypatch):
    """A share may give less than the size that it states."""
    pread, preadv = os.pread, os.preadv

    def read_to_305(file, targets, at):
        return 0 if at >= 305 else preadv(file, [targets[0][:100]], at)

    monkeypatch.setattr(os, "preadv", read_to_305)
    file, target = opened(path), memoryview(bytearray(1000))
    with pytest.raises(InputError, match=r"expected 1000 bytes from byte 5 on.*got 300"):
        file.read_into(target, 5)
    with pytest.raises(InputError, match=r"expected 150 bytes from byte 205 on.*got 100"):
        file.read_runs(target, (5, 205), 150)
    monkeypatch.setattr(os, "pread", lambda file, size, at: pread(file, size, at + 60))
    with pytest.raises(InputError, match=r"expected 2560 bytes, as its size says, got 2500"):
        file.content()


def test_more_than_the_size_says_is_no_content():
    """Files of /proc are regular, of size 0, and not empty."""
    file = OpenFile("/proc/self/status")

    assert file.read(5, 0) == b"Name:"
    with pytest.raises(InputError, match="expected 0 bytes, as its size says, got more"):
        file.content()


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_an_error_of_the_system_is_ours(path, monkeypatch, number):
    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "preadv", fail)
    monkeypatch.setattr(os, "pread", fail)
    for read in (lambda file: file.read(10, 0), lambda file: list(file.chunks())):
        with pytest.raises(InputError) as caught, about("scan.nii"):
            read(opened(path))
        assert f"'scan.nii': {os.strerror(number)}" == str(caught.value)


def test_an_error_keeps_its_kind_and_says_which_file():
    with pytest.raises(FormatError, match=r"^'a\\nb': cut short$"), about("a\nb"):
        raise FormatError("cut short")


# In a program of its own: pytest has a stack of a fixed size for signals (faulthandler), and where
# OpenVINO asked for AMX before, in the same process, the frame of a signal is larger than that.
READ_UNDER_SIGNALS = """
import signal, sys
from nigroedge.io.open_file import OpenFile
file, seen = OpenFile(sys.argv[1]), []
signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
while len(seen) < 20:
    content = b"".join(bytes(chunk) for chunk in file.chunks())
signal.setitimer(signal.ITIMER_REAL, 0)
sys.stdout.buffer.write(content)
"""


def test_a_signal_while_reading_changes_nothing(path):
    path.write_bytes(CONTENT * 5000)  # 12 MB: many chunks
    run = subprocess.run(
        [sys.executable, "-c", READ_UNDER_SIGNALS, path],
        capture_output=True,
        check=True,
        timeout=60,
    )

    assert CONTENT * 5000 == run.stdout


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: os.truncate(path, 3), "expected 2560 bytes.*got 3: it was cut short"),
        (lambda path: path.write_bytes(CONTENT + b"x"), "expected 2560.*got 2561: it was added to"),
        (lambda path: os.utime(path, ns=(5, 5)), "expected its 2560 bytes.*written to meanwhile"),
    ],
)
def test_a_change_is_seen(path, change, words):
    file = opened(path)
    file.check_unchanged()
    change(path)

    with pytest.raises(InputError, match=words):
        file.check_unchanged()
    with pytest.raises(InputError, match=words):
        list(file.chunks())


def test_reading_and_moving_a_file_is_no_change(path):
    file = opened(path)
    path.chmod(0o400)
    path.rename(path.with_name("moved"))
    path.write_bytes(b"another")

    assert CONTENT == b"".join(bytes(chunk) for chunk in file.chunks())


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # opening one waits for a writer
    for name in ("pipe", ".", "nul\0"):
        with pytest.raises(InputError):
            opened(tmp_path / name)
    with pytest.raises(InputError, match="regular file"):
        opened("/dev/zero")
    with pytest.raises(FileNotFoundError):
        opened(tmp_path / "absent")


def test_a_file_is_closed_when_nobody_has_it_any_more(tmp_path, path):
    def n_open() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (the listing is what is counted)

    gc.collect()
    before = n_open()
    files = [opened(path) for _ in range(20)]
    assert before + 20 == n_open()
    del files
    for _ in range(20):
        with pytest.raises(InputError):
            opened(tmp_path)
    gc.collect()

    assert before == n_open()


def test_any_number_of_threads_may_read(path):
    path.write_bytes(CONTENT * 1000)
    file, wrong = opened(path), []

    def read() -> None:
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            for at in range(0, 2_560_000, 99_999):
                if file.read(1000, at) != (CONTENT * 6)[at % 256 :][:1000]:
                    wrong.append(at)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == wrong
