# SPDX-License-Identifier: Apache-2.0
"""Draw simulated patches slice by slice, and make every table of phantom.md.

Without options: docs/notes/phantom.png, and the tables on standard output. `--real PATCH.nii.gz
--out FILE` sets a real patch beside them. That is test data under its own licence: a picture that
shows it is for your eyes and does not belong into the repository, hence --out. Its axes are read as
growing to anterior, left and inferior. `--atlas CIT168_subcortex.nii.gz` adds the overlap with that
atlas, `--methods` the comparison of reconstructions, which takes minutes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import nibabel
import numpy as np
from scipy.ndimage import gaussian_filter

from nigroedge.phantom import (
    SIDES,
    Subject,
    draw_subject,
    patch_grid,
    render,
    susceptibility,
)
from nigroedge.phantom.acquisition import METHOD, acquire, scan_physically
from nigroedge.phantom.anatomy import BRAINSTEM_TILT, draw_anatomy
from nigroedge.phantom.canvas import TISSUES
from nigroedge.phantom.shapes import affine_of, apply, blob_depth, rotation
from nigroedge.phantom.subject import iron_load
from nigroedge.smwi import METHODS, reconstruct
from nigroedge.volume import Volume

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
N_PICTURED = 2
#: Voxels scanned around a patch, and what is scanned beyond them physically.
WINDOW, BOX = (72, 72, 30), (112, 84, 42)


def fast(subject: Subject) -> Volume:
    """Scan around the left side by the fast path."""
    return render(subject, *patch_grid(subject, "left", WINDOW))


def physical(subject: Subject) -> Volume:
    """Scan around the left side physically."""
    return scan_physically(subject, *patch_grid(subject, "left", BOX))


PATHS: dict[str, Callable[[Subject], Volume]] = {"fast": fast, "physical": physical}


def cut(
    subject: Subject, scan: Volume, shift: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Give the left patch, axes to anterior, left, inferior, mean 1; and its red nucleus' voxel."""
    voxels = scan.voxels.transpose(1, 0, 2)[::-1, :, ::-1]
    last = np.array(voxels.shape) - 1

    def index(point_mm: tuple[float, float, float]) -> np.ndarray:
        i, j, k = apply(np.linalg.inv(scan.affine), point_mm)
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


def table(simulated: dict[str, list[dict[str, float]]], real: dict[str, float] | None) -> str:
    """Give the table of phantom.md: mean ± SD of simulated patients, and the real patch."""
    lines = [f"| measure | {' | '.join(simulated)} | real patch |", "|---|---|---|---|"]
    for name in next(iter(simulated.values()))[0]:
        digits = 0 if "mm³" in name else 3 if "SD" in name else 2
        shown = [
            f"{np.mean(values):.{digits}f} ± {np.std(values):.{digits}f}"
            for values in ([row[name] for row in rows] for rows in simulated.values())
        ]
        shown.append(f"{real[name]:.{digits}f}" if real else "–")
        lines.append(f"| {name} | {' | '.join(shown)} |")
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
        "intact of 59 with normal, of 308 with abnormal SPECT": (
            f"{59 * intact[~diseased].mean():.1f}, {308 * intact[diseased].mean():.1f}"
        ),
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


