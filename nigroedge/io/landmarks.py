# SPDX-License-Identifier: Apache-2.0
"""Read the nigrosome-1 centroids of one side or both from a landmark file.

3-D Slicer's markups (.mrk.json, or .json), its older list (.fcsv), and tables (.csv, .tsv, .txt):
Slicer's, or one with the columns side, x, y, z in RAS millimetres. Every file says which way its
axes run, by a field or by the names of its columns; LPS becomes RAS here. All points of a file are
understood, or it is refused: see nigroedge.io.sides.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from nigroedge.centroid import Centroid
from nigroedge.errors import FormatError, InputError
from nigroedge.io.bounded import read_bounded
from nigroedge.io.sheet import (
    Sheet,
    decode,
    is_missing,
    number,
    read_sheet,
    split_line,
    text_lines,
    two_decimal_signs,
)
from nigroedge.io.sides import Labelled, Point, by_side, shown, side_of
from nigroedge.names import quoted

#: A list of two points takes 3 kB; no landmark file of a patient comes near this.
MAX_BYTES = 1 << 20

#: Factors of x, y, z that turn coordinates of a system into RAS. Older .fcsv files number them.
_TO_RAS = {"RAS": (1, 1, 1), "LPS": (-1, -1, 1)}
_FCSV_SYSTEMS = {"RAS": "RAS", "LPS": "LPS", "0": "RAS", "1": "LPS"}

#: Slicer appends two columns that its header line does not name; the first is positionStatus.
_FCSV_UNNAMED = ("positionStatus", "autoCreated")
_FCSV_DEFINED = ("2", "")

#: The type of a markup that is a list of points; others are lines, curves, boxes.
_POINT_LIST = "Fiducial"

#: Tables: what names the points, and the columns of coordinates with their system. x, y, z are ours
#: beside `side` alone: elsewhere nobody knows which way they run.
_TABLES = {
    ("side", "x", "y", "z"): "RAS",
    ("side", "r", "a", "s"): "RAS",
    ("side", "l", "p", "s"): "LPS",
    ("label", "r", "a", "s"): "RAS",
    ("label", "l", "p", "s"): "LPS",
}
#: Further columns of Slicer's tables: whether a point is placed, and how it looks.
_SLICER_COLUMNS = {"defined", "selected", "visible", "locked", "description"}
_EXPECTED_COLUMNS = (
    "expected the columns side,x,y,z (RAS mm), or those of 3-D Slicer, label,l,p,s or label,r,a,s"
)
_MAX_COLUMNS_SHOWN = 10
#: Half a character, which JSON can escape and no text has.
_SURROGATE = re.compile("[\ud800-\udfff]")
_EXPECTED_POSITION = "expected a position of three numbers in mm"


def load_landmarks(path: str | PathLike[str]) -> dict[str, Centroid]:
    """Read the centroids of one or both sides.

    Parameters
    ----------
    path : path-like
        A file named .mrk.json, .json, .fcsv, .csv, .tsv or .txt, of at most 1 MiB.

    Returns
    -------
    dict
        'left' and 'right', or one of them → x, y, z, RAS+ millimetres. Its `source` says whether
        labels named the sides or positions alone tell them.

    Raises
    ------
    FormatError
        If the file is not what its name says, or does not say which way its axes run.
    InputError
        If it cannot be read, holds two lists, a point that is not placed or whose label is not
        understood, or one side twice.
    GeometryError
        If labels contradict positions, or two points do not lie 8 to 50 mm apart along x.
    """
    path = Path(path)
    try:
        parse = _parser(path)
        content = read_bounded(path, what="a landmark file", max_bytes=MAX_BYTES)
        return by_side(list(parse(decode(content))))
    except InputError as error:
        raise type(error)(f"{quoted(path)}: {error}") from error
    except OSError as error:
        raise InputError(f"{quoted(path)}: {error.strerror or type(error).__name__}") from error


def _parser(path: Path) -> Callable[[str], Iterator[Labelled]]:
    parsers = {".json": _markups, ".fcsv": _fcsv, **dict.fromkeys((".csv", ".tsv", ".txt"), _table)}
    parse = parsers.get(path.suffix.lower())
    if parse is None:
        raise InputError(
            "expected a landmark file named .mrk.json, .json, .fcsv, .csv, .tsv or .txt"
        )
    return parse


def _position(values: Sequence[float | None], system: str, where: str) -> Point:
    numbers = [value for value in values if value is not None]
    if len(numbers) != 3:
        raise FormatError(f"{where}: {_EXPECTED_POSITION}, got something else")
    x, y, z = (v * sign + 0.0 for v, sign in zip(numbers, _TO_RAS[system], strict=True))
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
        raise InputError(f"{where}: expected a finite position, got {x}, {y}, {z}")
    return x, y, z


# -------------------------------------------------------------------------- Slicer's markups, JSON


def _markups(text: str) -> Iterator[Labelled]:
    try:
        document = json.loads(text, object_pairs_hook=_members)
    except json.JSONDecodeError as error:
        raise FormatError(f"line {error.lineno}: {_json_problem(error)}") from error
    except (RecursionError, ValueError) as error:  # nested, or a number of thousands of digits
        raise FormatError(
            "expected the JSON of 3-D Slicer's markups, got unreadable JSON"
        ) from error
    where, markup = _point_list(_list(document, "markups", "the document"))
    for j, point in enumerate(_list(markup, "controlPoints", where)):
        yield _control_point(point, markup, f"{where}.controlPoints[{j}]")


def _json_problem(error: json.JSONDecodeError) -> str:
    if not error.msg.startswith("Invalid control character"):
        return f"expected JSON: {error.msg}"
    return (
        f"column {error.colno}: expected JSON, in whose texts control characters are escaped, such "
        f"as \\t for a tab, got one as it is"
    )


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members:
            raise FormatError(f"expected each key of an object once, got {shown(key)} twice")
        members[key] = value
    return members


def _point_list(markups: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """Find the one list of points among the markups of a file."""
    kinds = [m.get("type", _POINT_LIST) if isinstance(m, dict) else None for m in markups]
    found = [i for i, kind in enumerate(kinds) if kind == _POINT_LIST]
    if len(found) != 1:
        others = ", ".join(shown(k) if isinstance(k, str) else "no markup" for k in kinds[:4])
        got = " and ".join(f"markups[{i}]" for i in found[:2]) or others or "none"
        raise InputError(f"expected one list of points (markups of type Fiducial), got {got}")
    return f"markups[{found[0]}]", markups[found[0]]


def _list(parent: object, key: str, where: str) -> list[Any]:
    value = parent.get(key) if isinstance(parent, dict) else None
    if not isinstance(value, list):
        raise FormatError(f"expected a list called {key!r} in {where}, found none")
    return value


def _control_point(point: object, markup: dict[str, Any], where: str) -> Labelled:
    if not isinstance(point, dict):
        raise FormatError(f"{where}: expected a control point, got something else")
    label = point.get("label", "")
    if not isinstance(label, str) or _SURROGATE.search(label):
        raise FormatError(f"{where}: expected a label of text, got something else")
    system = markup.get("coordinateSystem")
    if not isinstance(system, str) or system not in _TO_RAS:
        raise FormatError(f"{where}: expected coordinateSystem 'LPS' or 'RAS', got another or none")
    units = markup.get("coordinateUnits", "mm")
    if units != "mm" and not (isinstance(units, list) and units[:1] == ["mm"]):
        raise FormatError(f"{where}: expected coordinateUnits 'mm', got others")
    _must_be_placed(point.get("positionStatus", "defined") == "defined", label, where)
    position = point.get("position")
    if not (isinstance(position, list) and all(type(v) in (int, float) for v in position)):
        raise FormatError(f"{where}: {_EXPECTED_POSITION}, got something else")
    try:
        return Labelled(where, label, _position([float(v) for v in position], system, where))
    except OverflowError as error:
        raise FormatError(f"{where}: {_EXPECTED_POSITION}, got a larger one") from error


def _must_be_placed(placed: bool, label: str, where: str) -> None:
    if not placed:
        raise InputError(
            f"{where}: expected placed points alone, got {shown(label)}, whose position is not "
            f"defined"
        )


# ------------------------------------------------------------------- .fcsv, Slicer 4 and later


def _fcsv(text: str) -> Iterator[Labelled]:
    lines = text_lines(text)
    system, columns = _fcsv_header(lines)
    names = (*columns, *_FCSV_UNNAMED)
    for line_number, line in enumerate(lines, 1):
        if not line.strip(", \t") or line.startswith("#"):
            continue
        where = f"line {line_number}"
        row = dict(zip(names, split_line(line, ",") or (), strict=False))
        if not {"x", "y", "z", "label"} <= row.keys():
            raise FormatError(
                f"{where}: expected the columns that the header names, with their quotes closed on "
                f"the line"
            )
        _must_be_placed(row.get("positionStatus", "") in _FCSV_DEFINED, row["label"], where)
        position = _position([number(row[axis]) for axis in "xyz"], system, where)
        yield Labelled(where, row["label"], position)


def _fcsv_header(lines: Sequence[str]) -> tuple[str, list[str]]:
    # A spreadsheet that saved the file has filled the comment lines up with commas.
    comments = [line[1:].rstrip(", \t") for line in lines if line.startswith("#")]
    entries: dict[str, str] = {}
    for key, equals, value in (comment.partition("=") for comment in comments):
        if equals and entries.setdefault(key.strip(), value.strip()) != value.strip():
            raise FormatError(f"expected one value of {shown(key.strip())}, got two")
    system = entries.get("CoordinateSystem", "")
    if system not in _FCSV_SYSTEMS:
        raise FormatError("expected a line '# CoordinateSystem = LPS' or RAS, found none")
    columns = [name.strip() for name in entries.get("columns", "").split(",")]
    if not {"x", "y", "z", "label"} <= set(columns):
        raise FormatError("expected a line '# columns = …' that names x, y, z and label")
    return _FCSV_SYSTEMS[system], columns


# ------------------------------------------------------------------- tables, ours and Slicer's


def _table(text: str) -> Iterator[Labelled]:
    sheet = read_sheet(text, {name for names in _TABLES for name in names})
    columns = {name.strip().lower(): name for name in sheet.columns}
    system, (name, *axes) = _layout(sheet, columns)
    numbers = ((line.number, line.cells[columns[a]]) for line in sheet.lines for a in axes)
    problem = next(iter(sheet.problems), None) or two_decimal_signs(numbers)
    if problem is not None:
        raise FormatError(f"line {problem[0]}: {problem[1]}")
    for line in sheet.lines:
        where, label = f"line {line.number}", line.cells[columns[name]].strip()
        if name == "side" and side_of(label, where) is None:
            raise FormatError(f"{where}: expected the side left or right, got {shown(label)}")
        if "defined" in columns:
            _must_be_placed(line.cells[columns["defined"]].strip() == "1", label, where)
        cells = [line.cells[columns[axis]] for axis in axes]
        if all(map(is_missing, cells)):
            raise FormatError(
                f"{where}: {_EXPECTED_POSITION}, got none: leave the line of an unknown side out"
            )
        position = _position([number(cell) for cell in cells], system, where)
        yield Labelled(where, label, position)


def _layout(sheet: Sheet, columns: dict[str, str]) -> tuple[str, tuple[str, ...]]:
    """Tell which of the tables it is."""
    where = f"line {sheet.header_line}"
    if len(columns) != len(sheet.columns):
        counted = Counter(name.strip().lower() for name in sheet.columns)
        twice = next(name for name, times in counted.items() if times > 1)
        raise FormatError(f"{where}: expected each column once, got {shown(twice)} again")
    for names, system in _TABLES.items():
        if columns.keys() - _SLICER_COLUMNS == set(names):
            return system, names
    got = ", ".join(map(shown, sheet.columns[:_MAX_COLUMNS_SHOWN])) or "none"
    more = ", …" if len(sheet.columns) > _MAX_COLUMNS_SHOWN else ""
    raise FormatError(f"{where}: {_EXPECTED_COLUMNS}, got {got}{more}")
