# SPDX-License-Identifier: Apache-2.0
"""What needs no network, and what no network can beat in RMSE: constant, reading, oracle.

constant: the mean SBR. reading: the mean SBR of the rows that the reader calls as this one. oracle:
the mean SBR given the hidden state, which only a simulation knows. Means are those of rows that are
not evaluated; where there are none, of all other participants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nigroedge.study.rho_c import Floats
from nigroedge.study.table import Row

NAMES = ("constant", "reading", "oracle")


@dataclass(frozen=True, eq=False)
class Baseline:
    """One baseline.

    Parameters
    ----------
    name : str
        One of NAMES.
    predicted : (n,) or None
        SBR of the evaluated rows; None if there is no such baseline for these data.
    source : str
        Where the numbers come from, or why there are none.
    """

    name: str
    predicted: Floats | None
    source: str


def baselines(evaluated: Sequence[Row], training: Sequence[Row]) -> list[Baseline]:
    """Predict the evaluated rows by every baseline.

    Parameters
    ----------
    evaluated, training : sequence of Row
        With sbr; no participant in both. Without training rows, means leave out the participant.
    """
    return [constant(evaluated, training), by_reading(evaluated, training), oracle(evaluated)]


def constant(evaluated: Sequence[Row], training: Sequence[Row]) -> Baseline:
    """Predict the mean SBR."""
    predicted = _means(evaluated, training, ["all"] * len(evaluated), ["all"] * len(training))
    if predicted is None:
        return Baseline("constant", None, "there is no other participant to take a mean of")
    return Baseline("constant", predicted, f"mean SBR of {_whose(training)}")


def by_reading(evaluated: Sequence[Row], training: Sequence[Row]) -> Baseline:
    """Predict the mean SBR of those with the same reading."""
    missing = sum(row.reading is None for row in evaluated)
    if missing:
        return Baseline(
            "reading", None, f"{missing} of {len(evaluated)} evaluated rows have no reading"
        )
    readings = [str(row.reading) for row in evaluated]
    predicted = _means(evaluated, training, readings, [str(row.reading) for row in training])
    if predicted is None:
        return Baseline("reading", None, "a reading has no row to take a mean of")
    return Baseline("reading", predicted, f"mean SBR by reading of {_whose(training)}")


def oracle(evaluated: Sequence[Row]) -> Baseline:
    """Predict the mean SBR given the hidden state: the ceiling of a simulated cohort."""
    expected = [row.expected_sbr for row in evaluated]
    if None in expected:
        return Baseline("oracle", None, "expected_sbr is not given: only a simulation knows it")
    return Baseline("oracle", np.array(expected, np.float64), "expected_sbr of the table")


def _means(
    evaluated: Sequence[Row],
    training: Sequence[Row],
    keys: Sequence[str],
    training_keys: Sequence[str],
) -> Floats | None:
    """Give each evaluated row the mean SBR of its key; None if a key has no row to learn from."""
    source = training or evaluated
    source_keys = np.array(training_keys if training else keys)
    sbr = np.array([row.sbr for row in source], np.float64)
    ids = np.array([row.participant_id for row in source])
    predicted = np.empty(len(evaluated))
    for i, (row, key) in enumerate(zip(evaluated, keys, strict=True)):
        from_here = source_keys == key
        if not training:
            from_here &= ids != row.participant_id
        if not from_here.any():
            return None
        predicted[i] = sbr[from_here].mean()
    return predicted


def _whose(training: Sequence[Row]) -> str:
    if not training:
        return "all other participants, leaving out the one that is predicted"
    return f"the {len(training)} training and validation rows"
