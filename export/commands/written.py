# SPDX-License-Identifier: Apache-2.0
"""What a command that writes files has to show: their names, one a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nigroedge.names import readable


class Written:
    """Files that were written, the main one first."""

    failed = False

    def __init__(self, *paths: Path) -> None:
        self._names = [readable(path) for path in paths]

    def to_dict(self) -> dict[str, Any]:
        """Give what --json prints."""
        return {"written": self._names}

    def lines(self) -> Iterator[str]:
        """Give what is printed otherwise."""
        yield from self._names
