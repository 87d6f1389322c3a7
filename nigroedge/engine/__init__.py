# SPDX-License-Identifier: Apache-2.0
"""Engines: what runs a network. One protocol, one table, no fallback.

The engine follows from the model file unless the caller names one; a name that cannot run the file
is an error, never a switch to another. Each engine's package is imported when the engine is opened.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

import numpy as np

from nigroedge import _core
from nigroedge.artefact import Artefact, Kind
from nigroedge.errors import InputError, ModelError, NigroedgeWarning
from nigroedge.names import readable

if TYPE_CHECKING:
    import numpy.typing as npt

#: By how much SBR an engine may differ from torch float32 (docs: numeric contract).
FLOAT_TOLERANCE = 1e-4
INT8_TOLERANCE = 0.15

#: More threads than any machine this is meant for; a typing error, not a wish.
MAX_THREADS = 1024


class Engine(Protocol):
    """What runs a network; safe to use from any number of threads at once.

    Attributes
    ----------
    name : str
        As in the table of engines.
    isa : str
        The instruction set; 'auto' where the package chooses without saying.
    threads : int
        How many threads a run may use, the caller's included.
    tolerance : float
        By how much SBR the self-test may differ.
    """

    @property
    def name(self) -> str: ...
    @property
    def isa(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def tolerance(self) -> float: ...

    def run(self, patches: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Give the SBR of normalised patches.

        Parameters
        ----------
        patches : (n, X, Y, Z) float32, C order
            n may be 0; X, Y, Z are the model's patch shape.

        Returns
        -------
        (n,) float32
        """


class Entry(NamedTuple):
    """Where an engine is and which kinds of model file it runs."""

    module: str
    factory: str
    runs: tuple[Kind, ...]


#: Every engine by name.
ENGINES: Mapping[str, Entry] = {
    "native": Entry("nigroedge.engine.native", "NativeEngine", ("onnx",)),
    "onnx": Entry("nigroedge.engine.onnx", "OnnxEngine", ("onnx", "onnx-qdq")),
    "openvino": Entry(
        "nigroedge.engine.openvino", "OpenvinoEngine", ("openvino", "onnx", "onnx-qdq")
    ),
}

#: The engine that each kind of model file runs on unless another is named.
DEFAULT_ENGINE: Mapping[Kind, str] = {"onnx": "native", "onnx-qdq": "onnx", "openvino": "openvino"}


def open_engine(
    artefact: Artefact,
    shape: tuple[int, int, int],
    *,
    name: str | None = None,
    threads: int | None = None,
) -> Engine:
    """Make an engine ready to run a model file.

    Parameters
    ----------
    artefact : Artefact
    shape : (int, int, int)
        Voxels along each patch axis.
    name : str, optional
        One of ENGINES; by default the one that follows from the file.
    threads : int, optional
        As in `resolve_threads`.

    Raises
    ------
    ModelError
        If the engine cannot run this kind of file, or refuses this one.
    MissingDependencyError
        If the engine's package is not installed.
    InputError
        If there is no engine of that name, or the number of threads is not 1 to 1024.
    """
    name = DEFAULT_ENGINE[artefact.kind] if name is None else name
    if name not in ENGINES:
        raise InputError(f"expected an engine among {', '.join(ENGINES)}; got {name!r}")
    entry = ENGINES[name]
    if artefact.kind not in entry.runs:
        able = ", ".join(other for other, each in ENGINES.items() if artefact.kind in each.runs)
        raise ModelError(
            f"engine {name!r} runs {' and '.join(entry.runs)} files, but "
            f"{readable(artefact.path)} is of kind {artefact.kind}; engines that run it: {able}"
        )
    factory = cast(Callable[..., Engine], getattr(import_module(entry.module), entry.factory))
    return factory(artefact, shape=shape, threads=resolve_threads(threads))


def resolve_threads(threads: int | None) -> int:
    """Check a number of threads, and cut it to the processors that this process may use.

    Those are the processors that it may be scheduled on, or fewer if its control groups (a
    container's limit) grant less. More threads would take turns on them and wait for one another.

    Parameters
    ----------
    threads : int, optional
        By default one per processor.

    Raises
    ------
    InputError
        If it is not a whole number from 1 to 1024.

    Warns
    -----
    NigroedgeWarning
        If there are fewer processors: their number is taken.
    """
    usable = _core.usable_processors()
    if threads is None:
        return usable
    if isinstance(threads, bool) or not isinstance(threads, int):
        raise InputError(f"expected a whole number of threads, got {threads!r}")
    if not 1 <= threads <= MAX_THREADS:
        raise InputError(f"expected 1 to {MAX_THREADS} threads, got {threads}")
    if threads > usable:
        granted = f"{usable} processor{'s' if usable > 1 else ''}"
        warnings.warn(
            f"{threads} threads are more than the {granted} granted to this process: {usable} used",
            NigroedgeWarning,
            stacklevel=2,
        )
    return min(threads, usable)


def tolerance_of(artefact: Artefact) -> float:
    """By how much SBR an engine may differ on this file."""
    return INT8_TOLERANCE if artefact.quantised else FLOAT_TOLERANCE


def run_in_twos(
    patches: npt.NDArray[np.float32],
    run_batch: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]],
) -> npt.NDArray[np.float32]:
    """Run patches two at a time, and the last alone if their number is odd.

    Both sides of one person are the batch that matters; other sizes are made of it.

    Parameters
    ----------
    patches : (n, X, Y, Z) float32
    run_batch : callable
        Takes (b, 1, X, Y, Z) float32 with b 1 or 2, gives the network's output (b, 1).

    Returns
    -------
    (n,) float32

    Raises
    ------
    ModelError
        If the network's output has another shape or type.
    """
    sbr = np.empty(len(patches), dtype=np.float32)
    for i in range(0, len(patches), 2):
        batch = patches[i : i + 2, np.newaxis]
        output = run_batch(batch)
        if output.shape != (len(batch), 1) or output.dtype != np.float32:
            raise ModelError(
                f"expected the network to give float32 ({len(batch)}, 1), "
                f"got {output.dtype} {output.shape}"
            )
        sbr[i : i + 2] = output[:, 0]
    return sbr


def refused(name: str, artefact: Artefact, error: Exception) -> ModelError:
    """Say in one line that an engine's package refused a file."""
    text = " ".join(str(error).split())[:300]
    return ModelError(f"engine {name!r} cannot run {readable(artefact.path)}: {text}")
