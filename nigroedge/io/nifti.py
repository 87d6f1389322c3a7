# SPDX-License-Identifier: Apache-2.0
"""Read a NIfTI-1 or NIfTI-2 image into a Volume or a Series of them, or write a Volume as one.

Nothing that a header says is believed before it is compared with the file. The voxels stay as they
are stored: in the file where it is not compressed, gunzipped once where it is. A file is known by
its content, not by its name; only the two files of a pair are found by their names.
"""

from __future__ import annotations

import os
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from nigroedge.errors import FormatError, InputError
from nigroedge.io.file_array import FileArray
from nigroedge.io.nifti_header import (
    MAX_HEADER_BYTES,
    MAX_TRAILING_BYTES,
    NARROWED_DTYPES,
    TRANSFORMS,
    Frame,
    Layout,
    NiftiHeader,
)
from nigroedge.io.open_file import OpenFile, about
from nigroedge.volume import Source, Volume

if TYPE_CHECKING:
    import numpy.typing as npt

    from nigroedge.io.gunzip import GunzipStream
    from nigroedge.io.writing import Together

_GZIP_MAGIC = b"\x1f\x8b"

#: No more than this is gunzipped: 512³ voxels of float64. A larger image belongs on disk
#: uncompressed, where no more of it is read than is needed.
MAX_GUNZIPPED_BYTES = 1 << 30

#: Deflate cannot do better than this (zlib's technical notes): a stream that is to give more bytes
#: than this times the compressed file is refused before anything is allocated.
MAX_RATIO = 1032

#: Suffix of one file of a pair → suffix of the other.
_OTHER_SUFFIX = {".hdr": ".img", ".img": ".hdr", ".HDR": ".IMG", ".IMG": ".HDR"}

#: The four bytes between a NIfTI-1 header and its voxels.
_NO_EXTENSIONS = b"\0\0\0\0"


def load_volume(path: str | os.PathLike[str], *, transform: str | None = None) -> Volume:
    """Read a NIfTI image: .nii, .nii.gz, or either file of a .hdr/.img pair.

    The file is held open, and voxels that are not compressed are read where they are needed. What
    is written to meanwhile, cut short or added to is an InputError then; a prediction notices at
    the latest when it hashes the file. One that is replaced or removed stays what it was.

    Dimensions beyond the third are dropped if they hold one voxel. A scl_slope of 0 or NaN means
    slope 1 and intercept 0. Of the two transforms the sform is taken if its code is positive, else
    the qform.

    Parameters
    ----------
    path : path-like
        The image.
    transform : {'sform', 'qform'}, optional
        Take this one, whatever the other says.

    Returns
    -------
    Volume
        Voxels of shape (nx, ny, nz) as stored, in Fortran order and the file's byte order; 64 bit
        integers as 32 bit ones or, beyond those, float64.

    Raises
    ------
    FormatError
        If the file is not NIfTI, is damaged or cut short, or its header contradicts itself or the
        file.
    GeometryError
        If no transform is coded, both are and disagree on handedness or by more than 1 mm at a
        corner of the volume, or lengths are not in millimetres.
    InputError
        If the file cannot be read, holds more than one volume or more than 1 GiB gunzipped, or
        voxels of a type that is not served (RGB, complex, long doubles, 64 bit integers beyond
        2⁵³).
    """
    series = _load(path, transform, max_dims=3)
    with about(path), np.errstate(all="ignore"):  # a hostile affine overflows: refused
        return series.volume()


def load_series(path: str | os.PathLike[str], *, transform: str | None = None) -> Series:
    """Read a NIfTI image of one volume or more: along a fourth axis, and a fifth.

    As `load_volume` does, but for the number of dimensions, up to 5.
    """
    return _load(path, transform, max_dims=5)


