# SPDX-License-Identifier: Apache-2.0
"""A file of a few bytes that asks for any number of values is refused before it gets them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from export.imported import read_net
from export.net import Net
from export.sizes import MAX_VALUES, check_sizes
from nigroedge.errors import ModelError
from tests.test_export_imported import SHAPE, model, node

MANY = 10**9
MEAN = [node("GlobalAveragePool", "v", "g"), node("Flatten", "g", "y")]
LARGE = {
    "Expand": (node("Expand", "x s", "v"), {"s": np.array([2, MANY, 1, 1, 1])}),
    "Tile": (node("Tile", "x s", "v"), {"s": np.array([1, MANY, 1, 1, 1])}),
    "Pad": (node("Pad", "x s", "v"), {"s": np.array([0, 0, MANY, 0, 0, 0, 0, 0, 0, 0])}),
    "Conv": (
        node("Conv", "x w", "v", pads=[10**6] * 6),
        {"w": np.ones((1, 1, 1, 1, 1), np.float32)},
    ),
    "ConvTranspose": (
        node("ConvTranspose", "x w", "v", strides=[10**4] * 3),
        {"w": np.ones((1, 1, 1, 1, 1), np.float32)},
    ),
    "ConstantOfShape": (node("ConstantOfShape", "s", "v"), {"s": np.array([MANY, 1, 1, 1, 1])}),
    "Resize": (
        helper.make_node("Resize", ["x", "", "r"], ["v"]),
        {"r": np.float32([1, 1, 1e6, 1, 1])},
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_immense_values_are_refused_by_name(name):
    large, weights = LARGE[name]
    content = model([large, *MEAN], weights).SerializeToString()

    with pytest.raises(ModelError, match=rf"value 'v': expected at most {MAX_VALUES} numbers, got"):
        read_net(content, SHAPE)


@given(factor=st.integers(1, 2**22))
def test_the_limit_is_what_it_says(factor):
    # Never run: 240 values of the two patches that are checked, times the factor.
    weights = {"s": np.array([1, factor, 1, 1, 1])}
    net = Net([node("Tile", "patch s", "v"), *MEAN], weights, "y", 17)
    count = 2 * int(np.prod(SHAPE)) * factor

    if count <= MAX_VALUES:
        check_sizes(net, SHAPE)
    else:
        with pytest.raises(ModelError, match=f"got {count}"):
            check_sizes(net, SHAPE)
