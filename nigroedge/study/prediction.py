# SPDX-License-Identifier: Apache-2.0
"""Predict every row of a cohort table with one model or several.

Each image is opened once. Rows that cannot be predicted are gathered, and said all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nigroedge.errors import InputError, TableError
from nigroedge.study import baseline
from nigroedge.study.images import Owners, by_image, image_problems, without_path
from nigroedge.study.rho_c import Floats
from nigroedge.study.table import Row, listed

if TYPE_CHECKING:
    from nigroedge.model import Model
    from nigroedge.volume import Volume

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Predictor:
    """A model, or one for each side, under the name of its file."""

    name: str
    models: Model | Mapping[str, Model]

    @property
    def each(self) -> tuple[Model, ...]:
        """The model files behind the name."""
        return tuple(self.models.values()) if isinstance(self.models, Mapping) else (self.models,)

    def predict(self, volume: Volume, row: Row) -> float:
        """Give the SBR of a row from its image."""
        from nigroedge.pipeline import predict

        result = predict(volume, **{row.side: row.centre_mm}, models=self.models)
        return float(getattr(result, row.side).sbr)


def group_models(models: Sequence[Model]) -> list[Predictor]:
    """Tell which models predict together: one for the left next to one for the right is one.

    Raises
    ------
    InputError
        If a model serves one side and its neighbours do not serve the other.
    """
    found: list[Predictor] = []
    waiting: list[Model] = []
    for model in models:
        waiting.append(model)
        sides = [each.spec.side for each in waiting]
        if sides == ["both"]:
            found.append(Predictor(_stem(model.path), model))
        elif sorted(sides) == ["left", "right"]:
            pair = {each.spec.side: each for each in waiting}
            name = "+".join(_stem(pair[side].path) for side in ("left", "right"))
            found.append(Predictor(name, pair))
        elif len(waiting) == 2:
            raise InputError(
                f"expected the models of both sides next to one another, got one for the "
                f"{sides[0]} side and then one for {sides[1]}"
            )
        else:
            continue
        waiting = []
    if waiting:
        raise InputError(
            f"expected models for both sides, got one for the {waiting[0].spec.side} side alone"
        )
    names = unique_names([each.name for each in found])
    return [Predictor(name, each.models) for name, each in zip(names, found, strict=True)]


def unique_names(names: Sequence[str]) -> list[str]:
    """Number what is named twice, and keep the names of the baselines for the baselines."""
    found: list[str] = []
    for name in names:
        name = name or "prediction"
        if name in baseline.NAMES:
            name = f"{name} (predicted)"
        numbered = (f"{name} ({i})" for i in range(2, len(names) + 2))
        found.append(next(each for each in chain([name], numbered) if each not in found))
    return found


def predict_rows(
    rows: Sequence[Row],
    predictors: Sequence[Predictor],
    *,
    progress: Progress = lambda done, total: None,
) -> dict[str, Floats]:
    """Predict every row.

    Parameters
    ----------
    rows : sequence of Row
        With image and centre_mm.
    predictors : sequence of Predictor
        Of different names.
    progress : callable
        Called with the number of rows done and of all.

    Returns
    -------
    dict of str → (n,)
        SBR by each predictor, in the order of the rows.

    Raises
    ------
    TableError
        Every row that cannot be predicted, or has another participant's image, by line; without the
        images' paths, which may hold identifiers.
    """
    owners = Owners()
    sbr = {each.name: np.full(len(rows), np.nan) for each in predictors}

    def fill(volume: Volume, place: int) -> str | None:
        try:
            for each in predictors:
                sbr[each.name][place] = each.predict(volume, rows[place])
        except InputError as error:
            return without_path(error, rows[place].image)
        return owners.problem(volume, rows[place])

    problems: list[tuple[int, str]] = []
    done = 0
    for places in by_image(rows):
        problems += image_problems(rows, places, fill)
        done += len(places)
        progress(done, len(rows))
    if problems:
        raise TableError("rows of the table that cannot be predicted", listed(problems))
    return sbr


def _stem(path: Path) -> str:
    return path.name.removesuffix(path.suffix)
