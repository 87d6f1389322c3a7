# SPDX-License-Identifier: Apache-2.0
"""Patches to calibrate a quantisation with, or to check a model on: simulated, or from a table.

Every patch is cropped and normalised by nigroedge's own preprocessing, as the model file says, so
that what the networks see here is what they see in use.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from export.progress import track
from nigroedge.errors import InputError, TableError
from nigroedge.io.nifti import load_volume
from nigroedge.names import quoted, readable
from nigroedge.phantom import SIDES, SLAB_SPACING_MM, Side, draw_subject, patch_grid, render
from nigroedge.preprocess import prepare_patch
from nigroedge.spec import ModelSpec
from nigroedge.study.images import Owners, without_path
from nigroedge.study.table import Row as TableRow
from nigroedge.study.table import Split, read_table

Purpose = Literal["calibrate", "check", "cohort"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")

#: First subject of each purpose; those from 3 << 30 on are verify's and the demonstration's. No
#: subject serves two purposes: a model is never checked on a person that it has learned from or
#: been calibrated with.
_FIRST_SUBJECT: dict[Purpose, int] = {
    "calibrate": 1 << 30,
    "check": 2 << 30,
    "cohort": 5 << 30,
}
#: Subjects that one --seed has for itself.
SUBJECTS_PER_SEED = 1 << 16
#: Seeds that a purpose has room for.
SEEDS_PER_PURPOSE = (1 << 30) // SUBJECTS_PER_SEED


def subject_seed(purpose: Purpose, seed: int, index: int) -> int:
    """Give the seed of one subject of a purpose, disjoint from every other purpose and seed.

    Raises
    ------
    InputError
        If the purpose has no such seed, or the seed no such subject.
    """
    for name, value, number in (
        ("a seed", seed, SEEDS_PER_PURPOSE),
        ("a subject of a seed", index, SUBJECTS_PER_SEED),
    ):
        if not 0 <= value < number:
            raise InputError(f"expected {name} from 0 to {number - 1}, got {value}")
    return _FIRST_SUBJECT[purpose] + seed * SUBJECTS_PER_SEED + index


#: Axis of the simulated slab along each direction, and voxels to render beyond the patch.
_SLAB_AXIS = {"L": 0, "R": 0, "P": 1, "A": 1, "S": 2, "I": 2}
_MARGIN = 4


@dataclass(frozen=True, eq=False)
class Samples:
    """Patches as a network takes them, and what was measured.

    Parameters
    ----------
    patches : (n, X, Y, Z) float32 ndarray
        Cropped, mirrored and normalised.
    sbr : (n,) float64 ndarray
        Measured SBR; NaN where it is not known.
    origin : str
        Where they come from, for a model card or a report.
    """

    patches: npt.NDArray[np.float32]
    sbr: npt.NDArray[np.float64]
    origin: str

    def __len__(self) -> int:
        return len(self.patches)


def simulated_samples(spec: ModelSpec, *, purpose: Purpose, n_patches: int, seed: int) -> Samples:
    """Simulate subjects and prepare their patches, each side that the model serves in turn.

    Raises
    ------
    InputError
        If the purpose has no such seed, or the seed not so many subjects.
    """
    most = SUBJECTS_PER_SEED * len(_served(spec))
    if n_patches > most:
        raise InputError(f"expected at most {most} patches of one seed, got {n_patches}")
    drawn = islice(_simulated(spec, purpose, seed), n_patches)
    rows = list(track(drawn, "simulating patches", total=n_patches, leave=False))
    return _samples(rows, f"{n_patches} simulated patches, seed {seed} for {purpose}")


def table_samples(spec: ModelSpec, table: Path, *, split: Split | None = None) -> Samples:
    """Prepare the patches that a cohort table lists.

    Parameters
    ----------
    table : Path
        With image, x, y and z on every row; sbr where it is known. Sides that the model does not
        serve are left out.
    split : {'train', 'validation', 'test'}, optional
        Where the table has splits, take the rows of this one alone; the others need no image.

    Raises
    ------
    InputError
        If the table cannot be read or no row is left; TableError, one of them, lists what is wrong.
    """
    others = () if split is None else tuple(other for other in SPLITS if other != split)
    listed = read_table(table, need=("image", "x", "y", "z"), unscanned=others)
    dealt = split is not None and listed[0].split is not None  # on every row or on none
    asked = [row for row in listed if not dealt or row.split == split]
    served = [row for row in asked if row.side in _served(spec)]
    if not served:
        of = f"side {spec.side}" + (f" and split {split}" if dealt else "")
        raise InputError(f"{quoted(table)}: expected at least one row of {of}, got none")
    rows, problems, owners = list[Row](), list[str](), Owners()
    for row in track(served, "cutting patches", total=len(served), leave=False):
        try:
            rows.append(_prepared(spec, row, owners))
        except InputError as error:
            problems.append(f"line {row.line}: {without_path(error, row.image or table)}")
    if problems:
        raise TableError("images of the table", problems)
    whose = "" if split is None else f", split {split}" if dealt else ", which has no splits"
    counted = "1 patch" if len(rows) == 1 else f"{len(rows)} patches"
    return _samples(rows, f"{counted} of {readable(table.name)}{whose}")


def has_split(table: Path, split: Split) -> bool:
    """Whether a cohort table has rows of a split.

    Raises
    ------
    InputError
        As `table_samples`.
    """
    return any(row.split == split for row in read_table(table, unscanned=SPLITS))


def _prepared(spec: ModelSpec, row: TableRow, owners: Owners) -> Row:
    if row.image is None or row.centre_mm is None:
        raise InputError(f"line {row.line}: expected image, x, y and z")
    volume = load_volume(row.image)
    patch = prepare_patch(volume, row.centre_mm, spec.grid_for(row.side), spec.normalize)
    problem = owners.problem(volume, row)
    if problem:
        raise InputError(problem)
    return patch.values, math.nan if row.sbr is None else row.sbr


Row = tuple[npt.NDArray[np.float32], float]


def _simulated(spec: ModelSpec, purpose: Purpose, seed: int) -> Iterator[Row]:
    shape = _window_shape(spec)
    for index in count():
        subject = draw_subject(subject_seed(purpose, seed, index))
        for side in _served(spec):
            state = subject.left if side == "left" else subject.right
            volume = render(subject, *patch_grid(subject, side, shape))
            patch = prepare_patch(volume, state.centroid_mm, spec.grid_for(side), spec.normalize)
            yield patch.values, state.sbr


def _window_shape(spec: ModelSpec) -> tuple[int, int, int]:
    """Give the voxels of the simulated slab, along its axes, that hold a patch and some more."""
    grid = spec.grid
    extent_mm = {
        _SLAB_AXIS[letter]: n * spacing
        for letter, n, spacing in zip(grid.axes, grid.shape, grid.spacing_mm, strict=True)
    }
    x, y, z = (math.ceil(extent_mm[i] / SLAB_SPACING_MM[i]) + _MARGIN for i in range(3))
    return x, y, z


def _served(spec: ModelSpec) -> list[Side]:
    return [side for side in SIDES if spec.side in (side, "both")]


def _samples(rows: list[Row], origin: str) -> Samples:
    patches, sbr = zip(*rows, strict=True)
    return Samples(np.stack(patches), np.array(sbr), origin)