class Series(NamedTuple):
    """Volumes that share their place.

    Parameters
    ----------
    voxels : (nx, ny, nz, …) ndarray or FileArray
        As stored, of 3 to 5 dimensions.
    affine : (4, 4) ndarray
        Voxel index → RAS+ millimetres.
    slope, intercept : float
        The value of a voxel is slope · stored + intercept.
    source : Source
        The file that the voxels came from.
    frame : {'scanner', 'aligned', 'standard'}
        What the affine leads to, see `NiftiHeader.frame`.
    """

    voxels: npt.NDArray[Any] | FileArray
    affine: npt.NDArray[np.float64]
    slope: float
    intercept: float
    source: Source
    frame: Frame = "scanner"

    def volume(self) -> Volume:
        """The one volume of a series of one."""
        voxels = cast("npt.NDArray[Any]", self.voxels)  # which is what a Volume makes of it
        return Volume(voxels, self.affine, self.slope, self.intercept, self.source)

    def values(self) -> npt.NDArray[np.float32]:
        """What the voxels are worth: slope · stored + intercept, rounded once to float32."""
        values = np.empty(self.voxels.shape, np.float32)
        is_plain = (self.slope, self.intercept) == (1.0, 0.0)
        for i in range(values.shape[-1]):  # by parts, so that no file is in memory twice
            stored = self.voxels
            part = stored.part(i) if isinstance(stored, FileArray) else stored[..., i]
            # In float64: float32 would lose what is stored beside a large intercept.
            values[..., i] = part if is_plain else part * np.float64(self.slope) + self.intercept
        return values


def _load(named: str | os.PathLike[str], transform: str | None, *, max_dims: int) -> Series:
    if transform is not None and transform not in TRANSFORMS:
        raise ValueError(f"expected transform 'sform' or 'qform', got {transform!r}")
    start = perf_counter()
    path = os.fspath(named)
    with about(path):
        header_path = _beside(path) if _is_image_of_pair(path) else path
        header_file = voxel_file = OpenFile(header_path)
        header = _read_header(header_file, max_dims)
        voxel_path = header_path if header.is_single else _beside(header_path)
        if path not in (header_path, voxel_path):
            raise FormatError(
                f"expected {os.path.basename(header_path)!r} to be the header of a pair"
            )
        affine = header.affine(transform)
        if not header.is_single:
            voxel_file = OpenFile(voxel_path)
        voxels = _read_voxels(voxel_file, named, header.layout)
        files = (voxel_file,) if header.is_single else (header_file, voxel_file)
        source = Source(named, files, (perf_counter() - start) * 1e3)
        frame = header.frame(transform)
        return Series(voxels, affine, header.slope, header.intercept, source, frame)


def save_volume(
    volume: Volume, path: str | os.PathLike[str], *, among: Together | None = None
) -> None:
    """Write a volume as a new NIfTI-1 file, its voxels, slope and intercept as they are.

    The file is there whole or not at all.

    Parameters
    ----------
    volume : Volume
        The affine is written as sform, in float32 as the format has it.
    path : path-like
        Ends in .nii or .nii.gz; must not exist.
    among : Together, optional
        Files that it is one of: it gets its name when they do.

    Raises
    ------
    InputError
        If the name ends otherwise, the file exists or cannot be written, or a dimension is more
        than the 32767 of the format.
    """
    from nigroedge.io.writing import write_file

    path = os.fspath(path)
    with about(path):
        if not path.endswith((".nii", ".nii.gz")):
            raise InputError("expected a name that ends in .nii or .nii.gz")
        content = _header_bytes(volume) + volume.voxels.tobytes(order="F")
        if path.endswith(".gz"):
            import gzip  # with its imports, a fiftieth of a cold start

            content = gzip.compress(content, mtime=0)
    (among.write if among is not None else write_file)(path, content)


def _is_image_of_pair(path: str) -> bool:
    return path.lower().endswith((".img", ".img.gz"))


