# SPDX-License-Identifier: Apache-2.0
"""Tables as spreadsheets and programs write them.

Columns are separated by commas, semicolons or tabs, numbers have a decimal point or comma: which
ones is found in the table itself, and two at once are refused. The text is UTF-8 or, with a
byte-order mark, UTF-16. A first line `sep=;`, a first column without a name (pandas' index), empty
rows, and delimiters behind the last cell are what spreadsheets and programs add; they are passed
over. Nothing else is: a cell too many, or one under no name, is a problem of its line.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nigroedge.errors import FormatError

DELIMITERS: Mapping[str, str] = {",": "commas", ";": "semicolons", "\t": "tabs"}
#: How a cell says that it has no value: empty, as BIDS has it, as R has it; in any case.
_MISSING = {"", "n/a", "na"}
#: More lines than a person mends by hand; a file of noise would fill the memory with messages.
MAX_PROBLEMS = 1000

_BROKEN = (
    f"expected cells of at most {csv.field_size_limit()} characters, with their quotes closed on "
    f"the same line"
)
#: A line that is left out, to some programs; to others, and here, it would be a row.
_COMMENTS = ("#", "%", "//")
_SEP_LINE = re.compile(r'"?sep=([^"])"?', re.IGNORECASE)
#: What pandas calls the index of a table that it wrote, read and wrote again.
_PANDAS_INDEX = "Unnamed: 0"
_NUMBER = {
    sign: re.compile(rf"[+-]?(?:[0-9]+{mark}?[0-9]*|{mark}[0-9]+)(?:[eE][+-]?[0-9]+)?")
    for sign, mark in ((".", r"\."), (",", ","))
}
_MINUS = str.maketrans("\u2212", "-")  # as spreadsheets of some languages write it

Problem = tuple[int, str]


class Line(NamedTuple):
    """One row: its number in the file, from 1, and its cells by the names of their columns."""

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Sheet:
    """A table of texts.

    Parameters
    ----------
    columns : tuple of str
        Names as they are written, in order; those without one are left out.
    lines : tuple of Line
        The rows in order, without the empty ones.
    problems : tuple of (int, str)
        Line and what is wrong there. Such lines are not among `lines`.
    header_line : int
        Where the names stand.
    """

    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    problems: tuple[Problem, ...]
    header_line: int


def decode(content: bytes) -> str:
    """Give the text of a file.

    Raises
    ------
    FormatError
        If it is neither UTF-8 nor UTF-16 with a byte-order mark, or holds a NUL.
    """
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise FormatError(
            f"line {line}: expected UTF-8 text (a spreadsheet's 'CSV UTF-8'), or UTF-16 with a "
            f"byte-order mark, got another encoding or binary data"
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise FormatError(
            f"line {line}: expected text without NUL, got binary data, or UTF-16 without its "
            f"byte-order mark"
        )
    return text


def text_lines(text: str) -> list[str]:
    """Split a text where Unix, Windows or old Macintoshes end a line, and nowhere else."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def split_line(line: str, delimiter: str) -> list[str] | None:
    """Give the cells of a line; None if its quotes are not closed or a cell has no end."""
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return None


def read_sheet(text: str, known: Collection[str]) -> Sheet:
    """Read the text of a table.

    Parameters
    ----------
    text : str
        As decode() gives it.
    known : collection of str
        Names of columns in lower case, any of which tells the delimiter.

    Raises
    ------
    FormatError
        If the line of names cannot be split, or can be in two ways.
    """
    lines = list(enumerate(text_lines(text), 1))
    declared = _SEP_LINE.fullmatch(lines[0][1].strip(" "))
    if declared:
        lines = lines[1:]
    first = next((i for i, (_, line) in enumerate(lines) if line.strip(",;\t ")), len(lines))
    number, line = lines[first] if first < len(lines) else (1, "")
    delimiter = _delimiter(number, line, known, declared and declared[1])
    names = split_line(line, delimiter)
    if names is None:
        raise FormatError(f"line {number}: expected the names of the columns: {_BROKEN}")
    while names and not names[-1].strip():
        names.pop()
    names[:1] = [name if name != _PANDAS_INDEX else "" for name in names[:1]]
    rows, problems = _rows(lines[first + 1 :], delimiter, names)
    columns = tuple(name for name in names if name.strip())
    return Sheet(columns, tuple(rows), tuple(problems), number)


