# SPDX-License-Identifier: Apache-2.0
"""Voxels and where they are.

A Volume holds the voxels as they are stored, of any numeric type and any strides, and never
copies them; what a voxel is worth and where it lies are said beside it. Left and right are the
patient's and come from the affine alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nigroedge.errors import GeometryError, InputError

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
    parts : tuple of path-like, optional
        All files that the volume came from, if they are more than one: header, then image.
    read_ms : float, optional
        How long reading took, in milliseconds.
    """

    path: str | os.PathLike[str]
    parts: tuple[str | os.PathLike[str], ...] = ()
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
        """SHA-256 of the file, in hexadecimal; of the parts, one after the other, if there are any.

        Of the bytes as they lie on disk, read when first asked for.
        """
        import hashlib  # it loads OpenSSL: best where `hashing` asks

        digest = hashlib.sha256()
        for part in self.parts or (self.path,):
            with open(part, "rb", buffering=0) as file:
                hashlib.file_digest(file, lambda: digest)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels and where they are.

    Parameters
    ----------
    voxels : (nx, ny, nz) ndarray
        As stored: 8, 16 or 32 bit integers or 32 or 64 bit floats, in either byte order, with any
        strides. Not copied.
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
        voxels = np.asanyarray(self.voxels)
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
        object.__setattr__(self, "affine", _checked_affine(self.affine))
        object.__setattr__(self, "slope", float(self.slope))
        object.__setattr__(self, "intercept", float(self.intercept))


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
