# SPDX-License-Identifier: Apache-2.0
"""The log of a training run as a picture: training and validation error by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from export.whole import whole


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
    with whole(path) as partial:
        # Without a date the same log gives the same file.
        figure.savefig(partial, format="svg", metadata={"Date": None})
