# SPDX-License-Identifier: Apache-2.0
"""Unwrap phase: by its Laplacian, as the paper does, or exactly, by growing a region.

Both work on differences of neighbouring voxels inside the mask, wrapped to ±π: where neighbours
truly differ by less than π these are the true ones. The Laplacian method solves Poisson's equation
for them, smooths over what contradicts, and adds a harmonic field that background removal takes
away. Region growing adds whole turns only: it joins voxels in the order of their reliability, which
is a minimum spanning tree (Prim 1957), so a library's tree does what a hand-written queue would.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from nigroedge.extra import from_extra
from nigroedge.smwi.differences import neighbours
from nigroedge.smwi.fourier import Floats, Mask, Vector3, scipy_fft

if TYPE_CHECKING:
    Integers = npt.NDArray[np.int64]

TURN = 2 * math.pi


def wrap(phase: Floats) -> Floats:
    """Bring phase into [−π, π] by whole turns; float32."""
    wrapped: Floats = phase - np.float32(TURN) * np.rint(phase / np.float32(TURN))
    return wrapped


def unwrap_laplacian(
    phase: Floats, mask: Mask, voxel_size_mm: Vector3, *, workers: int = 1
) -> Floats:
    """Unwrap by solving ∇²u = ∇·(wrapped differences), mirrored at the borders.

    Parameters
    ----------
    phase : (nx, ny, nz) float32
        Radians.
    mask : (nx, ny, nz) bool
        Differences that touch a voxel outside count as 0, so noise there does not leak in.

    Returns
    -------
    (nx, ny, nz) float32
        Radians, 0 outside the mask: exact up to a harmonic field, and up to whole turns where the
        mask is everything and no neighbours differ by more than π.

    Notes
    -----
    Schofield and Zhu 2003, with wrapped differences in place of their sines and cosines (sin x ≈ x,
    which bends steep ramps). Solved by cosine transforms: Ghiglia and Romero 1994.
    """
    fft = scipy_fft()
    divergence = np.zeros(phase.shape, np.float32)
    for axis, step in enumerate(voxel_size_mm):
        here, there = neighbours(axis)
        flow = wrap(phase[there] - phase[here]) / np.float32(step**2)
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
        Radians.
    mask : (nx, ny, nz) bool
        Voxels outside are neither unwrapped nor crossed.
    reliability : (nx, ny, nz) float32
        Larger is better, any positive scale (magnitude will do). An edge costs its wrapped
        difference over π divided by the lesser reliability of its two voxels.

    Returns
    -------
    (nx, ny, nz) float32
        Radians, 0 outside the mask. Parts of the mask that do not touch are shifted so that the
        median of each lies within π of 0.
    """
    voxels = np.flatnonzero(mask)
    unwrapped = np.zeros(phase.size, np.float32)
    values = phase.reshape(-1)[voxels]
    heads, tails, costs = _edges(phase, mask, reliability)
    order_parent, part = _grow(len(voxels), heads, tails, costs)
    jumps = values[order_parent] - values
    turns = np.rint(jumps / np.float32(TURN)).astype(np.int32)
    turns = _sum_to_root(turns, order_parent)
    joined = values + np.float32(TURN) * turns
    unwrapped[voxels] = _centre_parts(joined, part)
    return unwrapped.reshape(phase.shape)


def _edges(phase: Floats, mask: Mask, reliability: Floats) -> tuple[Any, Any, Floats]:
    """Neighbour pairs inside the mask, by number of masked voxel, and what joining them costs."""
    number = np.full(mask.shape, -1, np.int32)
    number[mask] = np.arange(int(mask.sum()), dtype=np.int32)
    scale = np.float32(max(float(reliability[mask].max(initial=0)), 1e-30))
    heads, tails, costs = [], [], []
    for axis in range(3):
        here, there = neighbours(axis)
        both = mask[here] & mask[there]
        jump = np.abs(wrap(phase[there][both] - phase[here][both])) / np.float32(math.pi)
        trust = np.minimum(reliability[here][both], reliability[there][both]) / scale
        heads.append(number[here][both])
        tails.append(number[there][both])
        costs.append((jump + np.float32(1e-3)) / np.maximum(trust, np.float32(1e-6)))
    return np.concatenate(heads), np.concatenate(tails), np.concatenate(costs)


def _grow(n: int, heads: Any, tails: Any, costs: Floats) -> tuple[Integers, Integers]:
    """Each voxel's parent in the cheapest tree (a root is its own), and which part it is in."""
    with from_extra("smwi", "SMWI needs", "scipy"):
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import (
            breadth_first_order,
            connected_components,
            minimum_spanning_tree,
        )

    graph = coo_array((costs, (heads, tails)), shape=(n, n)).tocsr()
    n_parts, part = connected_components(graph, directed=False)
    tree = minimum_spanning_tree(graph, overwrite=True)
    first = np.full(n_parts, n, np.int64)
    np.minimum.at(first, part, np.arange(n))
    # One more node, joined to one voxel of each part, makes the forest a tree.
    tree = tree.tocoo()
    rooted = coo_array(
        (
            np.ones(tree.nnz + n_parts, np.float32),
            (np.append(tree.row, np.full(n_parts, n)), np.append(tree.col, first)),
        ),
        shape=(n + 1, n + 1),
    ).tocsr()
    _, parent = breadth_first_order(rooted, n, directed=False)
    parent = parent[:n].astype(np.int64)
    parent[first] = first
    return parent, part


def _sum_to_root(steps: Any, parent: Integers) -> Any:
    """Sum the steps from each node to its root, doubling the distance at every pass."""
    steps, parent = steps.copy(), parent.copy()
    while True:
        further = parent[parent]
        steps += steps[parent]
        # A root's own step is 0, so adding it again changes nothing.
        if np.array_equal(further, parent):
            return steps
        parent = further


def _centre_parts(unwrapped: Floats, part: Integers) -> Floats:
    order = np.argsort(part, kind="stable")
    borders = np.flatnonzero(np.diff(part[order])) + 1
    centred = unwrapped.copy()
    for members in np.split(order, borders):
        turns = np.rint(np.median(unwrapped[members]) / TURN)
        centred[members] -= np.float32(TURN * turns)
    return centred
