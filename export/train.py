# SPDX-License-Identifier: Apache-2.0
"""Train a regressor on simulated participants and write it as a model file.

Mean squared error, Adam, participants split once so that nobody is on two sides of it. Every random
choice of an epoch is drawn from (seed, epoch), so that no generator has a state to save: a run that
was cut off and resumed gives the same weights, bit for bit, as one that was not. The epoch of least
validation error is the one written.
"""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from export.network import build, fold_scale, he_initialise
from export.progress import Bar, bar, say
from export.spec import make_card, method_spec
from export.split import Rows, Split, baselines, split_rows
from export.to_onnx import write_model
from export.windows import CohortConfig, Windows, cohort_name, load_windows
from nigroedge.errors import InputError
from nigroedge.study import scores

Floats = npt.NDArray[np.float64]

#: Patches that are run at once where nothing is learned; bounds memory, does not change the
#: numbers.
EVALUATION_BATCH = 32
#: Of the last layer, on top of He initialisation: training starts near the mean of the targets.
FIRST_OUTPUT_SCALE = 0.1
#: Farthest that training moves a centroid along an axis, mm: about the room that a window leaves.
LARGEST_SHIFT_MM = 2.4

LIMITS = (
    "learned from simulated images alone: its scores show that the software works and say nothing "
    "about patients"
)


@dataclass(frozen=True)
class TrainConfig:
    """What decides a run: the same config gives the same weights.

    Parameters
    ----------
    preset : str
        A key of `export.network.PRESETS`.
    participants : int
        Simulated, both sides each, before the split.
    epochs, batch : int
        Passes over the training patches; patches a step.
    learning_rate : float
        Of Adam; the paper's is 1e-4.
    shift_mm : float
        SD by which training moves the centroid along each of the patient's axes, afresh each time.
    reader_jitter_mm : float
        SD of the simulated reader's centroid about nigrosome-1, in every part of the split.
    seed : int
        Participants, split, first weights, order, shifts.
    threads : int
        Of torch, which adds in another order on another number of them.
    """

    preset: str
    participants: int
    epochs: int
    batch: int = 8
    learning_rate: float = 1e-4
    shift_mm: float = 1.0
    reader_jitter_mm: float = 0.5
    seed: int = 0
    threads: int = 2


def train(config: TrainConfig, run: Path, *, cache: Path, resume: bool = False) -> Path:
    """Train, and write the model file.

    Parameters
    ----------
    run : Path
        Folder of the run: config.json, checkpoint.pt, log.jsonl and, at the end, NAME.onnx, where
        NAME is the folder's.
    cache : Path
        Folder where cohorts are kept.
    resume : bool
        Go on from the run's checkpoint. Only the number of epochs may differ from before.

    Returns
    -------
    Path
        The model file.

    Raises
    ------
    InputError
        If there are too few participants to split, the run exists and is not to be resumed, or it
        was begun with another config.
    """
    split_rows(config.participants, config.seed)  # refuses before anything is made
    _open_run(config, run, resume=resume)
    training = _begin(config, run, cache)
    total, done = (n * training.steps_per_epoch for n in (config.epochs, training.epochs_done))
    with bar("training", total=total, done=done) as shown:
        while training.epochs_done < config.epochs:
            say(_line(training.run_epoch(shown), config.epochs))
            training.save(run)
    return training.write(run / f"{run.name}.onnx", name=run.name)


def write_best(run: Path, output: Path, *, cache: Path) -> Path:
    """Write the best epoch of a run so far as a model file.

    Raises
    ------
    InputError
        If the folder holds no run, or no epoch of it is done.
    """
    if not (run / "checkpoint.pt").exists():
        raise InputError(f"expected the folder of a run with at least one epoch done, got {run}")
    begun = json.loads((run / "config.json").read_text())
    config = TrainConfig(**{f.name: begun[f.name] for f in fields(TrainConfig)})
    _open_run(config, run, resume=True)
    return _begin(config, run, cache).write(output, name=run.name)


def _begin(config: TrainConfig, run: Path, cache: Path) -> _Training:
    """Set a run up, where its checkpoint left it if there is one."""
    torch.set_num_threads(config.threads)
    windows = load_windows(_cohort(config), cache, workers=config.threads)
    training = _Training(config, windows, split_rows(config.participants, config.seed))
    if (run / "checkpoint.pt").exists():
        training.load(run / "checkpoint.pt")
    return training


def _cohort(config: TrainConfig) -> CohortConfig:
    return CohortConfig(config.participants, config.seed, config.reader_jitter_mm)


def _open_run(config: TrainConfig, run: Path, *, resume: bool) -> None:
    """Make the run's folder, or make sure that it was begun with this config and cohort."""
    file = run / "config.json"
    wanted = {**asdict(config), "cohort": cohort_name(_cohort(config))}
    if file.exists() and not resume:
        raise InputError(f"expected a new run, got {run}, which exists; --resume goes on with it")
    if file.exists():
        begun = json.loads(file.read_text())
        differing = sorted(k for k in wanted if wanted[k] != begun.get(k) and k != "epochs")
        if differing:
            raise InputError(
                f"{run} was begun with {', '.join(f'{k} {begun.get(k)}' for k in differing)}; "
                f"got {', '.join(f'{k} {wanted[k]}' for k in differing)}"
            )
    run.mkdir(parents=True, exist_ok=True)
    _write(file, json.dumps(wanted, indent=1) + "\n")


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


