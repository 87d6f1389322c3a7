# SPDX-License-Identifier: Apache-2.0
"""The picture of every stage: which slice, which grey, and all of it."""

import io
from dataclasses import fields

import numpy as np
import pytest

from nigroedge.smwi.figure import _about, _slice_with_most_brain, _stages, save_figure
from nigroedge.smwi.reconstruction import SmwiResult

METHOD = {
    "unwrap": "exact",
    "background": "vsharp",
    "dipole": "tv",
    "chi_threshold_ppm": 1.0,
    "power": 4.0,
}


@pytest.fixture
def result():
    """Maps of 6 × 5 × 3 voxels, in all of which the brain is the middle."""
    shape = (6, 5, 3)
    rng = np.random.default_rng(0)
    mask = np.zeros(shape, bool)
    mask[1:5, 1:4] = True
    maps = {
        field.name: rng.uniform(size=shape).astype(np.float32)
        for field in fields(SmwiResult)
        if field.type == "Floats"
    }
    return SmwiResult(
        voxels=maps["magnitude"],
        affine=np.eye(4),
        mask=mask,
        eroded_mask=mask,
        parameters={"Method": METHOD},
        **maps,
    )


def test_the_slice_is_the_middle_one_of_those_with_as_much_brain_as_any():
    assert 3 == _slice_with_most_brain(np.array([0, 50, 100, 99, 100, 0, 0]))
    assert 1 == _slice_with_most_brain(np.array([5, 100, 97, 5, 5]))


def test_limits_by_hand():
    """Eleven values about 5: the largest distance is 5, the median of all is 3."""
    values = np.arange(11, dtype=np.float32)

    assert (0, 10) == _about(values, 100)
    assert (2, 8) == _about(values, 50)


def test_every_map_of_the_result_has_a_panel(result):
    stages = _stages(result)

    assert 8 == len(stages)
    drawn = {id(stage.values) for stage in stages}
    named = ("voxels", "magnitude", "phase", "unwrapped", "frequency_hz", "local_field_ppm")
    assert {id(getattr(result, name)) for name in (*named, "chi_ppm")} <= drawn
    assert all(stage.low < stage.high for stage in stages)


def test_the_picture_is_a_png_and_the_same_every_time(result):
    first, second = io.BytesIO(), io.BytesIO()

    save_figure(result, first)
    save_figure(result, second)

    assert first.getvalue().startswith(b"\x89PNG")
    assert first.getvalue() == second.getvalue()