def ceiling_table(n_subjects: int) -> str:
    """Give how much of the way from the reading to the oracle two numbers of an image would close.

    The numbers are visibility and χ of the nigra over the subject's gain, known exactly or with
    errors; the mean expected SBR about each pair of them predicts, a smoothed histogram made on one
    half of the subjects and scored on the other.
    """
    sides = [getattr(draw_subject(seed), side) for seed in range(n_subjects) for side in SIDES]
    healthy, diseased = TISSUES["nigra healthy"].chi_ppb, TISSUES["nigra diseased"].chi_ppb
    seen = np.array([side.visibility for side in sides])
    chi = np.array([(healthy + iron_load(s.state) * (diseased - healthy)) * s.iron for s in sides])
    sbr, expected, intact = (
        np.array([getattr(side, name) for side in sides])
        for name in ("sbr", "expected_sbr", "intact")
    )
    unexplained = ((sbr - expected) ** 2).mean()

    def rmse(predicted: np.ndarray) -> float:
        return float(np.sqrt(unexplained + ((predicted - expected[-len(predicted) :]) ** 2).mean()))

    reading = rmse(np.where(intact, sbr[intact].mean(), sbr[~intact].mean()))
    oracle = rmse(expected)
    rng, half = np.random.default_rng(0), len(sides) // 2
    lines = [
        "| error of visibility, of χ in ppb | RMSE | closed |",
        "|---|---|---|",
        f"| reading alone | {reading:.3f} | 0 % |",
    ]
    for errors in ((0.0, 0.0), (0.07, 4.5), (0.1, 6.0)):
        seen_so, chi_so = (
            values + error * rng.standard_normal(len(sides))
            for values, error in zip((seen, chi), errors, strict=True)
        )
        bins = np.linspace(0, 1.1, 56), np.linspace(85, 165, 81)
        learned = seen_so[:half], chi_so[:half]
        count, total = (
            gaussian_filter(np.histogram2d(*learned, bins, weights=weights)[0], 1.0)
            for weights in (None, expected[:half])
        )
        mean = (total + 1e-3 * expected.mean()) / (count + 1e-3)
        i, j = (
            np.clip(np.digitize(values[half:], edges) - 1, 0, len(edges) - 2)
            for values, edges in zip((seen_so, chi_so), bins, strict=True)
        )
        got = rmse(mean[i, j])
        closed = 100 * (reading - got) / (reading - oracle)
        lines.append(f"| {errors[0]:g}, {errors[1]:g} | {got:.3f} | {closed:.0f} % |")
    lines.append(f"| hidden state (oracle) | {oracle:.3f} | 100 % |")
    return "\n".join(lines)


def susceptibility_table(n_subjects: int) -> str:
    """Give mean ± SD over subjects of χ / gain over each left nucleus: true, and reconstructed."""
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(n_subjects):
        subject = draw_subject(seed, prevalence=0.5)
        grid = patch_grid(subject, "left", BOX)
        maps = susceptibility(subject, *grid).voxels, scan_physically(subject, *grid).chi_ppm
        for name, place in places(subject, *grid).items():
            gain = subject.contrast.chi_gain
            true, again = (float(chi[place].mean()) * 1e3 / gain for chi in maps)
            found.setdefault(name, []).append((true, again))
    lines = ["| place | true χ / gain, ppb | reconstructed |", "|---|---|---|"]
    for name, values in sorted(found.items()):
        mean, sd = np.mean(values, axis=0), np.std(values, axis=0)
        lines.append(f"| {name} | {mean[0]:.0f} ± {sd[0]:.0f} | {mean[1]:.0f} ± {sd[1]:.0f} |")
    return "\n".join(lines)


def places(
    subject: Subject, affine: np.ndarray, shape: tuple[int, int, int]
) -> dict[str, np.ndarray]:
    """Give the voxels of each left nucleus, named after what the subject's side is."""
    anatomy, side = subject.left.anatomy, subject.left
    points = midbrain_points(subject, affine, shape)
    nigra, comma, red, subthalamic = (
        blob_depth(points, blob)
        for blob in (anatomy.nigra, anatomy.nigrosome, anatomy.red_nucleus, anatomy.subthalamic)
    )
    word = "diseased" if subject.diseased else "healthy"
    seen = "well seen" if side.visibility > 0.8 else "lost" if side.visibility < 0.1 else "between"
    return {
        f"nigra, {word}": (nigra > 0.5) & (comma < -0.5) & (red < -0.5),
        f"nigrosome-1, {seen}": comma > 0.3,
        "red nucleus": red > 0.5,
        "subthalamic nucleus": subthalamic > 0.5,
    }


