# SPDX-License-Identifier: Apache-2.0
"""The field that a scene makes in the scanner: its own dipoles, air beside the brain, the shim.

All fields are relative to B0, in ppm. Air cells are balls, whose field outside is known exactly;
it is harmonic in the brain, as a background must be. The shim leaves low polynomials.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nigroedge.phantom.shapes import Floats, Matrix, Vector, apply, as_vector
from nigroedge.phantom.subject import Subject, generator
from nigroedge.smwi.fourier import FourierGrid
from nigroedge.smwi.kernels import dipole_kernel, field_direction

#: Air against tissue, ppm.
AIR_PPM = 9.2
#: Air cells in the midbrain frame, mm, below the slab: sphenoid sinus, and the mastoids of both
#: sides (assumed).
AIR_CELLS: tuple[tuple[Vector, float], ...] = (
    ((0.0, 42.0, -45.0), 14.0),
    ((46.0, -12.0, -46.0), 12.0),
    ((-46.0, -12.0, -46.0), 12.0),
)
#: SD of an air cell's place along each axis, mm, and of the logarithm of its radius (assumed).
_PLACE_SD_MM, _RADIUS_SD = 2.0, 0.1
#: SD of what the shim leaves at 30 mm from the middle, ppm, of each linear and quadratic term:
#: 4 Hz at 3 T (assumed).
_SHIM_SD_PPM, _SHIM_REACH_MM = 0.03, 30.0
#: Zeros behind the scene in the Fourier transform; dipoles beyond would enter from the far side.
MARGIN_MM = 16.0


def dipole_field(chi_ppm: Floats, affine: Matrix, *, workers: int = 1) -> Floats:
    """Give the field of susceptibilities, B0 along the patient's z (Salomir 2003).

    Parameters
    ----------
    chi_ppm : (nx, ny, nz) float32
        Beyond the grid it is the mean over it.
    affine : (4, 4) float64
        Voxel index → patient RAS mm.
    workers : int
        Threads of the Fourier transform.
    """
    x, y, z = np.linalg.norm(affine[:3, :3], axis=0).tolist()
    nx, ny, nz = chi_ppm.shape
    grid = FourierGrid((nx, ny, nz), (x, y, z), MARGIN_MM, workers)
    kernel = dipole_kernel(grid, field_direction(affine))
    return grid.convolve(chi_ppm - chi_ppm.mean(dtype=np.float64).astype(np.float32), kernel)


def ball_field(points: Sequence[Floats], centre: Vector, radius: float, chi_ppm: float) -> Floats:
    """Give the field around a ball: χ/3 · (radius/r)³ · (3 cos² − 1); inside, 0.

    Parameters
    ----------
    points : three arrays that broadcast together
        x, y, z in mm; B0 along z.
    centre : (float, float, float)
    radius : float
        mm.
    chi_ppm : float
        Against what lies around the ball.
    """
    x, y, z = (p - np.float32(c) for p, c in zip(points, centre, strict=True))
    z2 = z * z
    r2 = np.maximum(x * x + y * y + z2, np.float32(1e-6))
    inverse = 1 / r2
    field = (inverse * np.sqrt(inverse)) * np.float32(chi_ppm / 3 * radius**3)
    field *= 3 * z2 * inverse - 1
    return np.where(r2 >= np.float32(radius * radius), field, np.float32(0))


def background_field(subject: Subject, points: Sequence[Floats]) -> Floats:
    """Give the field of air beside the brain and of what the shim leaves, 0 in the middle.

    Parameters
    ----------
    points : three arrays that broadcast together
        x, y, z in patient RAS mm.
    """
    rng = generator(subject.seed, 3)
    middle = apply(subject.to_patient, (0.0, 0.0, 0.0))
    total = _shim(rng, [p - np.float32(c) for p, c in zip(points, middle, strict=True)])
    at_middle = 0.0
    for centre, radius in AIR_CELLS:
        place = np.array(centre) + _PLACE_SD_MM * rng.standard_normal(3)
        ball = (
            apply(subject.to_patient, as_vector(place)),
            radius * float(np.exp(_RADIUS_SD * rng.standard_normal())),
            AIR_PPM,
        )
        total += ball_field(points, *ball)
        origin = [np.full((1, 1, 1), c, np.float32) for c in middle]
        at_middle += float(ball_field(origin, *ball)[0, 0, 0])
    return total - np.float32(at_middle)


def _shim(rng: np.random.Generator, points: Sequence[Floats]) -> Floats:
    """Draw the linear and quadratic terms that a shim leaves."""
    x, y, z = (p * np.float32(1 / _SHIM_REACH_MM) for p in points)
    weights = (_SHIM_SD_PPM * rng.standard_normal(8)).astype(np.float32)
    a, b, c, d, e, f, g, h = weights
    # The five quadratic terms are the harmonic ones: a shim coil makes no other.
    linear = a * x + b * y + c * z
    quadratic = d * (x * y) + e * (y * z) + f * (x * z) + g * (x * x - y * y)
    return np.asarray(linear + quadratic + h * (z * z - (x * x + y * y) / 2), np.float32)
