# SPDX-License-Identifier: Apache-2.0
"""Compare every engine's numbers on a model file with torch's, and say whether the promises hold.

The file is rebuilt in torch through the onnx package, so that two readings of it are compared as
well. Where it holds operators that are not rebuilt, onnx's own reference stands in, in float64.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch

from export.evaluate import evaluate, in_float64
from export.onnx_network import OnnxNetwork, network_of
from export.progress import track
from export.promise import PROMISES, Errors, concordance_loss, unit_of
from export.samples import Samples
from export.siblings import remove_sibling, sibling_paths
from nigroedge.artefact import Artefact, read_artefact
from nigroedge.engine import DEFAULT_ENGINE, ENGINES, open_engine
from nigroedge.errors import ModelError
from nigroedge.model import REFERENCE, read_spec, selftest_patch
from nigroedge.names import readable
from nigroedge.spec import ModelSpec

Floats = npt.NDArray[np.float64]
Patches = npt.NDArray[np.float32]
Runner = Callable[[Patches], npt.NDArray[Any]]


@dataclass(frozen=True)
class Row:
    """One line of the table: how far one engine's numbers on one file are from torch float32's.

    Parameters
    ----------
    model, engine : str
        The file's name; 'torch float64', 'onnx float64' or an engine's name.
    precision : str
        A key of `PROMISES`.
    errors : Errors
    spread : float
        SD of the answers that are compared with, SBR.
    unit : float
        What the promise is in units of (`export.promise.unit_of`).
    patches : str
        What was compared on.
    """

    model: str
    engine: str
    precision: str
    errors: Errors
    spread: float = 1.0
    unit: float = 1.0
    patches: str = ""

    @property
    def broken(self) -> list[str]:
        """Say which parts of the promise do not hold."""
        return PROMISES[self.precision].broken(self.errors, unit=self.unit)

    @property
    def passed(self) -> bool:
        """Whether the promise holds; NaN keeps no promise."""
        return not self.broken

    def to_dict(self) -> dict[str, Any]:
        """Give the row as one JSON object, with its promise; null where a number is none."""
        said = {name: value for name, value in asdict(self).items() if name != "errors"}
        numbers = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in (said | asdict(self.errors)).items()
        }
        promise = asdict(PROMISES[self.precision])
        return {**numbers, "promise": promise, "passed": self.passed, "broken": self.broken}


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


@dataclass(frozen=True)
class Removal:
    """A sibling that is no longer there, where it lay, and why."""

    model: str
    removed: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Give the removal as one JSON object."""
        return asdict(self)


def parity(model: Path, samples: Samples, *, threads: int) -> list[Row | Refusal]:
    """Compare every engine on a float model file, and on the INT8 siblings that lie beside it.

    With torch float32, or where torch lacks an operator, with onnx's reference in float64.

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
    if artefact.kind != "onnx":
        raise ModelError(
            f"model file {artefact.name}: expected the float32 .onnx, whose siblings are compared "
            f"with it, got one of kind {artefact.kind}"
        )
    spec = read_spec(artefact)
    checked = _Checked(samples, spec)
    torch.set_num_threads(threads)
    rows: list[Row | Refusal] = []
    try:
        runners = _in_torch(artefact)
    except ModelError as error:
        rows.append(Refusal(artefact.name, "torch", str(error)))
        runners = {"onnx float64": _reference_runner(artefact)}
    answers = {name: checked.run(f"{model.name}, {name}", run) for name, run in runners.items()}
    compared = _Compared(checked, next(iter(answers.values())))
    rows += [compared.row(model.name, name, "float32", got) for name, got in answers.items()]
    siblings = [read_artefact(path) for path in sibling_paths(model).values() if path.exists()]
    for file in (artefact, *siblings):
        rows += [_compare(file, name, compared, threads) for name in _engines(file)]
    return rows


def remove_broken(model: Path, rows: list[Row | Refusal]) -> list[Removal]:
    """Remove the siblings of a model file that broke their promise; the bundled ones stay.

    Raises
    ------
    InputError
        If that is not allowed.
    """
    removed: list[Removal] = []
    if model.resolve() == Path(REFERENCE).resolve():
        return removed  # they are the package's, and others predict with them
    for path in sibling_paths(model).values():
        row = next((row for row in rows if isinstance(row, Row) and row.model == path.name), None)
        if row is not None and row.broken:
            remove_sibling(path)
            reason = f"{', '.join(row.broken)}, on {row.patches}"
            removed.append(Removal(path.name, readable(path), reason))
    return removed


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
        """Give ρc of the reference minus that of what was got, (n,) SBR each, if it is claimed."""
        claimed = bool(self.spec.card.metrics)
        return concordance_loss(self.samples.sbr, reference, got) if claimed else None


@dataclass(frozen=True, eq=False)
class _Compared:
    """The answers that all others are compared with: (n + 1,) SBR, of the self-test last."""

    checked: _Checked
    reference: Floats

    def row(self, model: str, engine: str, precision: str, got: Floats) -> Row:
        wanted = self.reference[:-1]
        with np.errstate(invalid="ignore"):  # what is not finite breaks the promise as NaN
            difference, spread = np.abs(got[:-1] - wanted), float(np.std(wanted))
        errors = Errors(
            worst=float(difference.max()),
            mean=float(difference.mean()),
            selftest=abs(float(got[-1]) - self.checked.spec.selftest_sbr),
            rho_c_loss=self.checked.rho_c_loss(got[:-1], wanted),
        )
        origin = self.checked.samples.origin
        return Row(model, engine, precision, errors, spread, unit_of(wanted), origin)


def _in_torch(artefact: Artefact) -> dict[str, Runner]:
    network = network_of(artefact.content, where=f"model file {artefact.name}")
    return {
        "torch float32": _torch_runner(network, torch.float32),
        "torch float64": _torch_runner(network, torch.float64),
    }


def _reference_runner(artefact: Artefact) -> Runner:
    """Give what runs (n, X, Y, Z) patches one by one by onnx's reference → (n,) SBR."""
    wide = in_float64(onnx.load_from_string(artefact.content))

    def run(patches: Patches) -> Floats:
        double = patches.astype(np.float64)
        return np.array([evaluate(wide, p[None, None])["sbr"].item() for p in double])

    return run


