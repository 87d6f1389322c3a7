# SPDX-License-Identifier: Apache-2.0
"""Small changes of a training patch, such as other readers, heads and scanners would have made.

Drawn afresh for each row of each epoch: the reader's centroid moved, the head turned, contrast as
another SMWI threshold would have made it, blur and noise. At strength 0 a change is none, to the
bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from export.windows import MARGIN
from nigroedge.errors import InputError
from nigroedge.grid import PatchGrid

Voxels = npt.NDArray[np.float32]

#: Share of the patches that are turned. Turning interpolates and so smooths: the others keep the
#: sharpness that a patch has in use.
TURNED_SHARE = 0.5
#: The window has room for the centroid to move so far, and for the patch to turn so far.
LARGEST_JITTER = min(MARGIN)
LARGEST_ROTATION_DEG = 8.0


@dataclass(frozen=True)
class Augmentation:
    """How strong each change is at most; 0 switches it off.

    Parameters
    ----------
    jitter : int
        Voxels by which the centroid moves along each patch axis, either way.
    rotation_deg : float
        Angle by which half of the patches turn about each patch axis, either way.
    contrast : float
        A voxel v, in units of the patch's mean, becomes v^γ, γ between exp(−contrast) and
        exp(contrast): SMWI is M · S^m, and χth and m act on it much as an exponent does.
    blur : float
        Share that a voxel gives away to its two neighbours along each axis.
    noise : float
        SD of white noise, in units of the patch's mean.

    Raises
    ------
    InputError
        If one is beyond its limit.
    """

    jitter: int = 1
    rotation_deg: float = 5.0
    contrast: float = 0.1
    blur: float = 0.2
    noise: float = 0.03

    def __post_init__(self) -> None:
        limits = {
            "jitter": LARGEST_JITTER,
            "rotation_deg": LARGEST_ROTATION_DEG,
            "contrast": 1.0,
            "blur": 0.5,
            "noise": 1.0,
        }
        for name, most in limits.items():
            if not 0 <= getattr(self, name) <= most:
                got = getattr(self, name)
                raise InputError(f"expected {name} within 0 and {most}, got {got}")


def augment(
    window: Voxels, grid: PatchGrid, augmentation: Augmentation, random: np.random.Generator
) -> Voxels:
    """Cut a patch out of its window, changed at random.

    Parameters
    ----------
    window : (X, Y, Z) float32 ndarray
        `export.windows.MARGIN` larger than the patch at each end; not negative.
    grid : PatchGrid
        Of the patch.
    augmentation : Augmentation
    random : Generator
        The same state gives the same patch.

    Returns
    -------
    float32 ndarray of that shape, C order
        Not negative, not normalised.
    """
    shift = random.integers(-augmentation.jitter, augmentation.jitter, 3, endpoint=True)
    turned = random.random() < TURNED_SHARE
    angles = np.radians(augmentation.rotation_deg) * random.uniform(-1, 1, 3)
    exponent = math.exp(augmentation.contrast * random.uniform(-1, 1))
    share = augmentation.blur * random.uniform(0, 1, 3)
    noise = augmentation.noise * random.uniform(0, 1)
    if turned and angles.any():
        patch = _turned(window, grid, shift, angles)
    else:
        patch = _cut(window, grid, shift)
    mean = float(patch.mean(dtype=np.float64))
    patch = _blurred(patch, share)
    if exponent != 1 and mean > 0:
        patch = np.float32(mean) * (patch / np.float32(mean)) ** np.float32(exponent)
    if noise:
        patch = patch + np.float32(noise * mean) * random.standard_normal(grid.shape, np.float32)
        patch = np.maximum(patch, 0)
    return np.ascontiguousarray(patch, np.float32)


def _cut(window: Voxels, grid: PatchGrid, shift: npt.NDArray[np.int64]) -> Voxels:
    first = np.array(MARGIN) + shift
    x, y, z = (slice(int(a), int(a) + n) for a, n in zip(first, grid.shape, strict=True))
    return window[x, y, z]


def _turned(
    window: Voxels,
    grid: PatchGrid,
    shift: npt.NDArray[np.int64],
    angles: npt.NDArray[np.float64],
) -> Voxels:
    """Interpolate the patch turned about voxel n/2, its centroid, by one angle an axis.

    Of a patch that was cropped and then flipped the centroid is the voxel beside. Turning by 8°
    about that one would move the patch by 0.07 mm, a seventh of what one voxel of jitter does.
    """
    from scipy.ndimage import affine_transform

    mm = np.array(grid.spacing_mm)
    to_window = rotation(angles) * mm / mm[:, None]  # patch voxel → mm, turned → window voxel
    middle = np.array(grid.shape) // 2
    centre = middle + np.array(MARGIN) + shift
    return np.asarray(
        affine_transform(
            window,
            to_window,
            offset=centre - to_window @ middle,
            output_shape=grid.shape,
            order=1,
            mode="nearest",
        ),
        np.float32,
    )


def rotation(angles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give the rotation about axis 0, then 1, then 2, by these angles in radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = ((1, 2), (2, 0), (0, 1))[axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = math.cos(angle)
        turn[i, j], turn[j, i] = -math.sin(angle), math.sin(angle)
        matrix = turn @ matrix
    return matrix


def _blurred(patch: Voxels, share: npt.NDArray[np.float64]) -> Voxels:
    """Let each voxel give a share to its neighbours, one axis after the other; edges keep it."""
    for axis, given in enumerate(share):
        if not given:
            continue
        along = np.moveaxis(patch, axis, 0)
        before = np.concatenate([along[:1], along[:-1]])
        after = np.concatenate([along[1:], along[-1:]])
        mixed = np.float32(1 - given) * along + np.float32(given / 2) * (before + after)
        patch = np.moveaxis(mixed, 0, axis)
    return patch
