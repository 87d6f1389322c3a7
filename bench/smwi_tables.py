# SPDX-License-Identifier: Apache-2.0
"""Print the tables of docs/notes/smwi.md: every step alone, then the chain, on a simulated slab.

    python -m bench.smwi_tables            # minutes; needs qsm-forward and qsm-ci
    python -m bench.smwi_tables --tables dipole --seed 3       # one step, another head
    python -m bench.smwi_tables --tables chain --methods paper
    python -m bench.smwi_tables --tables sizes --sizes 104 192       # heads that no tuning saw

Fields come from qsm-forward and scores from qsm-ci, neither of which knows of us. Seconds are one
run each, and only as good as the machine is idle.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import qsm_forward
from qsm_ci.qsm_eval import hfen, nrmse_challenge, xsim

from nigroedge.smwi import METHODS, MultiEcho, reconstruct
from nigroedge.smwi.background import resharp, vsharp
from nigroedge.smwi.dipole import tkd
from nigroedge.smwi.fourier import FourierGrid
from nigroedge.smwi.frequency import hz_per_ppm
from nigroedge.smwi.ilsqr import ilsqr
from nigroedge.smwi.kernels import dipole_kernel
from nigroedge.smwi.masked import MaskedMap
from nigroedge.smwi.tv import TvOptions, tv_admm
from tests.smwi_phantom import (
    ECHO_TIMES_S,
    FIELD_T,
    VOXEL_MM,
    Head,
    local_field,
    make_head,
    simulate_echoes,
    total_field,
)

TILTS = (0.0, 15.0, 30.0)
#: Noise of the frequency at SNR 50.
NOISE_PPM = 1e-3

#: Voxels in plane, tilt in degrees, SNR: heads that score and on which nothing is chosen. The n-th
#: has the seed SCORING_SEED + n. Choices are made on seeds below 1000.
SCORING_SEED = 3000
SCORING = [
    *(
        (104, tilt, snr)
        for tilt, snr in ((0, 50), (7, 30), (14, 100), (21, 50), (28, 30), (35, 100))
    ),
    *((144, tilt, snr) for tilt, snr in ((0, 30), (12, 50), (24, 100), (35, 50))),
    *(
        (192, tilt, snr)
        for tilt, snr in ((0, 100), (7, 50), (14, 30), (21, 50), (28, 100), (35, 30))
    ),
    *((256, tilt, snr) for tilt, snr in ((0, 50), (12, 100), (24, 30), (35, 50))),
    *((384, tilt, snr) for tilt, snr in ((0, 50), (12, 30), (24, 50), (35, 100))),
]

#: What `best` was: the background taken away first.
TWO_STEPS = replace(
    METHODS["best"],
    background="vsharp",
    tv_iterations=TvOptions.stopping.iterations,
    margin_mm=24.0,
)

METHOD_NAMES = [*METHODS, "two-steps"]

DIPOLES = {
    "TKD": tkd,
    "iLSQR": ilsqr,
    "TV-ADMM": tv_admm,
}
BACKGROUNDS: dict[str, Callable[..., Any]] = {
    "V-SHARP 6…2 mm (default)": vsharp,
    "V-SHARP 12…1 mm": lambda field: vsharp(field, radii_mm=tuple(map(float, range(12, 0, -1)))),
    "RESHARP 3 mm": lambda field: resharp(field, radius_mm=3.0),
    "RESHARP 6 mm": resharp,
}


def forward(chi: Any, b0: Any) -> Any:
    """Field by qsm-forward, ppm."""
    return qsm_forward.generate_field(chi, voxel_size=list(VOXEL_MM), B0_dir=list(b0))


def measured(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float, float]:
    """Result, seconds, and the most memory that arrays held above the start, MB."""
    tracemalloc.start()
    start = time.perf_counter()
    result = work(*arguments)
    seconds = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, seconds, peak / 1e6


def scores(found: Any, truth: Any, mask: Any) -> str:
    found, truth = np.where(mask, found, 0), np.where(mask, truth, 0)
    plain, detrended = nrmse_challenge(found, truth, mask)
    similarity = xsim(found, truth, mask)
    fine = hfen(found, truth, mask)
    return f"{similarity:.3f} | {plain:.1f} | {detrended:.1f} | {fine:.1f}"


def contrast_ppb(chi: Any, head: Head, mask: Any) -> float:
    nigra, nigrosome = (chi[mask & head.where(n)].mean() for n in ("nigra", "nigrosome"))
    return float(1e3 * (nigra - nigrosome))


def on_slab(field: Any, head: Head, workers: int) -> MaskedMap:
    grid = FourierGrid(head.chi.shape, VOXEL_MM, 24.0, workers)  # type: ignore[arg-type]
    return MaskedMap(field.astype(np.float32), head.mask, grid)


def dipole_table(heads: dict[float, Head], workers: int) -> None:
    """Every step on the same field; stops where TV < iLSQR < TKD in NRMSE does not hold."""
    print("\n| tilt | step | xSIM | NRMSE % | detrended % | HFEN % | s | MB |\n|" + "---|" * 8)
    for tilt, head in heads.items():
        noise = np.random.default_rng(0).normal(scale=NOISE_PPM, size=head.chi.shape)
        field = on_slab(local_field(head, forward) + noise, head, workers)
        errors = {}
        for name, solve in DIPOLES.items():
            found, seconds, peak = measured(solve, field, head.b0)
            row = scores(found.chi, head.chi, head.mask)
            errors[name] = nrmse_challenge(found.chi, head.chi * head.mask, head.mask)[0]
            print(f"| {tilt:g}° | {name} | {row} | {seconds:.1f} | {peak:.0f} |", flush=True)
        assert errors["TV-ADMM"] < errors["iLSQR"] < errors["TKD"], (tilt, errors)


def cone_table(heads: dict[float, Head], workers: int) -> None:
    """How much of the head's χ lies where the dipole passes next to nothing."""
    print("\n| tilt | frequencies with abs D < 0.1, % | energy of χ there, % |\n|" + "---|" * 3)
    for tilt, head in heads.items():
        grid = FourierGrid(head.chi.shape, VOXEL_MM, 24.0, workers)  # type: ignore[arg-type]
        small = np.abs(dipole_kernel(grid, head.b0)) < 0.1
        chi = np.where(head.mask, head.chi - head.chi[head.mask].mean(), 0)
        energy = np.abs(grid.forward(chi.astype(np.float32))) ** 2
        part = 100 * energy[small].sum() / energy.sum()
        print(f"| {tilt:g}° | {100 * small.mean():.1f} | {part:.1f} |")


