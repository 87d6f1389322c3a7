# SPDX-License-Identifier: Apache-2.0
"""The folder of a training run: config.json, checkpoint.pt, log.jsonl, log.svg, the model file."""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from export.augment import Augmentation
from export.course import Course, TrainConfig
from export.curve import draw_curve
from export.recipe import Recipe
from export.training import Training, defined
from export.windows import windows_name
from nigroedge.errors import InputError
from nigroedge.io.writing import together, write_file


class Run:
    """What a run leaves on disk; a program that is ended loses one epoch at most.

    Parameters
    ----------
    folder : Path
        Its name is that of the model, for its card.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        named = folder if folder.name not in {"", ".."} else folder.resolve()
        self.name = named.name
        self.model = folder / f"{self.name}.onnx"
        self._config = folder / "config.json"
        self._checkpoint = folder / "checkpoint.pt"

    @property
    def begun(self) -> bool:
        """Whether at least one epoch is done."""
        return self._checkpoint.exists()

    def open(self, course: Course, *, resume: bool) -> None:
        """Make the folder, or make sure that it was begun with this config and table.

        Raises
        ------
        InputError
            If it was begun and is not to be resumed, or was begun otherwise.
        """
        wanted = _flat(course)
        if self._config.exists() and not resume:
            raise InputError(
                f"expected a new run, got {self.folder}, which exists; --resume goes on with it"
            )
        if self._config.exists():
            self._compare(wanted, course.config.recipe.schedule)
        write_file(self._config, json.dumps(wanted, indent=1) + "\n", if_exists="replace")

    def _compare(self, wanted: dict[str, Any], schedule: str) -> None:
        begun = self._read()
        free = {"epochs"} if schedule == "constant" else set()
        differing = sorted(k for k in wanted if wanted[k] != begun.get(k) and k not in free)
        if differing:
            raise InputError(
                f"{self.folder} was begun with "
                f"{', '.join(f'{k} {begun.get(k)}' for k in differing)}; "
                f"got {', '.join(f'{k} {wanted[k]}' for k in differing)}"
            )

    def config(self) -> TrainConfig:
        """Give the config that the run was begun with.

        Raises
        ------
        InputError
            If the folder holds no run.
        """
        flat = self._read()

        def part(kind: Any) -> dict[str, Any]:
            return {name: flat[name] for name in kind.__dataclass_fields__ if name in flat}

        try:
            recipe = Recipe(**{**part(Recipe), "augmentation": Augmentation(**part(Augmentation))})
            start = flat["start"] and Path(flat["start"].rpartition(" ")[0])
            return TrainConfig(**{**part(TrainConfig), "recipe": recipe, "start": start})
        except (KeyError, TypeError, AttributeError) as error:
            raise self._unreadable(self._config) from error

    def save(self, training: Training) -> None:
        """Write checkpoint, log and curve."""
        lines = (json.dumps(defined(entry)) + "\n" for entry in training.history)
        with together() as files:
            with files.open(self._checkpoint, if_exists="replace") as file:
                torch.save(training.state(), file)
            files.write(self.folder / "log.jsonl", "".join(lines), if_exists="replace")
        course = training.course
        baselines = course.baselines(course.split.validation)
        levels = {name: row["rmse"] for name, row in baselines.items()}
        draw_curve(self.folder / "log.svg", training.history, levels)

    def load(self, training: Training) -> None:
        """Go back to where the checkpoint was written, if there is one.

        Raises
        ------
        InputError
            If it is none, such as one of another program.
        """
        if not self.begun:
            return
        try:
            training.restore(torch.load(self._checkpoint, weights_only=True))
        except (RuntimeError, pickle.UnpicklingError, EOFError, LookupError, TypeError) as error:
            raise self._unreadable(self._checkpoint) from error

    def _read(self) -> dict[str, Any]:
        try:
            flat = json.loads(self._config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise self._unreadable(self._config) from error
        if not isinstance(flat, dict):
            raise self._unreadable(self._config)
        return flat

    def _unreadable(self, file: Path) -> InputError:
        return InputError(
            f"{self.folder}: expected the folder of a run, got a {file.name} that is none of a run"
        )


def _flat(course: Course) -> dict[str, Any]:
    """Give the config as one flat JSON object, with a digest of what the table says."""
    flat = asdict(course.config)
    recipe = flat.pop("recipe")
    augmentation = recipe.pop("augmentation")
    start = course.start
    flat["start"] = start and f"{course.config.start} {start.artefact.sha256}"
    return {**flat, **recipe, **augmentation, "table": _digest(course)}


def _digest(course: Course) -> str:
    """Name the table after all in it that training depends on."""
    labels = [
        (r.participant_id, r.side, r.sbr, r.split, r.reading, r.expected_sbr) for r in course.rows
    ]
    name = windows_name(course.rows, replace(course.spec, mirror_centre="n/2"))  # config says it
    return f"{name}-{hashlib.sha256(repr(labels).encode()).hexdigest()[:12]}"
