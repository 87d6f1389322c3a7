# SPDX-License-Identifier: Apache-2.0
"""A cohort on disk: a table, one row a side, and the images that it names.

Simulated participants are scanned physically or by the fast path, each by itself from a seed of its
own, so that neither the number of processes nor a run that was cut off changes a bit. Real ones
come from a group's own table, which is checked whole before anything is written.
"""

from __future__ import annotations

import ast
import hashlib
import json
import signal
import threading
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Literal, get_args

import numpy as np

import nigroedge.phantom
import nigroedge.smwi
from export.progress import Bar, bar
from export.samples import SUBJECTS_PER_SEED, subject_seed
from nigroedge.errors import InputError
from nigroedge.io.nifti import save_volume
from nigroedge.io.writing import remove_leftovers, together, write_file
from nigroedge.phantom import SIDES, Side, Subject, draw_subject, patch_grid, render
from nigroedge.phantom.scan import stored
from nigroedge.study.images import check_images
from nigroedge.study.table import Row, Split, read_table, table_content, write_table
from nigroedge.volume import Volume

ScanPath = Literal["physical", "fast"]

SPLITS: tuple[Split, ...] = get_args(Split)
#: The cohort of Bae 2023: 74 of 367 participants test; a tenth of the others validates.
STUDY_PARTICIPANTS, STUDY_TEST, STUDY_VALIDATION = 367, 74, 29
#: Voxels of an image along the slab's axes: a patch of 50 × 50 × 20, and room to move and turn it.
IMAGE_SHAPE = (64, 64, 28)
TABLE_NAME, CONFIG_NAME, IMAGES = "table.tsv", "cohort.json", "images"


@dataclass(frozen=True)
class CohortConfig:
    """What decides the participants of a cohort, but how many there are.

    Parameters
    ----------
    scan : {'physical', 'fast'}
        Field, echoes and reconstruction; or the ideal SMWI, blurred, with noise.
    seed : int
    reader_jitter_mm : float
        SD of the marked centroid about nigrosome-1 along each axis.
    """

    scan: ScanPath
    seed: int
    reader_jitter_mm: float = 0.5


def simulate_cohort(
    config: CohortConfig,
    participants: int,
    folder: Path,
    *,
    workers: int,
    scanned: Collection[Split] = SPLITS,
) -> Path:
    """Simulate what is not yet there; write the table when all is.

    Parameters
    ----------
    participants : int
        The first ones of the seed: a cohort may be continued to a larger one.
    folder : Path
        Made if absent; one that a run left behind, cut off or not, is continued.
    workers : int
        Processes; the bits do not depend on it.
    scanned : collection of {'train', 'validation', 'test'}
        Participants of other splits are in the table, with their labels and without images.

    Returns
    -------
    Path
        Of the table.

    Raises
    ------
    InputError
        If the folder holds another cohort, or there are too few participants to split or too many
        for a seed.
    """
    if participants > SUBJECTS_PER_SEED:
        raise InputError(
            f"expected at most {SUBJECTS_PER_SEED} participants of one seed, got {participants}"
        )
    subject_seed("cohort", config.seed, participants - 1)  # refuses before anything is written
    splits = deal(participants, config.seed)
    images = folder / IMAGES
    _claim(folder, config)
    images.mkdir(exist_ok=True)
    remove_leftovers(images)
    wanted = [n for n in range(participants) if splits[n] in scanned]
    missing = [n for n in wanted if not all(p.exists() for p in _files(images, n))]
    done = len(wanted) - len(missing)
    with _processes(max(1, min(workers, len(missing)))) as pool:
        written = pool.imap_unordered(partial(_write_images, config, images), missing)
        with bar(f"{config.scan} scans", total=len(wanted), done=done) as shown:
            for _ in written:
                shown.update()
    rows = [
        row
        for n, split in enumerate(splits)
        for row in _rows(config, n, split, images if split in scanned else None)
    ]
    write_table(folder / TABLE_NAME, rows)
    return folder / TABLE_NAME


def check_cohort(table: Path, folder: Path, *, seed: int) -> Path:
    """Check a group's own table and every image in it; deal splits if there are none.

    Parameters
    ----------
    table : Path
        As nigroedge.study.table describes it.
    folder : Path
        Where the checked table goes, with paths that are right from there. One that the same table
        and seed have made stays as it is.
    seed : int
        Of the deal.

    Raises
    ------
    TableError
        Everything that is wrong, in one list; nothing is written then.
    InputError
        If the folder holds another cohort.
    """
    rows = read_table(table, need=("image", "x", "y", "z", "sbr"))
    if not any(row.split for row in rows):
        rows = dealt(rows, seed)
    path = folder / TABLE_NAME
    content = table_content(path, rows)
    if path.exists() and path.read_bytes() != content:
        raise InputError(
            f"{str(folder)!r}: expected no other cohort, got a {TABLE_NAME} that another table or "
            f"seed has made; name another folder"
        )
    n_images = len({row.image for row in rows})
    with bar("checking images", total=n_images) as shown:
        check_images(rows, progress=lambda done, total: _count(shown))
    folder.mkdir(parents=True, exist_ok=True)
    write_file(path, content, if_exists="replace")
    return path


