# SPDX-License-Identifier: Apache-2.0
"""The scan of a simulated person: the scene is painted into χ and magnitude, these make the SMWI.

Texture belongs to the tissue, noise to the voxels of the grid; S⁴ is formed from the noisy map, as
the scanner forms it. Voxels are made by +, −, ×, ÷, √ and floor of float32 alone: a seed gives one
image on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nigroedge.phantom.canvas import Canvas, combined
from nigroedge.phantom.noise import shares_of, spread, unit_noise
from nigroedge.phantom.scene import chi_of, painted_maps
from nigroedge.phantom.shapes import Floats, Matrix, Vector, affine_of, apply
from nigroedge.phantom.subject import (
    COHORT_PREVALENCE,
    SLAB_SHAPE,
    Side,
    Subject,
    draw_subject,
    generator,
)
from nigroedge.volume import Volume

#: Scanner units of a peduncle where the coil's gain is 1.
SIGNAL_UNIT = 1000.0
#: Largest value of 12 bits.
STORED_MAXIMUM = 4095
#: Voxels that the point spread reaches: χ is blurred twice.
_REACH = 2


def smwi(signal: Floats, chi_ppm: Floats, threshold_ppm: float) -> Floats:
    """Give M · S⁴ with S = 1 below 0 ppm, falling to 0 at the threshold (Gho 2014, m = 4)."""
    weight = np.clip(np.float32(1) - chi_ppm * np.float32(1 / threshold_ppm), 0, 1)
    weight *= weight
    weight *= weight
    return np.asarray(signal * weight, np.float32)


def render(
    subject: Subject,
    affine: npt.ArrayLike,
    shape: tuple[int, int, int],
    *,
    noise: bool = True,
    repeat: int = 0,
) -> Volume:
    """Render the SMWI of a subject on any grid.

    Parameters
    ----------
    affine : (4, 4) array_like
        Voxel index → patient RAS mm.
    shape : (int, int, int)
        Voxels of the grid.
    noise : bool
        Whether the scan has noise; all else is the same at a point on every grid.
    repeat : int
        Which of many scans of the same person: changes the noise alone.

    Returns
    -------
    Volume
        Voxels float32, in scanner units: not negative, a peduncle near 1000.
    """
    volume = Volume(np.empty(shape, np.float32), np.asarray(affine, np.float64))
    affine = volume.affine
    # Painted beyond every face by what the point spread reaches: no voxel knows where the grid
    # ends.
    wide = (shape[0] + 2 * _REACH, shape[1] + 2 * _REACH, shape[2] + 2 * _REACH)
    corner = affine_of(affine[:3, :3], apply(affine, (-_REACH,) * 3))
    chi, signal, gain = painted_maps(subject, corner, wide, chi_of, _signal_of, coil_gain)
    inner = (slice(_REACH, -_REACH),) * 3
    shares = shares_of(affine)
    chi = spread(spread(chi, shares), shares)[inner]
    signal, gain = spread(signal, shares)[inner], gain[inner]
    contrast = subject.contrast
    if noise:
        rng = generator(subject.seed, 2, repeat)
        signal = signal + np.float32(contrast.noise) * unit_noise(rng, shape, shares)
        chi = chi + np.float32(contrast.chi_noise_ppb * 1e-3) * unit_noise(rng, shape, shares)
    image = smwi(np.abs(signal), chi, contrast.chi_threshold_ppm) * gain
    volume.voxels[...] = image * np.float32(SIGNAL_UNIT)
    return volume


def susceptibility(subject: Subject, affine: npt.ArrayLike, shape: tuple[int, int, int]) -> Volume:
    """Give the true susceptibility map in ppm: no point spread, no noise.

    Parameters are those of `render`.
    """
    volume = Volume(np.empty(shape, np.float32), np.asarray(affine, np.float64))
    (volume.voxels[...],) = painted_maps(subject, volume.affine, shape, chi_of)
    return volume


def _signal_of(canvas: Canvas) -> Floats:
    """Give the magnitude of a block, all echoes combined, a peduncle's being 1."""
    return combined(canvas.density, canvas.r2star)


def coil_gain(canvas: Canvas) -> Floats:
    """Give the coil's gain at every voxel of a block: linear, 1 midway between the red nuclei."""
    bias = canvas.subject.contrast.bias
    x, y, z = (np.float32(b / 100) * p for b, p in zip(bias, canvas.points, strict=True))
    return np.asarray(np.clip(1 + x + y + z, 0.3, 2), np.float32)


def patch_grid(
    subject: Subject, side: Side, shape: tuple[int, int, int] = (60, 60, 26)
) -> tuple[Matrix, tuple[int, int, int]]:
    """Give affine and shape of the part of the slab around one side's centroid.

    The voxels are the slab's; near its ends the grid goes on beyond them, so that the centroid lies
    in the middle always.
    """
    return grid_at(subject, patch_corner(subject, side, shape)), shape


def patch_corner(subject: Subject, side: Side, shape: tuple[int, int, int]) -> npt.NDArray[np.intp]:
    """Give the slab's voxel at which the grid of `patch_grid` begins; it may lie outside."""
    to_index = np.asarray(np.linalg.inv(subject.slab_affine), np.float64)
    centre = np.rint(apply(to_index, subject.side(side).centroid_mm))
    return np.asarray(centre - np.array(shape) // 2, np.intp)


def grid_at(subject: Subject, corner: npt.ArrayLike) -> Matrix:
    """Give the affine of a grid that begins at a voxel of the slab."""
    return affine_of(subject.slab_affine[:3, :3], apply(subject.slab_affine, corner))


@dataclass(frozen=True, eq=False)
class Simulation:
    """A simulated scan, with what was marked, measured and read in the same person."""

    subject: Subject
    volume: Volume
    left_mm: Vector
    right_mm: Vector
    sbr_left: float
    sbr_right: float
    intact_left: bool
    intact_right: bool


def simulate(
    seed: int, *, prevalence: float = COHORT_PREVALENCE, reader_jitter_mm: float = 0.0
) -> Simulation:
    """Draw a subject and scan the whole slab: int16 voxels, both sides.

    Parameters and errors are those of `draw_subject`.
    """
    subject = draw_subject(seed, prevalence=prevalence, reader_jitter_mm=reader_jitter_mm)
    return as_stored(subject, render(subject, subject.slab_affine, SLAB_SHAPE))


def as_stored(subject: Subject, scan: Volume) -> Simulation:
    """Give a scan of the slab as a 12-bit scanner stores it, and what is known of the subject."""
    left, right = subject.left, subject.right
    return Simulation(
        subject,
        Volume(stored(scan.voxels), scan.affine),
        left.centroid_mm,
        right.centroid_mm,
        left.sbr,
        right.sbr,
        left.intact,
        right.intact,
    )


def stored(voxels: Floats) -> npt.NDArray[np.int16]:
    """Give voxels as a 12-bit scanner stores them."""
    return np.rint(np.clip(voxels, 0, STORED_MAXIMUM)).astype(np.int16)
