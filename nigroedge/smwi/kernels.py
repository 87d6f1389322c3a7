# SPDX-License-Identifier: Apache-2.0
"""The kernels of susceptibility mapping, and the direction of B0 that one of them needs.

Each is real and even, and given as its half-spectrum on a FourierGrid.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nigroedge.errors import GeometryError
from nigroedge.preprocess import MAX_VOXEL_MM, MIN_VOXEL_MM
from nigroedge.smwi.fourier import Floats, FourierGrid, Vector3

#: Largest ratio of voxel edges that a spherical kernel of millimetres still resembles a sphere on.
MAX_ANISOTROPY = 8.0
#: Cosine between two image axes above which the grid is sheared, and no kernel here applies.
MAX_SHEAR = 0.01
#: Sub-voxels along each axis that decide how much of a voxel a sphere covers.
SPHERE_OVERSAMPLING = 5


def voxel_size(affine: npt.NDArray[np.float64]) -> Vector3:
    """Edges of a voxel in millimetres, along each image axis.

    Raises
    ------
    GeometryError
        If the axes are not at right angles, the longest edge is more than 8 times the shortest, or
        an edge is none that an MRI of a midbrain has.
    """
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    cosines = (affine[:3, :3] / edges).T @ (affine[:3, :3] / edges) - np.eye(3)
    if np.abs(cosines).max() > MAX_SHEAR:
        raise GeometryError(
            f"expected image axes at right angles (cosine within {MAX_SHEAR}), got a sheared "
            f"affine with cosine {np.abs(cosines).max():.3f}: no dipole kernel applies"
        )
    if edges.max() > MAX_ANISOTROPY * edges.min():
        raise GeometryError(
            f"expected voxel edges within a factor of {MAX_ANISOTROPY:g}, got "
            f"{edges[0]:.3g} × {edges[1]:.3g} × {edges[2]:.3g} mm: no kernel supports it"
        )
    # Affines are often float32, and lengths of their columns rounded.
    if not (edges.min() >= MIN_VOXEL_MM * (1 - 1e-6) and edges.max() <= MAX_VOXEL_MM * (1 + 1e-6)):
        raise GeometryError(
            f"expected voxels of {MIN_VOXEL_MM:g} to {MAX_VOXEL_MM:g} mm along each axis, got "
            f"{edges[0]:.3g} × {edges[1]:.3g} × {edges[2]:.3g} mm (an affine not in millimetres?)"
        )
    return float(edges[0]), float(edges[1]), float(edges[2])


def field_direction(
    affine: npt.NDArray[np.float64], b0_world: Vector3 = (0.0, 0.0, 1.0)
) -> Vector3:
    """Direction of B0 in image axes, a unit vector.

    B0 runs along the patient's z (superior–inferior) of the scanner's coordinates, so an oblique
    slab has it oblique. Its sign does not matter to a dipole.

    Parameters
    ----------
    affine : (4, 4) ndarray
        Voxel index → world.
    b0_world : (float, float, float)
        Direction of B0 in the world; any length.

    Raises
    ------
    GeometryError
        If it is no direction.
    """
    if not 0 < np.linalg.norm(b0_world) < np.inf:
        raise GeometryError(f"expected a direction of B0 such as (0, 0, 1), got {b0_world}")
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    direction = np.linalg.solve(axes, b0_world)
    direction /= np.linalg.norm(direction)
    return float(direction[0]), float(direction[1]), float(direction[2])


def dipole_kernel(grid: FourierGrid, b0: Vector3) -> Floats:
    """Field of a unit susceptibility, relative to B0: D = 1/3 − (k·b)²/|k|².

    Parameters
    ----------
    grid : FourierGrid
        Where to.
    b0 : (float, float, float)
        Unit vector of B0 in image axes.

    Returns
    -------
    half-spectrum, float32
        D(0) = 0: the mean susceptibility of the padded box makes no field, hence is not recovered.
        At the Nyquist frequency of an even axis, which stands for both signs, D is their mean.

    Notes
    -----
    Salomir 2003, Marques and Bowtell 2005.
    """
    k2 = _squared(grid)
    along = [k * b for k, b in zip(grid.frequencies, b0, strict=True)]
    odd = [_without_nyquist(a, n) for a, n in zip(along, grid.padded, strict=True)]
    projection = along[0] ** 2 + along[1] ** 2 + along[2] ** 2
    projection = projection + 2 * (odd[0] * odd[1] + odd[1] * odd[2] + odd[0] * odd[2])
    k2[0, 0, 0] = 1.0
    kernel: Floats = np.float32(1 / 3) - projection / k2
    kernel[0, 0, 0] = 0.0
    return kernel


def _squared(grid: FourierGrid) -> Floats:
    kx, ky, kz = grid.frequencies
    return kx**2 + ky**2 + kz**2


def _without_nyquist(along: Floats, n: int) -> Floats:
    odd = along.copy()
    if n % 2 == 0:
        odd.reshape(-1)[n // 2] = 0.0
    return odd


def gradient_kernel(grid: FourierGrid) -> Floats:
    """|∇|² of forward differences on the padded box, 1/mm²: 4 Σ sin²(π k h) / h²."""
    terms = [
        (2 * np.sin(math.pi * k * h) / h) ** 2
        for k, h in zip(grid.frequencies, grid.voxel_size_mm, strict=True)
    ]
    kernel: Floats = (terms[0] + terms[1] + terms[2]).astype(np.float32)
    return kernel


def sphere_kernel(grid: FourierGrid, radius_mm: float) -> Floats:
    """Mean over a ball, as a convolution.

    A voxel on the surface counts by the part of it inside the ball (5³ sub-voxels), so that small
    balls stay round on voxels that are not cubes. The weights sum to 1.
    """
    reach = [math.ceil(radius_mm / h + 0.5) for h in grid.voxel_size_mm]
    fine = [_sub_voxels(n) * h for n, h in zip(reach, grid.voxel_size_mm, strict=True)]
    inside = (
        fine[0][:, None, None] ** 2 + fine[1][None, :, None] ** 2 + fine[2][None, None, :] ** 2
        <= radius_mm**2
    )
    s = SPHERE_OVERSAMPLING
    blocks = inside.reshape(2 * reach[0] + 1, s, 2 * reach[1] + 1, s, 2 * reach[2] + 1, s)
    weights = blocks.mean(axis=(1, 3, 5), dtype=np.float64)
    return _spectrum_of_even(grid, (weights / weights.sum()).astype(np.float32))


def _sub_voxels(n: int) -> npt.NDArray[np.float64]:
    """Centres of the sub-voxels of voxels −n … n, in voxels."""
    s = SPHERE_OVERSAMPLING
    return (np.arange((2 * n + 1) * s) + 0.5) / s - n - 0.5


def _spectrum_of_even(grid: FourierGrid, weights: Floats) -> Floats:
    """Half-spectrum of an even kernel centred in its array, wrapped around the padded box."""
    box = np.zeros(grid.padded, np.float32)
    centre = [n // 2 for n in weights.shape]
    index = np.ix_(
        *(
            (np.arange(m) - c) % n
            for m, c, n in zip(weights.shape, centre, grid.padded, strict=True)
        )
    )
    np.add.at(box, index, weights)
    return np.ascontiguousarray(grid.forward(box).real)
