# SPDX-License-Identifier: Apache-2.0
"""Combine coil channels, and take away the phase that was there before any echo.

Phase at echo time t is offset + 2π f t. The offset belongs to the coil, not to tissue; with two
echoes it can be told from the rest: MCPC-3D-S (Eckstein 2018). One combined channel is a special
case of many. Magnitude is combined as the root of the sum of squares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from nigroedge.extra import from_extra
from nigroedge.smwi.fourier import Complexes, Floats, Mask

if TYPE_CHECKING:
    from types import ModuleType

#: Width of the Gaussian that smooths the complex offset, voxels (Eckstein 2018).
OFFSET_SIGMA_VOXELS = (10.0, 10.0, 5.0)

Unwrapper = Callable[[Floats, Mask, Floats], Floats]


def scipy_ndimage() -> ModuleType:
    """Import scipy.ndimage, or say how to install it."""
    with from_extra("smwi", "SMWI needs", "scipy"):
        import scipy.ndimage
    return cast("ModuleType", scipy.ndimage)


def root_sum_of_squares(magnitude: Floats) -> Floats:
    """Root of the sum of squares over the last axis; float32."""
    combined: Floats = np.sqrt(np.einsum("...i,...i->...", magnitude, magnitude))
    return combined


def combine_channels(
    magnitude: Floats,
    phase: Floats,
    echo_times_s: Sequence[float],
    mask: Mask,
    unwrap: Unwrapper,
    *,
    sigma_voxels: tuple[float, float, float] = OFFSET_SIGMA_VOXELS,
) -> tuple[Floats, Floats]:
    """Combine channels echo by echo, each freed of its phase offset.

    Parameters
    ----------
    magnitude, phase : (nx, ny, nz, n_echoes, n_channels) float32
        Any magnitude unit; radians.
    echo_times_s : sequence of float
        Rising, seconds, at least two.
    mask : (nx, ny, nz) bool
        Where the offset is estimated; it is extended smoothly beyond.
    unwrap : callable
        (phase, mask, reliability) → unwrapped phase, for the difference of echoes 1 and 2.
    sigma_voxels : (float, float, float)
        Smoothing of the complex offset.

    Returns
    -------
    magnitude : (nx, ny, nz, n_echoes) float32
        Root of the sum of squares over channels.
    phase : (nx, ny, nz, n_echoes) float32
        Angle of Σ mag² e^{i(phase − offset)}, radians, wrapped.
    """
    offsets = channel_offsets(magnitude, phase, echo_times_s, mask, unwrap, sigma_voxels)
    combined = np.empty(phase.shape[:4], np.float32)
    for echo in range(phase.shape[3]):
        total = np.zeros(phase.shape[:3], np.complex64)
        for channel, offset in enumerate(offsets):
            weight = magnitude[..., echo, channel] ** 2
            total += weight * np.exp(1j * phase[..., echo, channel]) * np.conj(offset)
        combined[..., echo] = np.angle(total)
    return root_sum_of_squares(magnitude), combined


def channel_offsets(
    magnitude: Floats,
    phase: Floats,
    echo_times_s: Sequence[float],
    mask: Mask,
    unwrap: Unwrapper,
    sigma_voxels: tuple[float, float, float],
) -> list[Complexes]:
    """Phase offset of each channel as a unit complex number, smooth.

    offset = φ₁ − TE₁/(TE₂ − TE₁) · Δφ, where Δφ is the angle of the Hermitian product of echoes 1
    and 2 summed over channels. Where that ratio is a whole number, wraps of Δφ cancel and it is
    not unwrapped.
    """
    difference, weight = _hermitian_difference(magnitude, phase)
    ratio = echo_times_s[0] / (echo_times_s[1] - echo_times_s[0])
    if abs(ratio - round(ratio)) > 1e-6:
        difference = unwrap(difference, mask, np.sqrt(weight))
    evolved = np.exp(-1j * np.float32(ratio) * difference).astype(np.complex64)
    return [
        _smooth_unit(
            magnitude[..., 0, channel] * np.exp(1j * phase[..., 0, channel]) * evolved * mask,
            sigma_voxels,
        )
        for channel in range(phase.shape[4])
    ]


def _hermitian_difference(magnitude: Floats, phase: Floats) -> tuple[Floats, Floats]:
    """Angle and size of Σ over channels of m₁ m₂ e^{i(φ₂ − φ₁)}."""
    product: npt.NDArray[np.complex64] = np.einsum(
        "...c,...c->...",
        magnitude[..., 0, :] * magnitude[..., 1, :],
        np.exp(1j * (phase[..., 1, :] - phase[..., 0, :])),
    )
    return np.angle(product).astype(np.float32), np.abs(product).astype(np.float32)


def _smooth_unit(values: Complexes, sigma_voxels: tuple[float, float, float]) -> Complexes:
    smooth = scipy_ndimage().gaussian_filter
    parts = [smooth(part, sigma_voxels, truncate=3.0) for part in (values.real, values.imag)]
    length = np.hypot(*parts)
    length[length == 0] = 1.0
    unit: Complexes = ((parts[0] + 1j * parts[1]) / length).astype(np.complex64)
    return unit
