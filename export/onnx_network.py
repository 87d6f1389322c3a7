# SPDX-License-Identifier: Apache-2.0
"""Rebuild a float model file as a torch network.

Reads through the onnx package, not through nigroedge's own reader, so that parity compares two
readings of the file as well as two ways to compute.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional

from nigroedge.errors import ModelError
from nigroedge.names import readable

Tensors = list[torch.Tensor]
Attributes = Mapping[str, object]


def read_network(path: Path) -> OnnxNetwork:
    """Read a float model file as a torch network.

    Parameters
    ----------
    path : Path
        A float32 ONNX model file.

    Raises
    ------
    ModelError
        If the graph has another operation, or another setting of one, than the presets use.
    """
    return network_of(path.read_bytes(), where=path)


def network_of(content: bytes, *, where: str | os.PathLike[str]) -> OnnxNetwork:
    """Read the bytes of a float model file, as `read_network`; `where` is for its errors."""
    return OnnxNetwork(onnx.load_from_string(content).graph, where=readable(where))


class OnnxNetwork(nn.Module):
    """A graph of the six operations of a regressor, run node by node in torch.

    Parameters
    ----------
    graph : onnx.GraphProto
        Nodes in topological order, one input, one output.
    where : str
        What to call the graph in an error.
    """

    def __init__(self, graph: onnx.GraphProto, *, where: str) -> None:
        super().__init__()
        self._nodes = [_checked(node, where) for node in graph.node]
        self._input, self._output = graph.input[0].name, graph.output[0].name
        self._names = [tensor.name for tensor in graph.initializer]
        self.weights = nn.ParameterList(
            torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer
        )

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Run (n, 1, X, Y, Z) → (n, 1), in the type of the weights."""
        return self.tensors(patches)[self._output]

    def tensors(self, patches: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run (n, 1, X, Y, Z), and give every tensor of the graph by name."""
        tensors = dict(zip(self._names, self.weights, strict=True))
        tensors[self._input] = patches
        for node in self._nodes:
            inputs = [tensors[name] for name in node.input]
            tensors[node.output[0]] = _RUN[node.op_type](inputs)
        return tensors


_RUN: dict[str, Callable[[Tensors], torch.Tensor]] = {
    "Conv": lambda t: functional.conv3d(t[0], t[1], t[2], padding=1),
    "Relu": lambda t: functional.relu(t[0]),
    "MaxPool": lambda t: functional.max_pool3d(t[0], 2),
    "Flatten": lambda t: t[0].flatten(1),
    "Gemm": lambda t: functional.linear(t[0], t[1], t[2]),
    "Add": lambda t: t[0] + t[1],
}

#: What an attribute must say where a node has it: the settings that `_RUN` computes.
_SETTINGS: dict[str, Attributes] = {
    "Conv": {
        "kernel_shape": [3, 3, 3],
        "pads": [1] * 6,
        "strides": [1, 1, 1],
        "dilations": [1, 1, 1],
        "group": 1,
    },
    "Relu": {},
    "MaxPool": {"kernel_shape": [2, 2, 2], "strides": [2, 2, 2], "pads": [0] * 6, "ceil_mode": 0},
    "Flatten": {"axis": 1},
    "Gemm": {"transB": 1, "transA": 0, "alpha": 1.0, "beta": 1.0},
    "Add": {},
}

#: Attributes whose default in ONNX is another setting than ours, so that they must be there.
_REQUIRED = {"Conv": {"pads"}, "MaxPool": {"kernel_shape", "strides"}, "Gemm": {"transB"}}


def _checked(node: onnx.NodeProto, where: str) -> onnx.NodeProto:
    if node.op_type not in _RUN:
        raise ModelError(f"{where}: expected one of {', '.join(_RUN)}, got {node.op_type}")
    settings = _SETTINGS[node.op_type]
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    for name in sorted(_REQUIRED.get(node.op_type, set()) | given.keys()):
        if name not in given or name not in settings or given[name] != settings[name]:
            raise ModelError(
                f"{where}: expected {name} of {node.op_type} {node.name!r} to be "
                f"{settings.get(name, 'absent')}, got {given.get(name, 'none')}"
            )
    return node
