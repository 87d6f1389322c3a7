# SPDX-License-Identifier: Apache-2.0
"""What one value of a statistic stands for: a participant, a left or a right side, or any side.

Bae 2023 has one value for each participant. Here that is the mean SBR of the sides that the table
has of the participant, measured and predicted alike: the more affected side would be chosen by the
measurement itself, and would flatter or punish predictions by how far they regress to the mean. A
participant counts as lost if a side is, and as abnormal if a side is. The two sides of one person
are correlated: where both count as values of their own, intervals come from drawing participants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from nigroedge.study.rho_c import Floats
from nigroedge.study.table import Row

UnitName = Literal["participant", "left", "right", "side"]
#: Name → what people read.
UNITS: Mapping[UnitName, str] = {
    "participant": "by participant",
    "left": "left sides",
    "right": "right sides",
    "side": "all sides",
}


@dataclass(frozen=True, eq=False)
class Unit:
    """The values of a unit.

    Parameters
    ----------
    name : str
        A key of UNITS.
    measured : (n,)
        SBR.
    predictions : dict of str → (n,)
        SBR.
    participants : (n,) of int
        Whose value it is, 0 to p − 1.
    readings, spect : n of str or None
    lines : n of int
        First line of the table that it came from.
    """

    name: UnitName
    measured: Floats
    predictions: Mapping[str, Floats]
    participants: npt.NDArray[np.intp]
    readings: tuple[str | None, ...]
    spect: tuple[str | None, ...]
    lines: tuple[int, ...]

    @property
    def n_participants(self) -> int:
        """How many participants have values."""
        return int(self.participants.max()) + 1

    @property
    def independent(self) -> bool:
        """Whether each participant has one value."""
        return self.n_participants == len(self.measured)


def make_units(rows: Sequence[Row], predictions: Mapping[str, Floats]) -> list[Unit]:
    """Group rows that have measured SBR into every unit that has a value.

    Parameters
    ----------
    predictions : dict of str → (n,)
        In the order of the rows.
    """
    indices = range(len(rows))
    of_side = {side: [[i] for i in indices if rows[i].side == side] for side in ("left", "right")}
    by_participant: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        by_participant.setdefault(row.participant_id, []).append(i)
    members: dict[UnitName, list[list[int]]] = {
        "participant": list(by_participant.values()),
        "left": of_side["left"],
        "right": of_side["right"],
        "side": [[i] for i in indices],
    }
    return [_unit(name, rows, predictions, groups) for name, groups in members.items() if groups]


def _unit(
    name: UnitName,
    rows: Sequence[Row],
    predictions: Mapping[str, Floats],
    groups: Sequence[Sequence[int]],
) -> Unit:
    measured = np.array([row.sbr for row in rows], np.float64)
    ids = [rows[group[0]].participant_id for group in groups]
    number = {participant: i for i, participant in enumerate(dict.fromkeys(ids))}
    members = [[rows[i] for i in group] for group in groups]
    return Unit(
        name=name,
        measured=_means(measured, groups),
        predictions={key: _means(values, groups) for key, values in predictions.items()},
        participants=np.array([number[i] for i in ids], np.intp),
        readings=tuple(worst([row.reading for row in of], "lost") for of in members),
        spect=tuple(worst([row.spect for row in of], "abnormal") for of in members),
        lines=tuple(of[0].line for of in members),
    )


def _means(values: Floats, groups: Sequence[Sequence[int]]) -> Floats:
    return np.array([values[list(group)].mean() for group in groups])


def worst(words: Sequence[str | None], bad: str) -> str | None:
    """Give the bad word if any side has it, else None if a side has none, else the good word."""
    if bad in words:
        return bad
    return None if None in words else words[0]
