# SPDX-License-Identifier: Apache-2.0
"""Whether every echo is there, once and whole: a file that was lost or read twice shows in it."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from nigroedge.errors import InputError
from nigroedge.smwi.fourier import Floats

#: A slice is an image if more than this part of its voxels is. Some scanners cut out a background
#: that differs a little by echo, so that a slice beyond the head has a few voxels in one alone: up
#: to 0.8 % of a Philips scan's phase. A head cut out of its background fills more.
MIN_IMAGE = 0.05
#: Every nth voxel along an axis tells most images, and most slices, apart.
_SPARSE = 7


def check_echoes(magnitude: Floats, radians: Floats) -> None:
    """Refuse an echo without a signal, one that is there twice, and one that has lost slices.

    Parameters
    ----------
    magnitude, radians : (nx, ny, nz, n_echoes[, n_channels]) float32

    Raises
    ------
    InputError
        With the numbers of the echoes, from 1.
    """
    for echo in range(magnitude.shape[3]):
        if not magnitude[:, :, :, echo].any():
            raise InputError(
                f"expected a magnitude above 0 in every echo, got none in echo {echo + 1}"
            )
    for what, values in (("phase", radians), ("magnitude", magnitude)):
        _check_repeated(what, values)
        _check_slices(what, values)


def _check_repeated(what: str, values: Floats) -> None:
    """Noise never repeats itself; a magnitude of one value says that all echoes weigh alike."""
    for one, other in combinations(range(values.shape[3]), 2):
        if _is_same(values[:, :, :, one], values[:, :, :, other]) and np.ptp(values[:, :, :, one]):
            raise InputError(
                f"expected echoes that differ, got the same {what} in echoes {one + 1} and "
                f"{other + 1}"
            )


def _is_same(one: Floats, other: Floats) -> bool:
    few = (slice(None, None, _SPARSE),) * 3
    return np.array_equal(one[few], other[few]) and np.array_equal(one, other)


def _check_slices(what: str, values: Floats) -> None:
    """Slices of one value are no image, where another echo has one there.

    In a magnitude that value is 0: another says that all echoes weigh alike.
    """
    echoes = [values[:, :, :, echo] for echo in range(values.shape[3])]
    for axis in range(3):
        flat = [_flat_slices(one, axis) for one in echoes]
        if what == "magnitude":
            flat = [{k: value for k, value in own.items() if value == 0} for own in flat]
        for echo, own in enumerate(flat):
            lost = [k for k, value in own.items() if _is_lost(k, value, axis, echoes)]
            if lost:
                raise InputError(
                    f"expected an image in every slice of every echo, got one value of {what} in "
                    f"slice {lost[0]} along axis {axis} of echo {echo + 1}, where another echo has "
                    f"an image ({len(lost)} such slices)"
                )


def _flat_slices(values: Floats, axis: int) -> dict[int, float]:
    """Slices along an axis that hold one value: number → value."""
    slices = np.moveaxis(values, axis, 0)
    few = slices[:, ::_SPARSE, ::_SPARSE].reshape(len(slices), -1)
    candidates = np.flatnonzero((few == few[:, :1]).all(axis=1))
    return {int(k): float(few[k, 0]) for k in candidates if np.ptp(slices[k]) == 0}


def _is_lost(k: int, value: float, axis: int, echoes: list[Floats]) -> bool:
    """Whether some echo has an image in a slice that holds one value in another."""
    return any(np.mean(np.take(one, k, axis) != value) > MIN_IMAGE for one in echoes)
