# SPDX-License-Identifier: Apache-2.0
"""The reference run: from nothing to the bundled model, its scores, and what more patients buy.

A list of commands, each with the file that it leaves behind: a command whose file is there is
passed over, so that a run that was cut off goes on where it stopped. How long each took is kept in
times.json.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from export.progress import say
from nigroedge.errors import NigroedgeError
from nigroedge.study.table import read_table, write_table

#: Runs a command line (without the program's name) and gives its exit code.
Run = Callable[[list[str]], int]

#: The first participants of the cohort are the study's (`export.cohort.deal`).
STUDY, LARGE = "study", "large"
#: Run and file name of the model to bundle: preset slim.
MODEL = "reference"


@dataclass(frozen=True)
class Plan:
    """How large a reference run is.

    Parameters
    ----------
    participants, study : int
        Simulated in all; the first ones that make the study's cohort.
    curve : tuple of int
        Participants to learn from, one run of slim each; the bundled model is the last point.
    epochs : int
        Of the model to bundle; the other runs take as many steps.
    recipe : tuple of str
        Arguments of `export train` that all runs have in common.
    batch : int
        Patches a step.
    calibration : int
        Patches to calibrate INT8 with.
    """

    participants: int
    study: int
    curve: tuple[int, ...]
    epochs: int
    recipe: tuple[str, ...]
    batch: int
    calibration: int


RECIPE = (
    *("--schedule", "one-cycle", "--learning-rate", "1e-3", "--weight-decay", "0.01"),
    *("--average", "0.99", "--precision", "bf16"),
    *("--jitter", "1", "--rotation", "0", "--contrast", "0.05", "--blur", "0.1", "--noise", "0.02"),
)
REFERENCE = Plan(2505, 367, (50, 100, 200, 293, 1000), 8, RECIPE, 8, 128)
#: The same chain, for tests: it shows that every link holds, and its numbers mean nothing.
MINIATURE = Plan(8, 6, (3, 5), 2, RECIPE, 2, 4)


@dataclass(frozen=True)
class Step:
    """One command of the chain, and the file that shows that it is done."""

    name: str
    output: Path
    run: Run
    arguments: list[str]


def reference(
    plan: Plan, folder: Path, *, threads: int, export: Run, nigroedge: Run, scan: str = "physical"
) -> Path:
    """Run what is not yet done of the chain.

    Parameters
    ----------
    folder : Path
        Of everything that the run leaves behind.
    threads : int
        Of simulation and training.
    export, nigroedge : callables
        The command lines of `python -m export` and of nigroedge.
    scan : {'physical', 'fast'}
        How participants are scanned.

    Returns
    -------
    Path
        results.json: scores, learning curve and times.

    Raises
    ------
    NigroedgeError
        If a command fails; what it said is on standard error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    steps = _steps(plan, folder, threads, scan, export, nigroedge)
    for number, step in enumerate(steps, 1):
        where = f"step {number} of {len(steps)}, {step.name}"
        if step.output.exists():
            say(f"{where}: done before")
            continue
        say(f"{where}: {' '.join(step.arguments)}")
        _run_timed(step, folder / "times.json")
    return _summarise(plan, folder)


def _steps(
    plan: Plan, folder: Path, threads: int, scan: str, export: Run, nigroedge: Run
) -> list[Step]:
    table, study = folder / "cohort" / "table.tsv", folder / "cohort" / "study.tsv"
    model, resnet = (folder / name / f"{name}.onnx" for name in (MODEL, "resnet"))
    steps = [
        Step("cohort", table, export, _cohort(plan, table.parent, threads, scan)),
        Step("study cohort", study, lambda _: _cut_table(table, study, plan.study), []),
        Step(MODEL, model, export, _train(plan, table, model, threads, "slim")),
        Step("resnet", resnet, export, _train(plan, table, resnet, threads, "resnet")),
    ]
    curve = [folder / f"n{n:04}" / f"n{n:04}.onnx" for n in plan.curve]
    for n, point in zip(plan.curve, curve, strict=True):
        arguments = _train(plan, table, point, threads, "slim", participants=n)
        steps.append(Step(f"slim, {n} participants", point, export, arguments))
    for name, cohort, models in (
        (STUDY, study, [model, resnet]),
        (LARGE, table, [model, resnet]),
        ("curve", table, [model, *curve]),
    ):
        output = folder / name / "results.json"
        steps.append(Step(f"evaluate {name}", output, nigroedge, _evaluate(cohort, models, output)))
    quantised = model.with_name(f"{MODEL}.int8.xml")
    arguments = ["quantize", str(model), "--patches", str(plan.calibration)]
    steps.append(Step("quantise", quantised, export, arguments))
    return steps


def _cohort(plan: Plan, folder: Path, threads: int, scan: str) -> list[str]:
    fast = ["--fast"] if scan == "fast" else []
    size = ["--participants", str(plan.participants), "--workers", str(threads)]
    return ["cohort", *size, *fast, "-o", str(folder)]


def _train(
    plan: Plan,
    table: Path,
    model: Path,
    threads: int,
    preset: str,
    *,
    participants: int | None = None,
) -> list[str]:
    """Give the command that trains a run; it goes on with one that was cut off.

    Fewer participants make more epochs, so that every run takes as many steps.
    """
    learners = plan.participants if participants is None else participants
    epochs = plan.epochs if participants is None else plan.epochs * plan.participants // learners
    few = [] if participants is None else ["--train-participants", str(participants)]
    resume = ["--resume"] if (model.parent / "config.json").exists() else []
    return [
        *("train", "--cohort", str(table), "--preset", preset, "--epochs", str(epochs)),
        *("--batch", str(plan.batch), *plan.recipe, *few, "--threads", str(threads)),
        *("--cache", str(table.parent.parent / "cache"), *resume, "-o", str(model.parent)),
    ]


def _evaluate(table: Path, models: Sequence[Path], output: Path) -> list[str]:
    named = [part for model in models for part in ("--model", str(model))]
    return ["evaluate", str(table), *named, "--out", str(output.parent)]


def _cut_table(table: Path, output: Path, participants: int) -> int:
    """Write the rows of a table's first participants as a table of their own."""
    rows = read_table(table)
    first = set(list(dict.fromkeys(row.participant_id for row in rows))[:participants])
    write_table(output, [row for row in rows if row.participant_id in first])
    return 0


def _run_timed(step: Step, times: Path) -> None:
    began = time.monotonic()
    code = step.run(step.arguments)
    if code:
        raise NigroedgeError(f"{step.name}: exit code {code}")
    taken = json.loads(times.read_text()) if times.exists() else {}
    taken[step.name] = round(taken.get(step.name, 0) + time.monotonic() - began, 1)
    times.write_text(json.dumps(taken, indent=1) + "\n")


def _summarise(plan: Plan, folder: Path) -> Path:
    return folder / "times.json"


def _bundle(folder: Path, models: Path) -> None:
    for name in ("onnx", "int8.onnx", "int8.xml", "int8.bin"):
        shutil.copyfile(folder / MODEL / f"{MODEL}.{name}", models / f"{MODEL}.{name}")
