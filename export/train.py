# SPDX-License-Identifier: Apache-2.0
"""Train a regressor on a cohort table and write it as a model file.

Mean squared error, participants split once so that nobody is on two sides of it. A run that was cut
off and resumed gives the same weights, bit for bit, as one that was not (`export.learner`). Written
is the epoch of least validation error; of a cycle of the learning rate its last one, where the rate
has come down: a few hundred validation rows tell the epochs of a cycle apart by their noise. The
test rows are looked at once, after that, for the card.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from export.augment import Augmentation
from export.curve import draw_curve
from export.learner import (
    Learner,
    Recipe,
    first_network,
    keep_memory,
    prepared,
    run_network,
    started_network,
)
from export.network import fold_scale
from export.progress import Bar, bar, say
from export.spec import make_card, method_spec
from export.split import Rows, Split, baselines, split_rows
from export.to_onnx import write_model
from export.windows import Windows, load_windows, windows_name
from nigroedge.errors import InputError
from nigroedge.spec import ModelSpec
from nigroedge.study.residual import scores
from nigroedge.study.table import Row, read_table

#: Columns of the table that training needs.
NEEDED = ("image", "x", "y", "z", "sbr")

#: What the card says of a model, by whether its training participants were simulated.
LIMITS = {
    True: "learned from simulated images alone: its scores show that the software works and say "
    "nothing about patients",
    False: "learned from one table's participants: valid for their scanner and protocol and on "
    "their SBR scale alone",
}
LICENCE = {True: "Apache-2.0", False: "unknown: that of the training data"}


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
    """

    preset: str
    recipe: Recipe
    patience: int = 0
    participants: int | None = None
    start: Path | None = None
    seed: int = 0
    threads: int = 2
    mirror_centre: str = "n/2"


def train(
    config: TrainConfig, table: Path, run: Path, *, cache: Path, resume: bool = False
) -> Path:
    """Train, and write the model file.

    Parameters
    ----------
    table : Path
        Cohort table with image, x, y, z and sbr on every row.
    run : Path
        Folder of the run: config.json, checkpoint.pt, log.jsonl, log.svg and, at the end,
        NAME.onnx, where NAME is the folder's.
    cache : Path
        Folder where windows are kept.
    resume : bool
        Go on from the run's checkpoint. Only the number of epochs may differ from before, and only
        while the learning rate is constant.

    Returns
    -------
    Path
        The model file.

    Raises
    ------
    InputError
        If the table is not one to train on, the run exists and is not to be resumed, or it was
        begun with another config or another table. TableError, one of them, lists what is wrong.
    """
    rows = read_table(table, need=NEEDED)
    split_rows(rows, config.seed, participants=config.participants)  # refuses before all else
    _open_run(config, rows, run, resume=resume)
    training = _begin(config, rows, run, cache)
    with bar("training", total=training.n_steps, done=training.steps_done) as shown:
        while not training.ended:
            say(_line(training.run_epoch(shown), config.recipe.epochs))
            training.save(run)
    return training.write(run / f"{run.name}.onnx", name=run.name)


def write_best(run: Path, table: Path, output: Path, *, cache: Path) -> Path:
    """Write the best epoch of a run so far (of a cycle, the last) as a model file.

    Raises
    ------
    InputError
        If the folder holds no run, no epoch of it is done, or it was begun on another table.
    """
    if not (run / "checkpoint.pt").exists():
        raise InputError(f"expected the folder of a run with at least one epoch done, got {run}")
    config = _config_from(json.loads((run / "config.json").read_text()))
    rows = read_table(table, need=NEEDED)
    _open_run(config, rows, run, resume=True)
    return _begin(config, rows, run, cache).write(output, name=run.name)


def _begin(config: TrainConfig, rows: list[Row], run: Path, cache: Path) -> _Training:
    """Set a run up, where its checkpoint left it if there is one."""
    torch.set_num_threads(config.threads)
    keep_memory()
    training = _Training(config, rows, cache)
    if (run / "checkpoint.pt").exists():
        training.load(run / "checkpoint.pt")
    return training


def _open_run(config: TrainConfig, rows: list[Row], run: Path, *, resume: bool) -> None:
    """Make the run's folder, or make sure that it was begun with this config and table."""
    file = run / "config.json"
    wanted = _config_to(config, rows)
    if file.exists() and not resume:
        raise InputError(f"expected a new run, got {run}, which exists; --resume goes on with it")
    if file.exists():
        begun = json.loads(file.read_text())
        free = {"epochs"} if config.recipe.schedule == "constant" else set()
        differing = sorted(k for k in wanted if wanted[k] != begun.get(k) and k not in free)
        if differing:
            raise InputError(
                f"{run} was begun with {', '.join(f'{k} {begun.get(k)}' for k in differing)}; "
                f"got {', '.join(f'{k} {wanted[k]}' for k in differing)}"
            )
    run.mkdir(parents=True, exist_ok=True)
    _write(file, json.dumps(wanted, indent=1) + "\n")


