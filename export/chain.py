# SPDX-License-Identifier: Apache-2.0
"""The chain of commands that makes the reference model, and how large it is.

Each link is a command with the file that it leaves behind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from export.cohort import STUDY_PARTICIPANTS, TABLE_NAME
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
    calibration=8,
)


@dataclass(frozen=True)
class Step:
    """One command of the chain, and the file that shows that it is done."""

    name: str
    output: Path
    run: Run
    arguments: list[str]


@dataclass(frozen=True)
class Lesson:
    """A network that is trained: its run, its preset, on which table, how fast and how long."""

    run: str
    preset: str
    table: Path
    rate: str
    epochs: int
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chain:
    """The commands of a plan.

    Parameters
    ----------
    plan : Plan
    folder : Path
        Of everything that they leave behind.
    threads : int
        Of simulation and training.
    export, nigroedge : callables
        The command lines of `python -m export` and of nigroedge.
    """

    plan: Plan
    folder: Path
    threads: int
    export: Run
    nigroedge: Run

    def steps(self) -> list[Step]:
        """List them, in the order in which they are run."""
        return [*self._cohorts(), *map(self._train, self._lessons()), *self._evaluations()]

    def model(self, run: str) -> Path:
        """Give the model file of a run."""
        return self.folder / run / f"{run}.onnx"

    def _table(self, cohort: str) -> Path:
        return self.folder / cohort / TABLE_NAME

    @property
    def _study_table(self) -> Path:
        return self._table("physical").with_name("study.tsv")

    def _cohorts(self) -> list[Step]:
        plan, physical, study = self.plan, self._table("physical"), self._study_table
        return [
            self._cohort("fast", plan.fast, "--fast"),
            self._cohort("physical", plan.physical),
            Step("study cohort", study, lambda _: _cut_table(physical, study, plan.study), []),
            self._cohort("tested", plan.tested, "--split", "test"),
        ]

    def _cohort(self, name: str, participants: int, *more: str) -> Step:
        table = self._table(name)
        size = ["--participants", str(participants), "--workers", str(self.threads)]
        line = ["cohort", *size, "-o", str(table.parent), *more]
        return Step(f"{name} cohort", table, self.export, line)

    def _lessons(self) -> list[Lesson]:
        plan, fast = self.plan, self._table("fast")
        first = [(RESNET, "resnet", plan.contest), *((point(n), "slim", n) for n in plan.curve)]
        learned = [
            Lesson(run, preset, fast, FIRST_RATE, _epochs(plan, n), _participants(n))
            for run, preset, n in first
        ]
        start = ("--start", str(self.model(point(plan.curve[-1]))))
        physical, epochs = self._table("physical"), plan.physical_epochs
        return [*learned, Lesson(MODEL, "slim", physical, LATER_RATE, epochs, start)]

    def _train(self, lesson: Lesson) -> Step:
        """Give the command that trains a run; it goes on with one that was cut off."""
        model = self.model(lesson.run)
        resume = ["--resume"] if (model.parent / "config.json").exists() else []
        line = [
            *("train", "--cohort", str(lesson.table), "--preset", lesson.preset),
            *("--epochs", str(lesson.epochs), "--batch", str(self.plan.batch)),
            *("--learning-rate", lesson.rate, *RECIPE),
            *("--threads", str(self.threads), "--cache", str(self.folder / "cache")),
            *(*resume, "-o", str(model.parent), *lesson.more),
        ]
        return Step(f"train {lesson.run}", model, self.export, line)

    def _evaluations(self) -> list[Step]:
        plan, tested = self.plan, self._table("tested")
        model = self.model(MODEL)
        quantised = model.with_name(f"{MODEL}.int8.onnx")
        curve = [self.model(point(n)) for n in plan.curve]
        rivals = [self.model(point(plan.contest)), self.model(RESNET)]
        line = ["quantize", str(model), "--patches", str(plan.calibration)]
        return [
            Step("quantise", quantised, self.export, line),
            self._evaluate(STUDY, self._study_table, [model, quantised]),
            self._evaluate(LARGE, tested, [model, quantised, *curve]),
            self._evaluate(CONTEST, tested, rivals),
        ]

    def _evaluate(self, name: str, table: Path, models: Sequence[Path]) -> Step:
        output = self.folder / name / "results.json"
        named = [part for model in models for part in ("--model", str(model))]
        # The engine that the numbers of docs/study were made with.
        line = ["evaluate", str(table), *named, "--engine", "onnx", "--out", str(output.parent)]
        return Step(f"evaluate {name}", output, self.nigroedge, line)


def point(participants: int) -> str:
    """Name the run of a point of the learning curve."""
    return f"n{participants:04}"


def _participants(number: int) -> tuple[str, str]:
    return "--train-participants", str(number)


def _epochs(plan: Plan, participants: int) -> int:
    """Give the epochs on so many participants of the fast path."""
    steps_per_epoch = 2 * 0.9 * participants / plan.batch  # two sides of the nine in ten who train
    return max(plan.epochs, math.ceil(plan.curve_steps / steps_per_epoch))


def _cut_table(table: Path, output: Path, participants: int) -> int:
    """Write the rows of a table's first participants as a table of their own."""
    rows = read_table(table)
    first = set(list(dict.fromkeys(row.participant_id for row in rows))[:participants])
    write_table(output, [row for row in rows if row.participant_id in first])
    return 0
