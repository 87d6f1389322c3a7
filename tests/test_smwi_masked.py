# SPDX-License-Identifier: Apache-2.0
"""A map in a mask: nothing outside, and all of one shape."""

import numpy as np
import pytest

from nigroedge.smwi.fourier import FourierGrid
from nigroedge.smwi.masked import MaskedMap, inside

GRID = FourierGrid((1, 1, 3), (0.5, 0.5, 1.0), 0.0)
VALUES = np.array([[[1, np.nan, 3]]], np.float32)
MASK = np.array([[[True, False, True]]])


def test_what_is_outside_is_0_whatever_was_there():
    found = MaskedMap(VALUES, MASK, GRID)

    assert [[[1, 0, 3]]] == found.values.tolist() == inside(VALUES, MASK).tolist()
    assert np.float32 == found.values.dtype
    assert np.isnan(VALUES).any()  # what was given stays as it was


@pytest.mark.parametrize(
    ("values", "mask"), [(VALUES[..., :2], MASK), (VALUES, MASK[..., :2]), (VALUES[0], MASK)]
)
def test_another_shape_than_the_grids_is_refused(values, mask):
    with pytest.raises(
        ValueError, match=r"expected a map and a mask of the grid's shape \(1, 1, 3\)"
    ):
        MaskedMap(values, mask, GRID)
