# SPDX-License-Identifier: Apache-2.0
"""What a scan of a person, and what comes of it, can be: each bound with its reason.

An answer beyond them is no rare finding but an input that was misread: echo times in another unit,
the field of another scanner, phase that is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from nigroedge.errors import InputError
from nigroedge.smwi.fourier import Floats, Mask

#: Tesla. Scanners that take a head have 0.2 to 11.7.
MIN_FIELD_T, MAX_FIELD_T = 0.2, 12.0
#: Seconds. A gradient-echo signal has decayed long before this: such times are milliseconds.
MAX_ECHO_TIME_S = 0.5
#: Seconds. A readout of a slab with voxels of half a millimetre takes ten times as long; whatever
#: comes closer was divided by a thousand once too often.
MIN_ECHO_SPACING_S = 0.5e-3
#: 1/s. Median of a brain's R2*; at 3 T it is 20 to 25, at 11.7 T about 80 in white matter.
MAX_R2STAR = 200.0
#: The median of an echo may exceed that of the one before by this part of it, and be noise.
MAX_GROWTH = 0.02
#: Parts per million. Tissue has −0.1 to 0.3, a calcification −1, a bleeding 1 to 2; air has 9, but
#: is no brain.
MAX_CHI_PPM = 3.0
#: Noise and the rim of a mask may go beyond in a voxel here and there: a thousandth of the mask.
MAX_BEYOND_FRACTION = 1e-3


def check_field_strength(tesla: float) -> None:
    """Refuse the field strength of no scanner.

    Raises
    ------
    InputError
        If it is not MIN_FIELD_T to MAX_FIELD_T, or no number.
    """
    if not MIN_FIELD_T <= tesla <= MAX_FIELD_T:
        raise InputError(
            f"expected a field strength in tesla, {MIN_FIELD_T:g} to {MAX_FIELD_T:g} as scanners "
            f"of people have, got {tesla:g}"
        )


def check_echo_times(times_s: Sequence[float]) -> None:
    """Refuse echo times that are no seconds, do not rise, or rise by less than a readout takes.

    Raises
    ------
    InputError
        With the times in seconds.
    """
    listed = ", ".join(f"{time:g}" for time in times_s)
    if not all(np.isfinite(times_s)) or min(times_s) <= 0:
        raise InputError(f"expected positive echo times in seconds, got {listed}")
    if max(times_s) > MAX_ECHO_TIME_S:
        raise InputError(
            f"expected echo times in seconds, got {listed}: these look like milliseconds"
        )
    if any(b <= a for a, b in pairwise(times_s)):
        raise InputError(f"expected rising echo times, got {listed}")
    if any(b - a < MIN_ECHO_SPACING_S for a, b in pairwise(times_s)):
        raise InputError(
            f"expected echoes at least {1e3 * MIN_ECHO_SPACING_S:g} ms apart, got {listed} s: no "
            f"scanner reads out so fast; divided by a thousand twice?"
        )


def check_decay(medians: Sequence[float], times_s: Sequence[float]) -> None:
    """Refuse a signal that grows from echo to echo, or that is gone faster than in any brain.

    Parameters
    ----------
    medians : sequence of float
        Of the magnitude over the brain, echo by echo.
    times_s : sequence of float

    Raises
    ------
    InputError
        If each echo is brighter than the one before by more than MAX_GROWTH, or the signal decays
        by more than MAX_R2STAR.
    """
    listed = ", ".join(f"{median:.4g}" for median in medians)
    if all(b > a * (1 + MAX_GROWTH) for a, b in pairwise(medians)):
        raise InputError(
            f"expected a magnitude that decays from echo to echo, got medians of {listed} in the "
            f"brain: are the echoes in the order of their times?"
        )
    if min(medians) <= 0:
        return
    rate = math.log(medians[0] / medians[-1]) / (times_s[-1] - times_s[0])
    if rate > MAX_R2STAR:
        raise InputError(
            f"expected a magnitude that decays by up to {MAX_R2STAR:g} /s, as in a brain, got "
            f"{rate:.3g} /s (medians of {listed}): are the echo times too short?"
        )


def check_chi(chi_ppm: Floats, mask: Mask) -> None:
    """Refuse susceptibilities that no brain has.

    Parameters
    ----------
    chi_ppm : (nx, ny, nz) float32
    mask : (nx, ny, nz) bool
        Where it is known.

    Raises
    ------
    InputError
        If more than MAX_BEYOND_FRACTION of the mask is beyond ± MAX_CHI_PPM, or no number.
    """
    inside = chi_ppm[mask]
    beyond = float(np.mean(~(np.abs(inside) <= MAX_CHI_PPM)))  # so that NaN counts
    if beyond > MAX_BEYOND_FRACTION:
        spread = float(np.std(inside[np.isfinite(inside)], dtype=np.float64))
        raise InputError(
            f"expected susceptibilities within ±{MAX_CHI_PPM:g} ppm, as in a brain, got "
            f"{100 * beyond:.3g} % of the mask beyond (SD {spread:.3g} ppm): are echo "
            f"times, field strength, phase unit and mask right?"
        )
