# SPDX-License-Identifier: Apache-2.0
"""What a network from elsewhere does not say becomes a model file's metadata, or is refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.conventions import METHOD, Conventions
from export.spec import method_spec
from nigroedge.errors import InputError
from nigroedge.spec import MIRROR_CENTRES, MIRRORS, SIDES, ModelSpec
from tests.onnx_files import CARD


def test_the_method_is_one_network_for_both_sides():
    spec = METHOD.spec((50, 50, 20), CARD)

    assert ("both", "right", "n/2", "mean") == (
        spec.side,
        spec.mirror,
        spec.mirror_centre,
        spec.normalize,
    )
    assert ((0.5, 0.5, 1.0), "ALI") == (spec.grid.spacing_mm, spec.grid.axes)
    assert spec == method_spec(CARD)
    assert replace(spec, mirror_centre="n/2-1") == method_spec(CARD, mirror_centre="n/2-1")


@given(
    side=st.sampled_from(SIDES),
    mirror=st.sampled_from(MIRRORS),
    mirror_centre=st.sampled_from(MIRROR_CENTRES),
    normalize=st.sampled_from(["mean", "zscore", "none", "divide 1000", "percentile 1 99 clip"]),
    axes=st.permutations([("A", "P"), ("L", "R"), ("S", "I")]).flatmap(
        lambda pairs: st.tuples(*map(st.sampled_from, pairs)).map("".join)
    ),
    shape=st.tuples(*[st.integers(1, 60)] * 3),
)
def test_all_that_is_said_reaches_the_metadata_or_is_refused(shape, **said):
    conventions = Conventions(**said)
    if said["mirror"] == "none" and said["mirror_centre"] != "n/2":
        with pytest.raises(InputError, match="since no side is mirrored"):
            conventions.spec(shape, CARD)
        return
    spec = ModelSpec.from_metadata(conventions.spec(shape, CARD).to_metadata())

    grid = {"shape": spec.grid.shape, "spacing_mm": spec.grid.spacing_mm, "axes": spec.grid.axes}
    expected = {"shape": shape, "spacing_mm": (0.5, 0.5, 1.0), "axes": said.pop("axes")}
    assert expected == grid
    assert said == {name: getattr(spec, name) for name in said}


@pytest.mark.parametrize(
    ("changes", "shape", "message"),
    [
        ({"side": "top"}, (4, 4, 4), "expected side to be one of both, left, right; got 'top'"),
        ({"normalize": "median"}, (4, 4, 4), "got 'median'"),
        ({"axes": "ALL"}, (4, 4, 4), "expected axes such as 'ALI', got 'ALL'"),
        ({"spacing_mm": (0.5, 0.5, 0.0)}, (4, 4, 4), "three positive spacings in mm"),
        ({}, (4, 0, 4), "three patch sizes of at least 1"),
    ],
)
def test_what_no_model_file_can_say_is_refused(changes, shape, message):
    with pytest.raises(InputError, match=message):
        replace(METHOD, **changes).spec(shape, CARD)
