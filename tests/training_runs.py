# SPDX-License-Identifier: Apache-2.0
"""A training run in miniature, on a cohort of six: four train, one validates, one tests."""

from pathlib import Path

from export.course import TrainConfig
from export.recipe import Recipe
from export.train import train
from tests.cohorts import write_cohort

RECIPE = Recipe(
    epochs=2, batch=4, schedule="one-cycle", learning_rate=1e-3, weight_decay=0.01, average=0.9
)
CONFIG = TrainConfig("slim", RECIPE, threads=1)
SPLITS = ("train", "train", "validation", "train", "test", "train")


def write_table(folder: Path) -> Path:
    """Write the cohort."""
    return write_cohort(folder, 6, splits=SPLITS)


def trained_run(table: Path, folder: Path) -> Path:
    """Train on it without a break; give the folder of the run."""
    train(CONFIG, table, folder / "run", cache=folder / "cache")
    return folder / "run"