def _torch_runner(network: OnnxNetwork, dtype: torch.dtype) -> Runner:
    """Give what runs (n, X, Y, Z) patches one by one → (n,) SBR."""
    same = copy.deepcopy(network).to(dtype)

    @torch.no_grad()
    def run(patches: Patches) -> Floats:
        return np.array([same(torch.from_numpy(p)[None, None].to(dtype)).item() for p in patches])

    return run


def table(rows: list[Row | Refusal]) -> str:
    """Lay the rows out for people: differences in SBR, and which promise holds."""
    head = _COLUMNS.format(
        *("model", "engine", "worst", "mean", "self-test", "ρc loss", "promise", "")
    )
    compared = [row for row in rows if isinstance(row, Row)]
    heads = dict.fromkeys(_on_what(row) for row in compared)
    return "\n".join([*heads, head, *map(_cells, rows), *_verdicts(compared)])


_COLUMNS = "{:28} {:14} {:>9} {:>9} {:>9} {:>9}  {:24} {}"


def _on_what(row: Row) -> str:
    said = f"on {row.patches}: the answers have an SD of {row.spread:.2g} SBR"
    if row.unit == 1:
        return said
    return f"{said}, and some are no SBR: worst and mean are promised in units of it"


def _cells(row: Row | Refusal) -> str:
    if isinstance(row, Refusal):
        return f"{row.model:28} {row.engine:14} not run: {row.reason}"
    promise, errors = PROMISES[row.precision], row.errors
    loss = "" if errors.rho_c_loss is None else f"{errors.rho_c_loss:.1e}"
    differences = (f"{value:.1e}" for value in (errors.worst, errors.mean, errors.selftest))
    worst, mean = promise.worst * row.unit, promise.mean * row.unit
    limits = f"≤ {worst:.3g}, {mean:.3g}, ρc {promise.rho_c_loss:g}"
    verdict = "FAIL" if row.broken else "PASS"
    return _COLUMNS.format(row.model, row.engine, *differences, loss, limits, verdict)


def _verdicts(rows: list[Row]) -> Iterator[str]:
    """Say of each file where its promise holds, and where and why it does not."""
    for model, precision in dict.fromkeys((row.model, row.precision) for row in rows):
        own = [row for row in rows if (row.model, row.precision) == (model, precision)]
        kept = [row.engine for row in own if not row.broken and row.engine in ENGINES]
        if kept:
            yield f"the promise of {precision} holds for {model} on {', '.join(kept)}"
        for row in own:
            if row.broken:
                why = ", ".join(row.broken)
                yield f"the promise of {precision} is broken by {model} on {row.engine}: {why}"
