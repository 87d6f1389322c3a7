# SPDX-License-Identifier: Apache-2.0
"""The voxels that a patch is cut from: which they are, and how they come into memory.

A volume in memory stays where it is. Of one that lies in a file, the windows of all patches are
read at once where they overlap, as those of left and right do: rows of a slab hold both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nigroedge import _core
from nigroedge.errors import InputError
from nigroedge.grid import PatchGrid
from nigroedge.io.file_array import FileArray
from nigroedge.volume import Volume

if TYPE_CHECKING:
    import numpy.typing as npt

#: No more than this of an image in a file is read at once: a patch of the finest, 0.05 mm, has 200
#: to 800 MB.
MAX_WINDOW_BYTES = 1 << 30


class Window(NamedTuple):
    """A box of voxels: [begin, end) along each axis of a volume."""

    begin: Sequence[int]
    end: Sequence[int]

    @property
    def n_voxels(self) -> int:
        """How many voxels the box has."""
        return math.prod(e - b for b, e in zip(self.begin, self.end, strict=True))


class Held(NamedTuple):
    """Voxels of a volume that are in memory, and the index of their first."""

    voxels: npt.NDArray[Any]
    begin: Sequence[int]


def window_of(volume: Volume, centre_mm: Iterable[float], grid: PatchGrid) -> Window:
    """Find the voxels that the patch around a centroid is cut from; nothing is read.

    Parameters
    ----------
    volume : Volume
    centre_mm : three floats
        RAS+ millimetres.
    grid : PatchGrid

    Raises
    ------
    GeometryError
        If there is no such patch; see `nigroedge.preprocess.crop_patch`.
    """
    shape = volume.stored.shape
    where = point(centre_mm), grid.shape, grid.spacing_mm
    return Window(*_core.patch_window(shape, volume.affine, *where, grid.axes, grid.flipped))


def hold(volume: Volume, windows: Sequence[Window]) -> list[Held]:
    """Bring the voxels of windows into memory.

    Returns
    -------
    list of Held
        What holds each window; the same for all that were read at once.

    Raises
    ------
    InputError
        If the file that they lie in has changed, cannot be read, or more than 1 GiB of it would be
        needed.
    """
    stored = volume.stored
    if not isinstance(stored, FileArray):
        return [Held(stored, (0, 0, 0))] * len(windows)
    begins, ends = zip(*windows, strict=True)
    hull = Window([*map(min, zip(*begins, strict=True))], [*map(max, zip(*ends, strict=True))])
    if hull.n_voxels > sum(window.n_voxels for window in windows):  # far apart
        return [_read(stored, window) for window in windows]
    return [_read(stored, hull)] * len(windows)


def _read(stored: FileArray, window: Window) -> Held:
    n_bytes = window.n_voxels * stored.dtype.itemsize
    if n_bytes > MAX_WINDOW_BYTES:
        raise InputError(
            f"expected a patch that needs at most {MAX_WINDOW_BYTES} bytes of the image, got one "
            f"that needs {n_bytes}: resample the image to voxels nearer to the patch's"
        )
    return Held(stored.window(window.begin, window.end), window.begin)


def point(centre_mm: Iterable[float]) -> tuple[float, float, float]:
    """Give a centroid as the core takes it."""
    try:
        x, y, z = centre_mm
    except ValueError:
        raise InputError(
            f"expected a centroid of three coordinates in mm, got {centre_mm}"
        ) from None
    return float(x), float(y), float(z)
