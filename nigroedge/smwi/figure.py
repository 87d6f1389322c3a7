# SPDX-License-Identifier: Apache-2.0
"""One picture of every stage, from the measured phase to the SMWI, to look at before believing."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from nigroedge.drawing import load_matplotlib
from nigroedge.smwi.reconstruction import SmwiResult


def require_matplotlib(beside: Path | None = None) -> None:
    """Make sure that the figure can be drawn; raises as `load_matplotlib` does."""
    load_matplotlib("the figure needs", beside=beside)


def save_figure(result: SmwiResult, file: IO[bytes]) -> None:
    """Write a PNG of the slice that has most brain, all stages side by side.

    Raises
    ------
    MissingDependencyError
        Without matplotlib.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    axis = int(np.argmin(result.voxels.shape))
    others = tuple(a for a in range(3) if a != axis)
    index = _slice_with_most_brain(result.eroded_mask.sum(axis=others))
    figure = Figure(figsize=(16, 8.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 4)
    for panel, (title, values, low, high, colours) in zip(
        panels.flat, _stages(result), strict=True
    ):
        drawn = panel.imshow(
            np.take(values, index, axis=axis).T, cmap=colours, vmin=low, vmax=high, origin="lower"
        )
        panel.set_title(title)
        panel.set_axis_off()
        figure.colorbar(drawn, ax=panel, shrink=0.7)
    method = result.parameters["Method"]
    figure.suptitle(
        f"slice {index} of axis {axis}: {method['unwrap']} unwrapping, {method['background']}, "
        f"{method['dipole']}, χth {method['chi_threshold_ppm']:g} ppm, m {method['power']:g}. "
        f"Research use only. Not for diagnosis."
    )
    figure.savefig(file, format="png", dpi=90)


def _slice_with_most_brain(counts: npt.NDArray[Any]) -> int:
    """The one nearest the middle, of those with nearly as much as any."""
    candidates = np.flatnonzero(counts >= 0.98 * counts.max())
    return int(candidates[np.argmin(np.abs(candidates - len(counts) // 2))])


def _stages(result: SmwiResult) -> list[tuple[str, npt.NDArray[Any], float, float, str]]:
    bright = float(np.percentile(result.magnitude[result.mask], 99.5))
    last = result.unwrapped[result.mask]
    middle = float(np.median(last))
    swing = float(np.percentile(np.abs(last - middle), 99))
    hz = result.frequency_hz[result.mask]
    hz_middle = float(np.median(hz))
    hz_swing = float(np.percentile(np.abs(hz - hz_middle), 98))
    return [
        ("magnitude (root sum of squares)", result.magnitude, 0, bright, "gray"),
        ("phase of echo 1 as measured, rad", result.phase, -np.pi, np.pi, "gray"),
        ("last echo, unwrapped, rad", result.unwrapped, middle - swing, middle + swing, "gray"),
        ("frequency, Hz", result.frequency_hz, hz_middle - hz_swing, hz_middle + hz_swing, "gray"),
        (
            "reliability and eroded mask",
            result.reliability * (1 + result.eroded_mask),
            0,
            2,
            "magma",
        ),
        ("local field, ppm", result.local_field_ppm, -0.05, 0.05, "gray"),
        ("susceptibility, ppm", result.chi_ppm, -0.1, 0.2, "gray"),
        ("SMWI", result.voxels, 0, bright, "gray"),
    ]
