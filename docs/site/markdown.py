# SPDX-License-Identifier: Apache-2.0
"""As much of Markdown as checks and links need: what is code, what is a link, what is a heading."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

#: A link or picture: the target without its anchor, and the anchor.
LINK = re.compile(r"\]\((?!\w+:)(?P<target>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)")
_FENCE = re.compile(r"^(?P<mark>```+)(?P<language>\w*)\n(?P<code>.*?)^(?P=mark)$", re.M | re.S)


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """Apply a change to everything but fenced code."""
    parts: list[str] = []
    end = 0
    for fence in _FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(text[end:])])


def code_blocks(text: str) -> Iterator[tuple[str, str]]:
    """Give the language and the text of each fenced block."""
    for fence in _FENCE.finditer(text):
        yield fence["language"], fence["code"]


def prose(text: str) -> str:
    """Blank fenced code, and keep the number of lines."""
    return _FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), text)
