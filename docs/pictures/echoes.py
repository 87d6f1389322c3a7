# SPDX-License-Identifier: Apache-2.0
"""Every stage from echoes to SMWI, as `nigroedge smwi --figure` draws them, of a simulated scan."""

from __future__ import annotations

from pathlib import Path

from nigroedge.phantom import draw_subject, patch_grid
from nigroedge.phantom.acquisition import acquire
from nigroedge.smwi import METHODS, reconstruct
from nigroedge.smwi.figure import save_figure

#: A healthy simulated person; what surrounds the left side.
SEED, BOX = (4 << 30) + 3, (128, 112, 40)


def draw(path: Path) -> None:
    """Draw it to a file."""
    subject = draw_subject(SEED)
    scan = acquire(subject, *patch_grid(subject, "left", BOX))
    save_figure(reconstruct(scan, method=METHODS["best"]), path)
