# SPDX-License-Identifier: Apache-2.0
"""Lay out what the generator reads: the pages of docs/, and those that are made."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs.site.commands import command_pages
from docs.site.markdown import LINK, outside_code

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent

#: The Python interface, a page each.
PACKAGES = (
    *("nigroedge", "nigroedge.smwi", "nigroedge.study"),
    *("nigroedge.phantom", "nigroedge.phantom.acquisition", "nigroedge.errors"),
)
#: What a page may show of the repository, by the ending of its name.
LANGUAGES = {
    **{".c": "c", ".h": "c", ".cs": "csharp", ".py": "python"},
    **{".txt": "cmake", ".md": "markdown", ".toml": "toml"},
}
_NAME = re.compile(r"(?<!`)`([^`\s]{2,28})`(?![`{])")
_NO_PAGES = ("__pycache__", "site")


def stage(folder: Path, sections: list[dict[str, Any]]) -> tuple[list[Any], list[str]]:
    """Write every page into a folder.

    Parameters
    ----------
    folder : Path
        Not there yet.
    sections : list of dict
        Of the menu: `title`, and `pages` by name or `made`, one of `commands`, `api` and `files`.

    Returns
    -------
    menu : list
        As the generator takes it.
    unlisted : list of str
        Pages of docs/ that no section has.
    """
    names = sorted(path.relative_to(DOCS).as_posix() for path in page_paths())
    shutil.copytree(DOCS, folder, ignore=shutil.ignore_patterns(*_NO_PAGES, "*.py", "*.md"))
    files: dict[Path, str] = {}
    for name in names:
        text = _with_files((DOCS / name).read_text(), DOCS / name, files)
        _write(folder / name, _with_whole_names(text))
    made = {
        "commands": _write_all(folder / "commands", command_pages()),
        "api": _write_all(folder / "api", _api_pages()),
        "files": _write_all(folder / "files", _file_pages(files)),
    }
    menu: list[Any] = []
    for section in sections:
        pages = [*section.get("pages", ()), *made.get(section.get("made", ""), ())]
        menu += [{section["title"]: pages}] if "title" in section else pages
    listed = {page for section in sections for page in section.get("pages", ())}
    return menu, [name for name in names if name not in listed]


def page_paths() -> Iterator[Path]:
    """Give the pages of docs/ that are written by hand."""
    for path in sorted(DOCS.rglob("*.md")):
        if not set(path.relative_to(DOCS).parts) & set(_NO_PAGES):
            yield path


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _write_all(folder: Path, pages: dict[str, str]) -> list[str]:
    for name, text in pages.items():
        _write(folder / f"{name}.md", text)
    return [f"{folder.name}/{name}.md" for name in pages]


def _with_files(text: str, path: Path, files: dict[Path, str]) -> str:
    """Let links to files of the repository lead to pages that show them; add these to files."""

    def link(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(path.parent / match["target"]))
        if not match["target"] or DOCS in target.parents or not target.is_file():
            return match[0]
        files[target] = target.relative_to(ROOT).as_posix().replace("/", "-")
        up = "../" * (len(path.relative_to(DOCS).parts) - 1)
        return f"]({up}files/{files[target]}.md)"

    return outside_code(text, lambda prose: LINK.sub(link, prose))


def _with_whole_names(text: str) -> str:
    """Keep short names in the text from being broken at their hyphens (assets/extra.css)."""
    return outside_code(text, lambda prose: _NAME.sub(r"`\1`{ .whole }", prose))


def _file_pages(files: dict[Path, str]) -> dict[str, str]:
    return {
        name: f"# {path.relative_to(ROOT)}\n\n"
        f"````{LANGUAGES[path.suffix]}\n{path.read_text()}\n````\n"
        for path, name in sorted(files.items())
    }


def _api_pages() -> dict[str, str]:
    return {name: _api_page(name) for name in PACKAGES}


def _api_page(name: str) -> str:
    module = importlib.import_module(name)
    public = getattr(module, "__all__", None)
    options: dict[str, Any] = {"heading_level": 2, "show_root_toc_entry": "false"}
    if public is not None:
        options["members"] = json.dumps(public)
    lines = "".join(f"      {key}: {value}\n" for key, value in options.items())
    return f"# {name}\n\n::: {name}\n    options:\n{lines}"
