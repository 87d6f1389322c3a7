# SPDX-License-Identifier: Apache-2.0
"""The log of a training run as a picture: training and validation error by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nigroedge.drawing import load_matplotlib
from nigroedge.io.writing import together


def draw_curve(
    path: Path, history: Sequence[Mapping[str, float]], lines: Mapping[str, float]
) -> None:
    """Draw the errors of every epoch so far, and what needs no network as level lines.

    Parameters
    ----------
    path : Path
        An .svg; replaced, whole or not at all.
    history : sequence of mappings
        The lines of log.jsonl.
    lines : mapping of name → RMSE
        On the validation rows, SBR.
    """
    load_matplotlib("the curve needs", beside=path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    epochs = [entry["epoch"] for entry in history]
    for key, name in (("train_rmse", "training"), ("validation_rmse", "validation")):
        axes.plot(epochs, [entry[key] for entry in history], marker=".", label=name)
    for (name, rmse), style in zip(lines.items(), ("-.", "--", ":"), strict=False):
        axes.axhline(rmse, color="0.4", linestyle=style, linewidth=1, label=name)
    axes.set(xlabel="epoch", ylabel="RMSE, SBR")
    axes.legend(fontsize="small", ncols=2)
    with together() as files, files.open(path, if_exists="replace") as file:
        # Without a date the same log gives the same file.
        figure.savefig(file, format="svg", metadata={"Date": None})
