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
from nigroedge.volume import Volume


def check_images(
    rows: Sequence[Row], *, progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Make sure that every row's image opens and holds the patch around the row's centroid.

    The patch is that of the published method (`nigroedge.crop_patch`). Each image is opened once,
    and is one participant's alone.

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
    grid, owners = PatchGrid(PATCH_SHAPE, PATCH_SPACING_MM, PATCH_AXES), Owners()

    def crop(volume: Volume, place: int) -> str | None:
        row = rows[place]
        if row.centre_mm is None:
            return "expected x, y and z, got nothing"
        try:
            prepare_patch(volume, row.centre_mm, grid, "zscore")
        except InputError as error:
            return f"image: {without_path(error, row.image)}"
        return owners.problem(volume, row)

    problems: list[tuple[int, str]] = []
    images = by_image(rows)
    for done, places in enumerate(images, 1):
        problems += image_problems(rows, places, crop)
        progress(done, len(images))
    if problems:
        raise TableError("images of the table", listed(problems))


def by_image(rows: Sequence[Row]) -> list[list[int]]:
    """Give the places of each image's rows among all rows, in the order of the images."""
    places: dict[Path | None, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        places[row.image].append(place)
    return list(places.values())


def image_problems(
    rows: Sequence[Row], places: Sequence[int], work: Callable[[Volume, int], str | None]
) -> Iterator[tuple[int, str]]:
    """Open the image of some rows, work on each of them, and give what is wrong by line.

    Parameters
    ----------
    rows : sequence of Row
    places : sequence of int
        Of rows with one image.
    work : callable
        Takes the open image and a place; gives what is wrong with the row there, if anything.
    """
    image = rows[places[0]].image
    problem = "expected image, got nothing"
    try:
        volume = None if image is None else load_volume(image)
    except InputError as error:
        volume, problem = None, f"image: {without_path(error, image)}"
    for place in places:
        found = problem if volume is None else work(volume, place)
        if found is not None:
            yield rows[place].line, found


class Owners:
    """Whose each image is: one file under two identities is one person counted twice, or worse."""

    def __init__(self) -> None:
        self._first: dict[str, Row] = {}

    def problem(self, volume: Volume, row: Row) -> str | None:
        """Say if another participant's row has the same image, whatever its name; it is hashed."""
        if volume.source is None:
            return None
        first = self._first.setdefault(volume.source.sha256, row)
        if first.participant_id == row.participant_id:
            return None
        return (
            f"expected an image of each participant, got that of line {first.line}, another "
            f"participant's"
        )


def without_path(error: Exception, image: Path | None) -> str:
    """Give an error's text without the image's path and name, which may hold identifiers."""
    if image is None:
        return str(error)
    text = str(error).removeprefix(f"{quoted(image)}: ").replace(readable(image), "IMAGE")
    stem = image.name.partition(".")[0]
    return re.sub(rf"{re.escape(stem)}(\.\w+)+", "IMAGE", text) if stem else text
