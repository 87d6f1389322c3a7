# SPDX-License-Identifier: Apache-2.0
"""Write a torch network as a model file: plain ONNX that says how to preprocess and tests itself.

The nodes are written straight from the list of modules with onnx.helper. torch.onnx.export would
need onnxscript on top of torch, and names, orders and folds as its version pleases; the networks
here are chains of seven operations, so that writing them takes fewer lines than undoing the
exporter's choices, and the same weights give the same bytes.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from functools import singledispatch
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from export.network import Residual
from nigroedge.io.writing import write_file
from nigroedge.model import selftest_patch
from nigroedge.spec import ModelSpec

#: Old enough for every runtime of the last years; nothing newer is needed. IR 8 came with opset 15.
OPSET = 17
IR_VERSION = 8


def write_model(path: Path, network: nn.Sequential, spec: ModelSpec) -> ModelSpec:
    """Write the network with its metadata as one ONNX file.

    Parameters
    ----------
    path : Path
        The file to write; replaced, whole or not at all, if it exists. Folders above it are made.
    network : nn.Sequential
        (n, 1, *spec.grid.shape) float32 → (n, 1) in SBR.
    spec : ModelSpec
        How to preprocess, and the card. Its self-test value is not read.

    Returns
    -------
    ModelSpec
        The spec as written, with the self-test value of this network.

    Raises
    ------
    InputError
        If the file cannot be written.
    TypeError
        If a module of the network has no ONNX operation here.
    onnx.checker.ValidationError
        If the graph is not valid ONNX.
    """
    spec = replace(spec, selftest_sbr=selftest_sbr(network, spec))
    model = _model(network, spec)
    onnx.checker.check_model(model, full_check=True)
    write_file(path, model.SerializeToString(deterministic=True), if_exists="replace")
    return spec


@torch.no_grad()
def selftest_sbr(network: nn.Sequential, spec: ModelSpec) -> float:
    """Give the network's output for the self-test patch, in SBR.

    Evaluated in float64 and rounded to float32 once, so that the value belongs to the weights and
    not to the order in which this machine's torch adds.
    """
    patch = torch.from_numpy(selftest_patch(spec.grid.shape, spec.normalize))[None, None]
    wide = copy_as_float64(network)
    return float(np.float32(wide(patch.double()).item()))


def copy_as_float64(network: nn.Sequential) -> nn.Sequential:
    """Copy the network with its float32 weights widened; the original is left as it is."""
    return copy.deepcopy(network).double().eval()


@dataclass
class _Graph:
    """The graph as it grows: `tensor` names the value that the next node reads."""

    tensor: str = "patch"
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initialisers: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, op_type: str, *more_inputs: str, **attributes: object) -> None:
        name = f"{op_type.lower()}_{len(self.nodes)}"
        inputs = [self.tensor, *more_inputs]
        self.nodes.append(helper.make_node(op_type, inputs, [name], name=name, **attributes))
        self.tensor = name

    def weights(self, layer: nn.Conv3d | nn.Linear) -> tuple[str, str]:
        names = (f"weight_{len(self.nodes)}", f"bias_{len(self.nodes)}")
        for name, values in zip(names, layer.parameters(recurse=False), strict=True):
            array = np.ascontiguousarray(values.detach().numpy().astype("<f4"))
            self.initialisers.append(numpy_helper.from_array(array, name))
        return names


@singledispatch
def _add(module: nn.Module, graph: _Graph) -> None:
    raise TypeError(f"no ONNX operation is written for {type(module).__name__}")


@_add.register
def _(layer: nn.Conv3d, graph: _Graph) -> None:
    names = graph.weights(layer)
    pads = [*layer.padding, *layer.padding]
    shape = {"kernel_shape": layer.kernel_size, "pads": pads, "strides": layer.stride}
    graph.add("Conv", *names, **shape)


@_add.register
def _(layer: nn.MaxPool3d, graph: _Graph) -> None:
    kernel = [layer.kernel_size] * 3
    graph.add("MaxPool", kernel_shape=kernel, strides=kernel)


@_add.register
def _(_layer: nn.ReLU, graph: _Graph) -> None:
    graph.add("Relu")


@_add.register
def _(_layer: nn.Flatten, graph: _Graph) -> None:
    graph.add("Flatten", axis=1)


@_add.register
def _(layer: nn.Linear, graph: _Graph) -> None:
    graph.add("Gemm", *graph.weights(layer), transB=1)


@_add.register
def _(layer: Residual, graph: _Graph) -> None:
    shortcut = graph.tensor
    for module in layer.branch:
        _add(module, graph)
    graph.add("Add", shortcut)


def _model(network: nn.Sequential, spec: ModelSpec) -> onnx.ModelProto:
    graph = _Graph()
    for module in network:
        _add(module, graph)
    graph.nodes[-1].output[0] = "sbr"
    patch_shape = ["n", 1, *spec.grid.shape]
    proto = helper.make_graph(
        graph.nodes,
        "regressor",
        inputs=[helper.make_tensor_value_info("patch", TensorProto.FLOAT, patch_shape)],
        outputs=[helper.make_tensor_value_info("sbr", TensorProto.FLOAT, ["n", 1])],
        initializer=graph.initialisers,
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(proto, opset_imports=[opset], ir_version=IR_VERSION)
    model.producer_name = "nigroedge"
    helper.set_model_props(model, spec.to_metadata())
    return model
