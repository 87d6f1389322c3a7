# SPDX-License-Identifier: Apache-2.0
"""How large the values of a graph would be: said before anything is computed.

A file of a few bytes can ask for any number of values: by ConstantOfShape, Expand, Tile or Range,
or by the padding of a window.
"""

from __future__ import annotations

import math

import onnx

from export.net import Net
from nigroedge.errors import ModelError

#: 1 GiB in float64; the widest map of a patch of 50 × 50 × 20 with 256 channels has a tenth.
MAX_VALUES = 1 << 27


def check_sizes(net: Net, shape: tuple[int, int, int]) -> None:
    """Refuse a graph one of whose values would hold more than `MAX_VALUES` numbers.

    Raises
    ------
    ModelError
        With its name. What onnx cannot tell before the graph runs is not counted.
    """
    model = net.proto("float32", (1, *shape))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = net.batch
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, ValueError):
        return  # a graph that cannot run: the run says why
    for value in (*graph.value_info, *graph.output):
        count = math.prod(each.dim_value or 1 for each in value.type.tensor_type.shape.dim)
        if count > MAX_VALUES:
            raise ModelError(
                f"value {value.name!r}: expected at most {MAX_VALUES} numbers, got {count}"
            )
