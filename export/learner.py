# SPDX-License-Identifier: Apache-2.0
"""The network while it learns: its optimiser, the average of its weights, one epoch at a time."""

from __future__ import annotations

import copy
import ctypes
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from export.lessons import Lessons
from export.progress import Bar
from export.recipe import Recipe

Floats = npt.NDArray[np.float64]
Patches = npt.NDArray[np.float32]
Weights = dict[str, torch.Tensor]

#: Patches that are run at once where nothing is learned; bounds memory, does not change the
#: numbers.
EVALUATION_BATCH = 32
#: A longer gradient is shortened to this; only now and then is one.
LONGEST_GRADIENT = 1.0
#: Numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


class Learner:
    """A network on its way through the epochs.

    Parameters
    ----------
    network : nn.Sequential
        Its output is in SDs from the mean of the targets.
    lessons : Lessons
        What it learns from.
    recipe : Recipe
        How.
    """

    def __init__(self, network: nn.Sequential, lessons: Lessons, recipe: Recipe) -> None:
        self._lessons, self._recipe = lessons, recipe
        # Channels innermost is what the CPU's convolutions work in: 18 ms a patch against 29.
        self.network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self._optimiser = torch.optim.AdamW(_groups(network, recipe.weight_decay))
        self._average = copy.deepcopy(network.state_dict())
        self._step = 0

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        return math.ceil(len(self._lessons) / self._recipe.batch)

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
        lessons, batch = self._lessons, self._recipe.batch
        rows = lessons.order(epoch)
        squares = 0.0
        for i in range(0, len(rows), batch):
            part = rows[i : i + batch]
            squares += self._take_step(lessons.patches(part, epoch), lessons.targets(part))
            shown.update()
        return math.sqrt(squares / len(rows)) * lessons.standard.sd

    def _take_step(self, patches: Patches, targets: Floats) -> float:
        """Learn from one batch; give the sum of its squared errors, in training variances."""
        recipe = self._recipe
        rate = recipe.rate(self._step, self.steps_per_epoch * recipe.epochs)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        target = torch.from_numpy(targets).float()
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
        return mean_square * len(targets)

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
