# SPDX-License-Identifier: Apache-2.0
"""Shapes of the phantom: bent ellipsoids and capsules, and how deep a point lies in them.

Everything on arrays is +, −, ×, ÷ and √ of float32, which every processor rounds alike; small
matrices are multiplied in one fixed order for the same reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Vector = tuple[float, float, float]
Frame = tuple[Vector, Vector, Vector]
Floats = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

UPRIGHT: Frame = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class Blob:
    """An ellipsoid, bent along its first axis.

    Parameters
    ----------
    centre, radii : (float, float, float)
        Millimetres; radii along the three axes.
    axes : three unit vectors
        First, second and third axis of the ellipsoid.
    bend : float
        The third coordinate is raised by bend · first², 1/mm.
    """

    centre: Vector
    radii: Vector
    axes: Frame = UPRIGHT
    bend: float = 0.0

    @property
    def volume_mm3(self) -> float:
        """Volume; a bend does not change it."""
        return 4 / 3 * math.pi * math.prod(self.radii)

    def at(self, first: float, second: float, third: float) -> Vector:
        """Give the point at these millimetres along the bent axes."""
        steps = (first, second, third + self.bend * first * first)
        p, q, n = (np.array(axis) * step for axis, step in zip(self.axes, steps, strict=True))
        return as_vector(np.array(self.centre) + p + q + n)


@dataclass(frozen=True)
class Vessel:
    """A vein: capsules between successive points."""

    points: tuple[Vector, ...]
    radius: float


def as_vector(values: npt.ArrayLike) -> Vector:
    """Give three floats as a tuple."""
    x, y, z = np.asarray(values, np.float64).tolist()
    return x, y, z


def right_angled(first: npt.ArrayLike, second: npt.ArrayLike) -> Frame:
    """Give unit axes: the first, the second made square to it, and their cross product."""
    p = _unit(np.asarray(first, np.float64))
    q = np.asarray(second, np.float64)
    q = _unit(q - p * float((p * q).sum()))
    return as_vector(p), as_vector(q), as_vector(np.cross(p, q))


def _unit(v: Matrix) -> Matrix:
    return np.asarray(v / math.sqrt(float((v * v).sum())))


def rotation(degrees: npt.ArrayLike) -> Matrix:
    """Give Rz · Ry · Rx for angles about x, y and z, (3, 3)."""
    (cx, sx), (cy, sy), (cz, sz) = ((math.cos(a), math.sin(a)) for a in np.radians(degrees))
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return product(rz, product(ry, rx))


def product(a: Matrix, b: Matrix) -> Matrix:
    """Multiply small matrices in one fixed order; BLAS would round as it likes."""
    total = a[:, :1] * b[:1]
    for k in range(1, a.shape[1]):
        total = total + a[:, k : k + 1] * b[k : k + 1]
    return np.asarray(total)


def affine_of(linear: Matrix, shift: npt.ArrayLike) -> Matrix:
    """Give the (4, 4) matrix of x → linear · x + shift."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, shift
    return matrix


def apply(affine: Matrix, point: npt.ArrayLike) -> Vector:
    """Map one point."""
    return as_vector(product(affine, np.append(np.asarray(point, np.float64), 1.0)[:, None])[:3, 0])


def smooth_step(distance: Floats, width: float) -> Floats:
    """Turn a depth in mm into a share of the voxel: a cubic step from 0 to 1, this wide, ½ at 0."""
    t = distance * np.float32(1 / width)
    t += np.float32(0.5)
    np.clip(t, 0, 1, out=t)
    return np.asarray(t * t * (np.float32(3) - np.float32(2) * t), np.float32)


def blob_depth(points: Sequence[Floats], blob: Blob) -> Floats:
    """Give the depth below the surface of a bent ellipsoid, mm; negative outside.

    To first order, (1 − ρ²) / |∇ρ²| with ρ² the ellipsoid's quadratic form: exact at the surface.
    """
    offset = [p - np.float32(c) for p, c in zip(points, blob.centre, strict=True)]
    local = [_dot(axis, offset) for axis in blob.axes]
    if blob.bend:
        local[2] -= np.float32(blob.bend) * local[0] * local[0]
    form: Any = np.float32(0)
    slope: Any = np.float32(1e-6)
    for value, radius in zip(local, blob.radii, strict=True):
        value *= np.float32(1 / radius)
        form = form + value * value
        value *= np.float32(1 / radius)
        slope = slope + value * value
    return np.asarray((np.float32(0.5) - np.float32(0.5) * form) / np.sqrt(slope), np.float32)


def joined(a: Floats, b: Floats, fillet_mm: float) -> Floats:
    """Give the depth in the union of two shapes, its inner corners filled to this width."""
    fill = np.clip(np.float32(fillet_mm) - np.abs(a - b), 0, None)
    return np.asarray(np.maximum(a, b) + fill * fill * np.float32(0.25 / fillet_mm), np.float32)


def segment_distance(points: Sequence[Floats], a: Vector, b: Vector) -> Floats:
    """Give the distance to the segment from a to b, mm."""
    along = np.subtract(b, a)
    length2 = float((along * along).sum()) or 1.0
    offset = [p - np.float32(c) for p, c in zip(points, a, strict=True)]
    t = np.clip(_dot(along / length2, offset), 0, 1)
    x, y, z = (o - np.float32(d) * t for d, o in zip(along, offset, strict=True))
    return np.asarray(np.sqrt(x * x + y * y + z * z), np.float32)


def _dot(weights: Sequence[float] | Matrix, fields: Sequence[Floats]) -> Floats:
    u, v, w = (np.float32(e) for e in weights)
    total = u * fields[0]
    total += v * fields[1]
    total += w * fields[2]
    return total
