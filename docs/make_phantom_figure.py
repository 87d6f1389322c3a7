# SPDX-License-Identifier: Apache-2.0
"""Draw simulated patches slice by slice and measure them: picture and table of phantom.md.

Without options: docs/phantom.png, and the table on standard output. With `--real PATCH.nii.gz
--out FILE`: the same beside a real patch. That is test data under its own licence: a picture
that shows it is for your eyes and does not belong into the repository, hence --out. It is read as
axes to anterior, left and inferior.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import nibabel
import numpy as np

from nigroedge.phantom import Subject, draw_subject, patch_grid, render
from nigroedge.phantom.shapes import apply

SHAPE = np.array([50, 50, 20])
SPACING_MM = np.array([0.5, 0.5, 1.0])
#: The real patch's centroid lies nearer the middle of the nigra than nigrosome-1 does, by these
#: voxels to anterior, left and inferior; the table and --real cut simulated patches there.
REAL_SHIFT = (3, -5, 1)
#: Voxel of the real patch in the middle of its red nucleus, found by eye.
REAL_RED_NUCLEUS = (24.5, 14.5, 5)
RED_NUCLEUS = ("red nucleus: core", "red nucleus: diameter, mm", "red nucleus: border, mm")
DETAIL = ("fine detail of tissue, SD", "its correlation in plane", "its correlation across")
POWER = tuple(f"log10 power at {share} of Nyquist" for share in ("0.12", "0.40", "0.72"))
#: Patients and healthy people of the picture: the first of each.
N_PICTURED = 3


def cut(subject: Subject, shift: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Give the left patch, axes to anterior, left, inferior, mean 1; and its red nucleus' voxel."""
    affine, shape = patch_grid(subject, "left", (72, 72, 30))
    voxels = render(subject, affine, shape).voxels.transpose(1, 0, 2)[::-1, :, ::-1]
    last = np.array(voxels.shape) - 1

    def index(point_mm: tuple[float, float, float]) -> np.ndarray:
        i, j, k = apply(np.linalg.inv(affine), point_mm)
        return np.array([last[0] - j, i, last[2] - k])

    corner = np.rint(index(subject.left.centroid_mm)).astype(int) + shift - SHAPE // 2
    patch = voxels[tuple(slice(c, c + n) for c, n in zip(corner, SHAPE, strict=True))]
    red_nucleus = apply(subject.to_patient, subject.left.anatomy.red_nucleus.centre)
    return patch / patch.mean(), index(red_nucleus) - corner


def red_nucleus_profile(patch: np.ndarray, centre: np.ndarray) -> tuple[float, float, float]:
    """Give level of the core, diameter in mm at half height, border in mm from 20 to 80 %.

    From mean values at each distance in the slice through the centre, on the side away from the
    nigra.
    """
    ahead, aside = np.indices(SHAPE[:2]) - np.reshape(centre[:2], (2, 1, 1))
    radius = 0.5 * np.hypot(ahead, aside)
    behind = patch[:, :, round(float(centre[2]))][ahead < 0]
    steps = np.arange(1, 7.01, 0.25)
    level = [behind[abs(radius[ahead < 0] - r) < 0.3].mean() for r in steps]
    level = np.maximum.accumulate(level)
    core, rim = level[0], level[-1]
    r20, r50, r80 = np.interp(core + np.array([0.2, 0.5, 0.8]) * (rim - core), level, steps)
    return core, 2 * r50, r80 - r20


def spectrum(patch: np.ndarray) -> np.ndarray:
    """Give log10 of the mean in-plane power at 0.12, 0.40 and 0.72 of Nyquist's frequency."""
    window = np.outer(np.hanning(50), np.hanning(50))[..., None]
    power = abs(np.fft.fft2((patch - patch.mean((0, 1))) * window, axes=(0, 1))) ** 2
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(50), np.fft.fftfreq(50))) * 2
    return np.array([np.log10(power[abs(f - x) < 0.04].mean()) for x in (0.12, 0.40, 0.72)])


