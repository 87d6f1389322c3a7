# SPDX-License-Identifier: Apache-2.0
"""Voxels that no MRI of a midbrain has are refused alike in Python and in C."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge import crop_patch
from nigroedge.errors import GeometryError
from nigroedge.smwi.scan import MultiEcho
from nigroedge.volume import Volume

VOXELS = np.random.default_rng(0).integers(100, 900, (12, 11, 10)).astype(np.int16)


def crop(sizes_mm):
    """A patch of one voxel in the middle."""
    centre = np.array(sizes_mm) * 5
    return crop_patch(Volume(VOXELS, np.diag([*sizes_mm, 1])), centre, shape=(1, 1, 1), axes="RAS")


@pytest.mark.parametrize(
    ("sizes_mm", "served"),
    [
        ((0.5, 0.5, 1), True),
        ((0.05, 0.05, 0.05), True),
        ((5, 5, 5), True),
        ((0.5, 0.5, 5.01), False),
        ((0.049, 0.5, 1), False),
        ((500, 500, 1000), False),  # micrometres
        ((0.0005, 0.0005, 0.001), False),  # metres
        ((0.05, 0.05, 0.1), True),  # centimetres look like a specimen: nobody can tell
    ],
)
def test_lengths_in_other_units_are_refused(sizes_mm, served):
    if served:
        assert crop(sizes_mm).shape == (1, 1, 1)
        return
    with pytest.raises(GeometryError, match=r"expected voxels of 0\.05 to 5 mm along each axis"):
        crop(sizes_mm)


@given(st.tuples(*[st.floats(0.03, 8)] * 3))
def test_every_axis_counts(sizes_mm):
    try:
        crop(sizes_mm)
        served = True
    except GeometryError:
        served = False

    # Between the bounds and their millionth the two may differ.
    assert served == (min(sizes_mm) >= 0.05 and max(sizes_mm) <= 5) or (
        min(abs(np.array([[0.05], [5]]) / sizes_mm - 1).ravel()) < 2e-6
    )


@pytest.mark.parametrize("factor", [1e-3, 1e3, np.nan])
def test_a_scan_for_smwi_in_other_units_is_refused(factor):
    """In micrometres it gave an SMWI that looked like one, in metres it asked for terabytes."""
    echoes = np.random.default_rng(0).uniform(0.1, 3, (4, 4, 4, 2)).astype(np.float32)
    affine = np.diag([0.5 * factor, 0.5 * factor, factor, 1])
    with pytest.raises(GeometryError, match=r"expected voxels of 0\.05 to 5 mm along each axis"):
        MultiEcho(echoes, echoes, affine, (0.01, 0.02), 3.0, phase_unit="rad")
