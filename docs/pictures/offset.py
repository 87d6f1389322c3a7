# SPDX-License-Identifier: Apache-2.0
"""What the bundled model answers when the point lies beside nigrosome-1."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt

import nigroedge
from docs.pictures.view import COLOURS, INK, STYLE, save
from nigroedge import Model
from nigroedge.phantom import Subject, draw_subject, patch_grid, render

#: Sides of each kind, of simulated people from this seed on.
N_SIDES, FIRST = 24, 5 << 30
OFFSETS_MM = np.arange(0, 9)
DIRECTIONS = np.vstack([np.eye(3), -np.eye(3)])
#: Holds the patch however far the point moves.
WINDOW = (90, 90, 40)


def draw(path: Path) -> None:
    """Draw it to a file."""
    answers = {kind: np.array(rows) for kind, rows in _answers().items()}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 3.6))
        for (kind, rows), colour in zip(answers.items(), COLOURS.values(), strict=True):
            mean, spread = rows.mean((0, 2)), rows.std((0, 2))
            axes.fill_between(OFFSETS_MM, mean - spread, mean + spread, color=colour, alpha=0.25)
            axes.plot(OFFSETS_MM, mean, "o-", color=colour, linewidth=2)
            axes.text(0, mean[0] - 0.38, f"nigrosome-1 {kind}", color=INK, fontsize=11)
        axes.set(
            xlim=(-0.1, 8.1), ylim=(1.5, 6.5), xticks=OFFSETS_MM,
            xlabel="point beside nigrosome-1 by, mm", ylabel="predicted SBR",
        )  # fmt: skip
        figure.tight_layout(pad=0.4)
        save(figure, path)


def _answers() -> dict[str, list[npt.NDArray[np.float64]]]:
    """Give (offsets, directions) SBR of each side, by what the reader sees there."""
    model = nigroedge.load_model()
    answers: dict[str, list[npt.NDArray[np.float64]]] = {"intact": [], "lost": []}
    seed = FIRST
    while min(map(len, answers.values())) < N_SIDES:
        subject = draw_subject(seed)
        rows = answers["intact" if subject.left.intact else "lost"]
        if len(rows) < N_SIDES:
            rows.append(_moved(model, subject))
        seed += 1
    return answers


def _moved(model: Model, subject: Subject) -> npt.NDArray[np.float64]:
    volume = render(subject, *patch_grid(subject, "left", WINDOW))
    centre = np.array(subject.left.centroid_mm)
    return np.array(
        [
            [model.predict(volume, left=centre + mm * way).left.sbr for way in DIRECTIONS]
            for mm in OFFSETS_MM
        ]
    )