class _Training:
    """A run in memory: the network, its optimiser, and what happened so far."""

    def __init__(self, config: TrainConfig, windows: Windows, split: Split) -> None:
        self._config, self._windows, self._split = config, windows, split
        self._spec = method_spec(
            make_card(
                name=config.preset,
                licence="Apache-2.0",
                training_data=_training_data(config, split),
                limits=LIMITS,
            )
        )
        measured = windows.sbr[split.train]
        self._mean, self._sd = float(measured.mean()), float(measured.std())
        network = build(config.preset, self._spec.grid.shape)
        he_initialise(network, seed=config.seed)
        fold_scale(network, scale=FIRST_OUTPUT_SCALE)
        # Channels innermost is what the CPU's convolutions work in: 18 ms a patch against 29.
        self._network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self._optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
        self._best = copy.deepcopy(network.state_dict())
        self._history: list[dict[str, float]] = []
        self._validation = self._patches(split.validation)

    @property
    def epochs_done(self) -> int:
        """How many epochs lie behind."""
        return len(self._history)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        return math.ceil(len(self._split.train) / self._config.batch)

    def run_epoch(self, shown: Bar) -> dict[str, float]:
        """Learn from every training patch once, then score the validation patches."""
        began = time.monotonic()
        train_rmse = self._learn(shown)
        measured = self._windows.sbr[self._split.validation]
        validation = scores(self._predict(self._validation), measured)
        best_before = min((e["validation_rmse"] for e in self._history), default=math.inf)
        if validation["rmse"] < best_before:
            self._best = copy.deepcopy(self._network.state_dict())
        entry = {
            "epoch": self.epochs_done + 1,
            "train_rmse": train_rmse,
            "validation_rmse": validation["rmse"],
            "validation_rho_c": validation["rho_c"],
            "seconds": round(time.monotonic() - began, 1),
        }
        self._history.append(entry)
        return entry

    def save(self, run: Path) -> None:
        """Write the checkpoint and the log; a run that is cut off here loses nothing."""
        state = {
            "network": self._network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "best": self._best,
            "history": self._history,
        }
        partial = run / "checkpoint.pt.partial"
        torch.save(state, partial)
        partial.replace(run / "checkpoint.pt")
        _write(run / "log.jsonl", "".join(json.dumps(entry) + "\n" for entry in self._history))

    def load(self, checkpoint: Path) -> None:
        """Go back to where a checkpoint was written."""
        state = torch.load(checkpoint, weights_only=True)
        self._network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._best, self._history = state["best"], state["history"]

    def write(self, path: Path, *, name: str) -> Path:
        """Score the best epoch on the test rows and write it as a model file."""
        self._network.load_state_dict(self._best)
        card = replace(self._spec.card, name=name, metrics=self._metrics())
        network = copy.deepcopy(self._network)
        fold_scale(network, scale=self._sd, offset=self._mean)
        write_model(path, network, replace(self._spec, card=card))
        return path

    def _learn(self, shown: Bar) -> float:
        """Take one step a batch over the training rows in a new order; give their RMSE, SBR."""
        config = self._config
        random = np.random.default_rng((config.seed, 1, self.epochs_done))
        rows = random.permutation(self._split.train)
        shifts = random.normal(0, config.shift_mm, (len(rows), 3))
        shifts = shifts.clip(-LARGEST_SHIFT_MM, LARGEST_SHIFT_MM)
        squares = 0.0
        for i in range(0, len(rows), config.batch):
            part = slice(i, i + config.batch)
            squares += self._step(rows[part], shifts[part])
            shown.update()
        return math.sqrt(squares / len(rows)) * self._sd

    def _step(self, rows: Rows, shifts: Floats) -> float:
        """Learn from one batch; give the sum of its squared errors, in training variances."""
        patches = self._windows.patches(rows, self._spec, shifts)
        target = torch.from_numpy((self._windows.sbr[rows] - self._mean) / self._sd).float()
        loss = (self._network(_tensor(patches))[:, 0] - target).square().mean()
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        mean_square: float = loss.item()
        return mean_square * len(rows)

    def _patches(self, rows: Rows) -> npt.NDArray[np.float32]:
        return self._windows.patches(rows, self._spec, np.zeros((len(rows), 3)))

    @torch.no_grad()
    def _predict(self, patches: npt.NDArray[np.float32]) -> Floats:
        """Run the network over (n, X, Y, Z) patches → (n,) SBR."""
        parts = [
            self._network(_tensor(patches[i : i + EVALUATION_BATCH]))[:, 0]
            for i in range(0, len(patches), EVALUATION_BATCH)
        ]
        return torch.cat(parts).double().numpy() * self._sd + self._mean

    def _metrics(self) -> dict[str, Any]:
        """Give the scores of the card: test rows, with the baselines beside them."""
        test = self._split.test
        network = scores(self._predict(self._patches(test)), self._windows.sbr[test])
        table = {"network": network, **baselines(self._windows, self._split)}
        rounded = {
            name: {key: round(value, 4) for key, value in row.items()}
            for name, row in table.items()
        }
        data = f"{len(test) // 2} simulated participants held out, both sides"
        return {"data": data, "epochs": self.epochs_done, **rounded}


def _training_data(config: TrainConfig, split: Split) -> str:
    return (
        f"{len(split.train) // 2} simulated participants, both sides (batch {config.batch}, "
        f"Adam {config.learning_rate:g}, seed {config.seed}); the epoch was chosen on "
        f"{len(split.validation) // 2} others"
    )


def _tensor(patches: npt.NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(patches[:, None])
