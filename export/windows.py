# SPDX-License-Identifier: Apache-2.0
"""A cohort of simulated participants, kept on disk as windows of the scan around each nigra.

A window is larger than a patch, so that training can move the centroid about and crop with
nigroedge's own preprocessing each time. Rendering costs far more than reading: a cohort is rendered
once, and the folder's name holds a digest of the generator's source and of everything else that the
windows depend on.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt

import nigroedge.phantom
from export.progress import track
from export.samples import subject_seed
from nigroedge.model import ModelSpec
from nigroedge.phantom import SIDES, draw_subject, patch_grid, render
from nigroedge.preprocess import prepare_patch
from nigroedge.volume import Volume

Floats = npt.NDArray[np.float64]
Patches = npt.NDArray[np.float32]

#: Voxels of a window along the slab's axes: a patch of 50 × 50 × 20 and room to move it.
WINDOW_SHAPE = (60, 60, 26)
#: Largest stored value, as a 12-bit scanner stores it.
STORED_MAXIMUM = 4095


@dataclass(frozen=True)
class CohortConfig:
    """What decides a cohort: the same config gives the same windows."""

    participants: int
    seed: int
    reader_jitter_mm: float


@dataclass(frozen=True, eq=False)
class Windows:
    """The cohort, two rows a participant: left, then right.

    Parameters
    ----------
    voxels : (n, *WINDOW_SHAPE) int16 ndarray
        As a scanner would store them; mapped from disk.
    affine : (n, 4, 4) float64 ndarray
        Voxel index of the window → RAS mm.
    centroid_mm : (n, 3) float64 ndarray
        As marked by the reader, RAS mm.
    sbr, expected_sbr : (n,) float64 ndarray
        Measured, and its mean given the hidden state of the nigra.
    intact : (n,) bool ndarray
        What the reader says.
    """

    voxels: npt.NDArray[np.int16]
    affine: npt.NDArray[np.float64]
    centroid_mm: npt.NDArray[np.float64]
    sbr: npt.NDArray[np.float64]
    expected_sbr: npt.NDArray[np.float64]
    intact: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.sbr)

    def patches(self, rows: Iterable[int], spec: ModelSpec, shifts_mm: Floats) -> Patches:
        """Crop and normalise some rows as a model says, each centroid moved by its shift.

        Parameters
        ----------
        shifts_mm : (n, 3) float64 ndarray
            One shift a row, along the patient's axes.

        Returns
        -------
        (n, X, Y, Z) float32 ndarray
            Mirrored where the spec says so.
        """
        prepared = [
            prepare_patch(
                Volume(self.voxels[row], self.affine[row]),
                self.centroid_mm[row] + shift,
                spec.grid_for(SIDES[row % 2]),
                spec.normalize,
            )
            for row, shift in zip(rows, shifts_mm, strict=True)
        ]
        return np.stack([patch.values for patch in prepared])


def load_windows(config: CohortConfig, cache: Path, *, workers: int) -> Windows:
    """Read the cohort from the cache; render it first if it is not there.

    Parameters
    ----------
    cache : Path
        Folder of all cohorts; made if absent.
    workers : int
        Processes to render with. The voxels do not depend on it.
    """
    folder = cache / cohort_name(config)
    if not folder.is_dir():
        _render_cohort(config, folder, workers)
    arrays = {f.name: np.load(folder / f"{f.name}.npy", mmap_mode="r") for f in fields(Windows)}
    return Windows(**arrays)


def cohort_name(config: CohortConfig) -> str:
    """Name a cohort after its size and all that decides its voxels, the generator's source too."""
    generator = sorted(Path(nigroedge.phantom.__path__[0]).glob("*.py"))
    parts = [
        *(file.read_text(encoding="utf-8") for file in generator),
        json.dumps(asdict(config), sort_keys=True),
        str((WINDOW_SHAPE, STORED_MAXIMUM, subject_seed("train", config.seed, 0))),
    ]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"{config.participants}-participants-{digest[:12]}"


def _render_cohort(config: CohortConfig, folder: Path, workers: int) -> None:
    """Render into a folder beside, renamed when whole, so that no cut-off cohort is read."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    jobs = [(config, index) for index in range(config.participants)]
    shape = (2 * config.participants, *WINDOW_SHAPE)
    voxels = np.lib.format.open_memmap(partial / "voxels.npy", "w+", np.int16, shape)
    rows: list[dict[str, npt.ArrayLike]] = []
    # spawn: torch's threads are running by now, and a forked child may wait for one that is not
    # there.
    with get_context("spawn").Pool(workers) as pool:
        done = pool.imap(_participant, jobs, chunksize=4)
        for both in track(done, "rendering participants", total=len(jobs)):
            for window, row in both:
                voxels[len(rows)] = window
                rows.append(row)
    voxels.flush()
    for name in rows[0]:
        np.save(partial / f"{name}.npy", np.array([row[name] for row in rows]))
    partial.rename(folder)


def _participant(
    job: tuple[CohortConfig, int],
) -> list[tuple[npt.NDArray[np.int16], dict[str, npt.ArrayLike]]]:
    config, index = job
    subject = draw_subject(
        subject_seed("train", config.seed, index), reader_jitter_mm=config.reader_jitter_mm
    )
    both = []
    for side in SIDES:
        state = subject.left if side == "left" else subject.right
        volume = render(subject, *patch_grid(subject, side, WINDOW_SHAPE))
        stored = np.rint(np.clip(volume.voxels, 0, STORED_MAXIMUM)).astype(np.int16)
        row: dict[str, npt.ArrayLike] = {
            "affine": volume.affine,
            "centroid_mm": state.centroid_mm,
            "sbr": state.sbr,
            "expected_sbr": state.expected_sbr,
            "intact": state.intact,
        }
        both.append((stored, row))
    return both
