# SPDX-License-Identifier: Apache-2.0
"""Turn stored phase into radians: which unit it is in, and which voxels are no numbers.

A wrapped phase image has a mark of its own: it goes round, so that noise fills its range to both
ends, and evenly across them. What has no such mark, or could be two units, is refused; a named unit
is believed, if the values fit it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nigroedge.errors import InputError
from nigroedge.smwi.fourier import Floats
from nigroedge.smwi.phase_unit import (
    FULL_RANGE,
    MARKS_OF_PHASE,
    SAME_NUMBERS,
    UNIT_NAMES,
    UNITS,
    PhaseUnit,
)

#: A stored range may fall short of, or exceed, the unit's range by this part of it.
RANGE_TOLERANCE = 0.01
#: Noise puts 1 % of the voxels into each outer hundredth of the range; a field map in Hz, whose
#: extremes are rare, puts far fewer there.
MIN_EDGE_FRACTION = 5e-4
#: How many times as full one hundredth at the ends may be as another. Where phase goes round it
#: changes by little (1.4 times in real scans); what was cut off at its extremes, or an image with a
#: dark background, is tens of times as full at one end.
MAX_EDGE_RATIO = 4.0
#: A range about 0 whose ends differ by less than this part of it is meant to be symmetric.
SYMMETRY_TOLERANCE = 0.05
#: More voxels than this without a number, and the phase is refused.
MAX_NOT_FINITE = 0.5
#: A range that is less of the turn than this is in another unit: noise alone has more, 0.06 rad.
MIN_SPAN = 0.01
#: What goes round within less than this part of a turn is another turn; and a jump of this part of
#: a range is one from end to end.
MIN_WRAPPED = 0.9
#: Noise of a background jumps so in 1 % of the neighbours, a wrapped brain in 0.2 % and more; a
#: phase that is not wrapped in none.
MIN_JUMPS = 5e-4


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
        One of UNIT_NAMES; detected where it is not given. An angle may start at 0 or at minus half
        a turn, whichever of the two is named.

    Raises
    ------
    InputError
        If the phase is constant, mostly not finite, in no unit or several, out of the range of the
        unit named, or not in one unit in all echoes.
    """
    values = np.asarray(stored, np.float32)
    finite = np.isfinite(values)
    if finite.mean() < MAX_NOT_FINITE:
        raise InputError(
            f"expected phase to be mostly numbers, got {100 * (1 - finite.mean()):.0f} % NaN or "
            f"infinite"
        )
    low, high = float(values[finite].min()), float(values[finite].max())
    # What is no number counts as amid the range, and as whole a number as its ends.
    middle = (low + high) / 2
    amid = round(middle) if low.is_integer() and high.is_integer() else middle
    values = np.where(finite, values, np.float32(amid))
    if low == high:
        raise InputError(f"expected a phase image, got {low + 0.0:g} in every voxel")
    name = _named(unit, low, high) if unit is not None else _detected(values, low, high)
    turn = UNITS[name] if name != FULL_RANGE else _whole_range(values, low, high)
    if values.ndim > 3:
        _check_echoes(values, turn)
    radians = (values - np.float32(turn.zero)) * np.float32(2 * math.pi / turn.turn)
    return Phase(np.where(finite, radians, np.float32(0)), name, unit is None, finite)


# ----------------------------------------------------------------------------------- a named unit


def _named(unit: str, low: float, high: float) -> str:
    """The unit that is meant by a name, if the range lies within it."""
    if unit not in UNIT_NAMES:
        raise InputError(f"expected a phase unit of {', '.join(UNIT_NAMES)}, got {unit!r}")
    for name in (unit, SAME_NUMBERS.get(unit)):
        if name == FULL_RANGE or (name and _fits(UNITS[name], low, high)):
            return name
    turn = UNITS[unit]
    raise InputError(
        f"expected phase in {unit!r} to lie within {turn.low:g} … {turn.high:g} and to fill it, "
        f"got {low:g} … {high:g}: {_what_fits(low, high)}"
    )


def _fits(turn: PhaseUnit, low: float, high: float) -> bool:
    slack = RANGE_TOLERANCE * turn.turn
    is_within = low >= turn.low - slack and high <= turn.high + slack
    return is_within and not _is_too_small(turn, low, high)


def _is_too_small(turn: PhaseUnit, low: float, high: float) -> bool:
    """Whether a range is next to nothing of a turn, or fills a smaller one."""
    return high - low < MIN_SPAN * turn.turn or any(_smaller(turn, low, high))


