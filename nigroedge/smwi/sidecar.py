# SPDX-License-Identifier: Apache-2.0
"""Read JSON sidecars of images, and of them the few keys that a reconstruction has to know.

Names and comments get into sidecars by programs that mistake an encoding or escape nothing. What
stands in a field that nobody needs stops nobody: it is read around. What is needed is taken as it
stands, or refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nigroedge.errors import FormatError
from nigroedge.io.bounded import read_bounded
from nigroedge.io.kind import kind_of
from nigroedge.io.open_file import about
from nigroedge.names import quoted

#: What is read of a sidecar; all else is nobody's affair here.
KEYS = frozenset(
    {
        *("EchoNumber", "EchoTime", "EchoTime1", "EchoTime2", "FlipAngle", "ImageType"),
        *("ImagingFrequency", "MagneticFieldStrength", "RepetitionTime", "Units"),
    }
)
#: No sidecar is as long as this, bytes.
MAX_SIDECAR_BYTES = 1 << 20
#: Words for a value that is missing, beside JSON's null; the first is BIDS's.
MISSING = ("n/a", "na", "nan", "")

#: A backslash with what it may escape, or alone.
_ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})?')
_KEY = re.compile(r'"([^"\\\n]*)"\s*:')


def read_sidecar(path: Path) -> dict[str, Any]:
    """Give what a sidecar says of KEYS; what it says is missing it does not say.

    Raises
    ------
    FormatError
        As `read_object`, or if it says two things of one of KEYS.
    InputError
        As `read_object`.
    """
    said = read_object(path)
    for key, (first, second) in said.twice.items():
        if key in KEYS:
            raise FormatError(
                f"{quoted(path.name)}: expected {key} once, got it twice: {first!r} and {second!r}"
            )
    return {key: said[key] for key in said if key in KEYS and not _is_missing(said[key])}


def read_object(path: Path) -> JsonObject:
    """Give the JSON object of a file.

    Bytes that are no text, control characters and lone backslashes within strings are read around.

    Raises
    ------
    FormatError
        If it is no JSON object, with line, column and the key before.
    InputError
        If it cannot be read or is longer than MAX_SIDECAR_BYTES.
    """
    with about(path.name):
        content = read_bounded(path, what="JSON", max_bytes=MAX_SIDECAR_BYTES)
        if not content:
            raise FormatError(f"expected JSON, got {kind_of(content)}")
    text = content.decode(json.detect_encoding(content), "replace")
    try:
        said = _parsed(text)
    except json.JSONDecodeError as error:
        raise FormatError(f"{quoted(path.name)}: expected JSON, but {_place(error)}") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{quoted(path.name)}: expected JSON, got something else") from error
    if not isinstance(said, JsonObject):
        raise FormatError(f"{quoted(path.name)}: expected a JSON object, got {type(said).__name__}")
    return said


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in MISSING)


class JsonObject(dict[str, Any]):
    """A JSON object that remembers keys of which it says two things."""

    def __init__(self, pairs: Iterable[tuple[str, Any]]) -> None:
        super().__init__()
        self.twice: dict[str, tuple[Any, Any]] = {}
        for key, value in pairs:
            if key in self and self[key] != value:
                self.twice.setdefault(key, (self[key], value))
            self[key] = value


def _parsed(text: str) -> Any:
    decoder = json.JSONDecoder(strict=False, object_pairs_hook=JsonObject)
    try:
        return decoder.decode(text)
    except json.JSONDecodeError:
        mended = _ESCAPE.sub(lambda escape: escape[0] if escape[1] else r"\\", text)
        if mended == text:
            raise
        return decoder.decode(mended)


def _place(error: json.JSONDecodeError) -> str:
    """Say at which line and column something is wrong, behind which key, and what."""
    before = [found[1] for found in _KEY.finditer(error.doc, 0, error.pos)]
    behind = f", behind the key {before[-1]!r}" if before else ""
    reason = error.msg[:1].lower() + error.msg[1:]
    return f"at line {error.lineno}, column {error.colno}{behind}: {reason}"


def merged(sidecars: Iterable[tuple[Path, Mapping[str, Any]]]) -> dict[str, Any]:
    """Put together what the sidecars of one level say.

    Raises
    ------
    FormatError
        If two of them say different things of one key: neither is nearer.
    """
    said: dict[str, Any] = {}
    source: dict[str, Path] = {}
    for path, own in sidecars:
        for key, value in own.items():
            if key in said and said[key] != value:
                raise FormatError(
                    f"expected sidecars of one level to agree, got {key} {said[key]!r} in "
                    f"{quoted(source[key].name)} and {value!r} in {quoted(path.name)}"
                )
            said[key], source[key] = value, path
    return said
