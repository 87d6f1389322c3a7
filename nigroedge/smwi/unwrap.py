# SPDX-License-Identifier: Apache-2.0
"""Unwrap phase: by its Laplacian, as the paper does, or exactly, by growing a region.

Both work on differences of neighbouring voxels inside the mask, wrapped to ±π: where neighbours
truly differ by less than π these are the true ones. The Laplacian method solves Poisson's equation
for them, smooths over what contradicts, and adds a harmonic field that background removal takes
away. Region growing adds whole turns only: it joins voxels in the order of their reliability, along
a minimum spanning tree, which the C++ core grows.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np

from nigroedge import _core
from nigroedge.smwi.differences import neighbours
from nigroedge.smwi.fourier import Floats, Mask, Vector3, scipy_fft

TURN = 2 * math.pi


def wrap(phase: Floats) -> Floats:
    """Bring phase into [−π, π] by whole turns; float32."""
    wrapped: Floats = phase - np.float32(TURN) * np.rint(phase / np.float32(TURN))
    return wrapped


def unwrap_laplacian(
    phase: Floats,
    mask: Mask,
    voxel_size_mm: Vector3,
    *,
    expected: Floats | None = None,
    workers: int = 1,
) -> Floats:
    """Unwrap by solving ∇²u = ∇·(wrapped differences), mirrored at the borders.

    Parameters
    ----------
    phase : (nx, ny, nz) float32
        Radians.
    mask : (nx, ny, nz) bool
        Differences that touch a voxel outside count as 0, so noise there does not leak in.
    expected : (nx, ny, nz) float32, optional
        A phase, radians, from whose differences the sought ones are less than half a turn off, such
        as that of an earlier echo, scaled. By default they are less than that from 0.

    Returns
    -------
    (nx, ny, nz) float32
        Radians, 0 outside the mask: exact up to a harmonic field, and up to whole turns where the
        mask is everything and no neighbours differ by more than π (from what is expected).

    Notes
    -----
    Schofield and Zhu 2003, with wrapped differences in place of their sines and cosines (sin x ≈ x,
    which bends steep ramps). Solved by cosine transforms: Ghiglia and Romero 1994.
    """
    fft = scipy_fft()
    divergence = np.zeros(phase.shape, np.float32)
    for axis, step in enumerate(voxel_size_mm):
        here, there = neighbours(axis)
        flow = phase[there] - phase[here]
        slope = np.float32(0) if expected is None else expected[there] - expected[here]
        flow = (wrap(flow - slope) + slope) / np.float32(step**2)
        flow *= mask[there] & mask[here]
        divergence[here] += flow
        divergence[there] -= flow
    spectrum = fft.dctn(divergence, workers=workers, overwrite_x=True)
    spectrum /= _neumann_laplacian(phase.shape, voxel_size_mm)
    spectrum[0, 0, 0] = 0.0
    unwrapped = fft.idctn(spectrum, workers=workers, overwrite_x=True)
    # The constant that leaves whole turns between what was measured and what is returned.
    added = (unwrapped - phase)[mask]
    offset = np.float32(np.angle(np.mean(np.exp(1j * added), dtype=np.complex128)))
    return cast("Floats", np.where(mask, unwrapped - offset, np.float32(0)))


def _neumann_laplacian(shape: tuple[int, ...], voxel_size_mm: Vector3) -> Floats:
    """Eigenvalues of the 7-point Laplacian with mirrored borders, 1/mm²; 1 at frequency zero."""
    x, y, z = (
        (2 * np.cos(math.pi * np.arange(n) / n) - 2) / h**2
        for n, h in zip(shape, voxel_size_mm, strict=True)
    )
    eigenvalues = x[:, None, None] + y[:, None] + z
    eigenvalues[0, 0, 0] = 1.0
    return eigenvalues.astype(np.float32)


def unwrap_exact(phase: Floats, mask: Mask, reliability: Floats) -> Floats:
    """Unwrap by adding whole turns, joining the most reliable neighbours first.

    Parameters
    ----------
    phase : (nx, ny, nz) float32
        Radians, within ±100,000 inside the mask.
    mask : (nx, ny, nz) bool
        Voxels outside are neither unwrapped, nor crossed, nor read.
    reliability : (nx, ny, nz) float32
        Larger is better, finite and at least 0, on any scale (magnitude will do).

    Returns
    -------
    (nx, ny, nz) float32
        Radians, 0 outside the mask. Parts of the mask that share no face are each shifted by whole
        turns so that the median of each lies within π of 0.

    Raises
    ------
    ValueError
        If the shapes differ or hold more than 2³⁰ voxels, or a value inside the mask is not as
        said above, NaN among them.
    TypeError
        If an array is of another type.

    Notes
    -----
    An edge joins two voxels of the mask that share a face. It costs, in float32,
    (|wrapped difference| / π + 0.001) / max(t, 10⁻⁶), where t is the lesser reliability of its two
    voxels over the greatest of the mask. Edges are taken by cost; those of equal cost by the lower
    of their voxels in C order, then by axis. The first that close no circle are kept: a minimum
    spanning tree (Kruskal 1956), the only one in that order, so every machine gives the same bits.
    """
    laid_out = np.ascontiguousarray
    return _core.unwrap(laid_out(phase), laid_out(mask), laid_out(reliability))
