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
#: At 0.1 ppm, as in the nigra, S is 0.9: multiplied 32 times it leaves 3 % of the magnitude. A mask
#: that ends below 0.05 ppm blackens the nigra, and one of 10 ppm leaves all tissue as it is.
MAX_POWER = 32.0
MIN_THRESHOLD_PPM, MAX_THRESHOLD_PPM = 0.05, 10.0


def check_weighting(threshold_ppm: float, power: float) -> None:
    """Refuse a mask that leaves nothing to see.

    Raises
    ------
    InputError
        If χth is not MIN_THRESHOLD_PPM to MAX_THRESHOLD_PPM, or m not above 0 and up to MAX_POWER.
    """
    if not MIN_THRESHOLD_PPM <= threshold_ppm <= MAX_THRESHOLD_PPM:
        raise InputError(
            f"expected a threshold of χ of {MIN_THRESHOLD_PPM:g} to {MAX_THRESHOLD_PPM:g} ppm, got "
            f"{threshold_ppm:g}"
        )
    if not 0 < power <= MAX_POWER:
        raise InputError(
            f"expected a power of the mask above 0 and up to {MAX_POWER:g}, got {power:g}"
        )


def susceptibility_mask(chi: Floats, *, threshold_ppm: float = CHI_THRESHOLD_PPM) -> Floats:
    """S = 1 for χ < 0, (χth − χ) / χth for 0 ≤ χ ≤ χth, 0 above; 0 where χ is NaN.

    Parameters
    ----------
    chi : ndarray float32
        ppm.
    threshold_ppm : float
        χth, MIN_THRESHOLD_PPM to MAX_THRESHOLD_PPM.

    Raises
    ------
    InputError
        If it is not.
    """
    check_weighting(threshold_ppm, POWER)
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
        χth and m.

    Raises
    ------
    InputError
        As `check_weighting`.
    """
    check_weighting(threshold_ppm, power)
    mask = susceptibility_mask(chi, threshold_ppm=threshold_ppm)
    weighted: Floats = np.nan_to_num(magnitude * mask ** np.float32(power), nan=0.0)
    return weighted.astype(np.float32, copy=False)
