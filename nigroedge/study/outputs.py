# SPDX-License-Identifier: Apache-2.0
"""What an evaluation leaves behind: the report, the results as JSON, and every row as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nigroedge
from nigroedge.io.writing import together
from nigroedge.result import NOTICE
from nigroedge.study.evaluation import SIMULATED, Evaluation
from nigroedge.study.prediction import Predictor
from nigroedge.study.report import report_html
from nigroedge.study.table import HashedTable, Row


def provenance(
    table: HashedTable,
    split: str,
    evaluated: Sequence[Row],
    models: Sequence[str],
    predictors: Sequence[Predictor],
) -> dict[str, Any]:
    """Say what was read and what ran, and what a reader must know of it."""
    files = {each.name: [_file(model) for model in each.each] for each in predictors}
    notes = []
    trained_on = sum(row.split in ("train", "validation") for row in evaluated)
    if trained_on:
        notes.append(
            f"{trained_on} of the {len(evaluated)} evaluated rows are of the training or "
            f"validation split: where a model learned from them, its scores are too good."
        )
    if len({row.participant_id for row in evaluated}) == 1:
        notes.append("Of one participant rho_c, r and C_b are undefined.")
    if any(row.expected_sbr is not None for row in table.rows):
        notes.append(SIMULATED)
    return {
        "version": nigroedge.__version__,
        "notice": NOTICE,
        "table": {
            "name": table.name,
            "sha256": table.sha256,
            "rows": len(table.rows),
            "participants": len({row.participant_id for row in table.rows}),
        },
        "split": split,
        "evaluated_rows": len(evaluated),
        "notes": notes,
        "models": [{"name": name, "files": files.get(name, [])} for name in models],
    }


def _file(model: nigroedge.Model) -> dict[str, Any]:
    card, engine = model.spec.card, model.engine
    return {
        "card": f"{card.name} {card.version}",
        "sha256": model.sha256,
        "side": model.spec.side,
        "engine": engine.name,
        "isa": engine.isa,
        "threads": engine.threads,
    }


def write_outputs(
    evaluation: Evaluation, results: Mapping[str, Any], paths: Sequence[Path]
) -> None:
    """Write the report, the results and the rows, all of them or none."""
    report, as_json, as_csv = paths
    texts = {
        report: report_html(evaluation, results),
        as_json: json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        as_csv: predictions_csv(evaluation),
    }
    with together() as files:
        for path, text in texts.items():
            files.write(path, text)


def predictions_csv(evaluation: Evaluation) -> str:
    """Give every evaluated row: measured, predicted and residual SBR, and the baselines.

    Cells of text are those that a table may have: none begins as a spreadsheet's formula does.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    known = ["participant_id", "side", "line", "split", "reading", "measured"]
    pairs = [f"{what}_{name}" for name in evaluation.models for what in ("predicted", "residual")]
    writer.writerow([*known, *pairs, *(f"baseline_{name}" for name in evaluation.baselines)])
    for i, row in enumerate(evaluation.rows):
        sbr = float(row.sbr or 0.0)
        cells: list[object] = [row.participant_id, row.side, row.line, row.split, row.reading, sbr]
        for values in evaluation.models.values():
            cells += [float(values[i]), float(values[i]) - sbr]
        cells += [float(values[i]) for values in evaluation.baselines.values()]
        writer.writerow(["" if cell is None else cell for cell in cells])
    return buffer.getvalue()
