# SPDX-License-Identifier: Apache-2.0
"""The reference run: from nothing to the bundled model, its scores, and what more patients buy.

A list of commands, each with the file that it leaves behind: a command whose file is there is
passed over, so that a run that was cut off goes on where it stopped. How long each took is kept in
times.json.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from export.cohort import STUDY_PARTICIPANTS, TABLE_NAME
from export.progress import say
from export.spec import git_revision
from nigroedge.artefact import read_artefact
from nigroedge.cli import INTERRUPTED
from nigroedge.errors import NigroedgeError
from nigroedge.model import read_spec
from nigroedge.study.baseline import NAMES as BASELINES
from nigroedge.study.table import read_table, write_table

#: Runs a command line (without the program's name) and gives its exit code.
Run = Callable[[list[str]], int]

#: Evaluations: the first participants of the cohort, who are the study's (`export.cohort.deal`);
#: all of them; and slim beside resnet, both with as many participants and epochs.
STUDY, LARGE, CONTEST = "study", "large", "contest"
#: Runs, and names of their files: the model to bundle, preset slim; and the other preset.
MODEL, RESNET = "reference", "resnet"


@dataclass(frozen=True)
class Plan:
    """How large a reference run is.

    The first participants of all three cohorts are the same people, and whole blocks of
    `export.cohort.deal` are dealt out the same, so that nobody who is tested was learned from.

    Parameters
    ----------
    fast : int
        Participants scanned by the fast path, to learn from.
    physical : int
        Participants scanned physically, to go on learning from.
    tested : int
        A cohort whose test participants are scanned physically, to evaluate on.
    study : int
        The first of the physical ones that make the study's cohort.
    curve : tuple of int
        Participants of the fast path to learn from, one run of slim each. The model to bundle goes
        on from the last.
    contest : int
        The point of the curve that resnet learns from as many participants as.
    epochs : int
        On the fast path, but for
    curve_steps : int
        the least steps of a run there: few participants have more epochs.
    physical_epochs : int
        On the physical scans.
    batch : int
        Patches a step.
    calibration : int
        Patches to calibrate INT8 with.
    """

    fast: int
    physical: int
    tested: int
    study: int
    curve: tuple[int, ...]
    contest: int
    epochs: int
    curve_steps: int
    physical_epochs: int
    batch: int
    calibration: int


RECIPE = (
    *("--schedule", "one-cycle", "--weight-decay", "0.01", "--average", "0.99"),
    *("--precision", "bf16"),
    *("--jitter", "1", "--rotation", "0", "--contrast", "0.05", "--blur", "0.1", "--noise", "0.02"),
)
#: Peaks of the learning rate: from random weights, and from those that the fast path gave.
FIRST_RATE, LATER_RATE = "1e-3", "3e-4"
REFERENCE = Plan(
    fast=12525,
    physical=3 * STUDY_PARTICIPANTS,
    tested=13 * STUDY_PARTICIPANTS,
    study=STUDY_PARTICIPANTS,
    curve=(50, 100, 200, 293, 1000, 2000, 10000),
    contest=2000,
    epochs=6,
    curve_steps=1200,
    physical_epochs=4,
    batch=8,
    calibration=128,
)
#: The same chain, for tests: it shows that every link holds, and its numbers mean nothing.
MINIATURE = Plan(
    fast=8,
    physical=8,
    tested=8,
    study=6,
    curve=(3, 6),
    contest=3,
    epochs=2,
    curve_steps=4,
    physical_epochs=1,
    batch=2,
    calibration=4,
)


@dataclass(frozen=True)
class Step:
    """One command of the chain, and the file that shows that it is done."""

    name: str
    output: Path
    run: Run
    arguments: list[str]


def reference(plan: Plan, folder: Path, *, threads: int, export: Run, nigroedge: Run) -> Path:
    """Run what is not yet done of the chain.

    Parameters
    ----------
    folder : Path
        Of everything that the run leaves behind.
    threads : int
        Of simulation and training.
    export, nigroedge : callables
        The command lines of `python -m export` and of nigroedge.

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
    steps = _steps(plan, folder, threads, export, nigroedge)
    for number, step in enumerate(steps, 1):
        where = f"step {number} of {len(steps)}, {step.name}"
        if step.output.exists():
            say(f"{where}: done before")
            continue
        say(f"{where}: {' '.join(step.arguments)}")
        _run_timed(step, folder / "times.json")
    return _summarise(plan, folder)


