# SPDX-License-Identifier: Apache-2.0
"""Draw simulated patches slice by slice, and make every table of phantom.md.

Without options: docs/phantom.png, and the tables on standard output. `--real PATCH.nii.gz
--out FILE` sets a real patch beside them. That is test data under its own licence: a picture that
shows it is for your eyes and does not belong into the repository, hence --out. Its axes are read as
growing to anterior, left and inferior. `--atlas CIT168_subcortex.nii.gz` adds the overlap with that
atlas.
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

from nigroedge.phantom import (
    SIDES,
    Subject,
    draw_subject,
    patch_grid,
    render,
    susceptibility,
)
from nigroedge.phantom.anatomy import BRAINSTEM_TILT, draw_anatomy
from nigroedge.phantom.shapes import affine_of, apply, blob_depth, rotation

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


def labels_table(n_subjects: int) -> str:
    """Give the table of readings and SBR, both sides of each subject."""
    subjects = [draw_subject(seed) for seed in range(n_subjects)]
    sides = [getattr(subject, side) for subject in subjects for side in SIDES]
    diseased = np.repeat([subject.diseased for subject in subjects], 2)
    sbr, expected, intact, visibility = (
        np.array([getattr(side, name) for side in sides])
        for name in ("sbr", "expected_sbr", "intact", "visibility")
    )
    reading = np.where(intact, sbr[intact].mean(), sbr[~intact].mean())
    rows = {
        "sides read as intact": f"{intact.mean():.3f}",
        "the same among the healthy, the diseased": f"{intact[~diseased].mean():.3f}, "
        f"{intact[diseased].mean():.3f}",
        "healthy sides with a faint nigrosome-1": f"{(visibility[~diseased] < 0.7).mean():.3f}",
        "SBR, intact": f"{sbr[intact].mean():.2f} ± {sbr[intact].std():.2f}",
        "SBR, lost": f"{sbr[~intact].mean():.2f} ± {sbr[~intact].std():.2f}",
        "SBR, SD of all": f"{sbr.std():.2f}",
        "SBR, not explained by the state": f"{(sbr - expected).mean():+.3f} ± "
        f"{(sbr - expected).std():.3f}",
        "correlation of the sides' SBR": f"{np.corrcoef(sbr[::2], sbr[1::2])[0, 1]:.2f}",
        "predicting by the reading: RMSE, ρc": _agreement(reading, sbr),
        "predicting by the hidden state: RMSE, ρc": _agreement(expected, sbr),
    }
    return "\n".join(
        ["| measure | simulated |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows.items())]
    )


def _agreement(predicted: np.ndarray, measured: np.ndarray) -> str:
    """Give RMSE and Lin's concordance with 1/n moments."""
    shift = predicted.mean() - measured.mean()
    covariance = ((predicted - predicted.mean()) * (measured - measured.mean())).mean()
    concordance = 2 * covariance / (predicted.var() + measured.var() + shift**2)
    return f"{np.sqrt(((predicted - measured) ** 2).mean()):.3f}, {concordance:.3f}"


def susceptibility_table(n_subjects: int) -> str:
    """Give mean ± SD over subjects of χ / gain over each left nucleus, borders blurred."""
    found: dict[str, list[float]] = {}
    for seed in range(n_subjects):
        subject = draw_subject(seed, prevalence=0.5)
        affine, shape = patch_grid(subject, "left", (64, 64, 26))
        chi_ppm = susceptibility(subject, affine, shape).voxels
        chi = chi_ppm * 1e3 / subject.contrast.chi_gain
        anatomy = subject.left.anatomy
        points = midbrain_points(subject, affine, shape)
        nigra, comma, red, subthalamic = (
            blob_depth(points, blob)
            for blob in (anatomy.nigra, anatomy.nigrosome, anatomy.red_nucleus, anatomy.subthalamic)
        )
        word = "diseased" if subject.diseased else "healthy"
        places = {
            f"nigra, {word}": (nigra > 0.5) & (comma < -0.5) & (red < -0.5),
            "red nucleus": red > 0.5,
            "subthalamic nucleus": subthalamic > 0.5,
        }
        if subject.left.visibility > 0.8:
            places["nigrosome-1, well seen"] = comma > 0.3
        for name, place in places.items():
            found.setdefault(name, []).append(float(chi[place].mean()))
    lines = [f"| {k} | {np.mean(v):.0f} ± {np.std(v):.0f} |" for k, v in sorted(found.items())]
    return "\n".join(["| place | χ / gain, ppb |", "|---|---|", *lines])


