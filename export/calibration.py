# SPDX-License-Identifier: Apache-2.0
"""What INT8 siblings are calibrated with: patches, how far it is, and the line behind it all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from export.progress import Bar, bar
from export.samples import Samples
from nigroedge.model import selftest_patch
from nigroedge.spec import ModelSpec

Patches = npt.NDArray[np.float32]
Array = npt.NDArray[Any]

#: Ranges are the least and the largest value of the calibration patches: of n patches, one in
#: n + 1 that follow has a value beyond them, which is cut off: of fewer than `MIN_PATCHES` one in
#: eight or more, of `ENOUGH_PATCHES` one in 33.
MIN_PATCHES, ENOUGH_PATCHES = 8, 32


def quantising(samples: Samples, checked: Samples) -> AbstractContextManager[Bar]:
    """Give the one bar of it all: runs of the float model, then those for the two siblings."""
    return bar("quantising", total=(1 + 2 * _RUNS) * len(samples) + len(checked))


#: Over the calibration patches, for each sibling: for the ranges, and for the line.
_RUNS = 2


@dataclass(frozen=True, eq=False)
class Seen:
    """Calibration patches, the float model's answers to them, and patches to take ranges from.

    `shown` is told of every patch that was run, `corrects` says whether biases are corrected.
    """

    patches: Patches
    wanted: Array
    spec: ModelSpec
    shown: Bar
    more: Patches | None = None
    corrects: bool = True

    @property
    def ranged(self) -> Patches:
        """Every patch that ranges of values are taken from."""
        return self.patches if self.more is None else np.concatenate([self.patches, self.more])

    def with_selftest(self) -> Seen:
        """Take ranges from the self-test patch too; the line is that of the patches alone."""
        grid, method = self.spec.grid, self.spec.normalize
        return self._again(more=selftest_patch(grid.shape, method)[np.newaxis])

    def uncorrected(self) -> Seen:
        """Leave biases as they are; the line behind takes out what the answers are off by."""
        return self._again(corrects=False)

    def _again(self, **changes: Any) -> Seen:
        """Run it all once more, which the bar is told."""
        again = replace(self, **changes)
        self.shown.total = (self.shown.total or 0) + len(again.ranged) + len(again.patches)
        return again


def counted(patches: Patches, shown: Bar) -> Iterator[Patches]:
    for patch in patches:
        yield patch
        shown.update()


def line(got: Array, wanted: Array) -> tuple[float, float]:
    """Give slope and offset of the least-squares line from `got` to `wanted`, (n,) each.

    Where the answers hardly differ from each other no slope can be told: it is 1 then.
    """
    spread = float(np.var(got))
    error = float(np.var(wanted - got))
    known = spread > 100 * error  # the slope's error is then under 10 % / √n
    slope = float(np.cov(got, wanted, bias=True)[0, 1]) / spread if known else 1.0
    return slope, float(np.mean(wanted) - slope * np.mean(got))
