# SPDX-License-Identifier: Apache-2.0
"""The network while it learns: its optimiser, the average of its weights, one epoch at a time.

Targets are standardised with the training rows' mean and SD. Every random choice of an epoch is
drawn from (seed, epoch, row), so that no generator has a state to save.
"""

from __future__ import annotations

import copy
import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from export.augment import Augmentation, augment
from export.from_onnx import read_network
from export.network import build, fold_scale, he_initialise
from export.progress import Bar
from export.split import Rows
from export.windows import MARGIN, Windows
from nigroedge.errors import InputError
from nigroedge.preprocess import normalize
from nigroedge.spec import ModelSpec

Floats = npt.NDArray[np.float64]
Patches = npt.NDArray[np.float32]
Weights = dict[str, torch.Tensor]

#: Patches that are run at once where nothing is learned; bounds memory, does not change the
#: numbers.
EVALUATION_BATCH = 32
#: Of the last layer, on top of He initialisation: training starts near the mean of the targets.
FIRST_OUTPUT_SCALE = 0.1
#: Of the first layer: a patch divided by its mean varies by about 0.4 about 1.
FIRST_INPUT_SCALE = 2.0
#: The one-cycle schedule climbs over this share of the steps, from and to this share of its peak.
WARM_UP, LOWEST_RATE = 0.2, 0.05
#: A longer gradient is shortened to this; only now and then is one.
LONGEST_GRADIENT = 1.0
#: Numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
SCHEDULES = ("constant", "one-cycle")
PRECISIONS = ("float32", "bf16")


@dataclass(frozen=True)
class Recipe:
    """How a network learns.

    Parameters
    ----------
    epochs, batch : int
        Passes over the training patches; patches a step.
    learning_rate : float
        Of AdamW: constant (the paper's is 1e-4), or the peak of the cycle.
    schedule : str
        One of `SCHEDULES`. 'one-cycle' climbs to the peak, then falls along a cosine.
    weight_decay : float
        Of AdamW, on weights and not on biases; 0 makes it Adam.
    average : float
        Weights that are validated and written are a moving average over steps, which keeps this
        much of itself at each; 0 takes the last ones.
    precision : str
        One of `PRECISIONS`: of the arithmetic while learning; evaluation is float32 always.
    augmentation : Augmentation
    """

    epochs: int
    batch: int = 8
    learning_rate: float = 1e-4
    schedule: str = "constant"
    weight_decay: float = 0.0
    average: float = 0.0
    precision: str = "float32"
    augmentation: Augmentation = field(default_factory=Augmentation)

    def rate(self, step: int, n_steps: int) -> float:
        """Give the learning rate of a step, counted from 0."""
        if self.schedule == "constant":
            return self.learning_rate
        done = (step + 1) / n_steps
        if done < WARM_UP:
            height = done / WARM_UP
        else:
            height = 0.5 + 0.5 * math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))
        return self.learning_rate * (LOWEST_RATE + (1 - LOWEST_RATE) * height)


def first_network(preset: str, spec: ModelSpec, *, seed: int) -> nn.Sequential:
    """Build a network that is ready to learn: He initialisation, the first layer centred.

    The first bias takes off what the mean of a patch, 1, would add; without it all filters answer
    to the mean first.
    """
    network = build(preset, spec.grid.shape)
    he_initialise(network, seed=seed)
    fold_scale(network, scale=FIRST_OUTPUT_SCALE)
    weight, bias = network[0].parameters()
    with torch.no_grad():
        weight.mul_(FIRST_INPUT_SCALE)
        bias.copy_(-weight.sum((1, 2, 3, 4)))
    return network


def started_network(preset: str, spec: ModelSpec, model: Path) -> nn.Sequential:
    """Build a network with the weights of a model file; its output is in SBR.

    Raises
    ------
    InputError
        If the file's layers are not those of the preset.
    """
    network = build(preset, spec.grid.shape)
    weights = list(read_network(model).weights)
    mine = list(network.parameters())
    if [w.shape for w in weights] != [w.shape for w in mine]:
        raise InputError(f"expected a model of preset {preset} to start from, got {model}")
    with torch.no_grad():
        for values, start in zip(mine, weights, strict=True):
            values.copy_(start)
    return network


