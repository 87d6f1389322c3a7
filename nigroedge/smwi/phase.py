# SPDX-License-Identifier: Apache-2.0
"""Turn stored phase into radians: which unit it is in, and which voxels are no numbers.

Scanners and converters store phase as radians, milliradians, or integers over one turn, and some
files hold one turn stretched over an arbitrary range. A wrapped phase image has a mark of its own:
noise fills its range to both ends. What has no such mark, or could be two units, is refused; a
named unit is believed, if the values fit it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nigroedge.errors import InputError
from nigroedge.smwi.fourier import Floats

#: A stored range may fall short of, or exceed, the unit's range by this part of it.
RANGE_TOLERANCE = 0.01
#: Noise puts 1 % of the voxels into each outer hundredth of the range; a field map in Hz, whose
#: extremes are rare, puts far fewer there.
MIN_EDGE_FRACTION = 5e-4
#: More voxels than this without a number, and the phase is refused.
MAX_NOT_FINITE = 0.5


@dataclass(frozen=True)
class PhaseUnit:
    """Radians are (stored − zero) · 2π / turn; one turn of stored values starts at `low`."""

    turn: float
    low: float
    zero: float


UNITS = {
    "rad": PhaseUnit(2 * math.pi, -math.pi, 0.0),
    "rad-positive": PhaseUnit(2 * math.pi, 0.0, 0.0),
    "mrad": PhaseUnit(2000 * math.pi, -1000 * math.pi, 0.0),
    "0..4095": PhaseUnit(4096.0, 0.0, 2048.0),
    "-4096..4096": PhaseUnit(8192.0, -4096.0, 0.0),
}
#: One turn over whatever symmetric range is stored.
FULL_RANGE = "full-range"
UNIT_NAMES = (*UNITS, FULL_RANGE)


@dataclass(frozen=True, eq=False)
class Phase:
    """Phase in radians, how it was stored, and where it is a number.

    Parameters
    ----------
    radians : ndarray float32
        Of the shape given; 0 where the stored value is no number.
    unit : str
        One of UNIT_NAMES.
    is_detected : bool
        The unit was found from the values, not named.
    finite : ndarray bool
        False where the stored value is NaN or infinite.
    """

    radians: Floats
    unit: str
    is_detected: bool
    finite: npt.NDArray[np.bool_]


def read_phase(stored: npt.NDArray[Any], *, unit: str | None = None) -> Phase:
    """Give stored phase in radians.

    Parameters
    ----------
    stored : (nx, ny, nz, …) ndarray
        After slope and intercept; all echoes (and channels) together, so that they share a unit.
    unit : str, optional
        One of UNIT_NAMES; detected where it is not given.

    Raises
    ------
    InputError
        If the phase is constant, mostly not finite, in no unit or several, or out of the range of
        the unit named.
    """
    values = np.asarray(stored, np.float32)
    finite = np.isfinite(values)
    if finite.mean() < MAX_NOT_FINITE:
        raise InputError(
            f"expected phase to be mostly numbers, got {100 * (1 - finite.mean()):.0f} % NaN or "
            f"infinite"
        )
    values = np.where(finite, values, np.float32(0))
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise InputError(f"expected a phase image, got {low + 0.0:g} in every voxel")
    name = unit or _detect(values, low, high)
    turn = _turn_named(name, low, high)
    radians = (values - np.float32(turn.zero)) * np.float32(2 * math.pi / turn.turn)
    return Phase(np.where(finite, radians, np.float32(0)), name, unit is None, finite)


def _turn_named(name: str, low: float, high: float) -> PhaseUnit:
    if name == FULL_RANGE:
        half = max(-low, high)
        return PhaseUnit(2 * half, -half, 0.0)
    if name not in UNITS:
        raise InputError(f"expected a phase unit of {', '.join(UNIT_NAMES)}, got {name!r}")
    turn = UNITS[name]
    slack = RANGE_TOLERANCE * turn.turn
    if low < turn.low - slack or high > turn.low + turn.turn + slack:
        raise InputError(
            f"expected phase in {name!r} to lie within {turn.low:g} … {turn.low + turn.turn:g}, "
            f"got {low:g} … {high:g}"
        )
    return turn


def _detect(values: Floats, low: float, high: float) -> str:
    fitting = [name for name, turn in UNITS.items() if _fills(turn, low, high)]
    if len(fitting) == 1:
        return fitting[0]
    symmetric = abs(low + high) < RANGE_TOLERANCE * (high - low)
    if not fitting and symmetric and _is_filled_to_the_ends(values, low, high):
        return FULL_RANGE
    found = f"fits {' and '.join(fitting)}" if fitting else "fits no unit of phase"
    raise InputError(
        f"phase from {low:g} to {high:g} {found}; name the unit (one of {', '.join(UNIT_NAMES)}). "
        f"A field map in Hz is no phase"
    )


def _fills(turn: PhaseUnit, low: float, high: float) -> bool:
    slack = RANGE_TOLERANCE * turn.turn
    return abs(low - turn.low) < slack and abs(high - turn.low - turn.turn) < slack


def _is_filled_to_the_ends(values: Floats, low: float, high: float) -> bool:
    edge = 0.01 * (high - low)
    fractions = (np.mean(values < low + edge), np.mean(values > high - edge))
    return bool(min(fractions) > MIN_EDGE_FRACTION)