def _smaller(turn: PhaseUnit, low: float, high: float) -> list[str]:
    """Names of the units, smaller than this one, that a range fills."""
    return [name for name in _filled(low, high) if UNITS[name].turn < 0.9 * turn.turn]


def _what_fits(low: float, high: float) -> str:
    fitting = list(_filled(low, high))
    if fitting:
        return f"{' or '.join(map(repr, fitting))} fits"
    return f"no unit with a name fits; {FULL_RANGE!r} takes the range for one turn, if it is one"


# --------------------------------------------------------------------------------------- detection


def _detected(values: Floats, low: float, high: float) -> str:
    fitting = list(_filled(low, high))
    marked = [name for name in fitting if name in MARKS_OF_PHASE]
    if len(marked) == 1:
        return marked[0]
    if not marked and _goes_round(values, low, high):
        return fitting[0] if len(fitting) == 1 else FULL_RANGE
    raise InputError(
        f"phase from {low:g} to {high:g} {_why_not(fitting)}; name the unit (one of "
        f"{', '.join(UNIT_NAMES)}). A field map in Hz is no phase"
    )


def _why_not(fitting: list[str]) -> str:
    if len(fitting) > 1:
        return f"fits {' and '.join(fitting)}"
    range_fits = f"would fit {fitting[0]}, but" if fitting else "fits no unit of phase, and"
    return f"{range_fits} its ends are not filled as by a phase that goes round"


def _filled(low: float, high: float) -> Iterator[str]:
    """Names of the units that a range fills."""
    for name, turn in UNITS.items():
        slack = RANGE_TOLERANCE * turn.turn
        if abs(low - turn.low) < slack and abs(high - turn.high) < slack:
            yield name


def _goes_round(values: Floats, low: float, high: float) -> bool:
    """Whether the range is full to both ends, and evenly across them.

    The hundredth at the low end may hold a background besides.
    """
    step = (high - low) / 100
    ends = (
        values < low + step,
        (values >= low + step) & (values < low + 2 * step),
        (values > high - 2 * step) & (values <= high - step),
        values > high - step,
    )
    counts = [int(np.count_nonzero(end)) for end in ends]
    is_full = min(counts) > MIN_EDGE_FRACTION * values.size
    return is_full and max(counts[1:]) <= MAX_EDGE_RATIO * min(counts[1:])


def _whole_range(values: Floats, low: float, high: float) -> PhaseUnit:
    """One turn over the range: about 0 where that is meant, one level longer for integers."""
    if low < 0 < high and abs(low + high) < SYMMETRY_TOLERANCE * (high - low):
        half = max(-low, high)
        return PhaseUnit(-half, 2 * half, 0.0)
    step = 1.0 if np.array_equal(values, np.rint(values)) else 0.0
    turn = high - low + step
    return PhaseUnit(low, turn, low + turn / 2)


# ------------------------------------------------------------------------------------------ echoes


def _check_echoes(values: Floats, turn: PhaseUnit) -> None:
    """Refuse an echo in another unit than the rest: its phase would count as nearly constant."""
    echoes = [values[:, :, :, echo] for echo in range(values.shape[3])]
    ranges = [(float(one.min()), float(one.max())) for one in echoes]
    low, high = min(ranges, key=lambda ends: ends[1] - ends[0])
    echo = ranges.index((low, high)) + 1
    if low == high:
        raise InputError(
            f"expected phase in every echo, got {low + 0.0:g} in every voxel of echo {echo}"
        )
    if _is_too_small(turn, low, high):
        smaller = _smaller(turn, low, high)
        fits = f": {smaller[0]!r} fits" if smaller else ""
        raise InputError(
            f"expected phase of all echoes in one unit, got {low:g} … {high:g} in echo {echo}, "
            f"where one turn of all is {turn.low:g} … {turn.high:g}{fits}"
        )
    for echo, (one, (low, high)) in enumerate(zip(echoes, ranges, strict=True)):
        if high - low < MIN_WRAPPED * turn.turn and _is_wrapped(one, low, high):
            raise InputError(
                f"expected phase of all echoes in one unit, got {low:g} … {high:g} in echo "
                f"{echo + 1}, which goes round, where one turn of all is {turn.low:g} … "
                f"{turn.high:g}: is it in another scale?"
            )


def _is_wrapped(values: Floats, low: float, high: float) -> bool:
    """Whether neighbours jump from one end of a range to the other."""
    jumps = np.abs(np.diff(values, axis=0)) > MIN_WRAPPED * (high - low)
    return int(np.count_nonzero(jumps)) > MIN_JUMPS * values.size
