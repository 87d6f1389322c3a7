# SPDX-License-Identifier: Apache-2.0
"""What a command that writes files has to show: their names, one a line, and notes on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nigroedge.names import readable


class Written:
    """Files that were written, the main one first, and what is to be known of them."""

    failed = False

    def __init__(self, *paths: Path, notes: tuple[str, ...] = ()) -> None:
        self._names = [readable(path) for path in paths]
        self._notes = notes

    def to_dict(self) -> dict[str, Any]:
        """Give what --json prints."""
        return {"written": self._names} | ({"notes": [*self._notes]} if self._notes else {})

    def lines(self) -> Iterator[str]:
        """Give what is printed otherwise."""
        yield from self._names
        yield from self._notes


def imported(path: Path) -> Written:
    """Give a model file that was made of a network from elsewhere, and which engines run it."""
    from nigroedge.verify import refusals

    found = refusals(path)
    able = ", ".join(name for name, refusal in found.items() if not refusal)
    refused = [refusal for refusal in found.values() if refusal]
    return Written(path, notes=(f"runs on {able or 'no engine here'}", *refused))
