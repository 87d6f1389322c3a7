# SPDX-License-Identifier: Apache-2.0
"""Read the nigrosome-1 centroids of the two sides from a landmark file.

Three formats, told apart by their suffix: 3-D Slicer's markups (.mrk.json) and its older list
(.fcsv), whose coordinate system is honoured, and CSV with the columns side,x,y,z in RAS
millimetres. A point belongs to the side that its label names: left, right, L or R, in any case.
Slicer's points with other labels are passed over, so that a list may hold more than these two; a
side that is labelled twice is refused, and so is a file that does not say which way its axes run.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from nigroedge.errors import FormatError, InputError
from nigroedge.io.bounded import read_bounded
from nigroedge.names import quoted

#: A list of two points takes 3 kB; no landmark file of a patient comes near this.
MAX_BYTES = 1 << 20

Point = tuple[float, float, float]

_SIDES = {"left": "left", "l": "left", "right": "right", "r": "right"}

#: Factors of x, y, z that turn coordinates of a system into RAS. Older .fcsv files number them.
_TO_RAS = {"RAS": (1, 1, 1), "LPS": (-1, -1, 1)}
_FCSV_SYSTEMS = {"RAS": "RAS", "LPS": "LPS", "0": "RAS", "1": "LPS"}

#: Slicer appends two columns that its header line does not name; the first is positionStatus.
_FCSV_UNNAMED = ("positionStatus", "autoCreated")
_FCSV_DEFINED = ("2", "")

_CSV_COLUMNS = ("side", "x", "y", "z")


class _Labelled(NamedTuple):
    """One point of a file."""

    where: str
    label: str
    position: Point


def load_landmarks(path: str | PathLike[str]) -> dict[str, Point]:
    """Read the centroids of one or both sides.

    Parameters
    ----------
    path : path-like
        A file named .mrk.json, .fcsv or .csv, of at most 1 MiB.

    Returns
    -------
    dict
        'left' and 'right', or one of them → (x, y, z), RAS+ millimetres.

    Raises
    ------
    FormatError
        If the file is not what its name says, does not name its coordinate system, or names a side
        that is neither left nor right where a side must be named (CSV).
    InputError
        If it cannot be read, labels no point left or right, labels a side twice, or a labelled
        point has no finite position.
    """
    path = Path(path)
    try:
        parse = _parser(path)
        return _by_side(parse(_read_text(path)))
    except InputError as error:
        raise type(error)(f"{quoted(path)}: {error}") from error
    except csv.Error as error:
        raise FormatError(
            f"{quoted(path)}: expected columns separated by commas: {error}"
        ) from error
    except OSError as error:
        raise InputError(f"{quoted(path)}: {error.strerror or type(error).__name__}") from error


def _parser(path: Path) -> Callable[[str], Iterator[_Labelled]]:
    name = path.name.lower()
    for suffix, parse in ((".mrk.json", _markups), (".fcsv", _fcsv), (".csv", _csv)):
        if name.endswith(suffix):
            return parse
    raise InputError("expected a landmark file named .mrk.json, .fcsv or .csv")


def _read_text(path: Path) -> str:
    content = read_bounded(path, what="a landmark file", max_bytes=MAX_BYTES)
    try:
        text = content.decode("utf-8-sig")  # spreadsheets put a byte-order mark before the text
    except UnicodeDecodeError as error:
        raise FormatError(f"expected UTF-8 text, got binary data at byte {error.start}") from error
    if "\0" in text:
        raise FormatError(f"expected text, got binary data at character {text.index(chr(0))}")
    return text


def _by_side(points: Iterator[_Labelled]) -> dict[str, Point]:
    sides: dict[str, Point] = {}
    for point in points:
        side = _SIDES[point.label.strip().lower()]
        if side in sides:
            raise InputError(f"{point.where}: expected one {side} point, got a second one")
        sides[side] = point.position
    if not sides:
        raise InputError("expected a point labelled left or right, found none")
    return sides


def _is_side(label: object) -> bool:
    return isinstance(label, str) and label.strip().lower() in _SIDES


def _position(values: Sequence[str | float], system: str, where: str) -> Point:
    try:
        x, y, z = (float(v) * sign + 0.0 for v, sign in zip(values, _TO_RAS[system], strict=True))
    except (ValueError, OverflowError) as error:
        raise FormatError(f"{where}: expected a position of three numbers") from error
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
        raise InputError(f"{where}: expected a finite position, got {x}, {y}, {z}")
    return x, y, z


# ------------------------------------------------------------------- .mrk.json, Slicer schema 1.0.3


def _markups(text: str) -> Iterator[_Labelled]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise FormatError(f"line {error.lineno}: expected JSON: {error.msg}") from error
    except (RecursionError, ValueError) as error:  # nested, or a number of thousands of digits
        raise FormatError(
            "expected the JSON of 3-D Slicer's markups, got unreadable JSON"
        ) from error
    for i, markup in enumerate(_list(document, "markups", "the document")):
        where = f"markups[{i}]"
        for j, point in enumerate(_list(markup, "controlPoints", where)):
            if isinstance(point, dict) and _is_side(point.get("label")):
                yield _control_point(point, markup, f"{where}.controlPoints[{j}]")


def _list(parent: object, key: str, where: str) -> list[Any]:
    value = parent.get(key) if isinstance(parent, dict) else None
    if not isinstance(value, list):
        raise FormatError(f"expected a list called {key!r} in {where}, found none")
    return value


def _control_point(point: dict[str, Any], markup: dict[str, Any], where: str) -> _Labelled:
    system = markup.get("coordinateSystem")
    if not isinstance(system, str) or system not in _TO_RAS:
        raise FormatError(f"{where}: expected coordinateSystem 'LPS' or 'RAS', got another or none")
    units = markup.get("coordinateUnits", "mm")
    if units != "mm" and not (isinstance(units, list) and units[:1] == ["mm"]):
        raise FormatError(f"{where}: expected coordinateUnits 'mm', got others")
    if point.get("positionStatus", "defined") != "defined":
        raise InputError(f"{where}: expected positionStatus 'defined', got a point not yet placed")
    position = point.get("position")
    if not (isinstance(position, list) and all(type(v) in (int, float) for v in position)):
        raise FormatError(f"{where}: expected a position of three numbers")
    return _Labelled(where, point["label"], _position(position, system, where))


# ------------------------------------------------------------------- .fcsv, Slicer 4 and later


def _fcsv(text: str) -> Iterator[_Labelled]:
    system, columns = _fcsv_header(text)
    names = (*columns, *_FCSV_UNNAMED)
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        row = dict(zip(names, next(csv.reader([line])), strict=False))
        where = f"line {number}"
        if not {"x", "y", "z", "label"} <= row.keys():
            raise FormatError(f"{where}: expected the columns that the header names, got too few")
        if not _is_side(row["label"]):
            continue
        if row.get("positionStatus", "") not in _FCSV_DEFINED:
            raise InputError(f"{where}: expected a placed point (status 2), got one not yet placed")
        position = _position([row["x"], row["y"], row["z"]], system, where)
        yield _Labelled(where, row["label"], position)


def _fcsv_header(text: str) -> tuple[str, list[str]]:
    # A spreadsheet that saved the file has filled the comment lines up with commas.
    comments = [line[1:].rstrip(", \t") for line in text.splitlines() if line.startswith("#")]
    pairs = (comment.partition("=") for comment in comments)
    entries = {key.strip(): value.strip() for key, _, value in pairs}
    system = entries.get("CoordinateSystem", "")
    if system not in _FCSV_SYSTEMS:
        raise FormatError("expected a line '# CoordinateSystem = LPS' or RAS, found none")
    columns = [name.strip() for name in entries.get("columns", "").split(",")]
    if not {"x", "y", "z", "label"} <= set(columns):
        raise FormatError("expected a line '# columns = …' that names x, y, z and label")
    return _FCSV_SYSTEMS[system], columns


# ------------------------------------------------------------------- .csv, side,x,y,z in RAS mm


def _csv(text: str) -> Iterator[_Labelled]:
    lines = text.splitlines()
    header = [name.strip().lower() for name in next(csv.reader(lines[:1]), [])]
    if tuple(header) != _CSV_COLUMNS:
        raise FormatError("line 1: expected the header side,x,y,z")
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        row = next(csv.reader([line]))
        if len(row) != len(_CSV_COLUMNS):
            raise FormatError(f"line {number}: expected 4 columns, got {len(row)}")
        if not _is_side(row[0]):
            raise FormatError(f"line {number}: expected the side left or right, got another")
        yield _Labelled(f"line {number}", row[0], _position(row[1:], "RAS", f"line {number}"))
