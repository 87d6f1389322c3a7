# SPDX-License-Identifier: Apache-2.0
"""A model: a file that was read and checked, and the engine that runs it.

Loading ends with the self-test: the engine runs a patch that anybody can compute, and must give the
value that the exporter wrote down.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nigroedge.artefact import Artefact, TensorType, artefact_of, read_artefact
from nigroedge.digest import hashing
from nigroedge.engine import Engine, open_engine
from nigroedge.errors import InputError, ModelError
from nigroedge.names import readable
from nigroedge.pipeline import predict
from nigroedge.preprocess import normalize
from nigroedge.spec import ModelSpec

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from nigroedge.result import Result
    from nigroedge.volume import Volume

REFERENCE = os.path.join(os.path.dirname(__file__), "models", "reference.onnx")


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model: its file, what it says, and the engine that runs it.

    Safe to use from any number of threads at once. Pickled, it travels as the bytes of its file and
    the name and threads of its engine: another process need not have the file, checks its SHA-256,
    and opens the engine anew.

    Parameters
    ----------
    spec : ModelSpec
    artefact : Artefact
        The file that was read; its bytes are those that the engine runs.
    engine : Engine
    """

    spec: ModelSpec
    artefact: Artefact = field(repr=False)
    engine: Engine = field(repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Give what another process makes the model of."""
        artefact, engine = self.artefact, self.engine
        file = (os.fspath(artefact.path), artefact.content, artefact.weights, artefact.sha256)
        return _arrived, (*file, engine.name, engine.threads)

    @property
    def path(self) -> Path:
        """Where the model file was read from."""
        from pathlib import Path

        return Path(self.artefact.path)

    @property
    def sha256(self) -> str:
        """SHA-256 of the model file (of an OpenVINO IR: of .xml followed by .bin)."""
        return self.artefact.sha256

    def predict(
        self,
        volume: Volume,
        *,
        left: npt.ArrayLike | None = None,
        right: npt.ArrayLike | None = None,
    ) -> Result:
        """Predict the SBR of one or both sides; see nigroedge.pipeline.predict.

        Parameters
        ----------
        volume : Volume
        left, right : (3,) array_like, optional
            Nigrosome-1 centroid of the patient's left and right side, RAS mm; at least one.
        """
        return predict(volume, left=left, right=right, models=self)

    def predict_patches(self, patches: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Give the SBR of patches that are already normalised and mirrored.

        Parameters
        ----------
        patches : (n, X, Y, Z) float32
            X, Y, Z are the model's patch shape. Copied if not in C order.

        Returns
        -------
        (n,) float32
            In SBR units.

        Raises
        ------
        InputError
            If the array has another shape or type, or holds NaN or infinity.
        ModelError
            If the network's answer is not finite.
        """
        patches = np.asanyarray(patches)
        expected = self.spec.grid.shape
        if patches.dtype != np.float32 or patches.shape[1:] != expected or patches.ndim != 4:
            raise InputError(
                f"expected float32 patches (n, {', '.join(map(str, expected))}), "
                f"got {patches.dtype} {patches.shape}"
            )
        if not np.isfinite(patches).all():
            raise InputError("expected finite patches, got NaN or infinity in them")
        sbr = self.engine.run(np.ascontiguousarray(patches))
        if not np.isfinite(sbr).all():
            raise ModelError(f"model file {readable(self.path)}: its answer is not a finite number")
        return sbr


def load_model(
    path: str | os.PathLike[str] | None = None,
    engine: str | None = None,
    threads: int | None = None,
) -> Model:
    """Read, check and test a model file.

    Parameters
    ----------
    path : path-like, optional
        An .onnx file, or an OpenVINO .xml with its .bin beside it; by default the bundled
        reference.
    engine : str, optional
        Which engine runs it (a name in nigroedge.engine.ENGINES); by default the one that follows
        from the file.
    threads : int, optional
        How many threads the engine may use; by default every CPU that this process may use.

    Raises
    ------
    ModelError
        If the file breaks the contract of a model, the engine cannot run it, or its self-test
        fails.
    MissingDependencyError
        If the engine's package is not installed.
    InputError
        If there is no such engine, or the number of threads is not 1 to 1024.
    """
    return _opened(read_artefact(REFERENCE if path is None else path), engine, threads)


def _opened(artefact: Artefact, engine: str | None, threads: int | None) -> Model:
    spec = read_spec(artefact)
    with hashing(artefact):
        opened = open_engine(artefact, spec.grid.shape, name=engine, threads=threads)
        _check_selftest(artefact, spec, opened)
    return Model(spec, artefact, opened)


def _arrived(
    path: str, content: bytes, weights: bytes, sha256: str, engine: str, threads: int
) -> Model:
    """Make the model that was pickled in another process."""
    artefact = artefact_of(path, content, weights)
    if artefact.sha256 != sha256:
        raise ModelError(
            f"model file {readable(path)}: expected SHA-256 {sha256}, got {artefact.sha256}"
        )
    return _opened(artefact, engine, threads)


def read_spec(artefact: Artefact) -> ModelSpec:
    """Read a model file's metadata and check that its graph takes the patches they describe.

    Raises
    ------
    ModelError
        If the metadata or the graph break the contract of a model.
    """
    try:
        spec = ModelSpec.from_metadata(artefact.metadata)
    except ModelError as error:
        raise ModelError(f"model file {readable(artefact.path)}: {error}") from error
    patch = TensorType("patch", "float", (-1, 1, *spec.grid.shape))
    _check_port(artefact, "input", artefact.inputs, patch)
    _check_port(artefact, "output", artefact.outputs, TensorType("sbr", "float", (-1, 1)))
    return spec


def selftest_patch(shape: tuple[int, int, int], method: str) -> npt.NDArray[np.float32]:
    """Compute the patch of the self-test, normalised.

    A linear congruential generator (Numerical Recipes' constants) fills the patch in C order:
    u₀ = 1, uᵢ₊₁ = 1664525·uᵢ + 1013904223 mod 2³², voxel i = (uᵢ₊₁ >> 8) / 2²⁴ + 0.5. All voxels at
    once: uₙ = aⁿ + c·(1 + a + … + aⁿ⁻¹), in 32-bit integers that wrap.

    Parameters
    ----------
    shape : (int, int, int)
    method : {'mean', 'zscore'}

    Returns
    -------
    shape, float32
    """
    powers = np.full(math.prod(shape), 1664525, dtype=np.uint32)
    np.multiply.accumulate(powers, out=powers)
    sums = np.ones_like(powers)
    np.add.accumulate(powers[:-1], out=sums[1:])
    sums[1:] += np.uint32(1)
    u = powers + np.uint32(1013904223) * sums
    # 24 bits and a half: exact in float32.
    voxels = (u >> np.uint32(8)).astype(np.float32) / np.float32(1 << 24) + np.float32(0.5)
    return normalize(voxels.reshape(shape), method)


def _check_selftest(artefact: Artefact, spec: ModelSpec, engine: Engine) -> None:
    patch = selftest_patch(spec.grid.shape, spec.normalize)
    sbr = float(engine.run(patch[np.newaxis])[0])
    if not abs(sbr - spec.selftest_sbr) <= engine.tolerance:  # written so that NaN fails
        raise ModelError(
            f"model file {readable(artefact.path)}: self-test on engine {engine.name!r} gives "
            f"{sbr:.6g} SBR, expected {spec.selftest_sbr:.6g} within {engine.tolerance:g}"
        )


def _check_port(
    artefact: Artefact, noun: str, ports: tuple[TensorType, ...], expected: TensorType
) -> None:
    got = "; ".join(str(port) for port in ports) or "none"
    message = (
        f"model file {readable(artefact.path)}: expected one {noun} {expected}, got {got[:300]}"
    )
    if len(ports) != 1:
        raise ModelError(message)
    (port,) = ports
    if (port.name, port.dtype, port.dims) != (expected.name, expected.dtype, expected.dims):
        raise ModelError(message)
