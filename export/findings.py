# SPDX-License-Identifier: Apache-2.0
"""What the reference run found: scores, learning curve, times; and the curve as a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from export.chain import CONTEST, LARGE, MODEL, STUDY, Chain, point
from export.spec import git_revision
from nigroedge.artefact import read_artefact
from nigroedge.drawing import load_matplotlib
from nigroedge.io.writing import together, write_file
from nigroedge.model import read_spec
from nigroedge.study.baseline import NAMES as BASELINES


def summarise(chain: Chain) -> Path:
    """Gather scores, learning curve and times in results.json, and draw the curve."""
    plan, folder = chain.plan, chain.folder
    evaluated = {
        name: json.loads((folder / name / "results.json").read_text())
        for name in (STUDY, LARGE, CONTEST)
    }
    sizes = {point(n): n for n in plan.curve}
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
        "card": load_card(chain.model(MODEL)),
        **{name: _scores(evaluation) for name, evaluation in evaluated.items()},
        "learning_curve": curve,
        "seconds": json.loads((folder / "times.json").read_text()),
    }
    path = folder / "results.json"
    write_file(path, json.dumps(results, indent=1) + "\n", if_exists="replace")
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
    load_matplotlib("the curve needs", beside=path)
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
    with together() as files, files.open(path, if_exists="replace") as file:
        figure.savefig(file, format="svg", metadata={"Date": None})