def ball_of_balls() -> tuple[Any, Any]:
    """χ of 150 balls at random in a ball of 46 mm, 1 mm cubes: alike along every axis."""
    ruler = np.arange(48) - 23.5
    at = np.stack(np.meshgrid(ruler, ruler, ruler, indexing="ij"))
    rng = np.random.default_rng(1)
    chi = np.full(at.shape[1:], -0.03)
    for _ in range(150):
        offset = at - rng.uniform(-24, 24, 3)[:, None, None, None]
        chi[(offset**2).sum(0) < rng.uniform(1.5, 4) ** 2] = rng.choice([0.02, 0.07, 0.1, 0.19])
    mask = (at**2).sum(0) < 23**2
    return np.where(mask, chi, 0), mask


def ball_table(workers: int) -> None:
    """The dipole step on an object without a direction: a tilt should cost nothing."""
    chi, mask = ball_of_balls()
    noise = np.random.default_rng(0).normal(scale=NOISE_PPM, size=chi.shape)
    grid = FourierGrid(chi.shape, (1.0, 1.0, 1.0), 24.0, workers)  # type: ignore[arg-type]
    print("\n| tilt | step | xSIM | NRMSE % | detrended % | HFEN % |\n|" + "---|" * 6)
    for tilt in TILTS:
        b0 = (0.0, float(np.sin(np.radians(tilt))), float(np.cos(np.radians(tilt))))
        padded = qsm_forward.generate_field(np.pad(chi, 24), voxel_size=[1, 1, 1], B0_dir=list(b0))
        inner = (padded[24:-24, 24:-24, 24:-24] + noise).astype(np.float32)
        field = MaskedMap(inner, mask, grid)
        for name, solve in DIPOLES.items():
            print(f"| {tilt:g}° | {name} | {scores(solve(field, b0).chi, chi, mask)} |")


