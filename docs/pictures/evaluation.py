# SPDX-License-Identifier: Apache-2.0
"""Two figures of the report of `nigroedge evaluate`, of simulated people and the bundled model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import nigroedge
from docs.pictures.view import STYLE, save
from nigroedge.phantom import SIDES, draw_subject, patch_grid, render
from nigroedge.study import Row, evaluate
from nigroedge.study.figure import BLUE, draw_agreement, draw_sorted

#: As many test participants as the paper has.
N_PARTICIPANTS, FIRST = 74, 6 << 30
WINDOW = (64, 64, 28)


def draw(path: Path) -> None:
    """Draw it to a file."""
    rows = list(_rows())
    predicted = np.array([row.predicted["bundled"] for row in rows])
    evaluation = evaluate(rows, rows, {"bundled": predicted}, resamples=99)
    unit = evaluation.units["participant"]
    found = evaluation.results["participant"].performance["bundled"]
    agreement = partial(draw_agreement, predicted=unit.predictions["bundled"], found=found)
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.2), layout="constrained")
        draw_sorted(left, unit, ["bundled"])
        agreement(right, unit=unit, colour=BLUE)
        save(figure, path)


def _rows() -> Iterator[Row]:
    model = nigroedge.load_model()
    for seed in range(FIRST, FIRST + N_PARTICIPANTS):
        subject = draw_subject(seed)
        for side in SIDES:
            state = subject.side(side)
            volume = render(subject, *patch_grid(subject, side, WINDOW))
            result = model.predict(volume, **{side: state.centroid_mm})
            yield Row(
                participant_id=f"{seed - FIRST:03}",
                side=side,
                sbr=state.sbr,
                reading="intact" if state.intact else "lost",
                expected_sbr=state.expected_sbr,
                predicted={"bundled": getattr(result, side).sbr},
            )
