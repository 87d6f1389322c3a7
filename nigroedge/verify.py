# SPDX-License-Identifier: Apache-2.0
"""Check whether every engine on this machine keeps its promise for a model and its INT8 siblings.

Each file runs on each engine that can run it: the self-test that it carries, then simulated patches
that no model was trained or calibrated on, compared with what the float model (or, where it is
missing, the first file found) gives on the engine that serves it by default, or that is asked for.
"""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nigroedge.artefact import Artefact, read_artefact
from nigroedge.engine import DEFAULT_ENGINE, ENGINES, FLOAT_TOLERANCE, INT8_TOLERANCE
from nigroedge.errors import InputError, MissingDependencyError, ModelError
from nigroedge.model import REFERENCE, Model, load_model, read_spec, selftest_patch
from nigroedge.phantom import draw_subject, patch_grid, render
from nigroedge.phantom.subject import SIDES
from nigroedge.preprocess import prepare_patch
from nigroedge.spec import ModelSpec
from nigroedge.subcommand import Progress

#: An INT8 file may differ this much from its float model in the mean, INT8_TOLERANCE at worst.
INT8_MEAN_TOLERANCE = 0.05

#: First simulated subject here. Those below are used to train, calibrate and check models.
FIRST_SUBJECT = 3 << 30

#: Runs are timed until there are this many, or they have taken this long.
N_TIMED = 15
MAX_TIMED_S = 2.0

#: Files that carry one model begin alike; the float one comes first.
_ENDINGS = (".onnx", ".xml", ".int8.onnx", ".int8.xml")
_ENDING = re.compile(r"(\.int8)?\.(onnx|xml)$", re.IGNORECASE)


