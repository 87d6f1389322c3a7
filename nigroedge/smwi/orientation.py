# SPDX-License-Identifier: Apache-2.0
"""The same place stored in another order of axes: turned, exactly, without interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Affine = npt.NDArray[np.float64]


def turned(
    values: npt.NDArray[Any], affine: Affine, target: Affine
) -> tuple[npt.NDArray[Any], Affine]:
    """Permute and flip the first three axes of an image so that they run as those of another.

    Parameters
    ----------
    values : (nx, ny, nz, …) ndarray
    affine, target : (4, 4) ndarray
        Voxel index → world, of the image and of the other.

    Returns
    -------
    values : ndarray
        A view.
    affine : (4, 4) ndarray
        Of that view. Images that differ by more than the order of their axes still differ.
    """
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

    order = io_orientation(np.linalg.solve(target, affine))
    if np.isnan(order).any() or np.array_equal(order, [[0, 1], [1, 1], [2, 1]]):
        return values, affine
    shape = values.shape[:3]
    return apply_orientation(values, order), affine @ inv_ornt_aff(order, shape)