def _steps(plan: Plan, folder: Path, threads: int, export: Run, nigroedge: Run) -> list[Step]:
    fast, physical, tested = (folder / name / TABLE_NAME for name in ("fast", "physical", "tested"))
    study = physical.with_name("study.tsv")
    curve = [_model(folder, _point(n)) for n in plan.curve]
    model, resnet = _model(folder, MODEL), _model(folder, RESNET)
    quantised = model.with_name(f"{MODEL}.int8.onnx")
    rival = _model(folder, _point(plan.contest))
    steps = [
        Step("fast cohort", fast, export, [*_cohort(plan.fast, fast, threads), "--fast"]),
        Step("physical cohort", physical, export, _cohort(plan.physical, physical, threads)),
        Step("study cohort", study, lambda _: _cut_table(physical, study, plan.study), []),
        Step(
            "tested cohort",
            tested,
            export,
            [*_cohort(plan.tested, tested, threads), "--split", "test"],
        ),
    ]
    for output, preset, n in (
        (resnet, "resnet", plan.contest),
        *((_model(folder, _point(n)), "slim", n) for n in plan.curve),
    ):
        line = [
            *_train(plan, fast, output, threads, preset, FIRST_RATE, _epochs(plan, n)),
            *("--train-participants", str(n)),
        ]
        steps.append(Step(f"train {output.stem}", output, export, line))
    later = _train(plan, physical, model, threads, "slim", LATER_RATE, plan.physical_epochs)
    quantise = ["quantize", str(model), "--patches", str(plan.calibration)]
    steps += [
        Step(f"train {MODEL}", model, export, [*later, "--start", str(curve[-1])]),
        Step("quantise", quantised, export, quantise),
    ]
    for name, cohort, compared in (
        (STUDY, study, [model, quantised]),
        (LARGE, tested, [model, quantised, *curve]),
        (CONTEST, tested, [rival, resnet]),
    ):
        output = folder / name / "results.json"
        line = _evaluate(cohort, compared, output)
        steps.append(Step(f"evaluate {name}", output, nigroedge, line))
    return steps


def _point(participants: int) -> str:
    """Name the run of a point of the learning curve."""
    return f"n{participants:04}"


def _model(folder: Path, run: str) -> Path:
    return folder / run / f"{run}.onnx"


def _cohort(participants: int, table: Path, threads: int) -> list[str]:
    size = ["--participants", str(participants), "--workers", str(threads)]
    return ["cohort", *size, "-o", str(table.parent)]


def _epochs(plan: Plan, participants: int) -> int:
    """Give the epochs on so many participants of the fast path."""
    steps_per_epoch = 2 * 0.9 * participants / plan.batch  # two sides of the nine in ten who train
    return max(plan.epochs, math.ceil(plan.curve_steps / steps_per_epoch))


def _train(
    plan: Plan, table: Path, model: Path, threads: int, preset: str, rate: str, epochs: int
) -> list[str]:
    """Give the command that trains a run; it goes on with one that was cut off."""
    resume = ["--resume"] if (model.parent / "config.json").exists() else []
    return [
        *("train", "--cohort", str(table), "--preset", preset, "--epochs", str(epochs)),
        *("--batch", str(plan.batch), "--learning-rate", rate, *RECIPE),
        *("--threads", str(threads), "--cache", str(model.parent.parent / "cache")),
        *(*resume, "-o", str(model.parent)),
    ]


def _evaluate(table: Path, models: Sequence[Path], output: Path) -> list[str]:
    named = [part for model in models for part in ("--model", str(model))]
    # The engine that the numbers of docs/study were made with.
    return ["evaluate", str(table), *named, "--engine", "onnx", "--out", str(output.parent)]


def _cut_table(table: Path, output: Path, participants: int) -> int:
    """Write the rows of a table's first participants as a table of their own."""
    rows = read_table(table)
    first = set(list(dict.fromkeys(row.participant_id for row in rows))[:participants])
    write_table(output, [row for row in rows if row.participant_id in first])
    return 0


def _run_timed(step: Step, times: Path) -> None:
    began = time.monotonic()
    code = step.run(step.arguments)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code:
        raise NigroedgeError(f"{step.name}: exit code {code}")
    taken = json.loads(times.read_text()) if times.exists() else {}
    taken[step.name] = round(taken.get(step.name, 0) + time.monotonic() - began, 1)
    times.write_text(json.dumps(taken, indent=1) + "\n")


# ---- what it found -------------------------------------------------------------------------------