class Learner:
    """A network on its way through the epochs.

    Parameters
    ----------
    network : nn.Sequential
        Its output is in SDs from the mean of the targets.
    windows, train, spec
        What it learns from: all windows, the rows that train, and how patches are prepared.
    """

    def __init__(
        self,
        network: nn.Sequential,
        recipe: Recipe,
        windows: Windows,
        train: Rows,
        spec: ModelSpec,
        *,
        seed: int,
        mean: float,
        sd: float,
    ) -> None:
        self._recipe, self._windows, self._train, self._spec = recipe, windows, train, spec
        self._seed, self._mean, self._sd = seed, mean, sd
        # Channels innermost is what the CPU's convolutions work in: 18 ms a patch against 29.
        self.network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self._optimiser = torch.optim.AdamW(_groups(network, recipe.weight_decay))
        self._average = copy.deepcopy(network.state_dict())
        self._step = 0

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        return math.ceil(len(self._train) / self._recipe.batch)

    def state(self) -> dict[str, Any]:
        """Give all that changes while it learns."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "average": self._average,
            "step": self._step,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._average, self._step = state["average"], state["step"]

    def weights(self) -> Weights:
        """Give a copy of the weights to validate and to write: averaged, if the recipe says so."""
        return copy.deepcopy(self._average if self._recipe.average else self.network.state_dict())

    def learn(self, epoch: int, shown: Bar) -> float:
        """Take one step a batch over the training rows in a new order; give their RMSE, SBR."""
        recipe = self._recipe
        rows = np.random.default_rng((self._seed, 1, epoch)).permutation(self._train)
        squares = 0.0
        for i in range(0, len(rows), recipe.batch):
            part = rows[i : i + recipe.batch]
            squares += self._take_step(self._changed(part, epoch), part)
            shown.update()
        return math.sqrt(squares / len(rows)) * self._sd

    def _changed(self, rows: Rows, epoch: int) -> Patches:
        """Cut the rows' patches, augmented as (seed, epoch, row) decides, and normalise them."""
        grid = self._spec.grid
        patches = [
            augment(
                self._windows.window(row),
                grid.shape,
                grid.spacing_mm,
                self._recipe.augmentation,
                np.random.default_rng((self._seed, 2, epoch, int(row))),
            )
            for row in rows
        ]
        return np.stack([normalize(patch, self._spec.normalize) for patch in patches])

    def _take_step(self, patches: Patches, rows: Rows) -> float:
        """Learn from one batch; give the sum of its squared errors, in training variances."""
        recipe = self._recipe
        rate = recipe.rate(self._step, self.steps_per_epoch * recipe.epochs)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        target = torch.from_numpy((self._windows.sbr[rows] - self._mean) / self._sd).float()
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16"):
            output = self.network(as_tensor(patches))[:, 0]
        loss = (output.float() - target).square().mean()
        self._optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), LONGEST_GRADIENT)
        self._optimiser.step()
        self._step += 1
        self._move_average()
        mean_square: float = loss.item()
        return mean_square * len(rows)

    def _move_average(self) -> None:
        # Young averages forget faster, so that the first weights do not linger.
        keep = min(self._recipe.average, (1 + self._step) / (10 + self._step))
        for name, values in self.network.state_dict().items():
            self._average[name].lerp_(values, 1 - keep)


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    weights = [p for p in network.parameters() if p.ndim > 1]
    biases = [p for p in network.parameters() if p.ndim == 1]
    return [
        {"params": weights, "weight_decay": weight_decay},
        {"params": biases, "weight_decay": 0.0},
    ]


def prepared(windows: Windows, rows: Rows, spec: ModelSpec) -> Patches:
    """Give the rows' patches as the model will see them in use: (n, X, Y, Z)."""
    inner = tuple(slice(m, m + n) for m, n in zip(MARGIN, spec.grid.shape, strict=True))
    cut = (np.ascontiguousarray(windows.window(row)[inner]) for row in rows)
    return np.stack([normalize(patch, spec.normalize) for patch in cut])


@torch.no_grad()
def run_network(network: Callable[[torch.Tensor], torch.Tensor], patches: Patches) -> Floats:
    """Run a network over (n, X, Y, Z) patches in float32 → (n,)."""
    parts = [
        network(as_tensor(patches[i : i + EVALUATION_BATCH]))[:, 0]
        for i in range(0, len(patches), EVALUATION_BATCH)
    ]
    return torch.cat(parts).double().numpy()


def keep_memory() -> None:
    """Let glibc keep freed memory for the next batch; elsewhere there is no such call.

    By default it gives large blocks back to the system, which clears them page by page each time
    they are asked for again: 18.5 ms a patch against 14.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def as_tensor(patches: Patches) -> torch.Tensor:
    """Give (n, X, Y, Z) patches the axis of channels."""
    return torch.from_numpy(patches[:, None])
