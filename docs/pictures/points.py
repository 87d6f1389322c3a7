# SPDX-License-Identifier: Apache-2.0
"""Where the point of a side goes: five slices about nigrosome-1, seen and lost."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import nigroedge
from docs.pictures.view import COLOURS, INK, STYLE, as_seen, cropped, save
from nigroedge.phantom import draw_subject, patch_grid, render

#: Two simulated people, their left sides: nigrosome-1 is there, and is lost.
SEEDS = {"nigrosome-1 seen": 4 << 30, "nigrosome-1 lost": (4 << 30) + 57}
#: Of the patch, from superior to inferior; the point lies in the middle one.
SLICES = (6, 8, 10, 12, 14)
WINDOW = (72, 72, 30)


def draw(path: Path) -> None:
    """Draw it to a file."""
    model = nigroedge.load_model()
    with plt.rc_context(STYLE):
        figure, rows = plt.subplots(len(SEEDS), len(SLICES), figsize=(10, 4.5))
        for row, (word, seed) in zip(rows, SEEDS.items(), strict=True):
            subject = draw_subject(seed)
            volume = render(subject, *patch_grid(subject, "left", WINDOW))
            point = subject.left.centroid_mm
            sbr = model.predict(volume, left=point).left.sbr
            patch = cropped(volume, point)
            for axes, slice_ in zip(row, SLICES, strict=True):
                white = np.quantile(patch, 0.99)
                axes.imshow(as_seen(patch, slice_), cmap="gray", vmin=0, vmax=white)
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                if slice_ == 10:  # voxel n/2 of each axis; rows are turned
                    axes.plot(25, 24, "+", color=COLOURS["left"], markersize=13, markeredgewidth=2)
            row[0].set_title(f"{word}: SBR {sbr:.2f}", loc="left", fontsize=12, color=INK)
        figure.tight_layout(pad=0.4, w_pad=0.3, h_pad=0.8)
        save(figure, path, dpi=120)
