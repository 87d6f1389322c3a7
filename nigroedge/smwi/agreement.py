# SPDX-License-Identifier: Apache-2.0
"""Whether the sidecars of a scan's images agree: with each other, with the files, with the user.

All of them are heard; a contradiction is refused with the key, what is said of it, and by which
files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from nigroedge.errors import InputError
from nigroedge.smwi.echo_image import CONVERT, EchoImage
from nigroedge.smwi.echo_numbers import check_numbers
from nigroedge.smwi.frequency import hz_per_ppm

#: Times closer than this are one: people round to a tenth of a millisecond, and no two echoes are
#: as close as that.
SAME_TIME_S = 1e-4
#: What all images of one scan share, and by how much two that share it may differ. A scanner sold
#: as 3 T has 2.89; the others are numbers that are copied.
SHARED = {
    "MagneticFieldStrength": 0.05,
    "ImagingFrequency": 0.05,
    "RepetitionTime": 0.01,
    "FlipAngle": 0.01,
}


def check_agreement(images: Sequence[EchoImage]) -> None:
    """Refuse images whose sidecars say that they are not of one scan, or of another kind.

    Raises
    ------
    InputError
        With the key, what is said of it, and of which files.
    """
    for key, tolerance in SHARED.items():
        _check_shared(key, tolerance, images)
    for image in images:
        _check_frequency(image)
        _check_kind(image)


def check_repetition(images: Sequence[EchoImage], last_s: float) -> None:
    """Refuse a RepetitionTime that is over before the last echo, at `last_s`, comes.

    Raises
    ------
    InputError
        With the file; one of the two times is in another unit, or of another scan.
    """
    for image in images:
        repetition_s = _shared_number(image, "RepetitionTime")
        if repetition_s is not None and repetition_s <= last_s:
            raise InputError(
                f"expected a RepetitionTime longer than the last echo time, {last_s:g} s, got "
                f"{repetition_s:g} s in a sidecar of {image.name}"
            )


def check_given(
    magnitude: Sequence[EchoImage],
    phase: Sequence[EchoImage],
    echo_times_s: Sequence[float],
    field_strength_t: float,
) -> None:
    """Refuse echo times and a field strength that sidecars beside the files contradict.

    Parameters
    ----------
    magnitude, phase : sequence of EchoImage
        In the order of the echo times, or one with all of them.
    echo_times_s : sequence of float
    field_strength_t : float

    Raises
    ------
    InputError
        As `check_agreement` too.
    """
    images = (*magnitude, *phase)
    check_agreement(images)
    check_repetition(images, max(echo_times_s))
    for image in images:
        said = image.number("MagneticFieldStrength")
        if said is not None and not _is_close(said, field_strength_t, "MagneticFieldStrength"):
            raise InputError(
                f"expected the field strength that is given, {field_strength_t:g} T, in every "
                f"sidecar, got {said:g} in that of {image.name}"
            )
    for part in (magnitude, phase):
        for image, given in zip(part, _times_of_files(part, echo_times_s), strict=True):
            _check_given_times(image, given, echo_times_s)
        check_numbers(part)


def agreed_phase_unit(phase: Sequence[EchoImage]) -> str | None:
    """Give the unit that the sidecars of all phase images name; None if none does.

    Raises
    ------
    InputError
        If they name two.
    """
    named = [(image, unit) for image in phase if (unit := image.phase_unit()) is not None]
    for (first, one), (second, other) in pairwise(named):
        if one != other:
            raise InputError(
                f"expected one unit of phase, got Units {first.said['Units']!r} in a sidecar of "
                f"{first.name} and {second.said['Units']!r} in one of {second.name}"
            )
    return named[0][1] if named else None


# --------------------------------------------------------------------------------- what all share


def _check_shared(key: str, tolerance: float, images: Sequence[EchoImage]) -> None:
    known = [(image, value) for image in images if (value := _shared_number(image, key))]
    for image, value in known[1:]:
        first, wanted = known[0]
        if not math.isclose(value, wanted, rel_tol=tolerance):
            raise InputError(
                f"expected one {key} in all sidecars of a scan, got {wanted:g} for {first.name} "
                f"and {value:g} for {image.name}"
            )


def _shared_number(image: EchoImage, key: str) -> float | None:
    """Give a number; of keys that nobody needs, only where it is one."""
    if key == "MagneticFieldStrength" or isinstance(image.said.get(key), (int, float)):
        return image.number(key)
    return None


def _is_close(one: float, other: float, key: str) -> bool:
    return math.isclose(one, other, rel_tol=SHARED[key])


def _check_frequency(image: EchoImage) -> None:
    tesla = image.number("MagneticFieldStrength")
    mhz = _shared_number(image, "ImagingFrequency")
    if not tesla or not mhz:
        return
    wanted = hz_per_ppm(tesla)  # a part per million of 1 MHz is 1 Hz
    if not _is_close(mhz, wanted, "ImagingFrequency"):
        raise InputError(
            f"expected an ImagingFrequency of {wanted:.1f} MHz with a MagneticFieldStrength of "
            f"{tesla:g} T, got {mhz:g} in a sidecar of {image.name}"
        )


def _check_kind(image: EchoImage) -> None:
    kinds = image.kinds()
    if kinds and image.part not in kinds:
        raise InputError(
            f"expected an ImageType of {_PARTS[image.part]} in a sidecar of {image.name}, got "
            f"{image.said['ImageType']!r}" + (f": {CONVERT}" if kinds <= {"real", "imag"} else "")
        )
    if image.part == "phase" and {"EchoTime1", "EchoTime2"} <= image.said.keys():
        raise InputError(
            f"expected the phase of one echo, but a sidecar of {image.name} has EchoTime1 and "
            f"EchoTime2: a difference of two echoes is no phase"
        )


_PARTS = {"mag": "magnitude", "phase": "phase"}


def same_times(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two lists of echo times, in seconds, are of the same echoes."""
    return len(one) == len(other) and all(
        abs(a - b) <= SAME_TIME_S for a, b in zip(one, other, strict=True)
    )


def _times_of_files(part: Sequence[EchoImage], given: Sequence[float]) -> list[tuple[float, ...]]:
    """The times that each file should have: one each, or all in the one."""
    return [tuple(given)] if len(part) == 1 else [(time,) for time in given]


def _check_given_times(image: EchoImage, given: Sequence[float], every: Sequence[float]) -> None:
    said = image.echo_times_s()
    if said is None or same_times(said, every):  # a list of all may lie beside each
        return
    # A converter that stacks echoes often keeps the sidecar of one of them.
    is_of_one = len(said) == 1 and any(same_times(said, (time,)) for time in given)
    if not (is_of_one or same_times(said, given)):
        expected = given if len(said) == 1 else every
        listed = [", ".join(f"{time:g}" for time in times) for times in (expected, said)]
        raise InputError(
            f"expected the echo times that are given, {listed[0]} s, in every sidecar, got "
            f"{listed[1]} s in that of {image.name}"
        )
