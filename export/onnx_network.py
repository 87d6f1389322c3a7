# SPDX-License-Identifier: Apache-2.0
"""Rebuild a float model file as a torch network.

Reads through the onnx package, not through nigroedge's own reader, so that parity compares two
readings of the file as well as two ways to compute.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import nn

from export.onnx_operators import OPERATORS
from nigroedge.errors import ModelError
from nigroedge.names import readable


def read_network(path: Path) -> OnnxNetwork:
    """Read a float model file as a torch network.

    Parameters
    ----------
    path : Path
        A float32 ONNX model file.

    Raises
    ------
    ModelError
        If it is no ONNX, or has a node that `OPERATORS` does not compute.
    """
    return network_of(path.read_bytes(), where=path)


def network_of(content: bytes, *, where: str | os.PathLike[str]) -> OnnxNetwork:
    """Read the bytes of a float model file, as `read_network`; `where` is for its errors."""
    try:
        graph = onnx.load_from_string(content).graph
    except DecodeError as error:
        raise ModelError(f"{readable(where)}: expected an ONNX file, got something else") from error
    return OnnxNetwork(graph, where=readable(where))


class OnnxNetwork(nn.Module):
    """A graph, run node by node in torch.

    Parameters
    ----------
    graph : onnx.GraphProto
        Nodes in topological order, one input, one output.
    where : str
        What to call the graph in an error.

    Raises
    ------
    ModelError
        If a node is of another operator or setting than `OPERATORS` has, or reads what no earlier
        one makes. Named: the node, its operator, what was expected.
    """

    def __init__(self, graph: onnx.GraphProto, *, where: str) -> None:
        super().__init__()
        self._input, self._output = graph.input[0].name, graph.output[0].name
        stored = {
            tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
            for tensor in graph.initializer
        }
        self._names = [name for name, tensor in stored.items() if tensor.is_floating_point()]
        self.weights = nn.ParameterList(stored.pop(name) for name in self._names)
        self._integers = stored
        known = {self._input, *self._names, *stored}
        self._nodes = []
        for node in graph.node:
            self._nodes.append(_checked(node, known, where))
            known.add(node.output[0])
        if self._output not in known:
            raise ModelError(f"{where}: expected a node that makes {self._output!r}, got none")

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Run (n, 1, X, Y, Z) → (n, 1), in the type of the weights."""
        return self.tensors(patches)[self._output]

    def tensors(self, patches: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run (n, 1, X, Y, Z), and give every tensor of the graph by name."""
        tensors = {**self._integers, **dict(zip(self._names, self.weights, strict=True))}
        tensors[self._input] = patches
        for node in self._nodes:
            tensors[node.output] = node.run(tensors)
        return tensors


@dataclass(frozen=True)
class _Node:
    """One that can be run, and every attribute of its operator.

    `where` names the graph, the operator and the node.
    """

    op_type: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]
    where: str

    def run(self, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
        given = [tensors[name] if name else None for name in self.inputs]
        try:
            return OPERATORS[self.op_type].run(given, self.attributes)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise ModelError(f"{self.where}: {' '.join(str(error).split())[:300]}") from error


def _checked(node: onnx.NodeProto, known: set[str], where: str) -> _Node:
    where = f"{where}: node {node.op_type} {node.name!r}"
    operator = OPERATORS.get(node.op_type)
    if operator is None or node.domain not in ("", "ai.onnx"):
        raise ModelError(
            f"{where}: torch cannot be compared with it; expected one of {', '.join(OPERATORS)}"
        )
    if [bool(name) for name in node.output] != [True]:
        raise ModelError(f"{where}: expected one output, got {len(node.output)}")
    unknown = [name for name in node.input if name and name not in known]
    if unknown:
        raise ModelError(f"{where}: expected inputs that earlier nodes make, got {unknown[0]!r}")
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    for name, value in given.items():
        expected = operator.only.get(name, "absent")
        if name not in operator.usual and value != expected:
            raise ModelError(f"{where}: expected {name} to be {expected}, got {value}")
    attributes = {name: given.get(name, usual) for name, usual in operator.usual.items()}
    return _Node(node.op_type, tuple(node.input), node.output[0], attributes, where)