def _summarise(plan: Plan, folder: Path) -> Path:
    """Gather scores, learning curve and times in results.json, and draw the curve."""
    evaluated = {
        name: json.loads((folder / name / "results.json").read_text())
        for name in (STUDY, LARGE, CONTEST)
    }
    sizes = {_point(n): n for n in plan.curve}
    curve = {
        unit: _curve(evaluated[LARGE]["results"][unit], sizes) for unit in ("participant", "side")
    }
    results = {
        "notice": evaluated[LARGE]["notes"],
        "plan": asdict(plan),
        "git_revision": git_revision(),
        "models": {
            model["name"]: model["files"]
            for evaluation in evaluated.values()
            for model in evaluation["models"]
        },
        "card": load_card(folder / MODEL / f"{MODEL}.onnx"),
        **{name: _scores(evaluation) for name, evaluation in evaluated.items()},
        "learning_curve": curve,
        "seconds": json.loads((folder / "times.json").read_text()),
    }
    path = folder / "results.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    draw_learning_curve(folder / "learning-curve.svg", curve["participant"])
    return path


def _scores(evaluated: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the main numbers of an evaluation, by participant and by side."""
    return {
        unit: {
            "n": result["n"],
            "scores": {name: _score(row) for name, row in result["performance"].items()},
            "per_cent_of_ceiling": result["ceiling"],
            "comparisons": result["comparisons"],
        }
        for unit, result in evaluated["results"].items()
        if unit in ("participant", "side")
    }


def _score(performance: Mapping[str, Any]) -> dict[str, Any]:
    residuals = performance["residuals"]
    return {
        "rho_c": performance["rho_c"],
        "rmse": residuals["rmse"],
        "mae": residuals["mae"],
        "mae_sd": residuals["sd"],
    }


def _curve(result: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """Give the scores by number of participants learned from, and the baselines'."""
    scores = {name: _score(row) for name, row in result["performance"].items()}
    by_size = sorted((n, scores[name]) for name, n in sizes.items())
    return {
        "points": [{"participants": n, **row} for n, row in by_size],
        "bundled": scores[MODEL],
        "baselines": {name: row for name, row in scores.items() if name in BASELINES},
    }


def load_card(model: Path) -> dict[str, Any]:
    """Give the card of a model file."""
    return asdict(read_spec(read_artefact(model)).card)


def draw_learning_curve(path: Path, curve: Mapping[str, Any]) -> None:
    """Draw ρc and RMSE against the number of participants, baselines as level lines.

    The bundled model, which went on from the last point, stands above it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, (key, name) in zip(
        figure.subplots(1, 2), (("rho_c", "ρc"), ("rmse", "RMSE, SBR")), strict=True
    ):
        sizes = [point["participants"] for point in curve["points"]]
        values = [point[key]["value"] for point in curve["points"]]
        bars = [point[key]["intervals"]["bca"] for point in curve["points"]]
        spread = [
            [abs(bar[end] - value) if bar else 0.0 for bar, value in zip(bars, values, strict=True)]
            for end in ("low", "high")
        ]
        axes.errorbar(sizes, values, spread, marker="o", capsize=3, label="slim")
        end = curve["bundled"][key]["value"]
        axes.plot(sizes[-1:], [end], "*", markersize=11, label="bundled: then physical scans")
        for (baseline, row), style in zip(
            curve["baselines"].items(), ("-.", "--", ":"), strict=False
        ):
            axes.axhline(row[key]["value"], color="0.4", linestyle=style, label=baseline)
        axes.set(xscale="log", xlabel="participants to learn from", ylabel=name)
        axes.set_xticks(sizes, [str(n) for n in sizes], rotation=45, fontsize="small")
        axes.minorticks_off()
    axes.legend(fontsize="small")
    figure.savefig(path, format="svg", metadata={"Date": None})


def bundle(plan: Plan, folder: Path, models: Path, study: Path) -> None:
    """Copy the model with its INT8 siblings, and the results, to where the project keeps them."""
    study.mkdir(parents=True, exist_ok=True)
    for ending in ("onnx", "int8.onnx", "int8.xml", "int8.bin"):
        shutil.copyfile(folder / MODEL / f"{MODEL}.{ending}", models / f"{MODEL}.{ending}")
    for name in ("results.json", "learning-curve.svg"):
        shutil.copyfile(folder / name, study / name)
    for name in (_point(plan.curve[-1]), MODEL, RESNET):
        shutil.copyfile(folder / name / "log.svg", study / f"{name}-log.svg")
