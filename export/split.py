# SPDX-License-Identifier: Apache-2.0
"""Deal a cohort's participants out to training, validation and test, and score the baselines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from export.windows import Windows
from nigroedge.errors import InputError
from nigroedge.study import scores

#: Shares of the participants that are held back from training.
VALIDATION_SHARE, TEST_SHARE = 0.1, 0.2

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Split:
    """Rows of the cohort; both sides of a participant are always in one part."""

    train: Rows
    validation: Rows
    test: Rows


def split_rows(participants: int, seed: int) -> Split:
    """Deal the participants out at random.

    Raises
    ------
    InputError
        If a part would be empty.
    """
    n_test = round(TEST_SHARE * participants)
    n_validation = round(VALIDATION_SHARE * participants)
    if min(n_test, n_validation) == 0:
        raise InputError(f"expected at least 6 participants to split, got {participants}")
    order = np.random.default_rng((seed, 0)).permutation(participants)
    parts = np.split(order, [n_test, n_test + n_validation])
    test, validation, train = (np.stack([2 * p, 2 * p + 1], axis=1).ravel() for p in parts)
    return Split(train, validation, test)


def baselines(windows: Windows, split: Split) -> dict[str, dict[str, float]]:
    """Score on the test rows what needs no network, and what no network can be expected to beat.

    constant: the mean of the training rows. reading: the mean of the training rows that the reader
    calls as this one. oracle: the mean SBR given the hidden state of the nigra.
    """
    measured, intact = windows.sbr[split.train], windows.intact[split.train]
    constant = measured.mean()
    by_reading = [
        measured[intact == reading].mean() if (intact == reading).any() else constant
        for reading in (False, True)
    ]
    test = split.test
    predicted = {
        "constant": np.full(len(test), constant),
        "reading": np.where(windows.intact[test], by_reading[1], by_reading[0]),
        "oracle": windows.expected_sbr[test],
    }
    return {name: scores(values, windows.sbr[test]) for name, values in predicted.items()}
