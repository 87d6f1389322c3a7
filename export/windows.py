# SPDX-License-Identifier: Apache-2.0
"""The images of a cohort table, each cut down to a window around its centroid and kept on disk.

A window lies on the grid of the patches and reaches some voxels beyond one, so that training can
move and turn the patch in it; its middle is, to the bit, the patch that nigroedge cuts. Opening an
image costs far more than reading a window: a table is cut once, and the folder's name holds a
digest of the images, the centroids and the grid.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt

from export.progress import track
from nigroedge.errors import InputError, TableError
from nigroedge.grid import PatchGrid
from nigroedge.io.file_array import FileArray
from nigroedge.io.nifti import load_volume
from nigroedge.io.open_file import OpenFile, about
from nigroedge.io.writing import scratch_folder
from nigroedge.preprocess import crop_on_grid, normalize, prepare_patch
from nigroedge.spec import ModelSpec
from nigroedge.study.images import Owners, without_path
from nigroedge.study.table import Row
from nigroedge.volume import Volume

Floats = npt.NDArray[np.float64]
Window = npt.NDArray[np.float32]
Patches = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]

#: Voxels of a window beyond the patch, at both ends of each patch axis: room for training to move
#: the centroid by 3, and in the plane for the corners of a patch turned by 8° (12.5 mm · sin 8°).
MARGIN = (5, 5, 3)

_FILE_NAME = "voxels.npy"
_STORED = np.dtype("<f4")


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of a table's rows.

    Parameters
    ----------
    rows : tuple of Row
        With image, centre_mm and sbr.
    voxels : (n, X, Y, Z) float32 FileArray
        Values of the image on the grid of the patches, `MARGIN` larger at each end, mirrored where
        the model mirrors; on disk.
    """

    rows: tuple[Row, ...]
    voxels: FileArray

    def __len__(self) -> int:
        return len(self.rows)

    def window(self, index: int) -> Window:
        """Read the window of a row.

        Raises
        ------
        InputError
            If its file has changed since it was opened, or cannot be read.
        """
        return self.voxels.part(index)

    @property
    def sbr(self) -> Floats:
        """Measured SBR of each row."""
        return np.array([row.sbr for row in self.rows], np.float64)


def load_windows(rows: Sequence[Row], spec: ModelSpec, cache: Path) -> Windows:
    """Read the windows of a table from the cache; cut them first if they are not there.

    Parameters
    ----------
    rows : sequence of Row
        With image and centre_mm.
    spec : ModelSpec
        Of the model to train: grid, side, mirror and mirror_centre.
    cache : Path
        Folder of all tables' windows; made if absent.

    Raises
    ------
    TableError
        If an image cannot be read or does not hold the patch: every such row.
    InputError
        If the cache cannot be written or read, or is damaged.
    """
    folder = cache / windows_name(rows, spec)
    if not folder.is_dir():
        _cut_table(rows, spec, folder)
    shape = (len(rows), *window_shape(spec.grid))
    return Windows(tuple(rows), _opened(folder / _FILE_NAME, shape))


def _opened(path: Path, shape: tuple[int, ...]) -> FileArray:
    with about(path):
        file = OpenFile(str(path))
        header = _npy_header(shape)
        size = len(header) + math.prod(shape) * _STORED.itemsize
        if file.size != size or file.read(len(header), 0) != header:
            raise InputError(
                f"expected {shape[0]} windows in {size} bytes, got another file of {file.size}; "
                f"remove the folder, then they are cut anew"
            )
        return FileArray(file, path, _STORED, len(header), shape, order="C")


def _npy_header(shape: tuple[int, ...]) -> bytes:
    """Give what a .npy file of windows begins with."""
    header = io.BytesIO()
    said = {"descr": _STORED.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, said)
    return header.getvalue()


def windows_name(rows: Sequence[Row], spec: ModelSpec) -> str:
    """Name the windows after their number and all that decides their voxels.

    An image is known by its path, size and time of change, so that a cohort of whole scans need not
    be read to know that it is the same.
    """
    known = [(spec.grid, spec.mirror, spec.mirror_centre, spec.normalize, MARGIN)]
    parts = [repr(known), *(repr((_image_state(r), r.side, r.centre_mm)) for r in rows)]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"{len(rows)}-windows-{digest[:12]}"


