# SPDX-License-Identifier: Apache-2.0
"""The fields of a NIfTI header and the two transforms that they spell, after nifti1.h and nifti2.h.

nibabel does this too, but importing it takes longer than everything else between the start of a
process and its answer; a test holds these few lines against it. Nothing is checked here but what a
transform cannot be computed without.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from nigroedge.errors import GeometryError

if TYPE_CHECKING:
    import numpy.typing as npt

Fields = np.void

#: Name → (type, first byte) in each version, for the fields that are read here.
_PLACES = {
    1: {
        "dim": ("8i2", 40),
        "datatype": ("i2", 70),
        "bitpix": ("i2", 72),
        "pixdim": ("8f4", 76),
        "vox_offset": ("f4", 108),
        "scl_slope": ("f4", 112),
        "scl_inter": ("f4", 116),
        "xyzt_units": ("u1", 123),
        "qform_code": ("i2", 252),
        "sform_code": ("i2", 254),
        "quatern": ("3f4", 256),
        "qoffset": ("3f4", 268),
        "srow": ("(3, 4)f4", 280),
    },
    2: {
        "datatype": ("i2", 12),
        "bitpix": ("i2", 14),
        "dim": ("8i8", 16),
        "pixdim": ("8f8", 104),
        "vox_offset": ("i8", 168),
        "scl_slope": ("f8", 176),
        "scl_inter": ("f8", 184),
        "qform_code": ("i4", 344),
        "sform_code": ("i4", 348),
        "quatern": ("3f8", 352),
        "qoffset": ("3f8", 376),
        "srow": ("(3, 4)f8", 400),
        "xyzt_units": ("i4", 500),
    },
}
_HEADER_BYTES = {1: 348, 2: 540}


class Datatype(NamedTuple):
    """A way to store a voxel: its name, and numpy's where numpy has one."""

    name: str
    numpy: str | None = None


#: By the code of the field datatype.
DATATYPES = {
    0: Datatype("unknown"),
    1: Datatype("binary"),
    2: Datatype("uint8", "u1"),
    4: Datatype("int16", "i2"),
    8: Datatype("int32", "i4"),
    16: Datatype("float32", "f4"),
    32: Datatype("complex64", "c8"),
    64: Datatype("float64", "f8"),
    128: Datatype("RGB"),
    256: Datatype("int8", "i1"),
    512: Datatype("uint16", "u2"),
    768: Datatype("uint32", "u4"),
    1024: Datatype("int64", "i8"),
    1280: Datatype("uint64", "u8"),
    1536: Datatype("float128"),
    1792: Datatype("complex128", "c16"),
    2048: Datatype("complex256"),
    2304: Datatype("RGBA"),
}

#: 1 − b² − c² − d² closer to 0 than this is 0: three squares rounded to float32.
_MAX_EXCESS = 3 * float(np.finfo(np.float32).eps)


def read_fields(content: bytes, *, version: int, order: Literal["<", ">"]) -> Fields:
    """Take the fields out of the first bytes of a file.

    Parameters
    ----------
    content : bytes
        At least the header, 348 or 540 of them.
    version : {1, 2}
    order : {'<', '>'}
        Of the bytes of each number.

    Returns
    -------
    numpy.void
        Read by name; `quatern`, `qoffset` and `srow` are the three fields each that begin so.
    """
    places = _PLACES[version]
    dtype = np.dtype(
        {
            "names": list(places),
            "formats": [kind for kind, _ in places.values()],
            "offsets": [byte for _, byte in places.values()],
            "itemsize": _HEADER_BYTES[version],
        }
    )
    fields: Fields = np.frombuffer(content, dtype.newbyteorder(order), 1)[0]
    return fields


def sform(fields: Fields) -> npt.NDArray[np.float64]:
    """Give the sform, voxel index → world, (4, 4)."""
    affine = np.eye(4)
    affine[:3] = fields["srow"]
    return affine


def qform(fields: Fields) -> npt.NDArray[np.float64]:
    """Give the qform, voxel index → world, (4, 4), by "method 2" of nifti1.h.

    Raises
    ------
    GeometryError
        If the quaternion is none, pixdim[0] is neither 1 nor −1 (0 counts as 1), or a voxel's size
        is negative.
    """
    handedness, *sizes = (float(value) for value in fields["pixdim"][:4])
    handedness = handedness or 1.0  # nifti1.h: "if pixdim[0]=0 … it should be taken as 1"
    if handedness not in (1.0, -1.0):
        raise GeometryError(
            f"expected a valid qform, got {handedness:g} as pixdim[0] (qfac), which is 1 or -1"
        )
    if min(sizes) < 0:
        raise GeometryError(f"expected a qform of positive voxel sizes, got {_list(sizes)}")
    affine = np.eye(4)
    affine[:3, :3] = _rotation(fields["quatern"]) * [*sizes[:2], sizes[2] * handedness]
    affine[:3, 3] = fields["qoffset"]
    return affine


def _rotation(quatern: Any) -> npt.NDArray[np.float64]:
    """Give the rotation of the unit quaternion a + bi + cj + dk whose a ≥ 0 is not stored."""
    b, c, d = (float(value) for value in quatern)
    rest = 1 - (b * b + c * c + d * d)
    if rest < -_MAX_EXCESS:
        raise GeometryError(f"expected a valid qform, got the quaternion {_list((b, c, d))}")
    a = math.sqrt(rest) if rest > _MAX_EXCESS else 0.0
    norm = a * a + b * b + c * c + d * d
    turn = [
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ]
    return np.array(turn, np.float64) / norm


def _list(values: Any) -> str:
    return ", ".join(f"{value:g}" for value in values)
