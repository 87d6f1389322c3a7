# SPDX-License-Identifier: Apache-2.0
"""Compare every engine's numbers on a model file with torch's, and say whether the promises hold.

The file is rebuilt in torch through the onnx package, so that two readings of it are compared as
well.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from export.onnx_network import OnnxNetwork, read_network
from export.progress import track
from export.quantize import sibling_paths
from export.samples import Samples
from nigroedge.artefact import Artefact, read_artefact
from nigroedge.engine import DEFAULT_ENGINE, ENGINES, open_engine
from nigroedge.errors import ModelError
from nigroedge.model import read_spec, selftest_patch
from nigroedge.spec import ModelSpec
from nigroedge.study import concordance

Floats = npt.NDArray[np.float64]
Patches = npt.NDArray[np.float32]
Runner = Callable[[Patches], npt.NDArray[Any]]


@dataclass(frozen=True)
class Promise:
    """How far from torch float32 an engine may be, in SBR; ρc has no unit."""

    worst: float
    mean: float
    rho_c_loss: float


#: The project's numeric contract.
PROMISES = {
    "float32": Promise(worst=1e-4, mean=1e-4, rho_c_loss=1e-4),
    "int8": Promise(worst=0.15, mean=0.05, rho_c_loss=0.002),
}


@dataclass(frozen=True)
class Row:
    """One line of the table: how far one engine's numbers on one file are from torch float32's.

    Parameters
    ----------
    model, engine : str
        The file's name; 'torch float64' or an engine's name.
    precision : str
        A key of `PROMISES`.
    worst, mean : float
        Of |Δ| over the patches, SBR.
    selftest : float
        |Δ| between the engine's answer to the self-test patch and the value in the file, SBR.
    rho_c_loss : float or None
        ρc of torch float32 against measured SBR, minus the engine's; None where SBR was not
        measured or the model's card reports no scores: what was never claimed cannot be lost.
    """

    model: str
    engine: str
    precision: str
    worst: float
    mean: float
    selftest: float
    rho_c_loss: float | None

    @property
    def passed(self) -> bool:
        """Whether the promise holds; NaN keeps no promise."""
        promise = PROMISES[self.precision]
        return (
            self.worst <= promise.worst
            and self.mean <= promise.mean
            and self.selftest <= promise.worst
            and (self.rho_c_loss is None or self.rho_c_loss <= promise.rho_c_loss)
        )

    def to_dict(self) -> dict[str, Any]:
        """Give the row as one JSON object, with its promise; null where a number is none."""
        numbers = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }
        return {**numbers, "promise": asdict(PROMISES[self.precision]), "passed": self.passed}


@dataclass(frozen=True)
class Refusal:
    """An engine that does not run the file, and why; nothing was promised, so nothing is broken."""

    model: str
    engine: str
    reason: str

    passed = True

    def to_dict(self) -> dict[str, Any]:
        """Give the refusal as one JSON object."""
        return asdict(self)


def parity(model: Path, samples: Samples, *, threads: int) -> list[Row | Refusal]:
    """Compare every engine on a float model file, and on the INT8 siblings that lie beside it.

    Parameters
    ----------
    model : Path
        Float model file.
    samples : Samples
        Patches as the model takes them, none of them used for calibration.
    threads : int
        Of torch and of each engine.

    Raises
    ------
    ModelError
        If a file breaks the contract of a model.
    MissingDependencyError
        If an engine's package is not installed.
    """
    artefact = read_artefact(model)
    spec = read_spec(artefact)
    checked = _Checked(samples, spec)
    network = read_network(model)
    torch.set_num_threads(threads)
    answers = {
        name: checked.run(f"{model.name}, {name}", _torch_runner(network, dtype))
        for name, dtype in (("torch float32", torch.float32), ("torch float64", torch.float64))
    }
    compared = _Compared(checked, answers["torch float32"])
    rows: list[Row | Refusal] = [
        compared.row(model.name, name, "float32", got) for name, got in answers.items()
    ]
    siblings = [read_artefact(path) for path in sibling_paths(model).values() if path.exists()]
    for file in (artefact, *siblings):
        rows += [_compare(file, name, compared, threads) for name in _engines(file)]
    return rows


def _engines(artefact: Artefact) -> list[str]:
    """List the engines to compare on a file: a float file on every one, a sibling on its own."""
    if artefact.quantised:
        return [DEFAULT_ENGINE[artefact.kind]]
    return [name for name, entry in ENGINES.items() if artefact.kind in entry.runs]


def _compare(artefact: Artefact, name: str, compared: _Compared, threads: int) -> Row | Refusal:
    checked = compared.checked
    try:
        engine = open_engine(artefact, checked.spec.grid.shape, name=name, threads=threads)
    except ModelError as error:
        return Refusal(artefact.name, name, str(error))
    precision = "int8" if artefact.quantised else "float32"
    got = checked.run(f"{artefact.name}, {name}", engine.run)
    return compared.row(artefact.name, name, precision, got)


@dataclass(frozen=True, eq=False)
class _Checked:
    """The patches of the comparison, and the self-test patch, which is run after them."""

    samples: Samples
    spec: ModelSpec

    def run(self, what: str, run: Runner) -> Floats:
        """Run all patches and the self-test patch → (n + 1,) SBR."""
        patches = self.samples.patches
        # Two at a time, as engines run them in any case.
        pairs = [patches[i : i + 2] for i in range(0, len(patches), 2)]
        selftest = selftest_patch(self.spec.grid.shape, self.spec.normalize)
        answers = [run(pair) for pair in track(pairs, what, total=len(pairs))]
        return np.concatenate([*answers, run(selftest[np.newaxis])]).astype(np.float64)

    def rho_c_loss(self, got: Floats, reference: Floats) -> float | None:
        """Give ρc of the reference minus that of what was got, (n,) SBR each."""
        known = np.isfinite(self.samples.sbr)
        if np.count_nonzero(known) < 2 or not self.spec.card.metrics:
            return None
        measured = self.samples.sbr[known]
        return concordance(reference[known], measured) - concordance(got[known], measured)


@dataclass(frozen=True, eq=False)
class _Compared:
    """The answers that all others are compared with: (n + 1,) SBR, of the self-test last."""

    checked: _Checked
    reference: Floats

    def row(self, model: str, engine: str, precision: str, got: Floats) -> Row:
        difference = np.abs(got - self.reference)[:-1]
        return Row(
            model=model,
            engine=engine,
            precision=precision,
            worst=float(difference.max()),
            mean=float(difference.mean()),
            selftest=abs(float(got[-1]) - self.checked.spec.selftest_sbr),
            rho_c_loss=self.checked.rho_c_loss(got[:-1], self.reference[:-1]),
        )


def _torch_runner(network: OnnxNetwork, dtype: torch.dtype) -> Runner:
    """Give what runs (n, X, Y, Z) patches one by one → (n,) SBR."""
    same = copy.deepcopy(network).to(dtype)

    @torch.no_grad()
    def run(patches: Patches) -> Floats:
        return np.array([same(torch.from_numpy(p)[None, None].to(dtype)).item() for p in patches])

    return run


def table(rows: list[Row | Refusal]) -> str:
    """Lay the rows out for people: differences in SBR."""
    lines = [
        _COLUMNS.format("model", "engine", "worst", "mean", "self-test", "ρc loss", "promise", "")
    ]
    return "\n".join(lines + [_cells(row) for row in rows])


_COLUMNS = "{:28} {:14} {:>9} {:>9} {:>9} {:>9}  {:24} {}"


def _cells(row: Row | Refusal) -> str:
    if isinstance(row, Refusal):
        return f"{row.model:28} {row.engine:14} not run: {row.reason}"
    promise = PROMISES[row.precision]
    loss = "" if row.rho_c_loss is None else f"{row.rho_c_loss:.1e}"
    differences = (f"{value:.1e}" for value in (row.worst, row.mean, row.selftest))
    limits = f"≤ {promise.worst:g}, {promise.mean:g}, ρc {promise.rho_c_loss:g}"
    verdict = "PASS" if row.passed else "FAIL"
    return _COLUMNS.format(row.model, row.engine, *differences, loss, limits, verdict)
