# SPDX-License-Identifier: Apache-2.0
"""Which rows of a cohort train, which choose the epoch, which are tested; and the baselines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from export.cohort import dealt
from nigroedge.errors import InputError
from nigroedge.study.baseline import baselines as predict_baselines
from nigroedge.study.residual import scores
from nigroedge.study.table import Row

#: One of so many training participants validates where a table names nobody.
_ONE_OF = 10

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Split:
    """Rows of the table; both sides of a participant are always in one part. Test may be empty."""

    train: Rows
    validation: Rows
    test: Rows


def split_rows(rows: Sequence[Row], seed: int, *, participants: int | None = None) -> Split:
    """Tell the parts of a table; one without splits is dealt out as the study was.

    Where a table names nobody for validation every tenth of its training participants validates, in
    an order that the seed decides. `participants` takes only so many of those that train and
    validate, as many of each as in the whole, the first in that order: fewer are always among more.

    Raises
    ------
    InputError
        If nobody is left to train or to validate, or there are fewer participants than asked for.
    """
    rows = rows if any(row.split for row in rows) else dealt(rows, seed)
    of: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        of[row.participant_id].append(index)
    learners = [row for row in rows if row.split != "test"]
    order = _in_random_order(learners, seed) if learners else []
    wanted = len(order) if participants is None else participants
    if wanted > len(order):
        raise InputError(
            f"expected at least {wanted} participants to learn from, got {len(order)} in the table"
        )
    named = {row.participant_id for row in rows if row.split == "validation"}
    validators = [p for p in order if p in named] if named else order[::_ONE_OF]
    trainers = [p for p in order if p not in set(validators)]
    n_validate = max(1, round(wanted * len(validators) / max(1, len(order))))
    validation, train = validators[:n_validate], trainers[: wanted - n_validate]
    if not train or not validation:
        raise InputError(
            f"expected at least one participant to train and one to validate, got {len(train)} and "
            f"{len(validation)}"
        )
    test = [p for p in of if rows[of[p][0]].split == "test"]
    return Split(*(_indices(of, part) for part in (train, validation, test)))


def _in_random_order(rows: Sequence[Row], seed: int) -> list[str]:
    """List the participants; the order follows from the seed and the names, not from the table's.

    So a table with its lines in another order is split the same.
    """
    names = sorted({row.participant_id for row in rows})
    return [names[i] for i in np.random.default_rng((seed, 0)).permutation(len(names))]


def _indices(of: dict[str, list[int]], participants: list[str]) -> Rows:
    return np.array(sorted(i for p in participants for i in of[p]), np.intp)


def baselines(rows: Sequence[Row], split: Split, tested: Rows) -> dict[str, dict[str, float]]:
    """Score on some rows what needs no network, and what no network can be expected to beat.

    Those of `nigroedge.study.baseline` that the table has the columns for; means are those of the
    training rows.
    """
    train, shown = ([rows[i] for i in part] for part in (split.train, tested))
    measured = np.array([row.sbr for row in shown], np.float64)
    return {
        baseline.name: scores(baseline.predicted, measured)
        for baseline in predict_baselines(shown, train)
        if baseline.predicted is not None
    }
