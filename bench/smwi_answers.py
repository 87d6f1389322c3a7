# SPDX-License-Identifier: Apache-2.0
"""What a prediction pays for reconstruction: SBR on SMWI of the reconstructed against the true χ.

    python -m bench.smwi_answers runs/answers.jsonl       # 100 participants, every method: hours
    python -m bench.smwi_answers runs/answers.jsonl --participants 10 --methods fast paper

Each simulated participant, every other one healthy, is scanned in the whole slab of 384 × 384 × 30
by five echoes; the brain is found from the magnitude. The bundled model answers on both images:
the same magnitude, weighted by the reconstructed χ, and by the true χ less its mean over the brain.
A line of JSON for each participant and method is added to the file, and those that it holds already
are not made again. A side crosses where one image reads it as above 4 and the other as below 3.
"oracle" is the true χ through the scan's point spread: what no reconstruction gives back, because
the scan has not seen it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from export.progress import track
from nigroedge.model import REFERENCE, Model, load_model
from nigroedge.phantom.acquisition import acquire
from nigroedge.phantom.noise import spread
from nigroedge.phantom.scan import susceptibility
from nigroedge.phantom.subject import SIDES, SLAB_SHAPE, Subject, draw_subject
from nigroedge.smwi import METHODS, MultiEcho, SmwiResult, reconstruct
from nigroedge.smwi.weighting import weight_magnitude
from nigroedge.volume import Volume

#: Participants that no tuning of the reconstruction saw.
FIRST_SEED = 900_000
HEALTHY_ABOVE, ILL_BELOW = 4.0, 3.0  # SBR
ORACLE = "oracle"
QUANTILES = {"median": 0.5, "95th percentile": 0.95, "worst": 1.0}


def participant(seed: int) -> Subject:
    """Draw a person: the even seeds healthy, the odd ones ill."""
    return draw_subject(seed, prevalence=float(seed % 2))


def sbr_of(model: Model, image: Volume, subject: Subject) -> list[float]:
    left_mm, right_mm = (subject.side(side).centroid_mm for side in SIDES)
    result = model.predict(image, left=left_mm, right=right_mm)
    return [getattr(result, side).sbr for side in SIDES]


def true_image(subject: Subject, found: SmwiResult, *, blurred: bool = False) -> Volume:
    """Weight the scan's own magnitude by the true χ, referred to the brain's mean and 0 outside."""
    chi = susceptibility(subject, subject.slab_affine, SLAB_SHAPE).voxels
    chi = spread(chi) if blurred else chi
    chi = np.where(found.mask, chi - chi[found.mask].mean(dtype=np.float64), 0)
    threshold = subject.contrast.chi_threshold_ppm
    voxels = weight_magnitude(found.magnitude, chi.astype(np.float32), threshold_ppm=threshold)
    return Volume(voxels, found.affine)


def row(model: Model, subject: Subject, scan: MultiEcho, name: str, workers: int) -> dict[str, Any]:
    """Reconstruct one scan by one method, and ask the model about both images."""
    taken = METHODS["fast" if name == ORACLE else name]  # any finds the same brain and magnitude
    method = replace(taken, chi_threshold_ppm=subject.contrast.chi_threshold_ppm)
    start = time.perf_counter()
    found = reconstruct(scan, method=method, workers=workers)
    image = true_image(subject, found, blurred=True) if name == ORACLE else found
    return {
        "seed": subject.seed,
        "method": name,
        "seconds": round(time.perf_counter() - start, 2),
        "sbr": sbr_of(model, image, subject),
        "sbr_true_chi": sbr_of(model, true_image(subject, found), subject),
    }


def wanted(path: Path, n_participants: int, methods: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Say which methods are missing for whom."""
    lines = path.read_text().splitlines() if path.exists() else []
    done = {(each["seed"], each["method"]) for each in map(json.loads, lines)}
    for seed in range(FIRST_SEED, FIRST_SEED + n_participants):
        if missing := [name for name in methods if (seed, name) not in done]:
            yield seed, missing


def fill(path: Path, n_participants: int, methods: list[str], workers: int) -> None:
    model = load_model(REFERENCE)
    jobs = list(wanted(path, n_participants, methods))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for seed, missing in track(jobs, "participants", total=len(jobs)):
            subject = participant(seed)
            scan = acquire(subject, subject.slab_affine, SLAB_SHAPE)
            for name in missing:
                line = json.dumps(row(model, subject, scan, name, workers))
                print(line, file=file, flush=True)


def summary(rows: list[dict[str, Any]]) -> str:
    """Give one line of the table: |ΔSBR| over sides, bias, sides that cross, seconds."""
    found, true = (np.ravel([each[key] for each in rows]) for key in ("sbr", "sbr_true_chi"))
    error = found - true
    low, high = np.minimum(found, true), np.maximum(found, true)
    crossed = int(((low < ILL_BELOW) & (high > HEALTHY_ABOVE)).sum())
    parts = [f"{np.quantile(np.abs(error), q):.2f}" for q in QUANTILES.values()]
    seconds = np.median([each["seconds"] for each in rows])
    return " | ".join([*parts, f"{error.mean():+.3f}", str(crossed), f"{seconds:.1f}"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="lines of JSON, made or continued")
    parser.add_argument("--participants", type=int, default=100, help="half of them healthy")
    names = [*METHODS, ORACLE]
    parser.add_argument("--methods", nargs="+", default=names, choices=names)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    fill(options.file, options.participants, options.methods, options.workers)
    rows = [json.loads(line) for line in options.file.read_text().splitlines()]
    print("| method | sides | " + " | ".join(QUANTILES) + " | bias | sides that cross | s |")
    print("|" + "---|" * 8)
    for name in options.methods:
        of_method = [each for each in rows if each["method"] == name]
        print(f"| {name} | {2 * len(of_method)} | {summary(of_method)} |")


if __name__ == "__main__":
    main()
