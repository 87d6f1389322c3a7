# SPDX-License-Identifier: Apache-2.0
"""Write the seeds of the ONNX reader's fuzzing: ``python -m tests.fuzz.make_corpus FOLDER``.

Small valid models that between them use every message, attribute type and data field that the
reader knows, one file for each thing that it refuses, and truncations of the first model.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests import onnx_files


def seeds() -> dict[str, bytes]:
    """Give every seed by name."""
    net = onnx_files.random_net(shape=(2, 2, 2), channels=(1,))
    whole = onnx_files.float_model(net, {"nigroedge.format": "1"}).SerializeToString()
    files = {
        "float": whole,
        "qdq": onnx_files.qdq_model(net, {}).SerializeToString(),
        "attributes": _model(_every_attribute()).SerializeToString(),
    }
    for data_type in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 16):
        name = TensorProto.DataType.Name(data_type).lower()
        files[f"typed_{name}"] = _typed_data(data_type).SerializeToString()
    files |= {name: model.SerializeToString() for name, model in refused_models().items()}
    files |= {f"cut_{n}": whole[:n] for n in range(0, len(whole), 97)}
    return files


def refused_models() -> dict[str, onnx.ModelProto]:
    """Give one model for each thing that is legal ONNX and that the reader refuses, by name."""
    external = _typed_data(TensorProto.FLOAT)
    external.graph.initializer[0].data_location = TensorProto.EXTERNAL
    sparse = _model([_relu()])
    sparse.graph.sparse_initializer.add().values.name = "s"
    function = _model([_relu()])
    function.functions.add().name = "f"
    training = _model([_relu()])
    training.training_info.add()
    body = helper.make_graph([_relu()], "body", [], [])
    return {
        "external_data": external,
        "sparse": sparse,
        "function": function,
        "training": training,
        "subgraph": _model([helper.make_node("Relu", ["x"], ["y"], then_branch=body)]),
        "custom_domain": _model([helper.make_node("Relu", ["x"], ["y"], domain="com.example")]),
        "unknown_op": _model([helper.make_node("RandomNormalLike", ["x"], ["y"])]),
        "dangling": _model([helper.make_node("Add", ["x", "nowhere"], ["y"])]),
        "backwards": _model(
            [helper.make_node("Relu", ["z"], ["y"]), helper.make_node("Relu", ["x"], ["z"])]
        ),
        "defined_twice": _model([_relu(), _relu()]),
        "text_tensor": _model([_constant(TensorProto.STRING, [b"text"])]),
    }


def _relu() -> onnx.NodeProto:
    return helper.make_node("Relu", ["x"], ["y"])


def _constant(data_type: int, values: list[object]) -> onnx.NodeProto:
    tensor = helper.make_tensor("t", data_type, [len(values)], values)
    return helper.make_node("Constant", [], ["y"], value=tensor)


def _every_attribute() -> list[onnx.NodeProto]:
    tensor = helper.make_tensor("t", TensorProto.INT64, [2], [-1, 2])
    return [
        helper.make_node("Constant", [], ["c"], value=tensor),
        helper.make_node("Conv", ["x"], ["y"], i=-3, f=0.5, s="text", ints=[1, 2], floats=[0.5, 2]),
    ]


def _typed_data(data_type: int) -> onnx.ModelProto:
    """Build a model whose initializer keeps its elements in the field of their type."""
    model = _model([_relu()])
    model.graph.initializer.append(helper.make_tensor("w", data_type, [2], np.array([0, 1])))
    return model


def _model(nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])
    graph = helper.make_graph(nodes, "g", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in seeds().items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
