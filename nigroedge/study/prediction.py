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
from nigroedge.study.images import without_path
from nigroedge.study.rho_c import Floats
from nigroedge.study.table import Row

if TYPE_CHECKING:
    from nigroedge.model import Model

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
        Every row that cannot be predicted, by line; without the images' paths, which may hold
        identifiers.
    """
    sbr = {each.name: np.full(len(rows), np.nan) for each in predictors}
    problems: list[tuple[int, str]] = []
    by_image: dict[Path | None, list[int]] = {}
    for i, row in enumerate(rows):
        by_image.setdefault(row.image, []).append(i)
    done = 0
    for image, indices in by_image.items():
        problems += _predict_image(image, indices, rows, predictors, sbr)
        done += len(indices)
        progress(done, len(rows))
    if problems:
        raise TableError(
            "rows of the table that cannot be predicted",
            [f"line {line}: {problem}" for line, problem in sorted(problems)],
        )
    return sbr


def _predict_image(
    image: Path | None,
    indices: Sequence[int],
    rows: Sequence[Row],
    predictors: Sequence[Predictor],
    sbr: Mapping[str, Floats],
) -> list[tuple[int, str]]:
    """Predict the rows of one image into `sbr`; give what is wrong with them."""
    from nigroedge.io.nifti import load_volume
    from nigroedge.pipeline import predict

    if image is None:
        return [(rows[i].line, "expected image, got nothing") for i in indices]
    problems = []
    try:
        volume = load_volume(image)
    except InputError as error:
        return [(rows[i].line, f"image: {without_path(error, image)}") for i in indices]
    for i in indices:
        row = rows[i]
        try:
            for each in predictors:
                result = predict(volume, **{row.side: row.centre_mm}, models=each.models)
                sbr[each.name][i] = getattr(result, row.side).sbr
        except InputError as error:
            problems.append((row.line, without_path(error, image)))
    return problems


def _stem(path: Path) -> str:
    return path.name.removesuffix(path.suffix)
