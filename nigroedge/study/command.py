# SPDX-License-Identifier: Apache-2.0
"""The command `nigroedge evaluate`: its arguments, and what it does."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nigroedge.names import readable
from nigroedge.subcommand import Progress, Subcommand, add_engine

if TYPE_CHECKING:
    from nigroedge.study.evaluation import Evaluation, Performance
    from nigroedge.study.prediction import Predictor
    from nigroedge.study.table import Row, Split

_DESCRIPTION = """\
Compare predicted with measured SBR on a cohort table: every statistic of Bae 2023, by participant
and by side, beside the constant, the binary reading and, for simulated cohorts, the oracle.

TABLE is CSV or TSV with a row for each side of each participant: participant_id, side and sbr; for
--model also x, y and z, and image on the rows to evaluate; optional reading, spect, split,
expected_sbr. Without --model the predictions are those of its columns predicted or predicted_NAME.
A broken table is refused with one list of everything that is wrong.

Written are results.json, predictions.csv and report.html, one file that opens anywhere."""

_EPILOG = """\
examples:
  nigroedge evaluate cohort/table.tsv --model slim.onnx --model resnet.onnx --out evaluation
  nigroedge evaluate predictions.csv --split all --out evaluation --json

  The first model is the one that others are compared with. Models of one side each are given next
  to one another, left and right, and count as one.
"""

FILES = ("report.html", "results.json", "predictions.csv")


def _add_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("table", metavar="TABLE", help="cohort table, .csv or .tsv")
    add("--model", action="append", metavar="FILE", help="model file; again to compare another")
    add("--out", required=True, metavar="DIR", help="where to write; made if it is not there")
    add(
        "--split",
        choices=("test", "all"),
        help="rows to evaluate (default: test if the table has splits, else all)",
    )
    add_engine(command)


@dataclass(frozen=True, eq=False)
class _Evaluated:
    """What was found, what results.json holds of it, and what was written, report first."""

    evaluation: Evaluation
    results: Mapping[str, Any]
    written: tuple[Path, ...]
    failed = False

    def to_dict(self) -> dict[str, Any]:
        return {"written": [readable(path) for path in self.written], **self.results}

    def lines(self) -> Iterator[str]:
        """By participant, models first, then baselines; ASCII but for names."""
        evaluation = self.evaluation
        result = evaluation.results["participant"]
        people = f"{result.n} participant{'s' if result.n > 1 else ''}"
        yield f"{people} (mean SBR of their sides), {len(evaluation.rows)} sides"
        yield ""
        yield f"{'prediction':<28} {'rho_c':>7} {'95 %':>16} {'MAE +- SD':>16} {'RMSE':>7}"
        for name, found in result.performance.items():
            shown = name if name in evaluation.models else f"baseline: {name}"
            yield _row(shown, found)
        for name, source in evaluation.baseline_sources.items():
            if name not in evaluation.baselines:
                yield f"{f'baseline: {name}':<28} {source}"
        yield ""
        yield from self.results["notes"]
        yield from map(readable, self.written)
        yield self.results["notice"]


def _row(name: str, found: Performance) -> str:
    fisher = found.rho_c.intervals["fisher"]
    between = "" if fisher is None else f"{fisher.low:.3f} to {fisher.high:.3f}"
    errors = found.residuals
    spread = f"{errors.mae.value:.3f} +- {errors.sd:.3f}"
    rho_c = found.rho_c.value
    shown = f"{rho_c:z.3f}" if math.isfinite(rho_c) else "-"
    return f"{name:<28} {shown:>7} {between:>16} {spread:>16} {errors.rmse.value:>7.3f}"


def _run(options: argparse.Namespace, progress: Progress) -> _Evaluated:
    """Read, predict, compute, write."""
    if options.model is None and (options.engine or options.threads):
        options.usage_error("expected --model beside --engine or --threads")
    from nigroedge.io.writing import check_writable
    from nigroedge.study.evaluation import evaluate
    from nigroedge.study.figure import require_matplotlib
    from nigroedge.study.interval import scipy_stats
    from nigroedge.study.outputs import provenance, write_outputs
    from nigroedge.study.table import read_hashed_table

    paths = tuple(Path(options.out) / name for name in FILES)
    check_writable(paths)
    scipy_stats()  # whatever is missing is said before the work
    require_matplotlib(beside=paths[0])
    need = {"sbr", *(() if options.model is None else ("image", "x", "y", "z"))}
    # Rows that are not evaluated serve the baselines, with their labels.
    unscanned: tuple[Split, ...] = () if options.split == "all" else ("train", "validation")
    table = read_hashed_table(options.table, need=need, unscanned=unscanned)
    split, evaluated = _evaluated(table.rows, options.split)
    predictors: list[Predictor] = []
    if options.model is None:
        models = _given(evaluated)
    else:
        from nigroedge.model import load_model
        from nigroedge.study.prediction import group_models, predict_rows

        predictors = group_models(
            [load_model(p, engine=options.engine, threads=options.threads) for p in options.model]
        )
        models = predict_rows(
            evaluated, predictors, progress=lambda done, total: progress("predict", done, total)
        )
    evaluation = evaluate(table.rows, evaluated, models)
    said = provenance(table, split, evaluated, list(models), predictors)
    results = {**said, **evaluation.to_dict()}
    write_outputs(evaluation, results, paths)
    return _Evaluated(evaluation, results, paths)


def _evaluated(rows: Sequence[Row], wanted: str | None) -> tuple[str, list[Row]]:
    """Give the name of the split and its rows."""
    from nigroedge.errors import InputError

    test = [row for row in rows if row.split == "test"]
    split = wanted or ("test" if any(row.split for row in rows) else "all")
    if split == "test" and not test:
        raise InputError("expected rows of split test, found none: give --split all for all rows")
    return split, test if split == "test" else list(rows)


def _given(rows: Sequence[Row]) -> dict[str, Any]:
    """Take the predictions of the table; every evaluated row must have each."""
    import numpy as np

    from nigroedge.errors import InputError, TableError
    from nigroedge.study.prediction import unique_names
    from nigroedge.study.table import prediction_column

    names = list(dict.fromkeys(name for row in rows for name in row.predicted))
    if not names:
        raise InputError("expected --model, or a column predicted or predicted_NAME in the table")
    problems = [
        f"line {row.line}: expected {prediction_column(name)}, got nothing"
        for row in rows
        for name in names
        if name not in row.predicted
    ]
    if problems:
        raise TableError("predictions of the table", problems)
    values = [np.array([row.predicted[name] for row in rows]) for name in names]
    return dict(zip(unique_names(names), values, strict=True))


COMMANDS = (
    Subcommand(
        "evaluate",
        "compare predicted with measured SBR on a cohort table",
        _add_arguments,
        _run,
        description=_DESCRIPTION,
        epilog=_EPILOG,
    ),
)
