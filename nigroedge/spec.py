# SPDX-License-Identifier: Apache-2.0
"""What a model file says of itself: how to make its patches, whom it serves, its card, a self-test.

The file's metadata (keys ``nigroedge.*``) are read strictly: every key of format 1 must be there,
in its one spelling; format 2 has optional ones; no other is taken.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from nigroedge.errors import ModelError
from nigroedge.grid import PatchGrid

#: Versions of the contract between a model file and this package. A file is written in the first
#: one that can say what it has to: whatever reads format 1 alone keeps reading what needs no more.
FORMATS = ("1", "2")

#: The normalisations of format 1; format 2 has all that `nigroedge.preprocess.normalize` takes.
FORMAT_1_NORMALIZATIONS = ("mean", "zscore")
SIDES = ("both", "left", "right")
MIRRORS = ("none", "left", "right")
#: Where the centroid lies along left–right on the side that is mirrored: the grid is mirrored about
#: it, or the array was cropped and then flipped.
MIRROR_CENTRES = ("n/2", "n/2-1")
#: What the network is for; this version runs one kind.
TASKS = ("sbr",)

_PREFIX = "nigroedge."
_NUMBER = r"(?:0|[1-9][0-9]{0,5})(?:\.[0-9]{1,20})?"
_SHAPE = re.compile(r"[1-9][0-9]{0,4}(?: [1-9][0-9]{0,4}){2}")
_SPACING = re.compile(rf"{_NUMBER}(?: {_NUMBER}){{2}}")
_SELFTEST = re.compile(r"0x([0-9a-fA-F]{8}) (-?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:e[+-]?[0-9]{1,2})?)")
#: Of any metadata value that is not JSON.
_MAX_VALUE_LENGTH = 200
#: Beyond it no patch of the midbrain is meant.
_SPACING_RANGE_MM = (0.01, 100.0)
#: All but tab and newline.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class ModelCard:
    """What a person must know before using a model; all texts in plain English.

    Parameters
    ----------
    name, version, licence : str
        Not empty.
    intended_use, training_data, limits, calibration, git_revision : str
        Where nothing is known, the text says so.
    metrics : Mapping[str, object]
        Results by name: what JSON can hold.

    Raises
    ------
    ValueError
        If a text is missing, is not a text or holds control characters (cards are printed), or the
        metrics hold what JSON cannot, such as NaN.
    """

    name: str
    version: str
    licence: str
    intended_use: str
    training_data: str
    metrics: Mapping[str, Any]
    limits: str
    calibration: str
    git_revision: str

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            expected = Mapping if each.name == "metrics" else str
            if not isinstance(value, expected) or (not value and expected is str):
                raise ValueError(f"model card: expected {each.name} to be given, got {value!r}")
        try:
            self.to_json().encode()
        except (TypeError, RecursionError) as error:
            raise ValueError("model card: expected what JSON can hold") from error
        if any(_CONTROL.search(text) for text in _texts(asdict(self))):
            raise ValueError("model card: control characters in a text")

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Read a card from the JSON object that to_json() writes.

        Raises
        ------
        ValueError
            If it is not an object with exactly a card's keys.
        """
        card = _read_json(text)
        names = [each.name for each in fields(cls)]
        if not isinstance(card, dict) or sorted(card) != sorted(names):
            got = ", ".join(sorted(card)) if isinstance(card, dict) else type(card).__name__
            raise ValueError(f"model card: expected the keys {', '.join(names)}; got {got[:300]}")
        return cls(**card)

    def to_json(self) -> str:
        """Write the card as one line of JSON, keys in the order of this class."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True)
class ModelSpec:
    """How a model wants its patches, whom it serves, and what it should answer to the self-test.

    Parameters
    ----------
    grid : PatchGrid
    normalize : str
        As `nigroedge.preprocess.normalize` takes it.
    side : {'both', 'left', 'right'}
        Which side of the patient it serves.
    mirror : {'none', 'left', 'right'}
        Which side is flipped along left–right before the network.
    selftest_sbr : float
        Output for the self-test patch; a float32 value.
    card : ModelCard
    mirror_centre : {'n/2', 'n/2-1'}
        Where the centroid lies along left–right on the side that is mirrored. 'n/2': the grid is
        mirrored about it. 'n/2-1': the array was cropped with the centroid on voxel n/2 and then
        flipped (`numpy.flip`), which moves it to voxel n − 1 − n/2; so it is for an odd n too.

    Raises
    ------
    ValueError
        If a value is not one of those, `mirror_centre` is not 'n/2' though no side is mirrored, or
        the grid is flipped already.
    """

    grid: PatchGrid
    normalize: str
    side: str
    mirror: str
    selftest_sbr: float
    card: ModelCard
    mirror_centre: str = "n/2"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("side", SIDES),
            ("mirror", MIRRORS),
            ("mirror_centre", MIRROR_CENTRES),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"expected {name} to be one of {', '.join(allowed)}; "
                    f"got {getattr(self, name)!r}"
                )
        _check_normalization(self.normalize)
        if self.mirror == "none" and self.mirror_centre != "n/2":
            raise ValueError(
                f"expected mirror_centre n/2, since no side is mirrored; got {self.mirror_centre}"
            )
        if self.grid.flipped:
            raise ValueError("expected a grid that is not flipped: mirror and mirror_centre say so")
        sbr = float(np.float32(self.selftest_sbr))
        if not math.isfinite(sbr):
            raise ValueError(f"expected a finite selftest_sbr, got {self.selftest_sbr}")
        object.__setattr__(self, "selftest_sbr", sbr)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> ModelSpec:
        """Read a model file's metadata; keys without 'nigroedge.' in front are others' affair.

        Raises
        ------
        ModelError
            If the format's version is unknown, a key is missing or unknown to that version, a value
            is not in its one spelling, or the task is another than 'sbr'.
        """
        own = {k.removeprefix(_PREFIX): v for k, v in metadata.items() if k.startswith(_PREFIX)}
        _check_keys(own)
        parsers = {**_PARSERS, **{k: p for k, p in _OPTIONAL_PARSERS.items() if k in own}}
        values = {key: _parse(key, own[key], parse) for key, parse in parsers.items()}
        if own["format"] == "1" and values["normalize"] not in FORMAT_1_NORMALIZATIONS:
            raise ModelError(
                "metadata nigroedge.*: expected normalize of format 1 to be one of "
                f"{', '.join(FORMAT_1_NORMALIZATIONS)}; got {values['normalize']!r}"
            )
        grid = {key: values.pop(key) for key in ("patch_shape", "spacing_mm", "axes")}
        for key in _UNUSED:
            values.pop(key, None)
        try:
            return cls(PatchGrid(*grid.values()), **values)
        except ValueError as error:
            raise ModelError(f"metadata nigroedge.*: {error}") from error

    def to_metadata(self) -> dict[str, str]:
        """Write the metadata that from_metadata() reads, in the first format that can say it."""
        sbr = np.float32(self.selftest_sbr)
        beyond = {} if self.mirror_centre == "n/2" else {"mirror_centre": self.mirror_centre}
        is_format_1 = not beyond and self.normalize in FORMAT_1_NORMALIZATIONS
        values = {
            "format": FORMATS[0] if is_format_1 else FORMATS[1],
            "patch_shape": " ".join(str(n) for n in self.grid.shape),
            "spacing_mm": " ".join(
                np.format_float_positional(mm, trim="-") for mm in self.grid.spacing_mm
            ),
            "axes": self.grid.axes,
            "normalize": self.normalize,
            "side": self.side,
            "mirror": self.mirror,
            **beyond,
            "selftest_sbr": f"0x{int(sbr.view(np.uint32)):08x} {sbr!s}",
            "card": self.card.to_json(),
        }
        return {_PREFIX + key: value for key, value in values.items()}

    def grid_for(self, side: str) -> PatchGrid:
        """Give the grid on which the patch of a side is cropped: mirrored if the model flips it."""
        if side != self.mirror:
            return self.grid
        return replace(self.grid.mirrored(), flipped=self.mirror_centre == "n/2-1")


def _check_normalization(text: str) -> None:
    from nigroedge import _core  # here, so that a clone without it can still show its help

    _core.keeps_signs(text)  # ValueError if there is no such normalisation


def _check_keys(own: Mapping[str, str]) -> None:
    """Refuse an unknown format, and keys that are missing or that this format does not have."""
    version = own.get("format")
    if version not in FORMATS:
        got = "none" if version is None else repr(version[:40])
        raise ModelError(
            f"expected metadata nigroedge.format {' or '.join(map(repr, FORMATS))}, got {got}"
        )
    needed = {"format", *_PARSERS}
    allowed = needed | (_OPTIONAL_PARSERS.keys() if version == FORMATS[1] else set())
    if not needed <= own.keys() <= allowed:
        missing = ", ".join(sorted(needed - own.keys())) or "none"
        unknown = ", ".join(sorted(own.keys() - allowed)) or "none"
        raise ModelError(
            f"metadata nigroedge.* of format {version}: missing {missing}; unknown {unknown[:300]}"
        )


def _shape(text: str) -> tuple[int, ...]:
    _match(_SHAPE, text, "three sizes such as '50 50 20'")
    return tuple(int(n) for n in text.split(" "))


def _spacing(text: str) -> tuple[float, ...]:
    _match(_SPACING, text, "three spacings in mm such as '0.5 0.5 1'")
    spacing_mm = tuple(float(mm) for mm in text.split(" "))
    low, high = _SPACING_RANGE_MM
    if not all(low <= mm <= high for mm in spacing_mm):
        raise ValueError(f"expected spacings of {low} to {high} mm, got {text}")
    return spacing_mm


def _selftest(text: str) -> float:
    """Read '0xBITS decimal'; both must be the same float32."""
    match = _match(_SELFTEST, text, "float32 bits and decimal such as '0x40133333 2.3'")
    bits = np.array(int(match[1], 16), dtype=np.uint32).view(np.float32)
    with np.errstate(over="ignore"):
        decimal = np.float32(match[2])
    if bits != decimal:
        raise ValueError(f"bits {match[1]} are {bits!s}, but the decimal is {match[2]}")
    return float(bits)


def _task(text: str) -> str:
    if text not in TASKS:
        raise ValueError(
            f"expected {' or '.join(TASKS)}, got {text[:60]!r}: this version runs no other"
        )
    return text


def _json_object(text: str) -> dict[str, Any]:
    value = _read_json(text)
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {type(value).__name__}")
    return value


def _read_json(text: str) -> Any:
    """Read JSON strictly: no NaN, no key twice, no depth that would end the process."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("JSON nested too deeply") from error


