# SPDX-License-Identifier: Apache-2.0
"""Patches for tests: where images lie, and an oracle with neither our geometry nor our kernels."""

import nibabel as nib
import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation


def oriented(volume, axes):
    """Image values in float64 with axes as a patch has them, and voxel → world for that array."""
    start = nib.orientations.io_orientation(volume.affine)
    end = nib.orientations.axcodes2ornt(tuple(axes))
    change = nib.orientations.ornt_transform(start, end)
    values = volume.slope * volume.voxels.astype(np.float64) + volume.intercept
    back = nib.orientations.inv_ornt_aff(change, values.shape)
    return nib.orientations.apply_orientation(values, change), volume.affine @ back


def oracle(volume, centre_mm, grid):
    """The patch and its coverage, with nibabel and scipy instead of our geometry and kernels."""
    values, affine = oriented(volume, grid.axes)
    position = (np.linalg.inv(affine) @ [*centre_mm, 1])[:3]
    position = np.round(position * 65536) / 65536
    step = np.array(grid.spacing_mm) / np.linalg.norm(affine[:3, :3], axis=0)
    step = np.round(step * 2.0**32) / 2.0**32
    is_copy = np.all(np.abs(1 / step - 1) <= 0.01 + 1e-9)
    if is_copy:
        position, step = np.floor(position + 0.5), np.ones(3)
    centres = [position[i] + (np.arange(n) - n // 2) * step[i] for i, n in enumerate(grid.shape)]
    coverage = np.prod(
        [np.mean((c >= -0.5) & (c < n - 0.5)) for c, n in zip(centres, values.shape, strict=True)]
    )
    if is_copy:
        index = [c.clip(0, n - 1).astype(int) for c, n in zip(centres, values.shape, strict=True)]
        return values[np.ix_(*index)], coverage
    samples = [int(np.ceil(s - 1e-6)) if s > 1.5 else 1 for s in step]
    fine = [
        np.add.outer(centres[i], ((np.arange(s) + 0.5) / s - 0.5) * step[i]).ravel()
        for i, s in enumerate(samples)
    ]
    where = np.stack(np.meshgrid(*fine, indexing="ij"))
    interpolated = ndimage.map_coordinates(values, where, order=1, mode="nearest")
    split = [size for n, s in zip(grid.shape, samples, strict=True) for size in (n, s)]
    return interpolated.reshape(split).mean(axis=(1, 3, 5)), coverage


def oblique(spacing_mm, degrees, axis=(1, 0, 0)):
    """Voxel → world of an image turned about an axis, with its origin off the grid of anything."""
    affine = np.eye(4)
    turn = Rotation.from_rotvec(np.deg2rad(degrees) * np.array(axis) / np.linalg.norm(axis))
    affine[:3, :3] = turn.as_matrix() * spacing_mm
    affine[:3, 3] = (-17.3, 8.9, -41.7)
    return affine


def world(volume, index):
    return volume.affine[:3, :3] @ index + volume.affine[:3, 3]
