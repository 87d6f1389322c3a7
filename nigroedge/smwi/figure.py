# SPDX-License-Identifier: Apache-2.0
"""One picture of every stage, from the measured phase to the SMWI, to look at before believing."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nigroedge.drawing import blank_figure, load_matplotlib
from nigroedge.smwi.reconstruction import SmwiResult

_SAID = "the figure needs"


class _Stage(NamedTuple):
    """A panel: its title, its map, and which values are darkest and brightest."""

    title: str
    values: npt.NDArray[Any]
    low: float
    high: float
    colours: str = "gray"


def require_matplotlib(beside: Path | None = None) -> None:
    """Make sure that the figure can be drawn; raises as `load_matplotlib` does."""
    load_matplotlib(_SAID, beside=beside)


def save_figure(result: SmwiResult, file: IO[bytes]) -> None:
    """Write a PNG of the slice that has most brain, all stages side by side.

    Raises
    ------
    MissingDependencyError
        Without matplotlib.
    """
    figure = blank_figure((16, 8.4), _SAID)
    axis = int(np.argmin(result.voxels.shape))
    others = tuple(a for a in range(3) if a != axis)
    index = _slice_with_most_brain(result.eroded_mask.sum(axis=others))
    panels = figure.subplots(2, 4)
    for panel, stage in zip(panels.flat, _stages(result), strict=True):
        shown = np.take(stage.values, index, axis=axis).T
        limits = {"vmin": stage.low, "vmax": stage.high}
        drawn = panel.imshow(shown, cmap=stage.colours, origin="lower", **limits)
        panel.set_title(stage.title)
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


def _stages(result: SmwiResult) -> list[_Stage]:
    mask = result.mask
    bright = float(np.percentile(result.magnitude[mask], 99.5))
    certain = result.reliability * (1 + result.eroded_mask)
    return [
        _Stage("magnitude (root sum of squares)", result.magnitude, 0, bright),
        _Stage("phase of echo 1 as measured, rad", result.phase, -np.pi, np.pi),
        _Stage("last echo, unwrapped, rad", result.unwrapped, *_about(result.unwrapped[mask], 99)),
        _Stage("frequency, Hz", result.frequency_hz, *_about(result.frequency_hz[mask], 98)),
        _Stage("reliability and eroded mask", certain, 0, 2, "magma"),
        _Stage("local field, ppm", result.local_field_ppm, -0.05, 0.05),
        _Stage("susceptibility, ppm", result.chi_ppm, -0.1, 0.2),
        _Stage("SMWI", result.voxels, 0, bright),
    ]


def _about(values: npt.NDArray[Any], percent: float) -> tuple[float, float]:
    """Limits about the median that so much lies within."""
    middle = float(np.median(values))
    swing = float(np.percentile(np.abs(values - middle), percent))
    return middle - swing, middle + swing