def background_table(heads: dict[float, Head], workers: int) -> None:
    print(
        "\n| tilt | step | mask left % | xSIM | NRMSE % | detrended % | HFEN % | s |\n|"
        + "---|" * 8
    )
    for tilt, head in heads.items():
        truth = local_field(head, forward)
        noise = np.random.default_rng(0).normal(scale=NOISE_PPM, size=head.chi.shape)
        field = on_slab(total_field(head, forward) + noise, head, workers)
        common = resharp(field).mask
        for name, remove in BACKGROUNDS.items():
            found, seconds, _ = measured(remove, field)
            left = 100 * found.mask.sum() / head.mask.sum()
            row = scores(found.values, truth, common)
            print(f"| {tilt:g}° | {name} | {left:.0f} | {row} | {seconds:.1f} |", flush=True)


def frequency_table(head: Head, workers: int) -> None:
    print("\n| SNR | unwrapping | median error, Hz | 99th percentile, Hz |\n|" + "---|" * 4)
    field = total_field(head, forward)
    for snr in (30, 50, 100):
        for kind in ("exact", "laplacian"):
            found = chain(head, field, snr, "fast", workers, unwrap=kind)
            good = head.mask & (head.density * np.exp(-head.r2star * ECHO_TIMES_S[2]) * snr > 20)
            error = np.abs(found.frequency_hz - field * hz_per_ppm(FIELD_T))[good]
            print(f"| {snr} | {kind} | {np.median(error):.3f} | {np.percentile(error, 99):.2f} |")


def chain(head: Head, field: Any, snr: float, name: str, workers: int, **changes: Any) -> Any:
    magnitude, phase = simulate_echoes(head, field, snr, offset=0.7)
    scan = MultiEcho(magnitude, phase, head.affine, ECHO_TIMES_S, FIELD_T)
    method = replace(TWO_STEPS if name == "two-steps" else METHODS[name], **changes)
    return reconstruct(scan, method=method, mask=head.mask, workers=workers)


def chain_table(heads: dict[float, Head], workers: int, methods: list[str]) -> None:
    print(
        "\n| tilt | SNR | method | xSIM | NRMSE % | detrended % | HFEN % | "
        "nigra − nigrosome-1, ppb (true) | s | MB |\n|" + "---|" * 10
    )
    for tilt, head in heads.items():
        field = total_field(head, forward)
        for snr in (30, 100):
            for name in methods:
                found, seconds, peak = measured(chain, head, field, snr, name, workers)
                mask = found.eroded_mask
                row = scores(found.chi_ppm, head.chi, mask)
                seen, true = (contrast_ppb(c, head, mask) for c in (found.chi_ppm, head.chi))
                print(
                    f"| {tilt:g}° | {snr} | {name} | {row} | {seen:.1f} ({true:.1f}) "
                    f"| {seconds:.1f} | {peak:.0f} |",
                    flush=True,
                )


def offset_ppb(chi: Any, head: Head, mask: Any) -> float:
    """Mean error over the structures of the midbrain, both maps less their mean over the mask."""
    error = chi - head.chi
    error = error - error[mask].mean()
    names = ("nigra", "nigrosome", "red nucleus", "peduncle")
    return float(1e3 * np.mean([error[mask & head.where(name)].mean() for name in names]))


def sizes_table(sizes: list[int], workers: int, methods: list[str]) -> None:
    """The chain on heads of every size, tilt and SNR that no tuning saw."""
    print(
        "\n| head | tilt | SNR | method | mask left | xSIM | NRMSE % | detrended % | HFEN % | "
        "offset, ppb | contrast kept | nigrosome-1 to nigra, SMWI | s |\n|" + "---|" * 13
    )
    for n, (size, tilt, snr) in enumerate(SCORING):
        if size not in sizes:
            continue
        head = make_head((size, size, 30), tilt_degrees=tilt, seed=SCORING_SEED + n)
        field = total_field(head, forward)
        for name in methods:
            start = time.perf_counter()
            found = chain(head, field, snr, name, workers)
            seconds, mask = time.perf_counter() - start, found.eroded_mask
            kept = contrast_ppb(found.chi_ppm, head, mask) / contrast_ppb(head.chi, head, mask)
            print(
                f"| {size}² | {tilt}° | {snr} | {name} | {mask.sum() / head.mask.sum():.2f} "
                f"| {scores(found.chi_ppm, head.chi, mask)} "
                f"| {offset_ppb(found.chi_ppm, head, mask):+.1f} | {kept:.2f} "
                f"| {contrast_to_noise(found.voxels, head, mask):.2f} | {seconds:.1f} |",
                flush=True,
            )


