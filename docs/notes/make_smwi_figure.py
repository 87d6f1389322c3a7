# SPDX-License-Identifier: Apache-2.0
"""Draw smwi.png: χ and SMWI, true, of two steps and of one, in heads of three sizes.

python docs/notes/make_smwi_figure.py          # minutes; needs qsm-forward, qsm-ci, matplotlib
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from bench.smwi_tables import chain, forward
from nigroedge.smwi.weighting import weight_magnitude
from tests.smwi_phantom import Array, Head, make_head, total_field

#: Heads that neither choose nor score: (voxels in plane, seed).
HEADS = ((104, 4001), (192, 4002), (384, 4003))
TILT_DEGREES, SNR = 14.0, 50.0
#: The slice through nigrosome-1, and half the width of the midbrain's window in voxels.
SLICE, HALF = 11, 46
METHODS = {"two steps": "two-steps", "best": "best"}


def row(head: Head) -> dict[str, tuple[Array, bool]]:
    """Give title → (slice, whether it is χ)."""
    field = total_field(head, forward)
    found = {title: chain(head, field, SNR, name, 2) for title, name in METHODS.items()}
    best = found["best"]
    inside = best.eroded_mask
    true = np.where(inside, head.chi - head.chi[inside].mean(), 0).astype(np.float32)
    chi = {"χ, true": true, **{f"χ, {title}": each.chi_ppm for title, each in found.items()}}
    smwi = {"SMWI of true χ": weight_magnitude(best.magnitude, true)}
    smwi |= {f"SMWI, {title}": each.voxels for title, each in found.items()}
    middle = head.chi.shape[0] // 2
    window = (slice(middle - HALF, middle + HALF),) * 2
    return {
        **{title: (values[..., SLICE], True) for title, values in chi.items()},
        **{title: (values[window][..., SLICE], False) for title, values in smwi.items()},
    }


def draw(out: Path) -> None:
    figure, axes = plt.subplots(len(HEADS), 6, figsize=(15, 2.6 * len(HEADS)))
    for line, (size, seed) in zip(axes, HEADS, strict=True):
        head = make_head((size, size, 30), tilt_degrees=TILT_DEGREES, seed=seed)
        for axis, (title, (values, is_chi)) in zip(line, row(head).items(), strict=True):
            low, high = (-0.1, 0.2) if is_chi else np.percentile(values, (0.5, 99.5))
            axis.imshow(values.T, cmap="gray", vmin=low, vmax=high, origin="lower")
            axis.set_title(f"{size}²: {title}", fontsize=8, pad=2)
            axis.set_axis_off()
    figure.tight_layout(pad=0.3)
    figure.savefig(out, dpi=64)


if __name__ == "__main__":
    draw(Path(__file__).with_name("smwi.png"))