def _beside(path: str) -> str:
    """The other file of a .hdr/.img pair, which must be there."""
    gz = path[-3:] if path.lower().endswith(".gz") else ""
    stem, suffix = os.path.splitext(path.removesuffix(gz))
    if suffix not in _OTHER_SUFFIX:
        raise FormatError("expected the header of a pair to be named .hdr and the image .img")
    other = stem + _OTHER_SUFFIX[suffix] + gz
    if not os.path.exists(other):
        name = os.path.basename(other)
        raise InputError(f"expected the other file of the pair beside it, found no {name!r}")
    return other


def _is_gzip(file: OpenFile) -> bool:
    return file.read(len(_GZIP_MAGIC), 0) == _GZIP_MAGIC


def _gunzip(file: OpenFile) -> GunzipStream:
    from nigroedge.io.gunzip import GunzipStream  # with zlib, where there is gzip

    return GunzipStream(file.reader())


def _read_header(file: OpenFile, max_dims: int) -> NiftiHeader:
    start = file.read(MAX_HEADER_BYTES, 0)
    if start.startswith(_GZIP_MAGIC):
        start = _gunzip(file).read(MAX_HEADER_BYTES)
    return NiftiHeader.from_bytes(start, max_dims=max_dims)


def _read_voxels(
    file: OpenFile, path: str | os.PathLike[str], layout: Layout
) -> npt.NDArray[Any] | FileArray:
    if _is_gzip(file):
        return _served(_gunzipped(file, layout))
    layout.check_size(file.size)
    voxels = FileArray(file, path, layout.dtype, layout.offset, layout.shape, order="F")
    if layout.dtype.str[1:] not in NARROWED_DTYPES:
        return voxels
    if layout.end > MAX_GUNZIPPED_BYTES:
        raise InputError(
            f"expected at most {MAX_GUNZIPPED_BYTES} bytes of 64 bit integers, got {layout.end}; "
            f"store them in 16 or 32 bits"
        )
    return _served(voxels.read())


def _served(voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if voxels.dtype.str[1:] not in NARROWED_DTYPES:
        return voxels
    from nigroedge.io.narrow import narrowed  # nearly no image needs it

    return narrowed(voxels)


def _gunzipped(file: OpenFile, layout: Layout) -> npt.NDArray[Any]:
    if layout.end > file.size * MAX_RATIO:
        raise FormatError(
            f"header says {layout.shape} voxels ({layout.end} bytes), more than the "
            f"{file.size} bytes of the file can hold: cut short, or the header is wrong"
        )
    if layout.end > MAX_GUNZIPPED_BYTES:
        raise InputError(
            f"expected at most {MAX_GUNZIPPED_BYTES} bytes gunzipped, got {layout.end}; gunzip the "
            f"file first, then it is read from disk"
        )
    stream = _gunzip(file)
    content = np.empty(layout.end, np.uint8)
    filled = stream.read_into(content)
    # Reading on to the end also has the checksum compared; a bomb stops here.
    layout.check_size(filled + len(stream.read(MAX_TRAILING_BYTES + 1)))
    file.check_unchanged()
    return content[layout.offset :].view(layout.dtype).reshape(layout.shape, order="F")


def _header_bytes(volume: Volume) -> bytes:
    from nibabel.nifti1 import Nifti1Header

    if max(volume.voxels.shape) > np.iinfo(np.int16).max:
        raise InputError(f"expected dimensions up to 32767, got {volume.voxels.shape}")
    endianness = ">" if volume.voxels.dtype.str[0] == ">" else "<"
    header = Nifti1Header(endianness=endianness)
    header.set_data_dtype(volume.voxels.dtype)
    header.set_data_shape(volume.voxels.shape)
    header.set_sform(volume.affine, code="scanner")
    header.set_zooms(np.linalg.norm(volume.affine[:3, :3], axis=0))
    header.set_xyzt_units("mm")
    header["scl_slope"], header["scl_inter"] = volume.slope, volume.intercept
    header["vox_offset"] = len(header.binaryblock) + len(_NO_EXTENSIONS)
    return bytes(header.binaryblock) + _NO_EXTENSIONS
