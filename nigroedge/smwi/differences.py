# SPDX-License-Identifier: Apache-2.0
"""Differences of neighbouring voxels: on a box that wraps around, and within a mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nigroedge.smwi.fourier import Floats, Mask, Vector3

Index = tuple[slice, ...]


def neighbours(axis: int) -> tuple[Index, Index]:
    """Indices of all voxels that have a next one along an axis, and of those next ones."""
    return _along(axis, slice(None, -1)), _along(axis, slice(1, None))


def _ends(axis: int) -> tuple[Index, Index]:
    """Indices of the first and of the last voxels along an axis."""
    return _along(axis, slice(None, 1)), _along(axis, slice(-1, None))


def _along(axis: int, span: slice) -> Index:
    return (*(slice(None),) * axis, span, *(slice(None),) * (2 - axis))


def forward_difference(values: Floats, axis: int, size_mm: float) -> Floats:
    """Difference to the next voxel over its distance, wrapping around; 1/mm."""
    out = np.empty_like(values)
    here, there = neighbours(axis)
    first, last = _ends(axis)
    np.subtract(values[there], values[here], out=out[here])
    np.subtract(values[first], values[last], out=out[last])
    out *= np.float32(1 / size_mm)
    return out


def gradient_adjoint(gradient: Sequence[Floats], voxel_size_mm: Vector3) -> Floats:
    """Adjoint of the forward differences along the three axes: minus the divergence."""
    total = np.zeros(gradient[0].shape, np.float32)
    for axis, (part, size) in enumerate(zip(gradient, voxel_size_mm, strict=True)):
        scaled = part * np.float32(1 / size)
        here, there = neighbours(axis)
        first, last = _ends(axis)
        total -= scaled
        total[there] += scaled[here]
        total[first] += scaled[last]
    return total


def inner_difference(values: Floats, mask: Mask, axis: int, size_mm: float) -> Floats:
    """Difference to the next voxel, to the previous where the next is outside the mask, or 0."""
    f, m = np.moveaxis(values, axis, 0), np.moveaxis(mask, axis, 0)
    difference = (f[1:] - f[:-1]) / np.float32(size_mm)
    both = m[1:] & m[:-1]
    out = np.zeros_like(f)
    out[1:][both] = difference[both]
    out[:-1][both] = difference[both]
    return np.moveaxis(out, 0, axis)


def second_difference(values: Floats, mask: Mask, axis: int) -> Floats:
    """Second difference along one axis, of the nearest three voxels of the mask.

    Central where both neighbours are inside, else one-sided; 0 where too few are.
    """
    f, m = np.moveaxis(values, axis, 0), np.moveaxis(mask, axis, 0)
    out = np.zeros_like(f)
    bend = f[:-2] - 2 * f[1:-1] + f[2:]
    three = m[:-2] & m[1:-1] & m[2:]
    # The central difference of a triple also serves an end voxel that has no centre of its own.
    out[:-2][three] = bend[three]
    out[2:][three] = bend[three]
    out[1:-1][three] = bend[three]
    return np.moveaxis(out, 0, axis)
