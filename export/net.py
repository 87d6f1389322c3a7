# SPDX-License-Identifier: Apache-2.0
"""A graph in the making: nodes, constants, and what it gives for some patches in float64."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from export.evaluate import evaluate
from nigroedge.errors import ModelError

#: Patches that a graph is checked on, where it takes any number.
N_CHECKED = 2
#: Of a model file of our own operators; IR 8 came with opset 15.
OPSET, IR_VERSION = 17, 8

#: What the built-in engine runs; none has changed since opset 13.
NATIVE = {
    *("Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "Add", "Relu", "LeakyRelu", "Elu"),
    *("Sigmoid", "Softplus", "Flatten", "Gemm", "Mul"),
}

Values = dict[str, np.ndarray]


@dataclass
class Net:
    """A graph in the making.

    Parameters
    ----------
    nodes : list of NodeProto
        In an order in which they can run.
    constants : dict
        Weights in float64, and integers as they are.
    output : str
    opset : int
    batch : int
        How many patches it is checked on: `N_CHECKED`, or the number that it takes.
    shapes : dict
        Of every value, for such a batch; made anew by each check.
    values : dict
        Likewise, for the random patches.
    """

    nodes: list[NodeProto]
    constants: Values
    output: str
    opset: int
    batch: int = N_CHECKED
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    values: Values = field(default_factory=dict)

    def readers(self, value: str) -> list[NodeProto]:
        """Nodes that read a value."""
        return [node for node in self.nodes if value in node.input]

    def maker(self, value: str) -> NodeProto | None:
        """The node that makes a value, unless it is the patch or a constant."""
        return next((node for node in self.nodes if value in node.output), None)

    def constant(self, node: NodeProto, index: int) -> np.ndarray | None:
        """The constant that a node reads there, if it is one."""
        name = node.input[index] if index < len(node.input) else ""
        return self.constants.get(name)

    def store(self, values: np.ndarray, name: str) -> str:
        """Keep a constant under a name that is free."""
        while name in self.constants or self.maker(name):
            name += "_"
        self.constants[name] = values
        return name

    def drop(self, node: NodeProto) -> None:
        """Take out a node that gives its first input unchanged."""
        self.nodes.remove(node)
        source, value = node.input[0], node.output[0]
        for other in self.nodes:
            for i, name in enumerate(other.input):
                if name == value:
                    other.input[i] = source
        if self.output == value:
            self.output = source

    def put(self, old: NodeProto, op_type: str, inputs: list[str], **attributes: object) -> None:
        """Write another node in the place of one, that makes the same value."""
        new = helper.make_node(op_type, inputs, [old.output[0]], name=old.name, **attributes)
        self.nodes[self.nodes.index(old)] = new

    def proto(self, dtype: str, patch: tuple[int, ...]) -> onnx.ModelProto:
        """The ONNX model, its weights in a type, with the names that a model file has."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        stored = [
            numpy_helper.from_array(
                np.array(v, dtype if v.dtype.kind == "f" else v.dtype, order="C"), name
            )
            for name, v in self.constants.items()
        ]
        graph = helper.make_graph(
            self.nodes,
            "regressor",
            [helper.make_tensor_value_info("patch", kind, ["n", *patch])],
            [helper.make_tensor_value_info(self.output, kind, ["n", 1])],
            stored,
        )
        opsets = [helper.make_opsetid("", self.opset)]
        version = max(IR_VERSION, helper.find_min_ir_version_for(opsets))
        return helper.make_model(graph, opset_imports=opsets, ir_version=version)

    def run(self, patches: np.ndarray) -> np.ndarray:
        """Run it in float64 on patches (n, 1, X, Y, Z), and keep every value with its shape."""
        self.values = evaluate(self.proto("float64", patches.shape[1:]), patches)
        self.shapes = {name: np.shape(value) for name, value in self.values.items()}
        return self.values[self.output]

    def sweep(self) -> None:
        """Drop what nobody reads any more."""
        needed = {self.output}
        for node in reversed(self.nodes):
            if needed & set(node.output):
                needed |= set(node.input)
        self.nodes = [node for node in self.nodes if needed & set(node.output)]
        self.constants = {name: value for name, value in self.constants.items() if name in needed}


def check_inference(net: Net) -> None:
    """Refuse what is not as training leaves it for inference.

    Raises
    ------
    ModelError
        If a running variance is not stored or not 0 or more, or dropout drops.
    """
    for node in net.nodes:
        where = f"node {node.op_type} {node.name!r}"
        if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
            training = net.constant(node, 2)
            if training is None or training.any():
                raise ModelError(f"{where}: expected inference mode, got training mode")
        if node.op_type == "BatchNormalization":
            variance = _stored(net, node.input[4])
            if variance is None or not (variance >= 0).all():
                got = "computed ones" if variance is None else "some below 0"
                raise ModelError(
                    f"{where}: expected stored running variances of 0 or more, got {got}"
                )


def _stored(net: Net, name: str) -> np.ndarray | None:
    """Give a constant, also behind the Identity nodes by which exporters share equal weights."""
    while (maker := net.maker(name)) is not None and maker.op_type == "Identity":
        name = maker.input[0]
    return net.constants.get(name)


def attribute(node: NodeProto, name: str, usual: Any = None) -> Any:
    """Give what an attribute says, or what it is when left out."""
    found = next((each for each in node.attribute if each.name == name), None)
    return usual if found is None else helper.get_attribute_value(found)


def drop_attribute(node: NodeProto, name: str) -> None:
    """Leave an attribute out."""
    kept = [each for each in node.attribute if each.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)


def set_attribute(node: NodeProto, name: str, value: object) -> None:
    """Make an attribute say something else."""
    drop_attribute(node, name)
    node.attribute.append(helper.make_attribute(name, value))