def _delimiter(number: int, line: str, known: Collection[str], declared: str | None) -> str:
    """Find what separates the names: that by which a known one stands alone."""
    if declared is not None and declared not in DELIMITERS:
        raise FormatError(f"line 1: expected sep= and a {_either()}, got another character")
    unquoted = re.sub(r'"[^"]*"', "", line)
    there = [mark for mark in DELIMITERS if mark in unquoted]
    fitting = [mark for mark in there if _names(line, mark) & set(known)] or there[:1]
    if declared is not None and there and declared not in there:
        raise FormatError(
            f"line {number}: expected {DELIMITERS[declared]}, as line 1 says, between the names of "
            f"the columns, got {DELIMITERS[fitting[0]]}"
        )
    if declared is None and len(fitting) > 1:
        raise FormatError(
            f"line {number}: expected one delimiter between the names of the columns, got "
            f"{' and '.join(DELIMITERS[mark] for mark in fitting)}"
        )
    return declared or (fitting[0] if fitting else ",")


def _either() -> str:
    *others, last = (name.removesuffix("s") for name in DELIMITERS.values())
    return f"{', '.join(others)} or {last}"


def _names(line: str, delimiter: str) -> set[str]:
    return {cell.strip().lower() for cell in split_line(line, delimiter) or ()}


def _rows(
    lines: Iterable[tuple[int, str]], delimiter: str, names: Sequence[str]
) -> tuple[list[Line], list[Problem]]:
    rows, problems, widths = list[Line](), list[Problem](), set[int]()
    for number, line in lines:
        cells = split_line(line, delimiter)
        if cells is not None and not any(cell.strip() for cell in cells):
            continue
        problem = _BROKEN if cells is None else _misplaced(cells, line, delimiter, names)
        if cells is not None and problem is None:
            rows.append(Line(number, {n: c for n, c in zip(names, cells, strict=False) if n}))
            continue
        widths.add(len(cells or ()))
        problems.append((number, str(problem)))
        if len(problems) == MAX_PROBLEMS:
            problems.append((number, "reading stopped here: that many problems are another file"))
            break
    if not rows and len(problems) > 1 and widths == {len(names) + 1}:
        problems = [(problems[0][0], _row_names(len(names)))]
    return rows, problems


def _misplaced(cells: Sequence[str], line: str, delimiter: str, names: Sequence[str]) -> str | None:
    """Say what is wrong with the number of cells, or with where they stand."""
    if cells[0].lstrip().startswith(_COMMENTS):
        return "expected no line that begins with #, % or //: take away the mark, or the line"
    n, beyond = len(names), [cell for cell in cells[len(names) :] if cell.strip()]
    if len(cells) == 1 < n:
        other = [name for mark, name in DELIMITERS.items() if mark != delimiter and mark in line]
        if other:
            expected = DELIMITERS[delimiter]
            return f"expected {n} cells between {expected}, as in the header, got {other[0]}"
    if len(cells) < n or beyond:
        quotes = "; a cell with a comma in it needs quotes" if beyond and delimiter == "," else ""
        return f"expected {n} cells, got {len(cells)}{quotes}"
    for place, name in enumerate(names):
        if place and not name.strip() and cells[place].strip():
            return f"expected nothing in column {place + 1}, which has no name, got a cell"
    return None


def _row_names(n: int) -> str:
    return (
        f"expected {n} cells, got {n + 1} on every line: row names without a column of their own "
        f"(in R: row.names = FALSE), or decimal commas without quotes"
    )


# ------------------------------------------------------------------------------------------ numbers


def is_missing(cell: str) -> bool:
    """Tell whether a cell says that it has no value: empty, n/a or NA."""
    return cell.strip().casefold() in _MISSING


def number(cell: str) -> float | None:
    """Give the number that a cell holds, with a decimal point or comma; None if it holds none.

    It may be infinite. Only a table as a whole tells which of the two signs is meant: see
    two_decimal_signs. Neither groups digits: '1.234,5' is no number.

    >>> number("-4,5"), number("-4.5"), number("4.5 mm")
    (-4.5, -4.5, None)
    """
    text = cell.strip().translate(_MINUS)
    if any(pattern.fullmatch(text) for pattern in _NUMBER.values()):
        return float(text.replace(",", "."))
    return None


def two_decimal_signs(cells: Iterable[tuple[int, str]]) -> Problem | None:
    """Say where a table has numbers with a decimal comma beside ones with a point, if it has.

    Parameters
    ----------
    cells : iterable of (int, str)
        Line and cell, of every column of numbers.
    """
    first: dict[str, int] = {}
    for line, cell in cells:
        sign = "," if "," in cell else "." if "." in cell else ""
        if sign and number(cell) is not None:
            first.setdefault(sign, line)
        if len(first) == 2:
            comma, point = first[","], first["."]
            return line, (
                f"expected one decimal sign, got a comma on line {comma} and a point on line "
                f"{point}"
            )
    return None
