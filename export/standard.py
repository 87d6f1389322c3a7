# SPDX-License-Identifier: Apache-2.0
"""The scale on which a network learns: SDs from the mean of its targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import nn

from export.network import fold_scale
from nigroedge.errors import InputError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Standard:
    """Mean and population SD of the targets, in SBR."""

    mean: float
    sd: float

    @classmethod
    def of(cls, sbr: Floats) -> Standard:
        """Take them of the rows that train.

        Raises
        ------
        InputError
            If all are the same: nothing could be learned.
        """
        mean, sd = float(sbr.mean()), float(sbr.std())
        if sd == 0:
            raise InputError(
                f"expected training rows that differ in SBR, got {mean:g} in all of them"
            )
        return cls(mean, sd)

    def from_sbr(self, sbr: Floats) -> Floats:
        """Give SBR in SDs from the mean."""
        return (sbr - self.mean) / self.sd

    def to_sbr(self, outputs: Floats) -> Floats:
        """Give a network's outputs in SBR."""
        return outputs * self.sd + self.mean

    def fold_out_of(self, network: nn.Sequential) -> None:
        """Let a network that answers in SBR answer in SDs from the mean, in place."""
        fold_scale(network, scale=1 / self.sd, offset=-self.mean / self.sd)

    def fold_into(self, network: nn.Sequential) -> None:
        """Let a network that answers in SDs from the mean answer in SBR, in place."""
        fold_scale(network, scale=self.sd, offset=self.mean)
