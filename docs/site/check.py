# SPDX-License-Identifier: Apache-2.0
"""Check a site: every link and anchor leads somewhere, and nothing comes from afar."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: Attributes by which a page loads something, by element; what a reader follows is not here.
_LOADS = {
    **dict.fromkeys(("script", "img", "iframe", "source", "video", "audio", "embed"), "src"),
    "link": "href",
    "object": "data",
}
#: A stylesheet that loads something from elsewhere.
_CSS_LOAD = re.compile(r"(?:@import\s*|url\()\s*[\"']?((?:https?:)?//[^\"')\s]+)", re.I)


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {key: value for key, value in attributes if value is not None}
        self.anchors |= {given[key] for key in ("id", "name") if key in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in _LOADS and _LOADS[tag] in given:
            self.loads.append(given[_LOADS[tag]])


def problems_of(site: Path) -> list[str]:
    """Give one line for each link that leads nowhere, and for each load from elsewhere.

    Parameters
    ----------
    site : Path
        Folder of the HTML files.
    """
    site = site.resolve()
    paths = sorted(site.rglob("*.html"))
    pages = {path: _Page(path.read_text()) for path in paths}
    problems = [line for path in paths for line in _page_problems(path, pages, site)]
    for path in sorted(site.rglob("*.css")):
        for address in _CSS_LOAD.findall(path.read_text()):
            problems.append(f"{path.relative_to(site)} loads {address}")
    return problems


def _page_problems(path: Path, pages: dict[Path, _Page], site: Path) -> list[str]:
    name = path.relative_to(site)
    problems = []
    for address in pages[path].loads:
        if _is_elsewhere(address):
            problems.append(f"{name} loads {address}")
    for address in (*pages[path].links, *pages[path].loads):
        if not _is_elsewhere(address) and not urlsplit(address).scheme:
            problems += [f"{name}: {reason}" for reason in _reasons(address, path, pages)]
    return problems


def _is_elsewhere(address: str) -> bool:
    return urlsplit(address).netloc != ""


def _reasons(address: str, path: Path, pages: dict[Path, _Page]) -> list[str]:
    parts = urlsplit(address)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return [f"no file behind the link {address}"]
    anchor = unquote(parts.fragment)
    if not anchor or target not in pages or anchor in pages[target].anchors:
        return []
    return [f"no anchor behind the link {address}"]
