# SPDX-License-Identifier: Apache-2.0
"""One scan as its sidecars describe it.

Magnitude and phase of an echo belong together by their echo time, whatever numbers their names
bear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nigroedge.errors import InputError
from nigroedge.smwi.agreement import (
    agreed_phase_unit,
    check_agreement,
    check_repetition,
    same_times,
)
from nigroedge.smwi.echo_image import EchoImage
from nigroedge.smwi.echo_numbers import check_numbers


@dataclass(frozen=True)
class Acquisition:
    """A scan whose sidecars were heard.

    Parameters
    ----------
    magnitude, phase : tuple of Path
        One an echo, paired, in the order of the echo times; or one with all of them.
    echo_times_s : tuple of float
    field_strength_t : float
    phase_unit : str, optional
        As `nigroedge.smwi.phase` names it, if the sidecars name one.
    """

    magnitude: tuple[Path, ...]
    phase: tuple[Path, ...]
    echo_times_s: tuple[float, ...]
    field_strength_t: float
    phase_unit: str | None

    @classmethod
    def of(cls, magnitude: Sequence[EchoImage], phase: Sequence[EchoImage]) -> Acquisition:
        """Pair the images of a scan by their echo times.

        Parameters
        ----------
        magnitude, phase : sequence of EchoImage
            As many of the one as of the other. Where the sidecars of an image say no time, those of
            its partner count: the one in the same place of the other sequence.

        Raises
        ------
        InputError
            If sidecars contradict each other, name no echo time or field strength, or times of
            magnitude and phase differ.
        """
        images = (*magnitude, *phase)
        check_agreement(images)
        field_strength = next(
            (tesla for image in images if (tesla := image.number("MagneticFieldStrength"))), None
        )
        if field_strength is None:
            raise phase[0].lacks("MagneticFieldStrength")
        paired = _one_file_each if len(phase) == 1 else _paired
        paths, times = paired(magnitude, phase)
        check_repetition(images, max(times))
        return cls(*paths, times, field_strength, agreed_phase_unit(phase))


Paths = tuple[tuple[Path, ...], tuple[Path, ...]]


def _one_file_each(
    magnitude: Sequence[EchoImage], phase: Sequence[EchoImage]
) -> tuple[Paths, tuple[float, ...]]:
    """All echoes along the fourth axis of a file: their times in a list."""
    said = [image.echo_times_s() for image in (*magnitude, *phase)]
    times = said[1] or said[0]
    if times is None:
        raise phase[0].lacks("EchoTime")
    if None not in said and not same_times(said[0] or (), times):
        raise _differ(said[0] or (), times)
    return ((magnitude[0].path,), (phase[0].path,)), times


def _paired(
    magnitude: Sequence[EchoImage], phase: Sequence[EchoImage]
) -> tuple[Paths, tuple[float, ...]]:
    """One file an echo: magnitude and phase of the same time belong together."""
    mags = _by_time(magnitude, partners=phase)
    phases = _by_time(phase, partners=magnitude)
    if not same_times(tuple(mags), tuple(phases)):
        raise _differ(tuple(mags), tuple(phases))
    for part in (mags, phases):
        check_numbers(tuple(part.values()))
    return (_paths(mags), _paths(phases)), tuple(phases)


def _paths(part: dict[float, EchoImage]) -> tuple[Path, ...]:
    return tuple(image.path for image in part.values())


def _by_time(images: Sequence[EchoImage], partners: Sequence[EchoImage]) -> dict[float, EchoImage]:
    """Images by their echo time, in its order."""
    found: dict[float, EchoImage] = {}
    for image, partner in zip(images, partners, strict=True):
        time = _one_time(image, len(images))
        time = _one_time(partner, len(images)) if time is None else time
        if time is None:
            raise (image if image.part == "phase" else partner).lacks("EchoTime")
        if time in found:
            raise InputError(
                f"expected echoes of different times, got {time:g} s for {found[time].name} and "
                f"for {image.name}"
            )
        found[time] = image
    return {time: found[time] for time in sorted(found)}


def _one_time(image: EchoImage, n_files: int) -> float | None:
    times = image.echo_times_s()
    if times is not None and len(times) > 1:
        raise InputError(
            f"expected one EchoTime for a file of one echo, or as many as there are files, echo-1 "
            f"to echo-{n_files}, got {len(times)} in a sidecar of {image.name}"
        )
    return None if times is None else times[0]


def _differ(magnitude: Sequence[float], phase: Sequence[float]) -> InputError:
    listed = [", ".join(f"{time:g}" for time in times) for times in (magnitude, phase)]
    return InputError(
        f"expected magnitude and phase of the same echo times, got {listed[0]} s and {listed[1]} s "
        f"in their sidecars"
    )