def _image_state(row: Row) -> tuple[str, int, int]:
    image = _image(row)
    try:
        state = image.stat()
    except OSError:
        return str(image), 0, 0  # cutting says what is wrong
    return str(image.resolve()), state.st_size, state.st_mtime_ns


def _image(row: Row) -> Path:
    if row.image is None:
        raise InputError(f"line {row.line}: expected an image, got none")
    return row.image


def _cut_table(rows: Sequence[Row], spec: ModelSpec, folder: Path) -> None:
    """Cut into a folder beside, renamed when whole, so that no cut-off work is read."""
    problems: list[str] = []
    cut = track(_cut_rows(rows, spec, problems), "cutting windows", total=len(rows))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with about(folder), scratch_folder(folder) as scratch:
        whole = scratch / folder.name
        whole.mkdir()
        with (whole / _FILE_NAME).open("wb") as file:
            file.write(_npy_header((len(rows), *window_shape(spec.grid))))
            for window in cut:
                file.write(window.astype(_STORED).tobytes())
        if not problems:
            _take_name(whole, folder)
    if problems:
        raise TableError("images of the table", problems)


def _take_name(whole: Path, folder: Path) -> None:
    try:
        whole.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another run has cut the same meanwhile
            raise


def _cut_rows(rows: Sequence[Row], spec: ModelSpec, problems: list[str]) -> Iterator[Window]:
    """Cut each row's window; an empty one where there is a problem, which is noted."""
    nothing, owners = np.zeros(window_shape(spec.grid), np.float32), Owners()
    for image, group in groupby(rows, key=_image):
        volume: Volume | None = None
        for row in group:
            window = nothing
            try:
                volume = volume or load_volume(image)
                window = cut_window(volume, row, spec)
                problem = owners.problem(volume, row)
                problems += [f"line {row.line}: {problem}"] if problem else []
            except InputError as error:
                problems.append(f"line {row.line}: {without_path(error, image)}")
            yield window


def window_shape(grid: PatchGrid) -> tuple[int, int, int]:
    """Give the voxels of a window around a patch of this grid."""
    x, y, z = (n + 2 * m for n, m in zip(grid.shape, MARGIN, strict=True))
    return x, y, z


def cut_window(volume: Volume, row: Row, spec: ModelSpec) -> Window:
    """Cut the window around a row's centroid: values of the image, not normalised.

    The patch itself has to be one that nigroedge takes. What of the window lies outside the image
    repeats the image's edge, as in a patch.

    Raises
    ------
    InputError
        As `nigroedge.preprocess.prepare_patch`; DegeneratePatchError and GeometryError are among
        them.
    """
    if row.centre_mm is None:
        raise InputError("expected a centroid, got none")
    grid = spec.grid_for(row.side)
    prepare_patch(volume, row.centre_mm, grid, spec.normalize)
    wider = replace(grid, shape=window_shape(grid))
    return crop_on_grid(_padded(volume, grid), row.centre_mm, wider)


def prepared(windows: Windows, rows: Rows, spec: ModelSpec) -> Patches:
    """Give the rows' patches as the model will see them in use: (n, X, Y, Z)."""
    inner = tuple(slice(m, m + n) for m, n in zip(MARGIN, spec.grid.shape, strict=True))
    cut = (np.ascontiguousarray(windows.window(row)[inner]) for row in rows)
    return np.stack([normalize(patch, spec.normalize) for patch in cut])


def _padded(volume: Volume, grid: PatchGrid) -> Volume:
    """Repeat the edge of an image as far as a window may reach beyond a patch."""
    reach_mm = max(n * mm for n, mm in zip(MARGIN, grid.spacing_mm, strict=True))
    spacing_mm = np.linalg.norm(volume.affine[:3, :3], axis=0)
    pad = [int(n) + 1 for n in np.ceil(reach_mm / spacing_mm)]
    affine = volume.affine.copy()
    affine[:3, 3] -= volume.affine[:3, :3] @ pad
    voxels = np.pad(volume.voxels, [(n, n) for n in pad], mode="edge")
    return replace(volume, voxels=voxels, affine=affine)
