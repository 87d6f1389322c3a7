# SPDX-License-Identifier: Apache-2.0
"""Voxels and where they are.

A Volume holds the voxels as they are stored, of any numeric type and any strides, and never
copies them, or knows the file in which they lie; what a voxel is worth and where it lies are said
beside it. Left and right are the patient's and come from the affine alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nigroedge.errors import GeometryError, InputError
from nigroedge.io.file_array import FileArray
from nigroedge.io.open_file import OpenFile, about

if TYPE_CHECKING:
    import numpy.typing as npt

#: Stored types that the C++ kernels read in place, in either byte order.
STORED_DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8")


@dataclass(frozen=True)
class Source:
    """The file that a volume came from.

    Parameters
    ----------
    path : path-like
        As the user named it.
    files : tuple of OpenFile, optional
        What was read: header, then image, where they are two.
    read_ms : float, optional
        How long reading took, in milliseconds.
    """

    path: str | os.PathLike[str]
    files: tuple[OpenFile, ...] = field(default=(), repr=False)
    read_ms: float | None = None

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return os.path.basename(self.path)

    @property
    def is_hashed(self) -> bool:
        """Whether sha256 was asked for before, and costs nothing now."""
        return "sha256" in vars(self)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file, in hexadecimal; of header and image, in this order, if two.

        Of the bytes as they lie on disk, read when first asked for: those that the volume came
        from, or an InputError.
        """
        import hashlib  # it loads OpenSSL: best where `hashing` asks

        digest = hashlib.sha256()
        with about(self.path):
            for file in self.files or (OpenFile(os.fspath(self.path)),):
                for chunk in file.chunks():
                    digest.update(chunk)
        return digest.hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        """Travel to another process, which may not have the file, with the hash and without it."""
        return {**vars(self), "files": (), "sha256": self.sha256}


#: Where a Volume keeps voxels that lie in a file until they are asked for.
_UNREAD = "_unread"


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels and where they are.

    Parameters
    ----------
    voxels : (nx, ny, nz) ndarray or FileArray
        As stored: 8, 16 or 32 bit integers or 32 or 64 bit floats, in either byte order, with any
        strides. Not copied. One that lies in a file is read, whole, when `voxels` is first asked
        for; a prediction reads no more of it than its patches need.
    affine : (4, 4) array_like
        Voxel index → RAS+ millimetres, float64.
    slope, intercept : float
        The value of a voxel is slope · stored + intercept.
    source : Source, optional
        The file that the voxels came from.

    Raises
    ------
    InputError
        If the voxels are not three-dimensional, empty, or of a type not listed above, or the slope
        is zero or not finite.
    GeometryError
        If the affine is not a finite, invertible (4, 4) matrix with last row 0 0 0 1.
    """

    voxels: npt.NDArray[Any]
    affine: npt.NDArray[np.float64]
    slope: float = 1.0
    intercept: float = 0.0
    source: Source | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        voxels = self.voxels if isinstance(self.voxels, FileArray) else np.asanyarray(self.voxels)
        if voxels.ndim != 3:
            raise InputError(f"expected voxels of 3 dimensions, got shape {voxels.shape}")
        if voxels.size == 0:
            raise InputError(f"expected at least one voxel, got shape {voxels.shape}")
        if voxels.dtype.str[1:] not in STORED_DTYPES:
            raise InputError(
                f"expected voxels of 8, 16 or 32 bit integers or 32 or 64 bit floats, "
                f"got {voxels.dtype}"
            )
        if not (np.isfinite(self.slope) and np.isfinite(self.intercept) and self.slope != 0):
            raise InputError(
                f"expected a finite intercept and a finite slope other than 0, "
                f"got slope {self.slope} and intercept {self.intercept}"
            )
        object.__setattr__(self, "voxels", voxels)
        if isinstance(voxels, FileArray):
            vars(self)[_UNREAD] = vars(self).pop("voxels")
        object.__setattr__(self, "affine", _checked_affine(self.affine))
        object.__setattr__(self, "slope", float(self.slope))
        object.__setattr__(self, "intercept", float(self.intercept))

    @property
    def stored(self) -> npt.NDArray[Any] | FileArray:
        """The voxels where they are: nothing is read."""
        unread: FileArray | None = vars(self).get(_UNREAD)
        return self.voxels if unread is None else unread

    if not TYPE_CHECKING:  # where types are checked, there is no attribute but those above

        def __getattr__(self, name: str) -> Any:
            """Read voxels that lie in a file when they are first asked for."""
            known = vars(self)
            unread = known.get(_UNREAD)
            if name == "voxels" and unread is not None:
                known["voxels"] = unread.read()
                known.pop(_UNREAD, None)  # another thread may have been here
            if name not in known:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            return known[name]

    def __getstate__(self) -> dict[str, Any]:
        """Travel to another process, which may not have the file, with the voxels in memory."""
        return {"voxels": self.voxels, **vars(self)}

    def __repr__(self) -> str:
        """Say what it is; voxels in a file are not read for it."""
        return (
            f"Volume(voxels={self.stored!r}, affine={self.affine!r}, slope={self.slope}, "
            f"intercept={self.intercept})"
        )


def _checked_affine(affine: npt.ArrayLike) -> npt.NDArray[np.float64]:
    matrix = np.array(affine, dtype=np.float64, order="C")  # as the kernels read it
    if matrix.shape != (4, 4):
        raise GeometryError(f"expected an affine of shape (4, 4), got {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise GeometryError("expected a finite affine, got NaN or infinity in it")
    if matrix[3].tolist() != [0, 0, 0, 1]:
        raise GeometryError(f"expected the affine's last row to be 0 0 0 1, got {matrix[3]}")
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if lengths.min() == 0 or abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-3:
        raise GeometryError("expected an invertible affine, got one that flattens the volume")
    matrix.setflags(write=False)
    return matrix