def midbrain_points(
    subject: Subject, affine: np.ndarray, shape: tuple[int, int, int]
) -> list[np.ndarray]:
    """Give the midbrain frame's x, y, z of every voxel."""
    voxel_to_midbrain = np.linalg.inv(subject.to_patient) @ affine
    return mapped(voxel_to_midbrain, np.indices(shape))


def mapped(affine: np.ndarray, index: np.ndarray) -> list[np.ndarray]:
    """Map voxel indices (3, …) through an affine; give x, y, z."""
    xyz = np.tensordot(affine[:3, :3], index, 1)
    return [(v + t).astype(np.float32) for v, t in zip(xyz, affine[:3, 3], strict=True)]


class Average:
    """Stands for a generator of random numbers that always gives the mean."""

    def standard_normal(self, size: int | None = None) -> np.ndarray | float:
        """Give 0."""
        return 0.0 if size is None else np.zeros(size)

    def normal(self, mean: float, sd: float, size: int | None = None) -> np.ndarray | float:
        """Give the mean."""
        return mean if size is None else np.full(size, mean)

    def uniform(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Give the middle."""
        return (np.asarray(low) + np.asarray(high)) / 2

    def integers(self, low: int, high: int) -> int:
        """Give the lowest."""
        return low


def atlas_table(path: Path) -> str:
    """Give size, distance and overlap of the average left anatomy and the CIT168 labels."""
    atlas = nibabel.load(path)
    labels, affine = np.asarray(atlas.dataobj), atlas.affine
    red = np.argwhere(np.isin(labels, (8, 108))) @ affine[:3, :3].T + affine[:3, 3]
    to_mni = affine_of(rotation((-BRAINSTEM_TILT, 0, 0)), red.mean(axis=0) * (0, 1, 1))
    points = mapped(np.linalg.inv(to_mni) @ affine, np.indices(labels.shape))
    anatomy = draw_anatomy(Average(), -1.0)
    lines = [
        "| nucleus | simulated, mm³ | atlas, mm³ | centroids apart, mm | Dice | inside atlas |",
        "|---|---|---|---|---|---|",
    ]
    for name, values in (("nigra", (7, 9)), ("red_nucleus", (8,)), ("subthalamic", (16,))):
        mine, theirs = blob_depth(points, getattr(anatomy, name)) > 0, np.isin(labels, values)
        both = (mine & theirs).sum()
        apart = np.linalg.norm(np.argwhere(mine).mean(axis=0) - np.argwhere(theirs).mean(axis=0))
        lines.append(
            f"| {name.replace('_', ' ')} | {mine.sum()} | {theirs.sum()} | {apart:.1f} | "
            f"{2 * both / (mine.sum() + theirs.sum()):.2f} | {both / mine.sum():.2f} |"
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
    parser.add_argument("--atlas", type=Path, help="CIT168 labels in MNI space, 1 mm")
    parser.add_argument("--patients", type=int, default=100, help="simulated patients to measure")
    parser.add_argument("--subjects", type=int, default=5000, help="subjects to draw labels of")
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
    print(table(simulated, real), labels_table(options.subjects), sep="\n\n")
    print("", susceptibility_table(options.patients), sep="\n")
    if options.atlas:
        print("", atlas_table(options.atlas), sep="\n")
    draw(rows, options.out or Path(__file__).with_name("phantom.png"))


if __name__ == "__main__":
    main()
