# SPDX-License-Identifier: Apache-2.0
"""How a network learns: its steps, their length, and what patches go through on the way."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from export.augment import Augmentation

#: The one-cycle schedule climbs over this share of the steps, from and to this share of its peak.
WARM_UP, LOWEST_RATE = 0.2, 0.05
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
