# SPDX-License-Identifier: Apache-2.0
"""64 bit integers, in which some programs write masks and small numbers, as types that are served.

No value changes: 32 bit integers hold nearly all, float64 the rest up to 2⁵³.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nigroedge.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

#: Every whole number up to it is a float64.
_MAX_EXACT = 2**53


def narrowed(voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give int64 or uint64 as int32, or where that is too narrow as float64, in Fortran order.

    Raises
    ------
    InputError
        If a number is beyond ± 2⁵³.
    """
    low, high = int(voxels.min()), int(voxels.max())
    int32 = np.iinfo(np.int32)
    if int32.min <= low and high <= int32.max:
        return voxels.astype(np.int32, order="F")
    if -_MAX_EXACT <= low and high <= _MAX_EXACT:
        return voxels.astype(np.float64, order="F")
    raise InputError(
        f"expected 64 bit integers within 2^53, which a float64 holds exactly, got {low} to {high}"
    )
