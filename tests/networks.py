# SPDX-License-Identifier: Apache-2.0
"""Networks with random weights for tests of the built-in engine, and torch as their oracle.

A network is drawn from a plan in one line of text: 'c16 c16 p c32 p f128 f1' is two convolutions of
16 channels, a max-pool, one of 32, a max-pool, and two fully connected layers.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def chain(plan: str, shape=(6, 5, 4), *, channels=1, seed=0, edit=None) -> bytes:
    """Make an ONNX file of a plan; `edit` may change the list of nodes before it is serialised.

    He-initialised weights keep values of patches near 1 near 1; a last bias of 2.3 centres the SBR.
    """
    random = np.random.default_rng(seed)
    nodes, weights, value = [], [], "patch"
    width, size, flat = channels, list(shape), False

    def store(array, name):
        weights.append(numpy_helper.from_array(array.astype(np.float32), name))
        return name

    def node(op, inputs, **attributes):
        nonlocal value
        value = f"{op.lower()}{len(nodes)}"
        nodes.append(helper.make_node(op, inputs, [value], name=value, **attributes))

    for i, step in enumerate(words := plan.split()):
        if step == "p":
            node("MaxPool", [value], kernel_shape=[2] * 3, strides=[2] * 3)
            size = [side // 2 for side in size]
            continue
        out, last = int(step[1:]), i == len(words) - 1
        if step[0] == "f" and not flat:
            node("Flatten", [value], axis=1)
            width, flat = width * int(np.prod(size)), True
        fan_in = width * (1 if flat else 27)
        kernel = (out, width) if flat else (out, width, 3, 3, 3)
        scale = np.sqrt((1 if last else 2) / fan_in)
        weight = store(random.normal(0, scale, kernel), f"weight{i}")
        bias = store(random.normal(2.3 if last else 0, 0.05, out), f"bias{i}")
        if flat:
            node("Gemm", [value, weight, bias], transB=1)
        else:
            node("Conv", [value, weight, bias], kernel_shape=[3] * 3, pads=[1] * 6)
        if not last:
            node("Relu", [value])
        width = out
    if edit:
        edit(nodes)
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("patch", TensorProto.FLOAT, ["n", channels, *shape])],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, ["n", 1])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model.SerializeToString()


def forward(content: bytes, patches: np.ndarray, dtype="float64") -> tuple[np.ndarray, np.ndarray]:
    """Run a chain in torch: its outputs (n,), and the maps of its last convolution after ReLU."""
    import torch

    graph = onnx.load_from_string(content).graph
    weights = {
        each.name: torch.tensor(numpy_helper.to_array(each)).to(getattr(torch, dtype))
        for each in graph.initializer
    }
    value = torch.tensor(patches).to(getattr(torch, dtype))
    value = value[:, None] if value.ndim == 4 else value
    features = value
    for node in graph.node:
        stored = [weights[name] for name in node.input[1:]]
        if node.op_type == "Conv":
            features = value = torch.nn.functional.conv3d(value, *stored, padding=1)
        elif node.op_type == "Relu":
            features = torch.relu(features) if value is features else features
            value = torch.relu(value)
        elif node.op_type == "MaxPool":
            value = torch.nn.functional.max_pool3d(value, 2)
        elif node.op_type == "Flatten":
            value = value.flatten(1)
        elif node.op_type == "Gemm":
            value = torch.nn.functional.linear(value, *stored)
    return value[:, 0].numpy(), features.numpy()


def patches(n: int, shape=(6, 5, 4), *, seed=0, channels=None) -> np.ndarray:
    """Draw patches as normalised ones are: positive, near 1."""
    size = (n, *shape) if channels is None else (n, channels, *shape)
    return np.abs(np.random.default_rng(seed).normal(1, 0.35, size)).astype(np.float32)