def _match(pattern: re.Pattern[str], text: str, expected: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise ValueError(f"expected {expected}, got {text[:60]!r}")
    return match


#: The metadata keys beside 'format' and how each is read; grid first, in PatchGrid's order.
_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "patch_shape": _shape,
    "spacing_mm": _spacing,
    "axes": str,
    "normalize": str,
    "side": str,
    "mirror": str,
    "selftest_sbr": _selftest,
    "card": ModelCard.from_json,
}

#: Those of format 2, each optional.
_OPTIONAL_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "task": _task,
    "mirror_centre": str,
    "interval": _json_object,
    "domain": _json_object,
}

#: Read to be refused where they are broken; no SBR depends on what they say.
_UNUSED = ("task", "interval", "domain")

#: Values of any length that a file may have.
_LONG = ("card", "interval", "domain")


def _parse(key: str, text: str, parse: Callable[[str], Any]) -> Any:
    if key not in _LONG and len(text) > _MAX_VALUE_LENGTH:
        raise ModelError(f"metadata {_PREFIX}{key}: more than {_MAX_VALUE_LENGTH} characters")
    try:
        return parse(text)
    except ValueError as error:
        raise ModelError(f"metadata {_PREFIX}{key}: {error}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a key is given twice")
    return dict(pairs)


def _texts(value: Any) -> list[str]:
    """List the texts in what JSON can hold, keys included."""
    if isinstance(value, str):
        return [value]
    parts: list[Any] = []
    if isinstance(value, Mapping):
        parts = [*value.keys(), *value.values()]
    elif isinstance(value, (list, tuple)):
        parts = [*value]
    return [text for part in parts for text in _texts(part)]


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")
