# SPDX-License-Identifier: Apache-2.0
"""Voxels that overlap in memory are refused, as the C library refuses them."""

import numpy as np
import pytest

import nigroedge
from nigroedge.errors import InputError
from nigroedge.volume import Volume

CENTRE = (15.0, 15.0, 15.0)
AFFINE = np.diag([0.5, 0.5, 1, 1])


@pytest.fixture(scope="module")
def model():
    return nigroedge.load_model(threads=1)


@pytest.mark.parametrize("axis", range(3))
def test_an_array_that_repeats_itself_along_an_axis_is_refused(model, axis):
    shape = [60, 60, 30]
    one = [n if i != axis else 1 for i, n in enumerate(shape)]
    plane = 1 + np.random.default_rng(1).random(one, dtype=np.float32)

    with pytest.raises(InputError, match=f"keep voxels apart, got 0 along axis {axis}"):
        model.predict(Volume(np.broadcast_to(plane, shape), AFFINE), left=CENTRE)


def test_windows_that_slide_over_each_other_are_refused(model):
    line = np.random.default_rng(1).random((60, 89), dtype=np.float32) + 1
    sliding = np.lib.stride_tricks.sliding_window_view(line, 30, axis=1)

    with pytest.raises(InputError, match="keep voxels apart, got 4 along axis 2"):
        model.predict(Volume(sliding, AFFINE), left=CENTRE)


def test_views_that_go_backwards_or_skip_voxels_are_read(model):
    voxels = 1 + np.random.default_rng(1).random((60, 60, 60), dtype=np.float32)
    view = voxels[::-1, :, ::2]

    result = model.predict(Volume(view, AFFINE), left=CENTRE)

    assert model.predict(Volume(view.copy(), AFFINE), left=CENTRE).left == result.left