def fine_detail(patch: np.ndarray) -> tuple[float, float, float]:
    """Give SD of tissue about its 5 × 5 means; its correlation one voxel off: in plane, across."""
    windows = np.lib.stride_tricks.sliding_window_view(patch, (5, 5), axis=(0, 1)).mean((-1, -2))
    inner = patch[2:-2, 2:-2]
    detail = np.where((inner > 0.85) & (inner < 1.25), inner - windows, np.nan)
    variance = np.nanmean(detail**2)
    pairs = [(detail[1:], detail[:-1]), (detail[:, 1:], detail[:, :-1])]
    in_plane = np.mean([np.nanmean(p * q) for p, q in pairs]) / variance
    across = np.nanmean(detail[..., 1:] * detail[..., :-1]) / variance
    return float(np.sqrt(variance)), in_plane, across


def measures(patch: np.ndarray, red_nucleus: np.ndarray) -> dict[str, float]:
    """Measure one patch of mean 1."""
    percent = (1, 5, 25, 50, 75, 95, 99)
    dark = patch < 0.5
    means = np.lib.stride_tricks.sliding_window_view(patch, (5, 5), axis=(0, 1)).mean((-1, -2))
    return {
        **{f"percentile {p}": np.percentile(patch, p) for p in percent},
        "volume under 0.5, mm³": dark.sum() * SPACING_MM.prod(),
        "mean of it": patch[dark].mean(),
        "darkest 5 × 5, mean of ten slices": np.sort(means.min((0, 1)))[:10].mean(),
        **_named(RED_NUCLEUS, red_nucleus_profile(patch, red_nucleus)),
        **_named(DETAIL, fine_detail(patch)),
        **_named(POWER, spectrum(patch)),
    }


def _named(names: tuple[str, ...], values: Iterable[float]) -> dict[str, float]:
    return dict(zip(names, values, strict=True))


def table(simulated: list[dict[str, float]], real: dict[str, float] | None) -> str:
    """Give the table of phantom.md: mean ± SD of simulated patients, and the real patch."""
    lines = ["| measure | simulated patients | real patch |", "|---|---|---|"]
    for name in simulated[0]:
        values = np.array([row[name] for row in simulated])
        digits = 0 if "mm³" in name else 2 if values.std() > 0.015 else 3
        shown = f"{real[name]:.{digits}f}" if real else "–"
        lines.append(
            f"| {name} | {values.mean():.{digits}f} ± {values.std():.{digits}f} | {shown} |"
        )
    return "\n".join(lines)


def draw(rows: list[tuple[str, np.ndarray]], out: Path) -> None:
    """Draw every other slice of each patch: anterior up, the patient's left to the right."""
    figure, axes = plt.subplots(len(rows), 10, figsize=(15, 1.62 * len(rows)))
    for row, (title, patch) in zip(axes, rows, strict=True):
        for axis, k in zip(row, range(0, 20, 2), strict=True):
            axis.imshow(patch[::-1, :, k], cmap="gray", vmin=0, vmax=1.6)
            axis.set_axis_off()
            axis.set_title(title if k == 0 else f"slice {k}", fontsize=7, pad=2)
    figure.tight_layout(pad=0.3)
    figure.savefig(out, dpi=64)


def pictured(shift: tuple[int, int, int]) -> list[tuple[str, np.ndarray]]:
    """Give title and patch of the first patients and healthy people."""
    rows = []
    for word, prevalence in (("patient", 1.0), ("healthy", 0.0)):
        for seed in range(N_PICTURED):
            subject = draw_subject(seed, prevalence=prevalence)
            title = f"{word} {seed}, SBR {subject.left.sbr:.1f}"
            rows.append((title, cut(subject, shift)[0]))
    return rows


def main() -> None:
    """Parse the command line, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, help="NIfTI of a real left patch, 50 × 50 × 20")
    parser.add_argument("--out", type=Path, help="picture to write (with --real: required)")
    parser.add_argument("--patients", type=int, default=100, help="simulated patients to measure")
    options = parser.parse_args()
    if options.real and not options.out:
        parser.error("--real needs --out FILE: the real patch must not enter docs/phantom.png")
    simulated = [
        measures(*cut(draw_subject(seed, prevalence=1.0), REAL_SHIFT))
        for seed in range(options.patients)
    ]
    rows, real = pictured((0, 0, 0)), None
    if options.real:
        patch = np.asarray(nibabel.load(options.real).dataobj, np.float64)
        patch = patch / patch.mean()
        real = measures(patch, np.array(REAL_RED_NUCLEUS))
        rows = [("real patient", patch), *pictured(REAL_SHIFT)]
    print(table(simulated, real))
    draw(rows, options.out or Path(__file__).with_name("phantom.png"))


if __name__ == "__main__":
    main()
