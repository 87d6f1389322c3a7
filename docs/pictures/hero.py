# SPDX-License-Identifier: Apache-2.0
"""The slab of a simulated patient, both patches, and the two numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

import nigroedge
from docs.pictures.view import COLOURS, INK, STYLE, as_seen, cropped, save, slab_as_seen
from nigroedge import Volume
from nigroedge.phantom import Simulation, simulate

#: As `nigroedge demo --seed 57`: nigrosome-1 is lost on the left and there on the right.
SEED = (4 << 30) + 57
#: Of the slab in the picture, voxels to each side of the middle of both points.
HALF = 66
SBR_LIMITS = (0, 6.4)
#: Readable on dark and bright.
LETTER = {
    "color": "w",
    "weight": "bold",
    "path_effects": [withStroke(linewidth=3, foreground="k")],
}
#: Inches; left, bottom, width, height.
SIZE = (11.6, 4.5)
SLAB = (0.12, 0.12, 4.0, 4.0)
PATCHES = {"right": (4.3, 2.2, 1.92, 1.92), "left": (4.3, 0.12, 1.92, 1.92)}
BARS = {"right": (6.55, 2.2, 4.8, 1.92), "left": (6.55, 0.12, 4.8, 1.92)}


def draw(path: Path) -> None:
    """Draw it to a file."""
    patient = simulate(SEED)
    points = {"left": patient.left_mm, "right": patient.right_mm}
    result = nigroedge.load_model().predict(patient.volume, **points)
    sbr = {"left": result.left.sbr, "right": result.right.sbr}
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=SIZE)
        _slab(_axes(figure, SLAB), patient)
        for side, point in points.items():
            _patch(_axes(figure, PATCHES[side]), patient.volume, side, point)
            _bar(_axes(figure, BARS[side]), side, sbr[side])
        for left, title in (
            (SLAB[0], "one slice of a midbrain SMWI"),
            (PATCHES["left"][0], "both patches"),
            (BARS["left"][0], "binding ratio of the striatum (SBR)"),
        ):
            figure.text(left / SIZE[0], 4.2 / SIZE[1], title, fontsize=14, color=INK)
        save(figure, path, dpi=140)


def _axes(figure: Any, inches: tuple[float, float, float, float]) -> Any:
    left, bottom, width, height = inches
    return figure.add_axes(
        (left / SIZE[0], bottom / SIZE[1], width / SIZE[0], height / SIZE[1]), xticks=[], yticks=[]
    )


def _slab(axes: Any, patient: Simulation) -> None:
    volume = patient.volume
    to_voxel = np.linalg.inv(volume.affine)
    at = {
        side: to_voxel[:3, :3] @ point + to_voxel[:3, 3]
        for side, point in (("left", patient.left_mm), ("right", patient.right_mm))
    }
    middle = np.mean([at["left"], at["right"]], axis=0)
    slice_ = slab_as_seen(volume, round(middle[2]))
    axes.imshow(slice_, cmap="gray", vmin=0, vmax=np.percentile(slice_, 99.3))
    for side, (x, y, _) in at.items():
        box = Rectangle((x - 25, y - 25), 50, 50, fill=False, edgecolor=COLOURS[side], linewidth=2)
        axes.add_patch(box)
        axes.plot(x, y, "+", color=COLOURS[side], markersize=9, markeredgewidth=1.6)
    axes.set(xlim=(middle[0] - HALF, middle[0] + HALF), ylim=(middle[1] + HALF, middle[1] - HALF))
    for x, word in ((0.04, "R"), (0.96, "L")):
        axes.text(x, 0.9, word, transform=axes.transAxes, ha="center", fontsize=18, **LETTER)


def _patch(axes: Any, volume: Volume, side: str, point: tuple[float, float, float]) -> None:
    patch = cropped(volume, point)
    axes.imshow(as_seen(patch, 10), cmap="gray", vmin=0, vmax=np.percentile(patch, 99.3))
    for spine in axes.spines.values():
        spine.set(visible=True, color=COLOURS[side], linewidth=3)


def _bar(axes: Any, side: str, sbr: float) -> None:
    axes.barh(0, sbr, height=0.5, color=COLOURS[side])
    axes.text(0.06, 0.36, f"patient's {side}", fontsize=17, color=INK, va="bottom")
    axes.text(sbr + 0.1, -0.02, f"{sbr:.2f}", fontsize=34, color=INK, va="center", weight="bold")
    axes.set(xlim=SBR_LIMITS, ylim=(-0.8, 0.8))
    axes.spines[:].set_visible(False)
    axes.axvline(0, color=INK, linewidth=2)
