# SPDX-License-Identifier: Apache-2.0
"""A graph is read back only as what is computed: other operations and settings are refused."""

import onnx
import pytest

from export.onnx_network import OnnxNetwork
from export.to_onnx import write_model
from nigroedge.errors import ModelError
from tests.test_export_to_onnx import hand_made, spec_of


@pytest.mark.parametrize(
    ("op_type", "attribute", "value", "message"),
    [
        ("Conv", "strides", [2, 2, 2], r"expected strides of Conv 'conv_0' to be \[1, 1, 1\]"),
        ("Conv", "group", 2, "expected group"),
        ("Conv", "pads", None, "expected pads"),
        ("MaxPool", "ceil_mode", 1, "expected ceil_mode"),
        ("Gemm", "alpha", 2.0, "expected alpha"),
        ("Gemm", "auto", "x", "expected auto of Gemm 'gemm_4' to be absent"),
    ],
)
def test_another_setting_of_an_operation_is_refused(tmp_path, op_type, attribute, value, message):
    write_model(tmp_path / "m.onnx", hand_made(), spec_of((2, 2, 2)))
    graph = onnx.load(tmp_path / "m.onnx").graph
    (node,) = [n for n in graph.node if n.op_type == op_type]
    kept = [a for a in node.attribute if a.name != attribute]
    del node.attribute[:]
    node.attribute.extend(kept)
    if value is not None:
        node.attribute.append(onnx.helper.make_attribute(attribute, value))

    with pytest.raises(ModelError, match=message):
        OnnxNetwork(graph, where="m.onnx")


def test_another_operation_is_refused(tmp_path):
    write_model(tmp_path / "m.onnx", hand_made(), spec_of((2, 2, 2)))
    graph = onnx.load(tmp_path / "m.onnx").graph
    graph.node[1].op_type = "Tanh"

    with pytest.raises(ModelError, match=r"m\.onnx: expected one of Conv.*, got Tanh"):
        OnnxNetwork(graph, where="m.onnx")
