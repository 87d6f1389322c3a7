# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime as an engine, on its CPU provider, for float and quantised (QDQ) ONNX files.

Sessions exist for a batch of 1 and of 2, each made when first needed with its shapes fixed, so that
ONNX Runtime plans its memory once. Nothing is left to defaults that a machine or a version may
change: threads, order of execution, spinning, logging.

Since 1.31 its official builds report usage to Microsoft, and write an identifier of the user into
~/.cache, as soon as they are imported (its Privacy.md). ORT_DISABLE_TELEMETRY=1, set before the
import, is its own way to prevent both; the variable stays set for the process and its children.
"""

from __future__ import annotations

import os
import threading
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from nigroedge.artefact import Artefact
from nigroedge.engine import refused, run_in_twos, tolerance_of
from nigroedge.extra import from_extra


class OnnxEngine:
    """Runs a network with ONNX Runtime. Safe for concurrent use: its sessions are."""

    name = "onnx"
    isa = "auto"

    def __init__(self, artefact: Artefact, *, shape: tuple[int, int, int], threads: int) -> None:
        self.threads = threads
        self.tolerance = tolerance_of(artefact)
        self._artefact = artefact
        self._runtime = import_onnxruntime()
        self._sessions: dict[int, Any] = {}
        self._lock = threading.Lock()
        self._session(1)  # what the runtime refuses, it refuses now

    def run(self, patches: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """See Engine.run."""
        return run_in_twos(patches, self._run_batch)

    def _run_batch(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        session = self._session(len(batch))
        try:
            (output,) = session.run(["sbr"], {"patch": batch})
        except Exception as error:  # the runtime's errors have no base of their own
            raise refused(self.name, self._artefact, error) from error
        return cast(npt.NDArray[np.float32], output)

    def _session(self, n_patches: int) -> Any:
        with self._lock:
            if n_patches not in self._sessions:
                self._sessions[n_patches] = self._open(n_patches)
            return self._sessions[n_patches]

    def _open(self, n_patches: int) -> Any:
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.execution_mode = self._runtime.ExecutionMode.ORT_SEQUENTIAL
        # Threads spin for work during a run, which costs nobody anything, but not after it.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        # What was checked is ONNX; the runtime's own format must not be guessed from the bytes.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        options.add_free_dimension_override_by_name(self._artefact.inputs[0].batch_name, n_patches)
        options.log_severity_level = 4  # fatal: errors arrive as exceptions
        try:
            return self._runtime.InferenceSession(
                self._artefact.content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's errors have no base of their own
            raise refused(self.name, self._artefact, error) from error


def import_onnxruntime() -> Any:
    """Import ONNX Runtime with its usage reporting off.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    with from_extra("onnx", "engine 'onnx' needs", "onnxruntime"):
        import onnxruntime
    onnxruntime.disable_telemetry_events()  # for where it was imported before, or knows no variable
    return onnxruntime
