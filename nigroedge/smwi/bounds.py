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

from nigroedge.errors import GeometryError, InputError
from nigroedge.smwi.fourier import Floats, Mask, Vector3

#: Tesla. Scanners that take a head have 0.2 to 11.7.
MIN_FIELD_T, MAX_FIELD_T = 0.2, 12.0
#: Seconds. A gradient-echo signal of a brain has decayed before this even at 0.5 T (T2* about
#: 0.1 s): such times are milliseconds, or ten times too long.
MAX_ECHO_TIME_S = 0.2
#: Seconds. A readout of a slab with voxels of half a millimetre takes ten times as long; whatever
#: comes closer was divided by a thousand once too often.
MIN_ECHO_SPACING_S = 0.5e-3
#: Millimetres, as where a patch is cut: others are an affine in other units.
MIN_VOXEL_MM, MAX_VOXEL_MM = 0.05, 5.0
#: Tesla times seconds of the last echo. Water and fat, 3.5 ppm apart, agree every 6.7e-3 T·s; field
#: maps end with the second time (4.6 to 4.9 ms at 3 T). There the nigra, of 0.1 ppm, has turned by
#: 0.1 rad, the noise of a voxel at an SNR of ten. At the third time something is to be seen.
MIN_EVOLUTION_TS = 3 * 6.7e-3
#: 1/s, and 1/s per tesla. The median of a brain's R2* is 10 to 20 at 1.5 T, 20 to 25 at 3 T, 35 to
#: 50 at 7 T: it grows with the field, and twice as much and more is none.
MAX_R2STAR, MAX_R2STAR_PER_T = 20.0, 20.0
#: The median of an echo may exceed that of the one before by this part of it, and be noise.
MAX_GROWTH = 0.02
#: Times that an echo may be brighter than the one before, or darker than decay alone makes it. A
#: gain that drifts, or flow, changes it by tens of per cent; a file in another scale by ten and
#: more.
MAX_JUMP = 3.0
#: What may stand in a magnitude image, in any unit, so that squares and their sums are float32's.
MIN_BRIGHTEST, MAX_BRIGHTEST = 1e-15, 1e15
#: Of the brightest voxel, the darkest has less: coils alone see a head more unevenly. Only a wrong
#: intercept leaves more, and beside it float32 keeps little of the image.
MAX_DARKEST = 0.9
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


def check_voxel_size(voxel_size_mm: Vector3) -> None:
    """Refuse voxels that no image of a midbrain has.

    Raises
    ------
    GeometryError
        If an edge is shorter than MIN_VOXEL_MM or longer than MAX_VOXEL_MM.
    """
    if min(voxel_size_mm) < MIN_VOXEL_MM or max(voxel_size_mm) > MAX_VOXEL_MM:
        edges = " × ".join(f"{edge:.3g}" for edge in voxel_size_mm)
        raise GeometryError(
            f"expected voxels of {MIN_VOXEL_MM:g} to {MAX_VOXEL_MM:g} mm along each axis, got "
            f"{edges} mm (an affine not in millimetres?)"
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


def check_evolution(times_s: Sequence[float], field_strength_t: float) -> None:
    """Refuse echoes so early that no susceptibility shows in them.

    Raises
    ------
    InputError
        If the last echo times the field is less than MIN_EVOLUTION_TS.
    """
    latest_s = MIN_EVOLUTION_TS / field_strength_t
    if times_s[-1] < 0.999 * latest_s:  # people round
        raise InputError(
            f"expected echoes late enough for susceptibility, the last at {1e3 * latest_s:.2g} ms "
            f"or more at {field_strength_t:g} T, got {1e3 * times_s[-1]:.3g} ms: is this a field "
            f"map, or are echo times or field strength wrong?"
        )


def check_magnitude(magnitude: Floats) -> None:
    """Refuse a magnitude that is none.

    Raises
    ------
    InputError
        If it is negative anywhere, its brightest voxel is not MIN_BRIGHTEST to MAX_BRIGHTEST, or
        its darkest is above MAX_DARKEST of that; one value everywhere says that all weigh alike.
    """
    lowest, highest = float(magnitude.min()), float(magnitude.max())
    if lowest < 0:
        raise InputError(
            f"expected a magnitude, which is never negative, got {lowest:g}: unsigned integers "
            f"read as signed ones, or no magnitude"
        )
    if not MIN_BRIGHTEST <= highest <= MAX_BRIGHTEST:
        raise InputError(
            f"expected a magnitude of up to {MIN_BRIGHTEST:g} to {MAX_BRIGHTEST:g}, got up to "
            f"{highest:g}: a wrong slope, or scale it"
        )
    if MAX_DARKEST * highest < lowest < highest:
        raise InputError(
            f"expected a magnitude whose darkest voxel is below {MAX_DARKEST:g} of its brightest, "
            f"got {lowest:.9g} and {highest:.9g}: a wrong intercept?"
        )


def check_decay(
    medians: Sequence[float], times_s: Sequence[float], field_strength_t: float
) -> None:
    """Refuse a signal that grows from echo to echo, or jumps, or is gone faster than in any brain.

    Parameters
    ----------
    medians : sequence of float
        Of the magnitude over the brain, echo by echo.
    times_s : sequence of float
    field_strength_t : float

    Raises
    ------
    InputError
        If each echo is brighter than the one before by more than MAX_GROWTH, the signal decays by
        more than MAX_R2STAR + MAX_R2STAR_PER_T · field, or an echo is brighter than the one before
        by a factor of MAX_JUMP, or darker by as much more than that decay.
    """
    listed = ", ".join(f"{median:.4g}" for median in medians)
    if all(b > a * (1 + MAX_GROWTH) for a, b in pairwise(medians)):
        raise InputError(
            f"expected a magnitude that decays from echo to echo, got medians of {listed} in the "
            f"brain: are the echoes in the order of their times?"
        )
    fastest = MAX_R2STAR + MAX_R2STAR_PER_T * field_strength_t
    _check_jumps(medians, times_s, fastest, listed)
    if min(medians) <= 0:
        return
    rate = math.log(medians[0] / medians[-1]) / (times_s[-1] - times_s[0])
    if rate > fastest:
        raise InputError(
            f"expected a magnitude that decays by up to {fastest:.3g} /s, as in a brain at "
            f"{field_strength_t:g} T, got {rate:.3g} /s (medians of {listed}): are the echo times "
            f"too short?"
        )


def _check_jumps(
    medians: Sequence[float], times_s: Sequence[float], fastest: float, listed: str
) -> None:
    for echo, (before, after) in enumerate(pairwise(medians)):
        least = before * math.exp(-fastest * (times_s[echo + 1] - times_s[echo])) / MAX_JUMP
        if after > MAX_JUMP * before or 0 < after < least:
            raise InputError(
                f"expected a magnitude that changes by decay from echo to echo, got medians of "
                f"{listed} in the brain: are echoes {echo + 1} and {echo + 2} in one scale?"
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
            f"times, field strength and phase unit right, and does the mask hold brain alone?"
        )
