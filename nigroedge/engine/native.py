# SPDX-License-Identifier: Apache-2.0
"""The built-in engine: float32, nothing to install, the same bits on every machine.

It runs convolutions, pools, sums of branches and activations, one flatten and fully connected
layers; any other graph is refused with the names of the engines that may run it. How it works and
what it costs: docs/notes/engine.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nigroedge import _core
from nigroedge.artefact import Artefact
from nigroedge.engine import tolerance_of

if TYPE_CHECKING:
    import numpy.typing as npt


class NativeEngine:
    """Runs a network in the C++ core. Safe for concurrent use: callers take turns.

    Parameters
    ----------
    artefact : Artefact
    shape : (int, int, int)
        Voxels along each patch axis; the file states the same.
    threads : int
        The caller's included; 1 starts none.

    Raises
    ------
    ModelError
        If the graph holds what the engine does not run.
    """

    name = "native"

    def __init__(self, artefact: Artefact, *, shape: tuple[int, int, int], threads: int) -> None:
        self.tolerance = tolerance_of(artefact)
        self.shape = shape
        self._network = _core.Network(artefact.content, threads=threads)

    @property
    def isa(self) -> str:
        """The instruction set: the best that runs here, or the one that NIGROEDGE_ISA names."""
        return self._network.isa

    @property
    def threads(self) -> int:
        """How many threads a run uses."""
        return self._network.threads

    def run(self, patches: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """See Engine.run."""
        return self._network.run(patches)

    def features(self, patches: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Maps of the last convolution, after its ReLU and before its max-pool.

        Parameters
        ----------
        patches : (n, X, Y, Z) float32, C order

        Returns
        -------
        (n, channels, x, y, z) float32
        """
        return self._network.features(patches)
