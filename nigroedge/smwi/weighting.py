# SPDX-License-Identifier: Apache-2.0
"""SMWI: the combined magnitude, darkened where susceptibility is positive (Gho 2014)."""

from __future__ import annotations

import numpy as np

from nigroedge.errors import InputError
from nigroedge.smwi.fourier import Floats

#: Susceptibility at which the mask reaches 0, ppm, and how often the mask multiplies (Gho 2014; the
#: defaults of SEPIA).
CHI_THRESHOLD_PPM = 1.0
POWER = 4.0


def susceptibility_mask(chi: Floats, *, threshold_ppm: float = CHI_THRESHOLD_PPM) -> Floats:
    """S = 1 for χ < 0, (χth − χ) / χth for 0 ≤ χ ≤ χth, 0 above; 0 where χ is NaN.

    Parameters
    ----------
    chi : ndarray float32
        ppm.
    threshold_ppm : float
        χth, positive.
    """
    if not (np.isfinite(threshold_ppm) and threshold_ppm > 0):
        raise InputError(f"expected a positive threshold of χ in ppm, got {threshold_ppm}")
    ramp = (np.float32(threshold_ppm) - chi) / np.float32(threshold_ppm)
    mask: Floats = np.nan_to_num(np.clip(ramp, 0, 1), nan=0.0)
    return mask.astype(np.float32, copy=False)


def weight_magnitude(
    magnitude: Floats,
    chi: Floats,
    *,
    threshold_ppm: float = CHI_THRESHOLD_PPM,
    power: float = POWER,
) -> Floats:
    """SMWI = M · S^m; NaN becomes 0.

    Parameters
    ----------
    magnitude, chi : ndarray float32
        Combined over echoes, any unit; ppm. Of one shape.
    threshold_ppm, power : float
        χth and m, both positive.
    """
    if not (np.isfinite(power) and power > 0):
        raise InputError(f"expected a positive power of the mask, got {power}")
    mask = susceptibility_mask(chi, threshold_ppm=threshold_ppm)
    weighted: Floats = np.nan_to_num(magnitude * mask ** np.float32(power), nan=0.0)
    return weighted.astype(np.float32, copy=False)