def deal(participants: int, seed: int) -> list[Split]:
    """Deal participants out as the study did, 264 of 367 to train, 29 to validate, 74 to test.

    They are dealt block by block of 367, so that a cohort's first blocks are the same however many
    follow. The last block, when smaller, has the same shares; the first has at least one of each.

    Raises
    ------
    InputError
        If there are fewer than 3.
    """
    if participants < 3:
        raise InputError(f"expected at least 3 participants to split, got {participants}")
    splits: list[Split] = []
    for block, first in enumerate(range(0, participants, STUDY_PARTICIPANTS)):
        n = min(STUDY_PARTICIPANTS, participants - first)
        least = 1 if block == 0 else 0
        n_test = max(least, round(n * STUDY_TEST / STUDY_PARTICIPANTS))
        n_validation = max(least, round(n * STUDY_VALIDATION / STUDY_PARTICIPANTS))
        order = np.random.default_rng((seed, block)).permutation(n)
        dealt: list[Split] = ["train"] * n
        for place, index in enumerate(order[: n_test + n_validation]):
            dealt[index] = "test" if place < n_test else "validation"
        splits += dealt
    return splits


def dealt(rows: Sequence[Row], seed: int) -> list[Row]:
    """Deal the participants of a table, in the order in which they appear."""
    names = list(dict.fromkeys(row.participant_id for row in rows))
    split_of = dict(zip(names, deal(len(names), seed), strict=True))
    return [replace(row, split=split_of[row.participant_id]) for row in rows]


def _processes(number: int) -> Pool:
    """Start processes that leave Ctrl-C to this one, which ends them."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main_thread else None
    try:
        # spawn: numerical libraries may have started threads, and a forked child waits for them.
        return get_context("spawn").Pool(number)
    finally:
        if in_main_thread:
            signal.signal(signal.SIGINT, before)


def _count(shown: Bar) -> None:
    shown.update()


def _claim(folder: Path, config: CohortConfig) -> None:
    """Write down what the folder holds, or refuse one that holds something else."""
    path = folder / CONFIG_NAME
    wanted = asdict(config) | {"generator": generator_digest(), "image_shape": list(IMAGE_SHAPE)}
    if path.exists():
        found = _record(path)
        differing = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
        if differing:
            raise InputError(
                f"{str(folder)!r}: expected no other cohort, got one that differs in "
                f"{', '.join(differing)}; name another folder"
            )
        return
    if (folder / TABLE_NAME).exists():
        raise InputError(
            f"{str(folder)!r}: expected no other cohort, got a {TABLE_NAME} without a "
            f"{CONFIG_NAME}; name another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(wanted, indent=1) + "\n", if_exists="replace")


def _record(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{str(path)!r}: expected a cohort's record, got no JSON") from error
    if not isinstance(found, dict):
        raise InputError(f"{str(path)!r}: expected a cohort's record, got other JSON")
    return found


def generator_digest() -> str:
    """Give a digest of the code that makes the images, phantom and reconstruction.

    Comments and docstrings do not count.
    """
    digest = hashlib.sha256()
    for package in (nigroedge.phantom, nigroedge.smwi):
        for file in sorted(Path(package.__path__[0]).glob("*.py")):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                body = getattr(node, "body", None)
                if isinstance(body, list) and body and _is_text(body[0]):
                    body[0] = ast.Pass()
            digest.update(f"{file.name}\0{ast.dump(tree)}\0".encode())
    return digest.hexdigest()[:16]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _name(number: int) -> str:
    return f"sim-{number + 1:05d}"


def _files(images: Path, number: int) -> list[Path]:
    return [images / f"{_name(number)}_{side}.nii" for side in SIDES]


def _subject(config: CohortConfig, number: int) -> Subject:
    seed = subject_seed("cohort", config.seed, number)
    return draw_subject(seed, reader_jitter_mm=config.reader_jitter_mm)


def _write_images(config: CohortConfig, images: Path, number: int) -> None:
    """Scan one participant and store both sides."""
    scanned = _scan(config, _subject(config, number))
    with together() as files:
        for side, path in zip(SIDES, _files(images, number), strict=True):
            path.unlink(missing_ok=True)
            volume = Volume(stored(scanned[side].voxels), scanned[side].affine)
            save_volume(volume, path, among=files)


def _scan(config: CohortConfig, subject: Subject) -> dict[Side, Volume]:
    if config.scan == "fast":
        return {side: render(subject, *patch_grid(subject, side, IMAGE_SHAPE)) for side in SIDES}
    from nigroedge.phantom.acquisition import scan_windows

    return scan_windows(subject, IMAGE_SHAPE)


def _rows(config: CohortConfig, number: int, split: Split, images: Path | None) -> list[Row]:
    subject = _subject(config, number)
    files = [None] * len(SIDES) if images is None else _files(images.absolute(), number)
    return [
        Row(
            participant_id=_name(number),
            side=side,
            image=path,
            centre_mm=subject.side(side).centroid_mm,
            sbr=subject.side(side).sbr,
            reading="intact" if subject.side(side).intact else "lost",
            spect="abnormal" if subject.diseased else "normal",
            split=split,
            expected_sbr=subject.side(side).expected_sbr,
        )
        for side, path in zip(SIDES, files, strict=True)
    ]
