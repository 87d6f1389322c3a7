# SPDX-License-Identifier: Apache-2.0
"""A multi-echo gradient-echo scan: magnitude, phase, when, where, and in what field.

Everything that can be wrong with it is said here, before any arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nigroedge.errors import GeometryError, InputError
from nigroedge.smwi.bounds import (
    check_echo_times,
    check_field_strength,
    check_magnitude,
    check_voxel_size,
)
from nigroedge.smwi.echoes import check_echoes
from nigroedge.smwi.fourier import Floats, Vector3
from nigroedge.smwi.kernels import field_direction, voxel_size
from nigroedge.smwi.phase import Phase, read_phase
from nigroedge.volume import Source

#: Affines of magnitude and phase may differ by this much at a corner of the volume.
MAX_GAP_MM = 0.1


@dataclass(frozen=True, eq=False)
class MultiEcho:
    """A multi-echo scan.

    Parameters
    ----------
    magnitude : (nx, ny, nz, n_echoes[, n_channels]) array_like
        Any unit, never negative; NaN counts as 0.
    phase : array_like
        Of the same shape, as stored.
    affine : (4, 4) array_like
        Voxel index → RAS+ millimetres.
    echo_times_s : sequence of float
        Seconds, rising, at least 0.5 ms apart.
    field_strength_t : float
        Tesla, 0.2 to 12.
    phase_unit : str, optional
        One of `nigroedge.smwi.phase.UNIT_NAMES`; detected where it is not given.
    phase_sign : {1, -1}
        −1 for scanners that store the phase of the opposite rotation.
    b0_world : (float, float, float), optional
        Direction of B0 in the coordinates that the affine leads to; by default z, as in those of
        the scanner. Images that were turned to a standard space have another.
    b0_from : {'scanner', 'aligned', 'standard', 'given'}
        What is known of those coordinates, or that somebody gave the direction: only said again.
    sources : tuple of Source
        The files that it came from.

    Raises
    ------
    InputError
        If echo times are missing or none (see `check_echo_times`), there are fewer than two echoes,
        the field strength is no scanner's, the phase or the magnitude is none (see `read_phase`,
        `check_magnitude`), or an echo is blank, there twice or without slices (`check_echoes`).
    GeometryError
        If magnitude and phase differ in shape, are no volumes of echoes, or the voxels are sheared,
        too long, or not 0.05 to 5 mm.
    """

    magnitude: npt.NDArray[Any]
    phase: npt.NDArray[Any]
    affine: npt.NDArray[np.float64]
    echo_times_s: Sequence[float]
    field_strength_t: float
    phase_unit: str | None = None
    phase_sign: int = 1
    b0_world: Vector3 = (0.0, 0.0, 1.0)
    b0_from: str = "scanner"
    sources: tuple[Source, ...] = field(default=(), repr=False)

    #: Derived: magnitude and phase of five dimensions, NaN-free; B0 in image axes; voxel edges.
    magnitudes: Floats = field(init=False, repr=False)
    phases: Phase = field(init=False, repr=False)
    b0: Vector3 = field(init=False)
    voxel_size_mm: Vector3 = field(init=False)

    def __post_init__(self) -> None:
        magnitude, phase = np.asarray(self.magnitude), np.asarray(self.phase)
        affine = np.array(self.affine, np.float64)
        _check_shapes(magnitude.shape, phase.shape)
        times = _checked_echo_times(self.echo_times_s, magnitude.shape[3])
        check_field_strength(self.field_strength_t)
        if self.phase_sign not in (1, -1):
            raise InputError(f"expected a phase sign of 1 or -1, got {self.phase_sign}")
        edges = voxel_size(affine)
        check_voxel_size(edges)
        phases = read_phase(phase, unit=self.phase_unit)
        put = object.__setattr__
        put(self, "magnitudes", _checked_magnitude(magnitude, phases))
        put(self, "phases", phases)
        put(self, "affine", affine)
        put(self, "echo_times_s", times)
        put(self, "voxel_size_mm", edges)
        put(self, "b0", field_direction(affine, self.b0_world))

    @property
    def radians(self) -> Floats:
        """Phase, five-dimensional, of the sign in which frequency rises with the field."""
        radians = self.phases.radians
        radians = radians[..., None] if radians.ndim == 4 else radians
        return radians if self.phase_sign == 1 else -radians


def same_place(
    affines: Sequence[npt.NDArray[np.float64]],
    shape: Sequence[int],
    what: str = "all magnitude and phase images",
) -> npt.NDArray[np.float64]:
    """The affine of several images, if they are in the same place.

    Raises
    ------
    GeometryError
        If a corner of the volume moves by more than 0.1 mm from one image to another.
    """
    corners = np.indices((2, 2, 2)).reshape(3, 8) * np.reshape(shape[:3], (3, 1))
    corners = np.vstack([corners, np.ones(8)])
    for n, affine in enumerate(affines):
        gap_mm = float(np.linalg.norm((affine - affines[0]) @ corners, axis=0).max())
        if gap_mm > MAX_GAP_MM:
            raise GeometryError(
                f"expected {what} in one place, but image {n + 1} lies "
                f"{gap_mm:.2f} mm from the first at a corner"
            )
    return affines[0]


def _check_shapes(magnitude: tuple[int, ...], phase: tuple[int, ...]) -> None:
    if magnitude != phase:
        raise GeometryError(
            f"expected magnitude and phase of one shape, got {magnitude} and {phase}"
        )
    if len(magnitude) not in (4, 5) or min(magnitude) < 1:
        raise GeometryError(
            f"expected magnitude and phase of shape (nx, ny, nz, echoes) or (…, echoes, channels), "
            f"got {magnitude}"
        )
    if magnitude[3] < 2:
        raise InputError(
            "expected at least two echoes, got one: its phase offset cannot be told from its "
            "frequency"
        )


def _checked_echo_times(given: Sequence[float], n_echoes: int) -> tuple[float, ...]:
    times = tuple(float(time) for time in given)
    if len(times) != n_echoes:
        raise InputError(
            f"expected {n_echoes} echo times, one for each echo, got "
            f"{len(times) or 'none: give them in seconds'}"
        )
    check_echo_times(times)
    return times


def _checked_magnitude(magnitude: npt.NDArray[Any], phases: Phase) -> Floats:
    """Magnitude of five dimensions, 0 where it or the phase is no number."""
    values = np.asarray(magnitude, np.float32)
    good = np.isfinite(values) & phases.finite
    values = np.where(good, values, np.float32(0))
    if not (values > 0).any():
        raise InputError("expected a magnitude image, got none above 0")
    check_magnitude(values)
    check_echoes(values, phases.radians)
    return values[..., None] if values.ndim == 4 else values
