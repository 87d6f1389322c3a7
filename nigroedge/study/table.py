# SPDX-License-Identifier: Apache-2.0
"""The cohort table: one row for each side of each participant, read strictly and all at once.

A table as spreadsheets and programs write it (`nigroedge.io.sheet`). Whatever is wrong is said in
one list, each with its line, so that a table is mended in one go. The list never repeats what a
cell says unless that is one of the words that the column knows: a cell may hold a name or an
identifier, and so may the path of an image.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Literal, NamedTuple, cast

from nigroedge.centroid import MIN_APART_MM, not_apart
from nigroedge.errors import FormatError, InputError, TableError
from nigroedge.io.bounded import read_bounded
from nigroedge.io.open_file import about
from nigroedge.io.sheet import (
    Line,
    Sheet,
    decode,
    is_missing,
    number,
    read_sheet,
    two_decimal_signs,
)
from nigroedge.io.sides import Side, sides_in
from nigroedge.io.writing import write_file
from nigroedge.names import quoted
from nigroedge.pipeline import MAX_SBR, MIN_SBR
from nigroedge.study.identity import differences, looks, person

Reading = Literal["intact", "lost"]
Spect = Literal["normal", "abnormal"]
Split = Literal["train", "validation", "test"]
Vector = tuple[float, float, float]

#: A row of a table takes about 150 bytes; no cohort comes near this.
MAX_BYTES = 64 << 20
#: Columns of words, and the words; in a table in any case, and sides as landmark files spell them.
WORDS: Mapping[str, tuple[str, ...]] = {
    "side": ("left", "right"),
    "reading": ("intact", "lost"),
    "spect": ("normal", "abnormal"),
    "split": ("train", "validation", "test"),
}
_COORDINATES = ("x", "y", "z")
_BINDING_RATIOS = ("sbr", "expected_sbr")
_ALWAYS = ("participant_id", "side")
#: Columns in the order in which they are written; predictions and others follow.
COLUMNS = (
    *("participant_id", "side", "image", *_COORDINATES),
    *("sbr", "reading", "spect", "split", "expected_sbr"),
)
#: What a spreadsheet takes for the beginning of a formula, and would run.
_FORMULA = ("=", "+", "-", "@")


@dataclass(frozen=True)
class Row:
    """One side of one participant.

    Parameters
    ----------
    participant_id : str
        Printable, without space around it.
    side : {'left', 'right'}
        The patient's.
    image : Path or None
        SMWI, absolute.
    centre_mm : (float, float, float) or None
        Centroid of nigrosome-1, RAS+ millimetres.
    sbr : float or None
        As measured by SPECT.
    reading : {'intact', 'lost'} or None
        Nigral hyperintensity on MRI.
    spect : {'normal', 'abnormal'} or None
        What SPECT was read as.
    split : {'train', 'validation', 'test'} or None
    expected_sbr : float or None
        Simulated participants only: the mean SBR given the hidden state.
    predicted : dict of str → float
        Name of the prediction (the column's, without 'predicted_'; '' for 'predicted') → SBR; a
        row without that value lacks the key.
    line : int
        Of the table, from 1; 0 for a row that was not read from one.
    other : dict of str → str
        Other columns: kept and not looked at.
    """

    participant_id: str
    side: Side
    image: Path | None = None
    centre_mm: Vector | None = None
    sbr: float | None = None
    reading: Reading | None = None
    spect: Spect | None = None
    split: Split | None = None
    expected_sbr: float | None = None
    predicted: dict[str, float] = field(default_factory=dict)
    line: int = 0
    other: dict[str, str] = field(default_factory=dict)


def read_table(
    path: str | PathLike[str], *, need: Collection[str] = (), unscanned: Collection[Split] = ()
) -> list[Row]:
    """Read a cohort table.

    Parameters
    ----------
    path : path-like
        At most 64 MiB, in any dialect that nigroedge.io.sheet reads. Cells that are empty, n/a or
        NA have no value. Relative paths in its column `image` start from its folder.
    need : collection of str
        Columns that must be there and filled in every row, beside participant_id and side.
    unscanned : collection of {'train', 'validation', 'test'}
        Rows of these splits need no image.

    Returns
    -------
    list of Row
        In the order of the table; at least one. Rows without any value are passed over.

    Raises
    ------
    TableError
        If anything is wrong in the text of the table: every problem, with its line.
    InputError
        If the file cannot be read.
    """
    return read_hashed_table(path, need=need, unscanned=unscanned).rows


class HashedTable(NamedTuple):
    """The rows of a file, its name without the folder, and the SHA-256 of the bytes read."""

    rows: list[Row]
    name: str
    sha256: str


def read_hashed_table(
    path: str | PathLike[str], *, need: Collection[str] = (), unscanned: Collection[Split] = ()
) -> HashedTable:
    """Read a cohort table as `read_table` does, and hash it: the file is read once."""
    unknown = set(need) - set(COLUMNS)
    if unknown:
        raise ValueError(f"expected columns of a cohort table, got {', '.join(sorted(unknown))}")
    path = Path(path)
    try:
        with about(path):
            content = read_bounded(path, what="a table", max_bytes=MAX_BYTES)
            text = decode(content)
    except InputError as error:
        raise InputError(str(error)) from error
    rows = _parse(text, quoted(path), path.absolute().parent, need, unscanned)
    return HashedTable(rows, path.name, hashlib.sha256(content).hexdigest())


def write_table(path: str | PathLike[str], rows: Sequence[Row]) -> None:
    """Write a cohort table as TSV: what read_table reads back, to the last bit of every number.

    Images inside the table's folder are written relative to it, so that both may move. An existing
    file is replaced, whole or not at all.

    Raises
    ------
    TableError
        If the rows are none that read_table would accept, such as one side twice.
    """
    write_file(path, table_content(path, rows), if_exists="replace")


def table_content(path: str | PathLike[str], rows: Sequence[Row]) -> bytes:
    """Give what `write_table` writes to a path, and raise what it raises."""
    path = Path(path)
    folder = path.absolute().parent
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t", lineterminator="\n")
    columns = _columns_of(rows)
    writer.writerow(columns)
    for row in rows:
        cells = _cells_of(row, folder)
        writer.writerow([cells.get(column, "") for column in columns])
    try:
        content = buffer.getvalue().encode()
    except UnicodeEncodeError as error:
        raise InputError("expected the images' paths in UTF-8, got bytes that are none") from error
    _parse(buffer.getvalue(), f"{quoted(path)}, to be written", folder, ())
    return content


# ------------------------------------------------------------------------------------------ reading


def _parse(
    text: str,
    heading: str,
    folder: Path,
    need: Collection[str],
    unscanned: Collection[Split] = (),
) -> list[Row]:
    """Read the text of a table, or raise one TableError with all that is wrong."""
    try:
        sheet = read_sheet(text, {*COLUMNS, "predicted"})
    except FormatError as error:
        raise TableError(heading, [str(error)]) from error
    of_header = [(sheet.header_line, problem) for problem in _header_problems(sheet.columns, need)]
    if of_header:
        raise TableError(heading, listed(of_header))
    problems = list(sheet.problems)
    readings = [_Reading(line, folder, _needed(line, need, unscanned)) for line in sheet.lines]
    rows = [reading.row() for reading in readings]
    problems += [(one.line, problem) for one in readings for problem in one.problems]
    mixed = two_decimal_signs(_numbers(sheet))
    problems += [mixed] if mixed else []
    problems += list(_joint_problems(rows, {line for line, _ in problems}))
    if not rows and not problems:
        problems.append((sheet.header_line + 1, "expected at least one row, got none"))
    if problems:
        raise TableError(heading, listed(problems))
    return rows


def _needed(line: Line, need: Collection[str], unscanned: Collection[Split]) -> set[str]:
    return {*need} - ({"image"} if _plain(line.cells.get("split", "")) in unscanned else set())


def _numbers(sheet: Sheet) -> Iterator[tuple[int, str]]:
    """Give every cell that should hold a number, with its line."""
    numeric = {*_COORDINATES, *_BINDING_RATIOS}
    columns = [name for name in sheet.columns if name in numeric or _predicts(name)]
    return ((line.number, line.cells[name]) for line in sheet.lines for name in columns)


def _header_problems(header: Sequence[str], need: Collection[str]) -> Iterator[str]:
    known = {*COLUMNS, "predicted"}
    for name in (n for n in COLUMNS if n in {*_ALWAYS, *need} and n not in header):
        yield f"expected a column {name}, found none"
    for name in sorted(n for n, times in Counter(header).items() if times > 1):
        yield f"expected each column once, got {name if name in known else 'another column'} twice"
    for name in header:
        if name not in known and name.strip().lower() in known:
            yield f"expected {name.strip().lower()} spelled so, got {name!r}"
    given = [n for n in _COORDINATES if n in header]
    if given and len(given) < 3 and not set(_COORDINATES) & set(need):
        yield f"expected the columns x, y and z, got {' and '.join(given)} alone"


class _Reading:
    """One line of a table on its way to a Row; what is wrong with it is gathered in `problems`."""

    def __init__(self, line: Line, folder: Path, need: Collection[str]) -> None:
        self.line, self.problems = line.number, list[str]()
        self._cells, self._folder, self._need = line.cells, folder, {*_ALWAYS, *need}

    def row(self) -> Row:
        """Read every cell. Where there are problems the row stands for what could be read."""
        words = {name: self._word(name) for name in WORDS}
        sbr, expected_sbr = (self._sbr(name) for name in _BINDING_RATIOS)
        return Row(
            participant_id=self._participant(),
            side=cast(Side, words["side"]),
            image=self._image(),
            centre_mm=self._centre(),
            sbr=sbr,
            reading=cast("Reading | None", words["reading"]),
            spect=cast("Spect | None", words["spect"]),
            split=cast("Split | None", words["split"]),
            expected_sbr=expected_sbr,
            predicted=self._predicted(),
            line=self.line,
            other={
                name: cell
                for name, cell in self._cells.items()
                if name not in COLUMNS and not _predicts(name)
            },
        )

    def _cell(self, name: str) -> str:
        """Give the text of a cell, nothing if it says that it has no value."""
        cell = self._cells.get(name, "")
        missing = is_missing(cell)
        if name in self._need and missing:
            self.problems.append(f"expected {name}, got nothing")
        return "" if missing else cell

    def _participant(self) -> str:
        name = self._cell("participant_id")
        if not name.isprintable():
            self.problems.append("expected a participant_id of printable characters")
        elif name != name.strip():
            self.problems.append("expected a participant_id without space around it")
        elif name.startswith(_FORMULA):
            self.problems.append(
                "expected a participant_id that does not begin with = + - or @, which a "
                "spreadsheet would run as a formula"
            )
        return name

    def _word(self, name: str) -> str | None:
        cell = self._cell(name)
        named = sides_in(cell) if name == "side" else {_plain(cell)} & {*WORDS[name]}
        if len(named) == 1:
            return next(iter(named))
        if cell:
            expected = " or ".join(WORDS[name])
            got = "both" if named else "something else"
            self.problems.append(f"expected {name} {expected}, got {got}")
        return None

    def _image(self) -> Path | None:
        cell = self._cell("image")
        return self._folder / cell if cell else None

    def _centre(self) -> Vector | None:
        values = [self._number(name) for name in _COORDINATES]
        given = [name for name in _COORDINATES if not is_missing(self._cells.get(name, ""))]
        if given and len(given) < 3 and not set(_COORDINATES) & self._need:
            self.problems.append(f"expected x, y and z or none, got {' and '.join(given)} alone")
        x, y, z = values
        return None if x is None or y is None or z is None else (x, y, z)

    def _predicted(self) -> dict[str, float]:
        values = {name: self._sbr(name) for name in self._cells if _predicts(name)}
        return {
            name.removeprefix("predicted").removeprefix("_"): value
            for name, value in values.items()
            if value is not None
        }

    def _sbr(self, name: str) -> float | None:
        value = self._number(name)
        # As of a model: what no ratio of counts can be is a code, such as −99, or another quantity.
        if value is not None and not MIN_SBR < value < MAX_SBR:
            self.problems.append(f"expected {_shown(name)} between {MIN_SBR:g} and {MAX_SBR:g}")
            return None
        return value

    def _number(self, name: str) -> float | None:
        cell = self._cell(name)
        value = number(cell)
        if cell and (value is None or not math.isfinite(value)):
            self.problems.append(f"expected {_shown(name)} to be a finite number, got another text")
            return None
        return value


def _plain(cell: str) -> str:
    return cell.strip().casefold()


def _shown(column: str) -> str:
    return column if column in COLUMNS else "a prediction"


def _predicts(column: str) -> bool:
    return column == "predicted" or (column.startswith("predicted_") and column != "predicted_")


def _joint_problems(rows: Sequence[Row], troubled: Collection[int]) -> Iterator[tuple[int, str]]:
    """Say where rows contradict one another; lines in `troubled` have problems of their own."""
    first: dict[tuple[str, str | None], Row] = {}
    split_of: dict[str, Row] = {}
    splits = any(row.split for row in rows)
    for row in rows:
        name = row.participant_id
        before = first.setdefault((name, row.side), row)
        if name and row.side and before is not row:
            yield row.line, f"expected each side once, got the one of line {before.line} again"
        other = split_of.setdefault(name, row)
        if name and row.split and other.split and other.split != row.split:
            yield (
                row.line,
                f"expected a participant in one split, got {row.split}, and {other.split} on line "
                f"{other.line}",
            )
        if splits and row.split is None and row.line not in troubled:
            yield row.line, "expected a split on every row or on none, got nothing"
    yield from _respelled(split_of.values())
    yield from _crossed(first.values())


def _respelled(rows: Iterable[Row]) -> Iterator[tuple[int, str]]:
    """Say where an identity may be another one spelled anew; each is given once."""
    first: dict[str, Row] = {}
    for row in (row for row in rows if row.participant_id):
        like = first.setdefault(person(row.participant_id), row)
        if like is not row:
            differing = " and ".join(differences(like.participant_id, row.participant_id))
            yield (
                row.line,
                f"expected one spelling of each participant_id, got one that differs from line "
                f"{like.line}'s in {differing} alone",
            )
    seen: dict[str, Row] = {}
    for row in first.values():
        like = seen.setdefault(looks(row.participant_id), row)
        if like is not row:
            yield (
                row.line,
                f"expected one spelling of each participant_id, got one that differs from line "
                f"{like.line}'s in O for 0, or l for 1, alone",
            )


def _crossed(rows: Iterable[Row]) -> Iterator[tuple[int, str]]:
    """Say where a left and a right row cannot be the two sides of one person."""
    sides: dict[str, dict[str | None, Row]] = {}
    for row in rows:
        sides.setdefault(row.participant_id, {})[row.side] = row
    for of_one in sides.values():
        if of_one.keys() >= {"left", "right"}:
            earlier, later = sorted((of_one["left"], of_one["right"]), key=lambda row: row.line)
            problem = _exchanged(of_one["left"], of_one["right"])
            if problem:
                yield later.line, f"{problem}, got lines {earlier.line} and {later.line}"


def _exchanged(left: Row, right: Row) -> str | None:
    """Say what tells that two rows are not the left and the right side of one person."""
    named = [sides_in(row.image.name) if row.image else frozenset() for row in (left, right)]
    if named == [frozenset({"right"}), frozenset({"left"})]:
        return "expected of each side the image that is named after it"
    if left.centre_mm is None or right.centre_mm is None:
        return None
    problem = not_apart(left.centre_mm, right.centre_mm)
    # Images that were cut out may have lost where they lay; then no side is far off on purpose.
    may_be_elsewhere = left.image != right.image
    if may_be_elsewhere and left.centre_mm[0] - right.centre_mm[0] < MIN_APART_MM:
        return None
    return problem


def listed(problems: Iterable[tuple[int, str]]) -> list[str]:
    """Give (line, problem) pairs as texts, in the order of the lines."""
    return [f"line {line}: {problem}" for line, problem in sorted(problems, key=lambda p: p[0])]


# ------------------------------------------------------------------------------------------ writing


def _columns_of(rows: Sequence[Row]) -> list[str]:
    """List the columns that any row fills: known ones in their order, predictions, others."""
    used = {
        *(name for name in COLUMNS if any(name in _known_cells(row, None) for row in rows)),
        *_ALWAYS,
    }
    predicted = dict.fromkeys(name for row in rows for name in row.predicted)
    others = dict.fromkeys(name for row in rows for name in row.other)
    return [*(c for c in COLUMNS if c in used), *map(prediction_column, predicted), *others]


def prediction_column(name: str) -> str:
    """Give the column that holds a prediction of this name."""
    return f"predicted_{name}" if name else "predicted"


def _cells_of(row: Row, folder: Path) -> dict[str, str]:
    predicted = {prediction_column(k): repr(float(v)) for k, v in row.predicted.items()}
    return {**_known_cells(row, folder), **predicted, **row.other}


def _known_cells(row: Row, folder: Path | None) -> dict[str, str]:
    """Give the text of each known column that the row fills."""
    coordinates = dict(zip(_COORDINATES, row.centre_mm or (None,) * 3, strict=True))
    numbers = {**coordinates, **{name: getattr(row, name) for name in _BINDING_RATIOS}}
    words = {name: getattr(row, name) for name in ("participant_id", *WORDS)}
    image = row.image if folder is None or row.image is None else _from(folder, row.image)
    return {
        **{name: word for name, word in words.items() if word is not None},
        **{name: repr(float(number)) for name, number in numbers.items() if number is not None},
        **({} if image is None else {"image": str(image)}),
    }


def _from(folder: Path, image: Path) -> Path:
    image = image.absolute()
    return image.relative_to(folder) if image.is_relative_to(folder) else image
