# SPDX-License-Identifier: Apache-2.0
"""OpenVINO as an engine, on its CPU plugin, for its own IR and for ONNX files.

``import openvino`` reports usage over the network through the package openvino_telemetry. OpenVINO
has a stub for where that package is missing, so it is declared missing before the import, and stays
so for the process.

Numbers are float32 where the network's are: left alone, the plugin computes in bfloat16 on CPUs
that have it. Compiled networks exist for a batch of 1 and of 2, each made when first needed.
"""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from nigroedge.artefact import Artefact
from nigroedge.engine import refused, run_in_twos, tolerance_of
from nigroedge.extra import from_extra


class OpenvinoEngine:
    """Runs a network with OpenVINO. Safe for concurrent use: runs take turns."""

    name = "openvino"
    isa = "auto"

    def __init__(self, artefact: Artefact, *, shape: tuple[int, int, int], threads: int) -> None:
        self.threads = threads
        self.tolerance = tolerance_of(artefact)
        self._artefact = artefact
        self._shape = shape
        self._core = import_openvino().Core()
        self._requests: dict[int, Any] = {}
        self._lock = threading.Lock()
        self._request(1)  # what the runtime refuses, it refuses now

    def run(self, patches: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """See Engine.run."""
        return run_in_twos(patches, self._run_batch)

    def _run_batch(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with self._lock:
            request = self._request(len(batch))
            try:
                results = request.infer({"patch": batch}, share_inputs=True)
                return cast(npt.NDArray[np.float32], results["sbr"].copy())
            except RuntimeError as error:
                raise refused(self.name, self._artefact, error) from error

    def _request(self, n_patches: int) -> Any:
        if n_patches not in self._requests:
            self._requests[n_patches] = self._compile(n_patches)
        return self._requests[n_patches]

    def _compile(self, n_patches: int) -> Any:
        config = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(self.threads),
            "INFERENCE_PRECISION_HINT": "f32",
            # Bound threads of two processes meet on the same cores while others idle.
            "ENABLE_CPU_PINNING": "NO",
        }
        artefact = self._artefact
        try:
            parts = (artefact.content, artefact.weights)
            network = self._core.read_model(*parts if artefact.weights else parts[:1])
            network.reshape({"patch": [n_patches, 1, *self._shape]})
            return self._core.compile_model(network, "CPU", config).create_infer_request()
        except RuntimeError as error:
            raise refused(self.name, artefact, error) from error


def import_openvino() -> Any:
    """Import OpenVINO with its usage reporting cut off.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    # None makes an import of it fail, which OpenVINO takes for "not installed".
    sys.modules.setdefault("openvino_telemetry", cast(ModuleType, None))
    with from_extra("openvino", "engine 'openvino' needs", "openvino"):
        import openvino
    return openvino