@dataclass(frozen=True)
class Check:
    """One file on one engine.

    Parameters
    ----------
    file : str
        Name of the file, without its folder.
    engine : str
    status : {'pass', 'fail', 'not installed'}
    quantised : bool
        Whether the file runs in 8-bit integers, and has the promise of those.
    selftest_difference : float or None
        Answer to the self-test patch − the value in the file, SBR.
    mean_difference, worst_difference : float or None
        Of |answer − float model's answer| over the simulated patches, SBR.
    one_side_ms, two_sides_ms : float or None
        Median time of a run of one patch, and of two.
    isa : str or None
    threads : int or None
    reason : str
        Why it failed, or how to install what is missing; else empty.
    """

    file: str
    engine: str
    status: Literal["pass", "fail", "not installed"]
    quantised: bool
    selftest_difference: float | None = None
    mean_difference: float | None = None
    worst_difference: float | None = None
    one_side_ms: float | None = None
    two_sides_ms: float | None = None
    isa: str | None = None
    threads: int | None = None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Give the members as plain values."""
        return asdict(self)


def verify(
    path: str | Path | None = None,
    *,
    engine: str | None = None,
    threads: int | None = None,
    n_patches: int = 8,
    progress: Progress = lambda stage, done, total: None,
) -> Iterator[Check]:
    """Check a model file and those of its siblings that lie beside it, on every engine.

    Parameters
    ----------
    path : path-like, optional
        NAME.onnx, NAME.xml, NAME.int8.onnx or NAME.int8.xml; by default the bundled reference.
    engine : str, optional
        One of ENGINES: check there alone. By default on every engine.
    threads : int, optional
        As in load_model.
    n_patches : int
        How many simulated patches to compare on; at least 2.
    progress : callable
        Is told after each check how many are done, and of how many.

    Yields
    ------
    Check
        Of the float model first, on `engine` or its default one.

    Raises
    ------
    ModelError
        If a file cannot be read as a model, or the siblings do not carry the same metadata. If
        `engine`, or the default one, does not run the first file; engines that do are named.
    InputError
        If there is no such engine.
    MissingDependencyError
        If no engine is installed that gives the float model's answers.
    """
    if n_patches < 2:
        raise InputError(f"expected at least 2 patches, got {n_patches}")
    family = _family(Path(REFERENCE if path is None else path))
    artefacts = [read_artefact(file) for file in family]
    specs = [read_spec(artefact) for artefact in artefacts]
    if any(spec != specs[0] for spec in specs):
        names = ", ".join(repr(artefact.name) for artefact in artefacts)
        raise ModelError(
            f"expected the same nigroedge.* metadata in {names}: remove the siblings that were "
            "made of another model file, and make them anew"
        )
    patches = np.stack(list(islice(_simulated_patches(specs[0]), n_patches)))
    reference = _reference(artefacts[0], engine, threads).predict_patches(patches)
    pairs = [
        (artefact, name)
        for artefact in artefacts
        for name in _engines(artefact)
        if engine in (None, name)
    ]
    for done, (artefact, name) in enumerate(pairs, start=1):
        check = _check(artefact, name, threads, patches, reference)
        progress("verify", done, len(pairs))
        yield check


def refusals(path: str | os.PathLike[str]) -> dict[str, str]:
    """Say of every engine that runs files of a model's kind why it does not run this one.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict of str to str
        By engine; '' where it runs the file, its self-test included.

    Raises
    ------
    ModelError
        If the file cannot be read as a model.
    """
    return {name: _refusal(path, name) for name in _engines(read_artefact(path))}


def _refusal(path: str | os.PathLike[str], engine: str) -> str:
    try:
        load_model(path, engine=engine)
    except (ModelError, MissingDependencyError) as error:
        return str(error)
    return ""


def _reference(artefact: Artefact, engine: str | None, threads: int | None) -> Model:
    """Open what all is compared with; name the engines that run it where the default does not."""
    try:
        return load_model(artefact.path, engine=engine, threads=threads)
    except ModelError as error:
        able = [name for name, refusal in refusals(artefact.path).items() if not refusal]
        if not able:
            raise
        options = " or ".join(f"--engine {name}" for name in able)
        raise ModelError(f"{error}; here it can be verified with {options}") from error


def _family(path: Path) -> list[Path]:
    """The files that carry the same model, among them `path`, float before INT8."""
    stem = _ENDING.sub("", path.name)
    family = [path.with_name(stem + ending) for ending in _ENDINGS]
    return [file for file in family if file == path or file.is_file()] if path in family else [path]


def _engines(artefact: Artefact) -> list[str]:
    """The engines that can run a file, its default first."""
    able = [name for name, entry in ENGINES.items() if artefact.kind in entry.runs]
    return sorted(able, key=lambda name: name != DEFAULT_ENGINE[artefact.kind])


def _simulated_patches(spec: ModelSpec) -> Iterator[npt.NDArray[np.float32]]:
    for seed in count(FIRST_SUBJECT):
        subject = draw_subject(seed)
        for side in SIDES:
            if spec.side in ("both", side):
                volume = render(subject, *patch_grid(subject, side))
                centre = (subject.left if side == "left" else subject.right).centroid_mm
                yield prepare_patch(volume, centre, spec.grid_for(side), spec.normalize).values


def _check(
    artefact: Artefact,
    engine: str,
    threads: int | None,
    patches: npt.NDArray[np.float32],
    reference: npt.NDArray[np.float32],
) -> Check:
    name, quantised = artefact.name, artefact.quantised
    try:
        model = load_model(artefact.path, engine=engine, threads=threads)
        difference = np.abs(model.predict_patches(patches).astype(np.float64) - reference)
    except MissingDependencyError as error:
        return Check(name, engine, "not installed", quantised, reason=str(error))
    except ModelError as error:
        return Check(name, engine, "fail", quantised, reason=str(error))
    mean, worst = float(difference.mean()), float(difference.max())
    reason = broken_promise(quantised, mean, worst)
    return Check(
        name,
        engine,
        "fail" if reason else "pass",
        quantised,
        _selftest_difference(model),
        mean,
        worst,
        _median_ms(model, patches[:1]),
        _median_ms(model, patches[:2]),
        model.engine.isa,
        model.engine.threads,
        reason,
    )


def broken_promise(quantised: bool, mean: float, worst: float) -> str:
    """Say which promise a mean and a worst difference from the float model break; else nothing."""
    limit = INT8_TOLERANCE if quantised else FLOAT_TOLERANCE
    if worst > limit:
        return f"expected at most {limit:g} SBR from the float model, got {worst:.3g}"
    if quantised and mean > INT8_MEAN_TOLERANCE:
        return f"expected a mean of at most {INT8_MEAN_TOLERANCE:g} SBR from it, got {mean:.3g}"
    return ""


def _selftest_difference(model: Model) -> float:
    patch = selftest_patch(model.spec.grid.shape, model.spec.normalize)
    return float(model.predict_patches(patch[np.newaxis])[0]) - model.spec.selftest_sbr


def _median_ms(model: Model, patches: npt.NDArray[np.float32]) -> float:
    model.predict_patches(patches)
    times: list[float] = []
    while len(times) < N_TIMED and sum(times) < MAX_TIMED_S:
        start = perf_counter()
        model.predict_patches(patches)
        times.append(perf_counter() - start)
    return statistics.median(times) * 1e3