def _config_to(config: TrainConfig, rows: list[Row]) -> dict[str, Any]:
    """Give the config as one flat JSON object, with a digest of what the table says."""
    flat = asdict(config)
    recipe = flat.pop("recipe")
    augmentation = recipe.pop("augmentation")
    start = config.start and hashlib.sha256(config.start.read_bytes()).hexdigest()
    flat["start"] = config.start and f"{config.start} {start}"
    return {**flat, **recipe, **augmentation, "table": _table_digest(rows)}


def _config_from(flat: dict[str, Any]) -> TrainConfig:
    def part(kind: Any) -> dict[str, Any]:
        names = kind.__dataclass_fields__
        return {name: flat[name] for name in names if name in flat}

    augmentation = Augmentation(**part(Augmentation))
    recipe = Recipe(**{**part(Recipe), "augmentation": augmentation})
    start = flat["start"] and Path(flat["start"].rpartition(" ")[0])
    return TrainConfig(**{**part(TrainConfig), "recipe": recipe, "start": start})


def _table_digest(rows: list[Row]) -> str:
    """Name the table after all in it that training depends on."""
    labels = [(r.participant_id, r.side, r.sbr, r.split, r.reading, r.expected_sbr) for r in rows]
    name = windows_name(rows, _spec("none", rows, training_data="none"))
    return f"{name}-{hashlib.sha256(repr(labels).encode()).hexdigest()[:12]}"


