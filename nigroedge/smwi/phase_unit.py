# SPDX-License-Identifier: Apache-2.0
"""In which units phase is stored: one turn of it over a range of numbers.

Scanners and converters store phase as radians, milliradians, degrees, or integers over one turn,
and some files hold one turn over whatever range they were scaled to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class PhaseUnit:
    """One turn of stored values: radians are (stored − zero) · 2π / turn.

    Parameters
    ----------
    low, turn : float
        The turn starts at `low` and is `turn` long.
    zero : float
        The stored value of phase 0.
    """

    low: float
    turn: float
    zero: float

    @property
    def high(self) -> float:
        """Where the turn ends, and the next one would start."""
        return self.low + self.turn


def _signed(half: float) -> PhaseUnit:
    return PhaseUnit(-half, 2 * half, 0.0)


def _positive(turn: float) -> PhaseUnit:
    """An angle from 0 on."""
    return PhaseUnit(0.0, turn, 0.0)


def _levels(n: int) -> PhaseUnit:
    """Integers 0 … n − 1, of which 0 is −π."""
    return PhaseUnit(0.0, float(n), n / 2)


#: By name.
UNITS = {
    "rad": _signed(math.pi),
    "rad-positive": _positive(2 * math.pi),
    "mrad": _signed(1000 * math.pi),
    "mrad-positive": _positive(2000 * math.pi),
    "deg": _signed(180.0),
    "deg-positive": _positive(360.0),
    "0..255": _levels(256),
    "0..1023": _levels(1024),
    "0..4095": _levels(4096),
    "0..65535": _levels(65536),
    "-2048..2048": _signed(2048.0),
    "-4096..4096": _signed(4096.0),
    "-32768..32768": _signed(32768.0),
}
#: One turn over the range that is stored, whatever it is.
FULL_RANGE = "full-range"
UNIT_NAMES = (*UNITS, FULL_RANGE)

#: Ranges that nothing but phase is stored over. The others are those of any image too: there the
#: values themselves have to show that they go round.
MARKS_OF_PHASE = frozenset({"rad", "rad-positive", "mrad", "0..4095", "-4096..4096"})
#: Of an angle the same numbers are meant, wherever the turn starts.
SAME_NUMBERS = {"rad": "rad-positive", "mrad": "mrad-positive", "deg": "deg-positive"}
