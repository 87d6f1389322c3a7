# SPDX-License-Identifier: Apache-2.0
"""Pages about commands, made of their parsers."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import Any

import export.__main__
import nigroedge.cli


def command_pages() -> dict[str, str]:
    """Give the Markdown of a page for each program and each of its commands, by name."""
    return {
        **_pages("nigroedge", nigroedge.cli.parser()),
        **_pages("export", export.__main__.parser()),
    }


def _pages(name: str, program: argparse.ArgumentParser) -> dict[str, str]:
    commands = subcommands(program)
    pages = {f"{name}-{word}": _page(command, program) for word, command in commands.items()}
    return {name: _program_page(name, program), **pages}


def subcommands(program: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Give the commands of a program, by name."""
    return dict(_commands(program).choices)


def _commands(program: argparse.ArgumentParser) -> argparse._SubParsersAction[Any]:
    (commands,) = (a for a in program._actions if isinstance(a, argparse._SubParsersAction))
    return commands


def _program_page(name: str, program: argparse.ArgumentParser) -> str:
    listed = _commands(program)._choices_actions
    rows = [f"| [{c.dest}]({name}-{c.dest}.md) | {escaped(c.help or '')} |" for c in listed]
    return _joined(
        f"# {program.prog}",
        *_paragraphs(program.description or ""),
        "\n".join(["| command | what it does |", "|---|---|", *rows]),
        *_paragraphs(program.epilog or ""),
    )


def _page(command: argparse.ArgumentParser, program: argparse.ArgumentParser) -> str:
    usage = command.format_usage().removeprefix("usage: ")
    parts = [f"# {command.prog}", *_paragraphs(command.description or "")]
    parts.append(f"```text\n{usage}```")
    for word, is_option in (("argument", False), ("option", True)):
        rows = [_row(a) for a in command._actions if bool(a.option_strings) == is_option]
        if rows:
            parts.append("\n".join([f"| {word} | meaning |", "|---|---|", *rows]))
    # What the program says under each command stands on its own page once.
    own = (command.epilog or "").removesuffix(program.epilog or "")
    return _joined(*parts, *_paragraphs(own))


def _joined(*parts: str) -> str:
    return "\n\n".join(parts) + "\n"


def _row(action: argparse.Action) -> str:
    name = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    values = ""
    if action.option_strings and action.nargs != 0:
        values = f" {_metavar(action)}"
    choices = ""
    if action.choices is not None:
        choices = ", ".join(f"`{choice}`" for choice in action.choices)
    said = escaped((action.help or "") % {**vars(action), "prog": ""})
    return f"| `{name}{values}` | {'; one of '.join(filter(None, (said, choices)))} |"


def _metavar(action: argparse.Action) -> str:
    word = str(action.metavar or ("" if action.choices else action.dest.upper()))
    return f"{word or '…'}{' …' if action.nargs in ('+', '*') else ''}"


def escaped(text: str) -> str:
    """Keep what argparse prints as it stands from being read as Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", text)


def _paragraphs(text: str) -> Iterator[str]:
    """Give prose as prose and what is indented as code."""
    for paragraph in filter(None, re.split(r"\n\s*\n", text.strip("\n"))):
        lines = paragraph.split("\n")
        code = [line.startswith(" ") for line in lines]
        if any(code):
            first = code.index(True)
            if first:
                yield escaped(" ".join(lines[:first]))
            indented = "\n".join(line.removeprefix("  ") for line in lines[first:])
            yield f"```text\n{indented}\n```"
        else:
            yield escaped("  \n".join(lines) if _is_list(lines) else "\n".join(lines))


def _is_list(lines: list[str]) -> bool:
    """Tell lines that each say something from one text that was wrapped."""
    return all(len(line) < 75 for line in lines)