def contrast_to_noise(image: Any, head: Head, mask: Any) -> float:
    """Nigrosome-1 less nigra, over the mean of their SDs."""
    nigra, nigrosome = (mask & head.where(n) for n in ("nigra", "nigrosome"))
    spread = np.sqrt((image[nigra].var() + image[nigrosome].var()) / 2)
    return float((image[nigrosome].mean() - image[nigra].mean()) / spread)


def tilt_table(head: Head, workers: int) -> None:
    """What ignoring the tilt costs: the same echoes, with the affine of an upright slab."""
    upright = replace(head, affine=np.diag([*VOXEL_MM, 1.0]))
    field = total_field(head, forward)
    print("\n| B0 | method | xSIM | NRMSE % | detrended % | HFEN % |\n|" + "---|" * 6)
    for label, taken in (("from the affine", head), ("tilt ignored", upright)):
        found = chain(taken, field, 50, "best", workers)
        print(f"| {label} | best | {scores(found.chi_ppm, head.chi, found.eroded_mask)} |")


def contrast_table(head: Head, workers: int) -> None:
    """Contrast to noise of nigrosome-1 against the nigra."""
    found = chain(head, total_field(head, forward), 50, "best", workers)
    phase = 2 * np.pi * hz_per_ppm(FIELD_T) * found.local_field_ppm * ECHO_TIMES_S[2]
    swi = found.magnitude * np.clip(1 - np.maximum(phase, 0) / np.pi, 0, 1) ** 4
    images = {
        "SMWI": found.voxels,
        "χ": -found.chi_ppm,
        "SWI-like": swi,
        "magnitude": found.magnitude,
    }
    print("\n| image | nigrosome-1 to nigra, contrast to noise |\n|---|---|")
    for name, image in images.items():
        print(f"| {name} | {contrast_to_noise(image, head, found.eroded_mask):.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=112, help="voxels in plane")
    parser.add_argument("--seed", type=int, default=0, help="which head")
    parser.add_argument(
        "--methods", nargs="+", default=list(METHODS), choices=[*METHODS, "two-steps"]
    )
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=sorted({size for size, _, _ in SCORING}),
        help="of the heads that score",
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tables", nargs="+", help="all by default")
    options = parser.parse_args()
    shape = (options.size, options.size, 30)
    heads = {tilt: make_head(shape, tilt_degrees=tilt, seed=options.seed) for tilt in TILTS}
    workers = options.workers
    tables: dict[str, Callable[[], None]] = {
        "dipole": lambda: dipole_table(heads, workers),
        "cone": lambda: cone_table(heads, workers),
        "ball": lambda: ball_table(workers),
        "background": lambda: background_table(heads, workers),
        "frequency": lambda: frequency_table(heads[15.0], workers),
        "tilt": lambda: tilt_table(heads[30.0], workers),
        "contrast": lambda: contrast_table(heads[15.0], workers),
        "chain": lambda: chain_table(heads, workers, options.methods),
        "sizes": lambda: sizes_table(options.sizes, workers, options.methods),
    }
    if unknown := set(options.tables or ()) - set(tables):
        parser.error(f"expected --tables among {', '.join(tables)}, got {', '.join(unknown)}")
    print(f"slab {shape}, voxels {VOXEL_MM} mm, {FIELD_T:g} T, echoes {ECHO_TIMES_S} s")
    print(f"head of seed {options.seed}")
    for name in options.tables or tables:
        tables[name]()


if __name__ == "__main__":
    main()
