# SPDX-License-Identifier: Apache-2.0
"""SHA-256 beside other work: that of an image takes longer than a prediction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Protocol

from nigroedge.errors import InputError


class Hashed(Protocol):
    """What computes its SHA-256 when it is first asked for it, and keeps it."""

    @property
    def sha256(self) -> str: ...


@contextmanager
def hashing(file: Hashed) -> Iterator[None]:
    """Hash a file in a thread of its own while the block runs.

    The thread ends with the block. A file that cannot be read is left to whoever asks for its hash,
    and so is the hash where no thread is to be had.
    """

    def work() -> None:
        with suppress(InputError, OSError):
            file.sha256  # noqa: B018

    thread = _started(Thread(target=work, daemon=True))
    try:
        yield
    finally:
        if thread is not None:
            thread.join()


def _started(thread: Thread) -> Thread | None:
    try:
        thread.start()
    except RuntimeError:  # the system refuses it
        return None
    return thread
