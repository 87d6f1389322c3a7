# SPDX-License-Identifier: Apache-2.0
"""A run in memory: the learner, the best weights, and what happened so far."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from export.card import people
from export.course import Course
from export.learner import Learner, Patches, Weights, keep_memory, run_network
from export.lessons import Lessons
from export.progress import Bar
from export.split import Rows
from export.to_onnx import write_model
from export.windows import load_windows, prepared
from nigroedge.study.residual import scores


def defined(numbers: dict[str, float]) -> dict[str, float | None]:
    """Give numbers as JSON can hold them: None for ρc of one row, which is undefined."""
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


class Training:
    """A course that is run, epoch by epoch.

    Parameters
    ----------
    course : Course
    cache : Path
        Folder where windows are kept.

    Raises
    ------
    TableError
        If an image cannot be read or does not hold the patch: every such row.
    """

    def __init__(self, course: Course, cache: Path) -> None:
        torch.set_num_threads(course.config.threads)
        keep_memory()
        self.course = course
        self._windows = load_windows(course.rows, course.spec, cache)
        recipe = course.config.recipe
        lessons = Lessons(
            windows=self._windows,
            rows=course.split.train,
            spec=course.spec,
            standard=course.standard,
            augmentation=recipe.augmentation,
            seed=course.config.seed,
        )
        self._learner = Learner(course.first_network(), lessons, recipe)
        self._best = self._learner.weights()
        self.history: list[dict[str, float]] = []
        self._validation = self._prepared(course.split.validation)

    @property
    def n_steps(self) -> int:
        """Batches of all epochs."""
        return self.course.config.recipe.epochs * self._learner.steps_per_epoch

    @property
    def steps_done(self) -> int:
        """Batches that lie behind."""
        return len(self.history) * self._learner.steps_per_epoch

    @property
    def ended(self) -> bool:
        """Whether all epochs are done, or patience is at its end."""
        errors = [entry["validation_rmse"] for entry in self.history]
        if len(errors) >= self.course.config.recipe.epochs:
            return True
        patience = self.course.config.patience
        return bool(patience and errors and len(errors) - 1 - errors.index(min(errors)) >= patience)

    def run_epoch(self, shown: Bar) -> dict[str, float]:
        """Learn from every training patch once, then score the validation patches."""
        began = time.monotonic()
        train_rmse = self._learner.learn(len(self.history), shown)
        weights = self._learner.weights()
        validation = self._scores(weights, self._validation, self.course.split.validation)
        best_before = min((e["validation_rmse"] for e in self.history), default=math.inf)
        one_cycle = self.course.config.recipe.schedule == "one-cycle"
        if validation["rmse"] < best_before or one_cycle:
            self._best = weights
        entry = {
            "epoch": len(self.history) + 1,
            "train_rmse": train_rmse,
            "validation_rmse": validation["rmse"],
            "validation_rho_c": validation["rho_c"],
            "seconds": round(time.monotonic() - began, 1),
        }
        self.history.append(entry)
        return entry

    def state(self) -> dict[str, Any]:
        """Give all that changes while it runs."""
        return {"learner": self._learner.state(), "best": self._best, "history": self.history}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        self._learner.restore(state["learner"])
        self._best, self.history = state["best"], state["history"]

    def write(self, path: Path) -> Path:
        """Score the best epoch for the card and write it as a model file."""
        spec, network = self.course.spec, self._network_with(self._best)
        card = replace(spec.card, metrics=self._metrics())
        self.course.standard.fold_into(network)
        write_model(path, network, replace(spec, card=card))
        return path

    def _prepared(self, rows: Rows) -> Patches:
        return prepared(self._windows, rows, self.course.spec)

    def _network_with(self, weights: Weights) -> nn.Sequential:
        network: nn.Sequential = copy.deepcopy(self._learner.network)
        network.load_state_dict(weights)
        return network

    def _scores(self, weights: Weights, patches: Patches, rows: Rows) -> dict[str, float]:
        outputs = run_network(self._network_with(weights), patches)
        return scores(self.course.standard.to_sbr(outputs), self._windows.sbr[rows])

    def _metrics(self) -> dict[str, Any]:
        """Give the scores of the card: test rows, with the baselines beside them.

        A table without test rows leaves the validation rows, and the card says so.
        """
        course = self.course
        held_out = len(course.split.test) > 0
        tested = course.split.test if held_out else course.split.validation
        network = self._scores(self._best, self._prepared(tested), tested)
        table = {"network": network, **course.baselines(tested)}
        rounded = {
            name: defined({key: round(value, 4) for key, value in row.items()})
            for name, row in table.items()
        }
        what = "held out" if held_out else "that chose the epoch: none were held out"
        return {"data": f"{people(course, tested)} {what}", "epochs": len(self.history), **rounded}
