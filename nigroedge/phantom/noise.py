# SPDX-License-Identifier: Apache-2.0
"""A scan interpolated from fewer samples: its point spread, and noise that neighbours share.

A scanner samples fewer voxels than it stores, in plane and, over-contiguous, across slices. So a
voxel shares signal and noise with its neighbours: one small kernel along each axis does both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nigroedge.phantom.shapes import Floats, Matrix

Shares = tuple[float, ...]

#: Share of each neighbour against 1 of the voxel, in the plane and across slices. Noise one voxel
#: apart then correlates by 0.44 and 0.61.
IN_PLANE, ACROSS = 0.25, 0.4
SLAB_SHARES: Shares = (IN_PLANE, IN_PLANE, ACROSS)


def shares_of(affine: Matrix) -> Shares:
    """Give the shares along each axis of a grid: slices lie across its longest voxel edge."""
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    across = int(np.argmax(edges))
    return tuple(ACROSS if axis == across else IN_PLANE for axis in range(3))


def unit_noise(
    rng: np.random.Generator, shape: Sequence[int], shares: Shares = SLAB_SHARES
) -> Floats:
    """Draw noise of SD 1 that neighbours share."""
    field = rng.standard_normal(tuple(shape), dtype=np.float32)
    for axis, share in enumerate(shares):
        field = _shared(field, axis, share) * np.float32(1 / math.sqrt(1 + 2 * share * share))
    return field


def spread(values: Any, shares: Shares = SLAB_SHARES) -> Any:
    """Spread every voxel over its neighbours; what is constant stays as it is.

    Parameters
    ----------
    values : (nx, ny, nz) float32 or complex64 ndarray
        At the faces, what lies beyond is as what lies there.
    """
    for axis, share in enumerate(shares):
        out = _shared(values, axis, share)
        face, edge = np.moveaxis(out, axis, 0), np.moveaxis(values, axis, 0)
        face[0] += np.float32(share) * edge[0]
        face[-1] += np.float32(share) * edge[-1]
        out *= np.float32(1 / (1 + 2 * share))
        values = out
    return values


def _shared(values: Any, axis: int, share: float) -> Any:
    """Add a share of both neighbours along an axis; beyond the faces lies nothing."""
    out, along = values.copy(), np.moveaxis(values, axis, 0)
    np.moveaxis(out, axis, 0)[:-1] += np.float32(share) * along[1:]
    np.moveaxis(out, axis, 0)[1:] += np.float32(share) * along[:-1]
    return out
