# SPDX-License-Identifier: Apache-2.0
"""From the local field to susceptibility: what every way has in common, and the simplest of them.

Field and susceptibility are both in ppm of B0, so the dipole kernel has no unit. What the kernel
passes nothing of (a cone around the magic angle, and the mean) must be assumed: TKD, which is here,
assumes little of it; total variation (`tv.py`) and iLSQR (`ilsqr.py`) assume edges to be few. All
of them state χ against the mean over the mask, which is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nigroedge.smwi.fourier import Floats, Mask, Vector3
from nigroedge.smwi.kernels import dipole_kernel
from nigroedge.smwi.masked import MaskedMap, inside

#: TKD: below this |D|, divide by this instead (Shmueli 2009; Wharton 2010 for the value).
TKD_THRESHOLD = 0.15


@dataclass(frozen=True, eq=False)
class Susceptibility:
    """A susceptibility map, and how the solver ended.

    Parameters
    ----------
    chi : (nx, ny, nz) float32
        ppm, of mean 0 over the mask, 0 outside.
    solver : dict
        Numbers to keep beside the map: iterations, residuals.
    """

    chi: Floats
    solver: dict[str, float | int | str]


def referenced(chi: Floats, mask: Mask) -> Floats:
    """Put 0 at the mean over the mask (accumulated in float64), and outside it."""
    return inside(chi - np.float32(chi[mask].mean(dtype=np.float64)), mask)


def tkd(field: MaskedMap, b0: Vector3, *, threshold: float = TKD_THRESHOLD) -> Susceptibility:
    """Thresholded k-space division.

    Parameters
    ----------
    field : MaskedMap
        Local field, ppm.
    b0 : (float, float, float)
        Unit vector of B0 in image axes.
    threshold : float
        Where |D| is smaller, sign(D) · threshold takes its place.
    """
    kernel = inverse_dipole(dipole_kernel(field.grid, b0), threshold)
    return Susceptibility(referenced(field.grid.convolve(field.values, kernel), field.mask), {})


def inverse_dipole(kernel: Floats, threshold: float) -> Floats:
    """1 / D, cut off at sign(D) / threshold; 0 where D is 0."""
    kept = np.abs(kernel) >= threshold
    cut = np.sign(kernel) / np.float32(threshold)
    return np.where(kept, 1 / np.where(kept, kernel, 1), cut).astype(np.float32)
