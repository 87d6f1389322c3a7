# SPDX-License-Identifier: Apache-2.0
"""One image file of a scan, and what its sidecars say of it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nigroedge.errors import InputError
from nigroedge.names import quoted

Part = Literal["mag", "phase"]

_ECHO_IN_NAME = re.compile(r"(?:^|_)echo-([0-9]{1,9})(?=[_.])")

#: Values of DICOM's ImageType that say what is in an image, and the part that it is.
IMAGE_TYPES = {
    **dict.fromkeys(("M", "MAGNITUDE"), "mag"),
    **dict.fromkeys(("P", "PHASE", "PHASE MAP"), "phase"),
    **dict.fromkeys(("R", "REAL"), "real"),
    **dict.fromkeys(("I", "IMAGINARY"), "imag"),
}
#: What to do with real and imaginary parts. They are not read: some scanners turn the sign of every
#: second slice in them, and nothing in a file says so.
CONVERT = "convert them: magnitude is hypot(real, imag), phase atan2(imag, real), in radians"
#: Words for the unit of a phase → its name in `nigroedge.smwi.phase`; None leaves it to the values.
UNITS: dict[str, str | None] = {
    **dict.fromkeys(("rad", "radian", "radians"), "rad"),
    **dict.fromkeys(("mrad", "milliradian", "milliradians"), "mrad"),
    **dict.fromkeys(("deg", "degree", "degrees"), "deg"),
    **dict.fromkeys(("arbitrary", "arb", "a.u.", "au", ""), None),
}
#: Units of a field map: numbers that no turn of phase can be made of.
FIELD_UNITS = frozenset({"hz", "rad/s", "rads/s", "radians/s", "t", "ut", "tesla", "ppm"})


@dataclass(frozen=True)
class EchoImage:
    """One file of a scan, and what its sidecars say.

    Parameters
    ----------
    path : Path
    part : {'mag', 'phase'}
    said : dict
        Key → value, of `nigroedge.smwi.sidecar.KEYS`.
    """

    path: Path
    part: Part
    said: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The file's name in quotes, for a message."""
        return quoted(self.path.name)

    @property
    def echo_in_name(self) -> int | None:
        """The number behind `echo-` in the file's name."""
        found = _ECHO_IN_NAME.search(self.path.name)
        return None if found is None else int(found[1])

    @property
    def echo_number(self) -> float | None:
        """EchoNumber, which nobody needs: only where it is a number."""
        value: Any = self.said.get("EchoNumber")
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return float(value) if is_number and abs(value) < 1e6 else None

    def number(self, key: str) -> float | None:
        """Give the number that a key has, None where nothing is said.

        Raises
        ------
        InputError
            If it is something else.
        """
        value = self.said.get(key)
        return None if value is None else self._checked(key, value)

    def echo_times_s(self) -> tuple[float, ...] | None:
        """Give the time of each echo in the file, None where nothing is said.

        Raises
        ------
        InputError
            If they are no numbers.
        """
        value = self.said.get("EchoTime")
        if value is None:
            return None
        values = value if isinstance(value, list) and value else [value]
        return tuple(self._checked("EchoTime", time) for time in values)

    def phase_unit(self) -> str | None:
        """Give the unit of a phase, as `nigroedge.smwi.phase` names it; None if none is named.

        Raises
        ------
        InputError
            If it is no unit of phase.
        """
        word = self.said.get("Units", "arbitrary")
        known = word.strip().lower() if isinstance(word, str) else word
        if known in UNITS:
            return UNITS[known]
        is_field = isinstance(known, str) and known in FIELD_UNITS
        raise InputError(
            f"expected phase in Units 'rad', 'mrad', 'deg' or 'arbitrary', got {word!r} in a "
            f"sidecar of {self.name}" + (": a field map is no phase" if is_field else "")
        )

    def kinds(self) -> set[str]:
        """Give what ImageType says is in the image: of mag, phase, real and imag; maybe nothing."""
        return {IMAGE_TYPES[word] for word in self._image_type() if word in IMAGE_TYPES}

    def _image_type(self) -> Iterator[str]:
        r"""Words of ["ORIGINAL", "M_FFE"] or of "ORIGINAL\\PRIMARY\\M"."""
        value = self.said.get("ImageType")
        for text in value if isinstance(value, list) else [value]:
            for word in text.upper().split("\\") if isinstance(text, str) else ():
                yield word.strip().replace("_MAP", " MAP").partition("_")[0]

    def _checked(self, key: str, value: Any) -> float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:
                number = math.inf
            if math.isfinite(number):
                return number
        raise self.lacks(key, value)

    def lacks(self, key: str, value: Any = None) -> InputError:
        """Give the error of a key that is needed, and what came in its place."""
        got = "none" if value is None else repr(value)
        return InputError(f"expected {key} in a sidecar of {self.name}, got {got}")
