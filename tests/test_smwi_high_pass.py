# SPDX-License-Identifier: Apache-2.0
"""The field less its mean over balls: at each voxel the largest that fits, each voxel once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nigroedge.errors import GeometryError
from nigroedge.smwi.fourier import FourierGrid
from nigroedge.smwi.high_pass import check_rim, shells
from nigroedge.smwi.mask import distance_mm
from nigroedge.smwi.masked import MaskedMap
from tests.test_smwi_background import GRID, MASK, VOXEL_MM, dipole_at

RADII_MM = (6.0, 4.0, 2.0)


def test_a_single_bright_voxel_loses_its_share_of_the_ball():
    """A ball of 0.95 mm on cubes of 1 mm, each cut into 5³.

    It holds all 125 parts of the centre, 25 + 21 of each of 6 faces and 5 of each of 12 edges: 461.
    """
    grid = FourierGrid((9, 9, 9), (1.0, 1.0, 1.0), 3.0)
    field = np.zeros(grid.shape, np.float32)
    field[4, 4, 4] = 1.0

    (shell,) = shells(MaskedMap(field, np.ones(field.shape, bool), grid), (0.95,))

    seen = [shell.values[place] for place in ((4, 4, 4), (5, 4, 4), (4, 3, 5), (5, 5, 5))]
    assert [1 - 125 / 461, -46 / 461, -5 / 461, 0] == pytest.approx(seen, abs=1e-6)


@settings(max_examples=5)
@given(st.floats(-2, 2), st.floats(-2, 2))
def test_each_voxel_belongs_to_the_largest_ball_that_fits(x, y):
    found = list(shells(MaskedMap(dipole_at((x, y, 0.0)), MASK, GRID), RADII_MM))

    depth = distance_mm(np.pad(MASK, 1), VOXEL_MM)[1:-1, 1:-1, 1:-1]
    assert not (sum(shell.where.astype(int) for shell in found) > 1).any()
    for radius, shell in zip(RADII_MM, found, strict=True):
        # Distances are between centres of voxels, which are boxes.
        assert (depth[shell.where] > radius - 1).all()
        larger = [r for r in RADII_MM if r > radius]
        assert not larger or (depth[shell.where] < min(larger) + 1).all()
        assert (shell.values[~shell.where] == 0).all()


def test_balls_that_fit_nowhere_are_passed_over():
    done = []

    found = list(shells(MaskedMap(dipole_at((0, 0, 0)), MASK, GRID), (20.0, 2.0), step=done.append))

    assert 1 == len(found)
    assert [0.5, 1.0] == done


def test_a_mask_too_thin_is_refused_after_the_last_ball():
    thin = MASK.copy()
    thin[:, :, 2:] = False

    with pytest.raises(GeometryError, match=r"ball of 2 mm .* fits into 0 of"):
        list(shells(MaskedMap(dipole_at((0, 0, 0)), thin, GRID), RADII_MM))


def test_5_of_100_voxels_are_enough_and_4_are_not():
    mask = np.arange(120) < 100
    check_rim(np.arange(120) < 5, mask, 2.0)

    with pytest.raises(GeometryError, match=r"at least 5 % of the mask, it fits into 4 of 100"):
        check_rim(np.arange(120) < 4, mask, 2.0)
