# SPDX-License-Identifier: Apache-2.0
"""A training run before it begins: who learns from whom, and how. What cannot be is refused here.

Nothing of it needs an image: a table, a recipe or a start that is none is known in a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import nn

from export.card import trained_card
from export.recipe import Recipe
from export.spec import method_spec
from export.split import Rows, Split, baselines, split_rows
from export.standard import Standard
from export.start import Start, random_start
from nigroedge.engine import MAX_THREADS
from nigroedge.errors import InputError
from nigroedge.preprocess import PATCH_SHAPE
from nigroedge.spec import ModelSpec
from nigroedge.study.table import Row, read_table

#: Columns of the table that training needs.
NEEDED = ("image", "x", "y", "z", "sbr")


@dataclass(frozen=True)
class TrainConfig:
    """What decides a run, beside the table: the same config gives the same weights.

    Parameters
    ----------
    preset : str
        A key of `export.network.PRESETS`.
    recipe : Recipe
    patience : int
        Stop after so many epochs without a lower validation RMSE; 0 never does.
    participants : int or None
        How many of those that train and validate are used; None is all.
    start : Path or None
        Model file of the same preset to start from; None starts from random weights.
    seed : int
        Split, first weights, order, augmentation.
    threads : int
        Of torch, which adds in another order on another number of them.
    mirror_centre : {'n/2', 'n/2-1'}
        Whether right sides are mirrored about the centroid, or cropped and then flipped.

    Raises
    ------
    InputError
        If the threads are not 1 to 1024.
    """

    preset: str
    recipe: Recipe
    patience: int = 0
    participants: int | None = None
    start: Path | None = None
    seed: int = 0
    threads: int = 2
    mirror_centre: str = "n/2"

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= MAX_THREADS:
            raise InputError(f"expected 1 to {MAX_THREADS} threads, got {self.threads}")


@dataclass(frozen=True, eq=False)
class Course:
    """What a run learns from, and how.

    Parameters
    ----------
    config : TrainConfig
    name : str
        Of what comes of it, for its card.
    rows : sequence of Row
        Of the table, in its order.
    split : Split
        Which of them train, validate and test.
    standard : Standard
        Of the SBR of those that train.
    start : Start or None
        The model file to go on from.
    """

    config: TrainConfig
    name: str
    rows: Sequence[Row]
    split: Split
    standard: Standard
    start: Start | None

    @classmethod
    def of(cls, config: TrainConfig, table: Path, *, name: str) -> Course:
        """Read the table, and the start if there is one.

        Raises
        ------
        InputError
            If the table is not one to train on, or the start is no model file of the preset;
            TableError, one of them, lists what is wrong with a table.
        """
        rows = read_table(table, need=NEEDED)
        split = split_rows(rows, config.seed, participants=config.participants)
        start = None if config.start is None else Start.read(config.start)
        if start is not None:
            start.network(config.preset, PATCH_SHAPE)
        standard = Standard.of(np.array([rows[i].sbr for i in split.train], np.float64))
        return cls(config, name, rows, split, standard, start)

    @cached_property
    def spec(self) -> ModelSpec:
        """How patches are prepared, and the card without scores."""
        return method_spec(trained_card(self), mirror_centre=self.config.mirror_centre)

    @property
    def simulated(self) -> bool:
        """Whether nobody of the table is a person."""
        return all(row.expected_sbr is not None for row in self.rows)

    def count(self, part: Rows) -> int:
        """Count the participants of some rows."""
        return len({self.rows[i].participant_id for i in part})

    def baselines(self, part: Rows) -> dict[str, dict[str, float]]:
        """Score on some rows what needs no network."""
        return baselines(self.rows, self.split, part)

    def first_network(self) -> nn.Sequential:
        """Build the network that begins to learn; its output is in SDs from the mean."""
        config = self.config
        if self.start is None:
            return random_start(config.preset, PATCH_SHAPE, seed=config.seed)
        network = self.start.network(config.preset, PATCH_SHAPE)
        self.standard.fold_out_of(network)
        return network