def methods_table(n_subjects: int) -> str:
    """Give what reconstructions of one scan find again of χ, and the processor time they take."""
    methods = {
        "fast": METHODS["fast"],
        "of windows (default)": METHOD,
        "best": METHODS["best"],
        "paper": METHODS["paper"],
    }
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in methods}
    truth, visibility = [], []
    for seed in range(n_subjects):
        subject = draw_subject(seed, prevalence=0.5)
        grid = patch_grid(subject, "left", BOX)
        scan = acquire(subject, *grid)
        where = list(places(subject, *grid).values())[:3]
        means = [susceptibility(subject, *grid).voxels[place].mean() for place in where]
        truth.append(means[0] / means[2])
        visibility.append(subject.left.visibility)
        for name, method in methods.items():
            started = time.process_time()
            method = replace(method, margin_mm=8.0)
            chi = reconstruct(scan, method=method, mask=np.ones(grid[1]), workers=1).chi_ppm
            seconds = time.process_time() - started
            nigra, comma, red = (float(chi[place].mean()) for place in where)
            found[name].append((nigra / red, (nigra - comma) / red, seconds))
    lines = [
        "| method | nigra over red nucleus, r with the truth | nigrosome-1 in nigra, r with its "
        "visibility | s a box |",
        "|---|---|---|---|",
    ]
    for name, values in found.items():
        ratio, contrast, seconds = np.array(values).T
        r, v = np.corrcoef(ratio, truth)[0, 1], np.corrcoef(contrast, visibility)[0, 1]
        lines.append(f"| {name} | {r:.2f} | {v:.2f} | {np.median(seconds):.2f} |")
    return "\n".join(lines)


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
    """Give title and patch of the first patients and healthy people, by either path."""
    rows = []
    for word, prevalence in (("patient", 1.0), ("healthy", 0.0)):
        for seed in range(N_PICTURED):
            subject = draw_subject(seed, prevalence=prevalence)
            for path, scan in PATHS.items():
                rows.append((f"{word} {seed}, {path}", cut(subject, scan(subject), shift)[0]))
    return rows


def main() -> None:
    """Parse the command line, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, help="NIfTI of a real left patch, 50 × 50 × 20")
    parser.add_argument("--out", type=Path, help="picture to write (with --real: required)")
    parser.add_argument("--atlas", type=Path, help="CIT168 labels in MNI space, 1 mm")
    parser.add_argument("--patients", type=int, default=100, help="simulated patients to measure")
    parser.add_argument("--subjects", type=int, default=20000, help="subjects to draw labels of")
    parser.add_argument("--methods", type=int, default=0, help="subjects to reconstruct every way")
    options = parser.parse_args()
    if options.real and not options.out:
        parser.error("--real needs --out FILE: the real patch must not enter the notes")
    simulated: dict[str, list[dict[str, float]]] = {name: [] for name in PATHS}
    for seed in range(options.patients):
        subject = draw_subject(seed, prevalence=1.0)
        for name, scan in PATHS.items():
            simulated[name].append(measures(*cut(subject, scan(subject), REAL_SHIFT)))
    rows, real = pictured((0, 0, 0)), None
    if options.real:
        patch = np.asarray(nibabel.load(options.real).dataobj, np.float64)
        patch = patch / patch.mean()
        real = measures(patch, np.array(REAL_RED_NUCLEUS))
        rows = [("real patient", patch), *pictured(REAL_SHIFT)]
    print(table(simulated, real), labels_table(options.subjects), sep="\n\n")
    print("", ceiling_table(options.subjects), sep="\n")
    print("", susceptibility_table(options.patients), sep="\n")
    if options.methods:
        print("", methods_table(options.methods), sep="\n")
    if options.atlas:
        print("", atlas_table(options.atlas), sep="\n")
    draw(rows, options.out or Path(__file__).with_name("phantom.png"))


if __name__ == "__main__":
    main()
