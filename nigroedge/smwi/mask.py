# SPDX-License-Identifier: Apache-2.0
"""Where there is brain: from the magnitude, or as given."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nigroedge.errors import GeometryError, InputError
from nigroedge.smwi.channels import scipy_ndimage
from nigroedge.smwi.fourier import Floats, Mask, Vector3

#: Opening by a ball of this radius parts brain from scalp across the skull.
OPENING_MM = 3.0
#: Darker than this part of the brain's median is not brain.
DARK_PART = 0.4
#: Fewer voxels than this part of the volume is no brain.
MIN_FRACTION = 0.01
#: A mask that is a probability has a voxel where it is at least this.
PROBABLE = 0.5
#: A mask resampled by a spline goes beyond 0 and 1 by up to a tenth (Gibbs: 9 % of the step).
MAX_OVERSHOOT = 0.1


def brain_mask(
    magnitude: Floats, voxel_size_mm: Vector3, *, opening_mm: float = OPENING_MM
) -> Mask:
    """Largest bright part of the magnitude, parted from thin bright bridges, holes filled.

    Parameters
    ----------
    magnitude : (nx, ny, nz) float32
        Combined over echoes.
    voxel_size_mm : (float, float, float)
    opening_mm : float
        What a ball of this radius cannot enter is not brain; 0 keeps it.

    Raises
    ------
    InputError
        If less than 1 % of the volume remains.
    """
    ndimage = scipy_ndimage()
    smooth = ndimage.uniform_filter(magnitude, 3)
    bright = smooth > otsu_threshold(smooth)
    if bright.any():
        # Where there is no air at all, Otsu parts brain from brain.
        bright = smooth > DARK_PART * np.median(smooth[bright])
    inner = distance_mm(bright, voxel_size_mm) > opening_mm
    core = _largest_part(inner)
    if opening_mm > 0:
        core = distance_mm(~core, voxel_size_mm) <= opening_mm
    filled = _fill_slices(core & bright)
    if filled.mean() < MIN_FRACTION:
        raise InputError(
            f"expected a brain in the magnitude, found {100 * filled.mean():.2f} % of the volume "
            f"bright and in one part; give a mask"
        )
    return filled


def checked_mask(mask: npt.NDArray[Any], shape: tuple[int, ...]) -> Mask:
    """Check a mask that was given, and decide it at one half.

    Parameters
    ----------
    mask : ndarray
        Two-valued, 0 outside; or a probability from 0 to 1.
    shape : (int, int, int)
        The slab's.

    Raises
    ------
    GeometryError
        If its shape is not the slab's, or no voxel of the slab is in it.
    InputError
        If it is neither two-valued nor a probability, or not finite somewhere.
    """
    if mask.shape != shape:
        raise GeometryError(f"expected a mask of shape {shape}, got {mask.shape}")
    values = np.asarray(mask, np.float32)
    n_unknown = values.size - int(np.count_nonzero(np.isfinite(values)))
    if n_unknown:
        raise InputError(
            f"expected a mask of finite numbers, got NaN or infinity in {n_unknown} voxels: "
            f"whether they are in it cannot be told"
        )
    low, high = float(values.min()), float(values.max())
    if _is_probability(low, high):
        inside = values >= PROBABLE
    elif low >= 0 and np.isin(values, (0.0, high)).all():
        inside = values > 0
    else:
        raise InputError(
            f"expected a mask of 0 and one other value, or a probability from 0 to 1, got "
            f"{_described(values)}: whether a voxel is in it cannot be told"
        )
    if not inside.any():
        raise GeometryError("expected a mask that covers part of the slab, got one that misses it")
    return np.ascontiguousarray(inside)


def _is_probability(low: float, high: float) -> bool:
    return low >= -MAX_OVERSHOOT and high <= 1 + MAX_OVERSHOOT


def _described(values: Floats) -> str:
    found = np.unique(values)
    if len(found) <= 4:
        return " and ".join(f"{value:g}" for value in found)
    return f"{len(found)} values from {found[0]:g} to {found[-1]:g}"


def otsu_threshold(values: Floats) -> float:
    """The value that best parts bright from dark: largest variance between the two (Otsu 1979)."""
    counts, edges = np.histogram(values, 256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    valid = (below > 0) & (above > 0)
    means_below = sums / np.maximum(below, 1)
    means_above = (sums[-1] - sums) / np.maximum(above, 1)
    between = np.where(valid, below * above * (means_below - means_above) ** 2.0, 0)
    return float(centres[int(np.argmax(between))])


def distance_mm(inside: Mask, voxel_size_mm: Vector3) -> Floats:
    """Distance from each voxel to the nearest one of the volume that is outside, millimetres."""
    distance = scipy_ndimage().distance_transform_edt(inside, voxel_size_mm)
    return np.asarray(distance, np.float32)


def _largest_part(inside: Mask) -> Mask:
    labels, n_parts = scipy_ndimage().label(inside)
    if n_parts == 0:
        return np.zeros_like(inside)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == np.argmax(sizes), bool)


def _fill_slices(inside: Mask) -> Mask:
    """Fill holes slice by slice along the shortest axis: a slab's holes are open at its faces."""
    fill = scipy_ndimage().binary_fill_holes
    axis = int(np.argmin(inside.shape))
    slices = [fill(part) for part in np.moveaxis(inside, axis, 0)]
    return np.ascontiguousarray(np.moveaxis(np.stack(slices), 0, axis))
