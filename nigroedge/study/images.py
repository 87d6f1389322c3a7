# SPDX-License-Identifier: Apache-2.0
"""The images that a cohort table names: whether they open and hold the patches that rows ask for.

An image's path may hold a name or an identifier; no message repeats it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from nigroedge.errors import InputError, TableError
from nigroedge.grid import PatchGrid
from nigroedge.io.nifti import load_volume
from nigroedge.names import quoted, readable
from nigroedge.preprocess import PATCH_AXES, PATCH_SHAPE, PATCH_SPACING_MM, prepare_patch
from nigroedge.study.table import Row, listed


def check_images(
    rows: Sequence[Row], *, progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Make sure that every row's image opens and holds the patch around the row's centroid.

    The patch is that of the published method (`nigroedge.crop_patch`). Each image is opened once.

    Parameters
    ----------
    rows : sequence of Row
        With image and centre_mm.
    progress : callable
        Called with the number of images done and of all.

    Raises
    ------
    TableError
        Every problem, by line; without the images' paths, which may hold identifiers.
    """
    by_image: dict[Path | None, list[Row]] = defaultdict(list)
    for row in rows:
        by_image[row.image].append(row)
    problems: list[tuple[int, str]] = []
    for done, (image, of_image) in enumerate(by_image.items(), 1):
        problems += _image_problems(image, of_image)
        progress(done, len(by_image))
    if problems:
        raise TableError("images of the table", listed(problems))


def _image_problems(image: Path | None, rows: Sequence[Row]) -> Iterator[tuple[int, str]]:
    if image is None:
        yield from ((row.line, "expected image, got nothing") for row in rows)
        return
    try:
        volume = load_volume(image)
    except InputError as error:
        for row in rows:
            yield row.line, f"image: {without_path(error, image)}"
        return
    grid = PatchGrid(PATCH_SHAPE, PATCH_SPACING_MM, PATCH_AXES)
    for row in rows:
        if row.centre_mm is None:
            yield row.line, "expected x, y and z, got nothing"
            continue
        try:
            prepare_patch(volume, row.centre_mm, grid, "zscore")
        except InputError as error:
            yield row.line, f"image: {without_path(error, image)}"


def without_path(error: Exception, image: Path) -> str:
    """Give an error's text without the image's path and name, which may hold identifiers."""
    text = str(error).removeprefix(f"{quoted(image)}: ").replace(readable(image), "IMAGE")
    stem = image.name.partition(".")[0]
    return re.sub(rf"{re.escape(stem)}(\.\w+)+", "IMAGE", text) if stem else text
