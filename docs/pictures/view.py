# SPDX-License-Identifier: Apache-2.0
"""What the pictures share: how an image is turned to be looked at, and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import nigroedge
from nigroedge import Volume

#: Of left and right, in every picture and legible to the colour-blind (Okabe & Ito).
COLOURS = {"left": "#E69F00", "right": "#56B4E9"}
INK, PAPER = "#1b1f24", "#ffffff"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "nigroedge",  # else each run gives another file
}


def as_seen(patch: npt.NDArray[np.float32], slice_: int) -> npt.NDArray[np.float32]:
    """Turn a slice of a patch (axes ALI) as radiologists see it: anterior up, patient's left right.

    Rows of the answer grow downwards, hence to posterior.
    """
    return patch[::-1, :, slice_]


def cropped(volume: Volume, point: tuple[float, float, float]) -> npt.NDArray[np.float32]:
    """Cut the patch of the bundled model, not yet normalised."""
    grid = nigroedge.load_model().spec.grid
    return nigroedge.crop_patch(
        volume, point, shape=grid.shape, spacing_mm=grid.spacing_mm, axes=grid.axes
    )


def slab_as_seen(volume: Volume, slice_: int) -> npt.NDArray[np.float32]:
    """Turn a slice of a simulated slab (axes left, posterior, superior) likewise."""
    return volume.voxels[:, :, slice_].T.astype(np.float32)


def save(figure: Any, path: Path, **options: Any) -> None:
    """Write a picture that is the same whenever it is drawn."""
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    figure.savefig(path, metadata=metadata, facecolor=PAPER, **options)
