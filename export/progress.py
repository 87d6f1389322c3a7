# SPDX-License-Identifier: Apache-2.0
"""A bar on standard error with the time left, so that standard output holds results alone."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

#: Seconds between two drawings of a bar: live on a terminal, a line now and then in a log.
_INTERVAL_S = {True: 0.1, False: 60.0}


class Bar(Protocol):
    """What a step needs of a bar."""

    total: float | None

    def update(self) -> object:
        """Count one more step."""


@contextmanager
def bar(what: str, *, total: int, done: int = 0, leave: bool = True) -> Iterator[Bar]:
    """Show a bar of `total` steps, `done` of them done before now, while the block runs.

    One that is not left makes room for the next, where it is a step towards something larger.
    """
    interval = _INTERVAL_S[sys.stderr.isatty()]
    with tqdm(
        desc=what,
        total=total,
        initial=done,
        file=sys.stderr,
        mininterval=interval,
        leave=leave,
    ) as shown:
        yield shown


def track(items: Iterable[Item], what: str, *, total: int, leave: bool = True) -> Iterator[Item]:
    """Give the items one by one under a bar."""
    with bar(what, total=total, leave=leave) as shown:
        for item in items:
            yield item
            shown.update()


def say(line: str) -> None:
    """Write a line to standard error without breaking a bar."""
    tqdm.write(line, file=sys.stderr)