def _write(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = file.with_name(f"{file.name}.partial")
    partial.write_text(text)
    partial.replace(file)


def _line(entry: dict[str, float], epochs: int) -> str:
    return (
        f"epoch {entry['epoch']:.0f}/{epochs}: training RMSE {entry['train_rmse']:.4f}, "
        f"validation RMSE {entry['validation_rmse']:.4f}, ρc {entry['validation_rho_c']:.4f} SBR, "
        f"{entry['seconds']:.0f} s"
    )


def _spec(
    name: str, rows: list[Row], *, training_data: str, mirror_centre: str = "n/2"
) -> ModelSpec:
    simulated = all(row.expected_sbr is not None for row in rows)
    return method_spec(
        make_card(
            name=name,
            licence=LICENCE[simulated],
            training_data=training_data,
            limits=LIMITS[simulated],
        ),
        mirror_centre=mirror_centre,
    )


class _Training:
    """A run in memory: the learner, the best weights, and what happened so far."""

    def __init__(self, config: TrainConfig, rows: list[Row], cache: Path) -> None:
        self._config, self._rows = config, rows
        self._split = split_rows(rows, config.seed, participants=config.participants)
        self._spec = _spec(
            config.preset,
            rows,
            training_data=_training_data(config, rows, self._split),
            mirror_centre=config.mirror_centre,
        )
        self._windows: Windows = load_windows(rows, self._spec, cache)
        measured = self._windows.sbr[self._split.train]
        self._mean, self._sd = float(measured.mean()), float(measured.std())
        if self._sd == 0:
            raise InputError(
                f"expected training rows that differ in SBR, got {self._mean:g} in all of them"
            )
        self._learner = Learner(
            self._first_network(),
            config.recipe,
            self._windows,
            self._split.train,
            self._spec,
            seed=config.seed,
            mean=self._mean,
            sd=self._sd,
        )
        self._best = self._learner.weights()
        self._history: list[dict[str, float]] = []
        self._validation = prepared(self._windows, self._split.validation, self._spec)

    def _first_network(self) -> nn.Sequential:
        config = self._config
        if config.start is None:
            return first_network(config.preset, self._spec, seed=config.seed)
        network = started_network(config.preset, self._spec, config.start)
        fold_scale(network, scale=1 / self._sd, offset=-self._mean / self._sd)
        return network

    @property
    def n_steps(self) -> int:
        """Batches of all epochs."""
        return self._config.recipe.epochs * self._learner.steps_per_epoch

    @property
    def steps_done(self) -> int:
        """Batches that lie behind."""
        return len(self._history) * self._learner.steps_per_epoch

    @property
    def ended(self) -> bool:
        """Whether all epochs are done, or patience is at its end."""
        errors = [entry["validation_rmse"] for entry in self._history]
        if len(errors) >= self._config.recipe.epochs:
            return True
        patience = self._config.patience
        return bool(patience and errors and len(errors) - 1 - errors.index(min(errors)) >= patience)

    def run_epoch(self, shown: Bar) -> dict[str, float]:
        """Learn from every training patch once, then score the validation patches."""
        began = time.monotonic()
        train_rmse = self._learner.learn(len(self._history), shown)
        weights = self._learner.weights()
        validation = self._scores(weights, self._validation, self._split.validation)
        best_before = min((e["validation_rmse"] for e in self._history), default=math.inf)
        if validation["rmse"] < best_before or self._config.recipe.schedule == "one-cycle":
            self._best = weights
        entry = {
            "epoch": len(self._history) + 1,
            "train_rmse": train_rmse,
            "validation_rmse": validation["rmse"],
            "validation_rho_c": validation["rho_c"],
            "seconds": round(time.monotonic() - began, 1),
        }
        self._history.append(entry)
        return entry

    def save(self, run: Path) -> None:
        """Write the checkpoint and the log; a run that is cut off here loses nothing."""
        state = {"learner": self._learner.state(), "best": self._best, "history": self._history}
        partial = run / "checkpoint.pt.partial"
        torch.save(state, partial)
        partial.replace(run / "checkpoint.pt")
        _write(run / "log.jsonl", "".join(json.dumps(_defined(e)) + "\n" for e in self._history))
        lines = baselines(self._rows, self._split, self._split.validation)
        draw_curve(
            run / "log.svg", self._history, {name: row["rmse"] for name, row in lines.items()}
        )

    def load(self, checkpoint: Path) -> None:
        """Go back to where a checkpoint was written."""
        state = torch.load(checkpoint, weights_only=True)
        self._learner.restore(state["learner"])
        self._best, self._history = state["best"], state["history"]

    def write(self, path: Path, *, name: str) -> Path:
        """Score the best epoch for the card and write it as a model file."""
        card = replace(self._spec.card, name=name, metrics=self._metrics())
        network = self._network_with(self._best)
        fold_scale(network, scale=self._sd, offset=self._mean)
        write_model(path, network, replace(self._spec, card=card))
        return path

    def _network_with(self, weights: dict[str, torch.Tensor]) -> nn.Sequential:
        network: nn.Sequential = copy.deepcopy(self._learner.network)
        network.load_state_dict(weights)
        return network

    def _scores(
        self, weights: dict[str, torch.Tensor], patches: Any, rows: Rows
    ) -> dict[str, float]:
        predicted = run_network(self._network_with(weights), patches) * self._sd + self._mean
        return scores(predicted, self._windows.sbr[rows])

    def _metrics(self) -> dict[str, Any]:
        """Give the scores of the card: test rows, with the baselines beside them.

        A table without test rows leaves the validation rows, and the card says so.
        """
        tested = self._split.test if len(self._split.test) else self._split.validation
        patches = prepared(self._windows, tested, self._spec)
        network = self._scores(self._best, patches, tested)
        table = {"network": network, **baselines(self._rows, self._split, tested)}
        rounded = {
            name: _defined({key: round(value, 4) for key, value in row.items()})
            for name, row in table.items()
        }
        what = "held out" if len(self._split.test) else "that chose the epoch: none were held out"
        people = f"{_n_participants(self._rows, tested)} {_kind(self._rows)}participants"
        return {"data": f"{people} {what}", "epochs": len(self._history), **rounded}


def _defined(numbers: dict[str, float]) -> dict[str, float | None]:
    """Give numbers as JSON can hold them: None for ρc of one row, which is undefined."""
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def _training_data(config: TrainConfig, rows: list[Row], split: Split) -> str:
    recipe = config.recipe
    start = "" if config.start is None else f", from the weights of {config.start.name}"
    chosen = "watched" if recipe.schedule == "one-cycle" else "chosen"
    return (
        f"{_n_participants(rows, split.train)} {_kind(rows)}participants{start} (batch "
        f"{recipe.batch}, AdamW {recipe.learning_rate:g} {recipe.schedule}, seed {config.seed}); "
        f"the epochs were {chosen} on {_n_participants(rows, split.validation)} others"
    )


def _kind(rows: list[Row]) -> str:
    return "simulated " if all(row.expected_sbr is not None for row in rows) else ""


def _n_participants(rows: list[Row], part: Rows) -> int:
    return len({rows[i].participant_id for i in part})
