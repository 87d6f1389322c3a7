# SPDX-License-Identifier: Apache-2.0
"""Five complex echoes of a scene in its field, as a spoiled gradient echo makes them.

signal(TE) = density · exp(−TE · R2*) · exp(i (2π f TE + offset)), summed over the parts of a voxel,
seen by coils, blurred by motion and by the point spread, with complex Gaussian noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nigroedge.phantom.canvas import ECHO_TIMES_MS
from nigroedge.phantom.noise import spread, unit_noise
from nigroedge.phantom.shapes import Floats
from nigroedge.smwi.frequency import hz_per_ppm

Complexes = npt.NDArray[np.complex64]

FIELD_STRENGTH_T = 3.0
HZ_PER_PPM = hz_per_ppm(FIELD_STRENGTH_T)
#: Parts of a voxel along the slice, each with its own field: what they differ by dephases.
PARTS = 2


@dataclass(frozen=True, eq=False)
class Scene:
    """Maps on the fine grid: PARTS samples a slice along the last axis, else the image's voxels.

    Parameters
    ----------
    density, r2star, field_ppm : (nx, ny, PARTS · nz) float32
        Signal without decay, any unit; 1/s; relative to B0.
    """

    density: Floats
    r2star: Floats
    field_ppm: Floats


@dataclass(frozen=True)
class Motion:
    """A head that lies elsewhere for a share of the scan: both places mix.

    Parameters
    ----------
    share : float
        0 to 1.
    step : (int, int, int)
        Voxels of the image.
    """

    share: float
    step: tuple[int, int, int]


def echo_signals(scene: Scene) -> Iterator[Complexes]:
    """Give the echoes one by one, (nx, ny, nz) each, without noise."""
    te_s = ECHO_TIMES_MS[0] * 1e-3
    step = np.exp(
        np.float32(-te_s) * scene.r2star
        + np.complex64(2j * math.pi * HZ_PER_PPM * te_s) * scene.field_ppm
    )
    fine = scene.density.astype(np.complex64)
    for _ in ECHO_TIMES_MS:
        fine *= step
        parts = fine.reshape(*fine.shape[:2], -1, PARTS)
        yield parts.mean(axis=-1)


def moved(signal: Complexes, motion: Motion) -> Complexes:
    """Mix in the image of the head that lies a step away; beyond the faces it is as there."""
    if motion.share == 0:
        return signal
    other = signal
    for axis, step in enumerate(motion.step):
        index = np.clip(np.arange(signal.shape[axis]) - step, 0, signal.shape[axis] - 1)
        other = other.take(index, axis=axis)
    share = np.float32(motion.share)
    return np.asarray((1 - share) * signal + share * other, np.complex64)


def measured(
    scene: Scene, coils: Complexes, motion: Motion, noise: float, rng: np.random.Generator
) -> Complexes:
    """Give what the coils measure.

    Parameters
    ----------
    coils : (nx, ny, nz, n_channels) complex64
        Sensitivity and phase offset of each channel.
    motion : Motion
    noise : float
        SD of the noise in the real and in the imaginary part, in the unit of the density.
    rng : Generator
        Of the noise alone.

    Returns
    -------
    (nx, ny, nz, n_echoes, n_channels) complex64
    """
    shape = (*coils.shape[:3], len(ECHO_TIMES_MS), coils.shape[3])
    out = np.empty(shape, np.complex64)
    for echo, signal in enumerate(echo_signals(scene)):
        still = moved(signal, motion)
        for channel in range(coils.shape[3]):
            seen = spread(still * coils[..., channel])
            if noise > 0:
                seen.real += np.float32(noise) * unit_noise(rng, shape[:3])
                seen.imag += np.float32(noise) * unit_noise(rng, shape[:3])
            out[..., echo, channel] = seen
    return out
