# SPDX-License-Identifier: Apache-2.0
"""What a NIfTI header says, checked as far as a header can be checked without its file.

Nothing is passed on that contradicts the standard or itself. Field names are those of nifti1.h.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from nigroedge.errors import FormatError, GeometryError, InputError
from nigroedge.io.nifti_fields import DATATYPES, Fields, qform, read_fields, sform
from nigroedge.volume import STORED_DTYPES

if TYPE_CHECKING:
    import numpy.typing as npt

#: Bytes that hold a header of either version.
MAX_HEADER_BYTES = 540

#: Bytes that may follow the voxels: some programs pad a file to a block. More of them, or as many
#: as a slice along any axis has, mean that the header describes less than the file holds.
MAX_TRAILING_BYTES = 4096

#: How far a corner of the volume may move from sform to qform before they are said to disagree.
MAX_TRANSFORM_GAP_MM = 1.0

#: Share by which a column of the sform may differ from pixdim: what counts as one spacing when a
#: patch is cut, and more than comes of pixdim's being rounded to two digits.
MAX_LENGTH_GAP = 0.01

#: Stored types that are made narrower as they are read.
NARROWED_DTYPES = ("i8", "u8")

TRANSFORMS = ("sform", "qform")

#: What a transform leads to: the scanner's coordinates, those of another image, a standard space.
Frame = Literal["scanner", "aligned", "standard"]
#: By the codes of nifti1.h; beyond these are standard spaces. Programs write 2
#: for want of a better too, as nibabel does unless it is told.
_FRAMES: dict[int, Frame] = {1: "scanner", 2: "aligned"}
#: From the best known on.
FRAMES: tuple[Frame, ...] = (*_FRAMES.values(), "standard")


class _Version(NamedTuple):
    """Where the versions of NIfTI differ; the byte numbers are those of nifti1.h and nifti2.h."""

    number: int
    magic_at: int
    single_magic: bytes
    pair_magic: bytes
    single_vox_offset: int


#: By the header's first field, sizeof_hdr.
_VERSIONS = {
    348: _Version(1, 344, b"n+1\0", b"ni1\0", 352),
    540: _Version(2, 4, b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n", 544),
}

#: xyzt_units & 7. A header that does not say is taken as millimetres, as every reader does. Metres
#: and micrometres are refused: programs differ on whether the transform is to be scaled by them, so
#: the landmarks that come with such a file could mean either.
_MILLIMETRES = (0, 2)
_OTHER_UNITS = {1: "metres", 3: "micrometres"}


class Layout(NamedTuple):
    """How the voxels lie in their file, in Fortran order, and the bits that bitpix says of each."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    bitpix: int

    @property
    def end(self) -> int:
        """Number of the byte after the last voxel."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize

    def check_size(self, size: int) -> None:
        """Hold the layout against the bytes of the file, gunzipped.

        Writers are known whose bitpix is not that of their datatype: the file's size decides.

        Raises
        ------
        FormatError
            If they are fewer, or more than some programs pad a file with; if bitpix is wrong,
            unless they are just those of the datatype.
        """
        said = f"header says {self.shape} voxels ({self.end} bytes)"
        if self.bitpix != 8 * self.dtype.itemsize and size != self.end:
            raise FormatError(
                f"expected bitpix {8 * self.dtype.itemsize} with {self.dtype.name} voxels, got "
                f"{self.bitpix}, and a file of another size than its {self.end} bytes"
            )
        if size < self.end:
            raise FormatError(
                f"{said}, but the file holds {size} bytes: cut short, or the header is wrong"
            )
        slice_bytes = (self.end - self.offset) // max(self.shape)
        if size >= self.end + min(MAX_TRAILING_BYTES + 1, slice_bytes):
            more = min(MAX_TRAILING_BYTES, slice_bytes - 1)
            raise FormatError(
                f"{said}, but the file holds more than {more} bytes beyond them: the header is "
                f"wrong"
            )


class NiftiHeader(NamedTuple):
    """A header of either version, and of either byte order.

    Parameters
    ----------
    fields : numpy.void
        The fields as stored, unchecked.
    is_single : bool
        Whether the voxels follow in the same file.
    layout : Layout
        Shape, type and place of the voxels.
    slope, intercept : float
        The value of a voxel is slope · stored + intercept.
    """

    fields: Fields
    is_single: bool
    layout: Layout
    slope: float
    intercept: float

    @classmethod
    def from_bytes(cls, content: bytes, *, max_dims: int = 3) -> NiftiHeader:
        """Take a header from the first bytes of a file.

        Parameters
        ----------
        content : bytes
            MAX_HEADER_BYTES of them, or the whole file.
        max_dims : int
            3 for one volume; 5 for volumes along an axis of echoes and one of channels.

        Raises
        ------
        FormatError
            If this is no NIfTI header, or one that contradicts the standard or itself.
        InputError
            If it describes more than one volume, or voxels of a type that is not served.
        """
        version, order = _recognise(content)
        fields, is_single = _fields(content, version, order)
        dtype = _dtype(fields, order)
        least = version.single_vox_offset if is_single else 0
        offset = _vox_offset(fields, least, dtype.itemsize)
        layout = Layout(_shape(fields, max_dims), dtype, offset, int(fields["bitpix"]))
        return cls(fields, is_single, layout, *_slope_and_intercept(fields))

    def affine(self, transform: str | None = None) -> npt.NDArray[np.float64]:
        """Give voxel index → RAS+ millimetres, (4, 4) float64.

        The sform if its code is positive, else the qform; or the one that is named.

        Raises
        ------
        GeometryError
            If no transform is coded or not the one named; if none is named and both are coded but
            disagree on handedness or by more than 1 mm at a corner of the volume, or the sform is
            taken and its columns are not as long as pixdim says, within 1 %; or if lengths are not
            in millimetres.
        """
        _check_units(self.fields)
        coded = [name for name in TRANSFORMS if int(self.fields[f"{name}_code"]) > 0]
        if not coded:
            raise GeometryError(
                "expected a transform to the patient, got none: sform_code and qform_code are 0"
            )
        if transform is not None and transform not in coded:
            raise GeometryError(f"expected a {transform}, got none: {transform}_code is 0")
        with np.errstate(all="ignore"):  # hostile floats overflow; what comes of it is refused
            if transform is None and len(coded) == 2:
                _check_agreement(sform(self.fields), qform(self.fields), self.layout.shape[:3])
            if transform is None and coded[0] == "sform":
                _check_lengths(sform(self.fields), self.fields)
            return (sform if (transform or coded[0]) == "sform" else qform)(self.fields)

    def frame(self, transform: str | None = None) -> Frame:
        """Tell what the affine leads to; of two transforms that agree, by the better known."""
        names = TRANSFORMS if transform is None else (transform,)
        codes = {int(self.fields[f"{name}_code"]) for name in names}
        return next((frame for code, frame in _FRAMES.items() if code in codes), "standard")


Order = Literal["<", ">"]


def _recognise(content: bytes) -> tuple[_Version, Order]:
    orders: tuple[Order, Order] = ("<", ">")
    for order in orders:
        size = int(np.frombuffer(content[:4].ljust(4, b"\0"), f"{order}i4")[0])
        if size in _VERSIONS and len(content) >= size:
            return _VERSIONS[size], order
    from nigroedge.io.kind import kind_of_no_image  # where something is wrong already

    found = kind_of_no_image(content)
    got = "found no such header" if found is None else f"got {found}"
    raise FormatError(f"expected a NIfTI-1 or NIfTI-2 file, {got}")


def _fields(content: bytes, version: _Version, order: Order) -> tuple[Fields, bool]:
    magic = content[version.magic_at : version.magic_at + len(version.single_magic)]
    if magic not in (version.single_magic, version.pair_magic):
        raise FormatError(
            f"expected the magic of NIfTI-{version.number} in byte {version.magic_at}, found other "
            f"bytes: damaged, or ANALYZE 7.5, which cannot tell left from right"
        )
    fields = read_fields(content, version=version.number, order=order)
    return fields, magic == version.single_magic


def _shape(fields: Fields, max_dims: int) -> tuple[int, ...]:
    n_dims, *dims = (int(n) for n in fields["dim"])
    if not 1 <= n_dims <= 7:
        raise FormatError(f"expected 1 to 7 dimensions in dim[0], got {n_dims}")
    dims = dims[:n_dims]
    if min(dims) < 1:
        raise FormatError(f"expected dimensions of at least 1, got {dims}")
    if n_dims < 3:
        raise InputError(f"expected an image of 3 dimensions, got {dims}")
    if max_dims == 3 and math.prod(dims[3:]) > 1:
        raise InputError(
            f"expected one volume, got {math.prod(dims[3:])} (dimensions {dims}); write the one "
            f"that is meant to a file of its own"
        )
    if math.prod(dims[max_dims:]) > 1:
        raise InputError(f"expected an image of up to {max_dims} dimensions, got {dims}")
    return tuple(dims[:max_dims])


def _dtype(fields: Fields, order: Order) -> np.dtype[Any]:
    code = int(fields["datatype"])
    if code not in DATATYPES:
        raise FormatError(f"expected a NIfTI datatype, got the unknown code {code}")
    name, stored = DATATYPES[code]
    if stored not in (*STORED_DTYPES, *NARROWED_DTYPES):
        raise InputError(
            f"expected voxels of integers or of 32 or 64 bit floats, "
            f"got {name} (NIfTI datatype {code})"
        )
    return np.dtype(stored).newbyteorder(order)


def _vox_offset(fields: Fields, least: int, itemsize: int) -> int:
    offset = float(fields["vox_offset"])
    if not (math.isfinite(offset) and offset >= least and offset % itemsize == 0):
        raise FormatError(
            f"expected a vox_offset of at least {least}, and a multiple of the voxel's {itemsize} "
            f"bytes, got {offset:g}"
        )
    return int(fields["vox_offset"])


def _slope_and_intercept(fields: Fields) -> tuple[float, float]:
    slope, intercept = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise FormatError(f"expected a finite scl_slope and scl_inter, got {slope}, {intercept}")
    return slope, intercept


def _check_units(fields: Fields) -> None:
    code = int(fields["xyzt_units"]) & 7
    if code not in _MILLIMETRES:
        unit = _OTHER_UNITS.get(code, f"unit code {code}")
        raise GeometryError(f"expected lengths in millimetres, got {unit}")


def _check_agreement(
    sform: npt.NDArray[np.float64], qform: npt.NDArray[np.float64], shape: tuple[int, ...]
) -> None:
    # The gap is a convex function of the voxel index, so that it is largest at a corner.
    corners = np.indices((2, 2, 2)).reshape(3, 8) * np.reshape(shape, (3, 1)) - 0.5
    gap_mm = np.linalg.norm((sform - qform) @ np.vstack([corners, np.ones(8)]), axis=0).max()
    mirrored = np.linalg.det(sform[:3, :3]) * np.linalg.det(qform[:3, :3]) < 0
    if not mirrored and gap_mm <= MAX_TRANSFORM_GAP_MM:
        return
    reason = "on handedness" if mirrored else f"by {gap_mm:.1f} mm at a corner"
    raise GeometryError(
        f"expected sform and qform to agree within {MAX_TRANSFORM_GAP_MM:g} mm, but they disagree "
        f"{reason}; say which one is right: transform 'sform' or 'qform'"
    )


def _check_lengths(affine: npt.NDArray[np.float64], fields: Fields) -> None:
    """Hold the lengths of an affine's columns against pixdim, where pixdim says any.

    A qform's columns are of pixdim's length by definition. Signs are left alone: some writers keep
    there what was mirrored.
    """
    columns = np.linalg.norm(affine[:3, :3], axis=0)
    said = np.abs(np.asarray(fields["pixdim"][1:4], np.float64))
    says_nothing = (said == 0) | ~np.isfinite(columns) | (columns == 0)  # no affine: refused later
    agrees = says_nothing | (np.abs(columns / said - 1) <= MAX_LENGTH_GAP)  # NaN does not
    if not agrees.all():
        raise GeometryError(
            f"expected voxels of one size, but pixdim says {_list(said)} mm and the columns of the "
            f"sform are {_list(columns)} mm long; if the sform is right: transform 'sform'"
        )


def _list(values: npt.NDArray[np.float64]) -> str:
    return " ".join(f"{value:.4g}" for value in values)
