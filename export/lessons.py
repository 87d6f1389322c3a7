# SPDX-License-Identifier: Apache-2.0
"""What a network learns from: rows of a table, each a patch that is changed a little, and a target.

Every random choice of an epoch is drawn from (seed, epoch, row), so that no generator has a state
to save.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from export.augment import Augmentation, augment
from export.split import Rows
from export.standard import Standard
from export.windows import Windows
from nigroedge.preprocess import normalize
from nigroedge.spec import ModelSpec

Floats = npt.NDArray[np.float64]
Patches = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Lessons:
    """Rows to learn from.

    Parameters
    ----------
    windows : Windows
        Of the whole table.
    rows : (n,) ndarray of int
        Those that train.
    spec : ModelSpec
        How their patches are prepared.
    standard : Standard
        Of their SBR.
    augmentation : Augmentation
    seed : int
    """

    windows: Windows
    rows: Rows
    spec: ModelSpec
    standard: Standard
    augmentation: Augmentation
    seed: int

    def __len__(self) -> int:
        return len(self.rows)

    def order(self, epoch: int) -> Rows:
        """Give the rows in the order of an epoch."""
        return np.random.default_rng((self.seed, 1, epoch)).permutation(self.rows)

    def patches(self, rows: Rows, epoch: int) -> Patches:
        """Cut the patches of rows, changed as (seed, epoch, row) decides, and normalise them."""
        changed = [
            augment(
                self.windows.window(row),
                self.spec.grid,
                self.augmentation,
                np.random.default_rng((self.seed, 2, epoch, int(row))),
            )
            for row in rows
        ]
        return np.stack([normalize(patch, self.spec.normalize) for patch in changed])

    def targets(self, rows: Rows) -> Floats:
        """Give what a network should answer, in SDs from the mean."""
        return self.standard.from_sbr(self.windows.sbr[rows])
