# SPDX-License-Identifier: Apache-2.0
"""Networks with random weights for tests of the built-in engine, and torch as their oracle.

A network is drawn from a plan in one line of text: 'c16 c16 p c32 p f128 f1' is two convolutions of
16 channels with ReLU, a max-pool, one of 32, a max-pool, and two fully connected layers. 'c16 ( c16
d16 )' has a shortcut around a convolution with and one without ReLU, and a ReLU behind the sum.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def chain(plan: str, shape=(6, 5, 4), *, channels=1, seed=0, edit=None) -> bytes:
    """Make an ONNX file of a plan; `edit` may change the list of nodes before it is serialised.

    He-initialised weights, in 'd' a quarter of them as in the preset `resnet`, keep values of
    patches near 1 near 1; a last bias of 2.3 centres the SBR.
    """
    random = np.random.default_rng(seed)
    nodes, weights, value, kept = [], [], "patch", []
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
        if step == "(":
            kept.append(value)
            continue
        if step == ")":
            node("Add", [value, kept.pop()])
            node("Relu", [value])
            continue
        out, last = int(step[1:]), i == len(words) - 1
        if step[0] == "f" and not flat:
            node("Flatten", [value], axis=1)
            width, flat = width * int(np.prod(size)), True
        fan_in = width * (1 if flat else 27)
        kernel = (out, width) if flat else (out, width, 3, 3, 3)
        scale = np.sqrt((1 if last else 2) / fan_in) * (0.25 if step[0] == "d" else 1)
        weight = store(random.normal(0, scale, kernel), f"weight{i}")
        bias = store(random.normal(2.3 if last else 0, 0.05, out), f"bias{i}")
        if flat:
            node("Gemm", [value, weight, bias], transB=1)
        else:
            node("Conv", [value, weight, bias], kernel_shape=[3] * 3, pads=[1] * 6)
        if not last and step[0] != "d":
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


class Build:
    """A network of any branches: each method adds a node to a value and gives the new one.

    Weights are He-initialised; `shapes` says (channels, x, y, z) of each value.
    """

    def __init__(self, shape=(6, 5, 4), *, channels=1, seed=0) -> None:
        self.random = np.random.default_rng(seed)
        self.shapes = {"patch": (channels, *shape)}
        self._nodes, self._weights = [], []

    def node(self, op, *inputs, shape=None, **attributes):
        value = f"{op.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, [value], name=value, **attributes))
        self.shapes[value] = self.shapes[inputs[0]] if shape is None else shape
        return value

    def weight(self, *shape, sd):
        name = f"weight{len(self._weights)}"
        values = self.random.normal(0, sd, shape).astype(np.float32)
        self._weights.append(numpy_helper.from_array(values, name))
        return name

    def conv(self, value, n_out, kernel=(3, 3, 3), stride=(1, 1, 1), pad=(1, 1, 1)):
        n_in, *sides = self.shapes[value]
        weight = self.weight(n_out, n_in, *kernel, sd=np.sqrt(2 / (n_in * np.prod(kernel))))
        bias = self.weight(n_out, sd=0.05)
        window = {"kernel_shape": kernel, "strides": stride, "pads": [*pad, *pad]}
        shape = (n_out, *windows(sides, kernel, stride, pad))
        return self.node("Conv", value, weight, bias, shape=shape, **window)

    def pool(self, op, value, kernel=(2, 2, 2), stride=(2, 2, 2), pad=(0, 0, 0), **attributes):
        channels, *sides = self.shapes[value]
        window = {"kernel_shape": kernel, "strides": stride, "pads": [*pad, *pad]}
        shape = (channels, *windows(sides, kernel, stride, pad))
        return self.node(op, value, shape=shape, **window, **attributes)

    def gemm(self, value, n_out):
        n_in = int(np.prod(self.shapes[value]))
        weight, bias = self.weight(n_out, n_in, sd=np.sqrt(1 / n_in)), self.weight(n_out, sd=1)
        return self.node("Gemm", value, weight, bias, shape=(n_out,), transB=1)

    def file(self, value) -> bytes:
        """The bytes of an ONNX file whose output is a value."""
        patch = ["n", *self.shapes["patch"]]
        graph = helper.make_graph(
            self._nodes,
            "network",
            [helper.make_tensor_value_info("patch", TensorProto.FLOAT, patch)],
            [helper.make_tensor_value_info(value, TensorProto.FLOAT, ["n", *self.shapes[value]])],
            self._weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 9
        return model.SerializeToString()


def windows(sides, kernel, stride, pad) -> tuple[int, ...]:
    """How many windows fit along each axis."""
    axes = zip(sides, kernel, stride, pad, strict=True)
    return tuple((n + 2 * p - k) // s + 1 for n, k, s, p in axes)


def pads_of(node) -> list[int]:
    """Padding as torch.nn.functional.pad takes it: the last axis first."""
    given = next((list(each.ints) for each in node.attribute if each.name == "pads"), [0] * 6)
    return [given[i] for axis in (2, 1, 0) for i in (axis, axis + 3)]


def torch_of(node):
    """What a node does, as torch does it, to its input and stored weights."""
    import torch
    from torch.nn import functional as F  # noqa: N812 - its customary name

    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    kernel, stride = attributes.get("kernel_shape"), attributes.get("strides", [1] * 3)
    alpha = attributes.get("alpha", 0.01 if node.op_type == "LeakyRelu" else 1.0)

    def padded(x, value=0.0):
        return F.pad(x, pads_of(node), value=value) if any(pads_of(node)) else x

    def convolved(x, *weights):
        pads = pads_of(node)[::-2]  # the same at both ends: torch is faster when it pads itself
        return F.conv3d(x, *weights, stride=stride, padding=pads)

    def mean(x):
        pads_count = float(attributes.get("count_include_pad", 0))
        counted = padded(torch.ones_like(x), pads_count)
        return F.avg_pool3d(padded(x), kernel, stride) / F.avg_pool3d(counted, kernel, stride)

    return {
        "Conv": convolved,
        "MaxPool": lambda x: F.max_pool3d(padded(x, -torch.inf), kernel, stride),
        "AveragePool": mean,
        "GlobalAveragePool": lambda x: x.mean((2, 3, 4), keepdim=True),
        "Add": lambda x, y: x + y,
        "Relu": F.relu,
        "LeakyRelu": lambda x: torch.where(x > 0, x, x * alpha),
        "Elu": lambda x: torch.where(x > 0, x, alpha * torch.expm1(x)),
        "Sigmoid": torch.sigmoid,
        "Softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
        "Flatten": lambda x: x.flatten(1),
        "Gemm": F.linear,
    }[node.op_type]


def forward(content: bytes, patches: np.ndarray, dtype="float64") -> tuple[np.ndarray, np.ndarray]:
    """Run a network in torch: its outputs (n,), and the maps of its last convolution after ReLU.

    The latter is of chains; a network without a convolution has none.
    """
    import torch

    graph = onnx.load_from_string(content).graph
    values = {
        each.name: torch.tensor(numpy_helper.to_array(each)).to(getattr(torch, dtype))
        for each in graph.initializer
    }
    value = torch.tensor(patches).to(getattr(torch, dtype))
    features = values["patch"] = value[:, None] if value.ndim == 4 else value
    last = None
    for node in graph.node:
        value = torch_of(node)(*(values[name] for name in node.input))
        values[node.output[0]] = value
        if node.op_type == "Conv" or (node.op_type == "Relu" and node.input[0] == last):
            features, last = value, node.output[0]
    return value[:, 0].numpy(), features.numpy()


def patches(n: int, shape=(6, 5, 4), *, seed=0, channels=None) -> np.ndarray:
    """Draw patches as normalised ones are: positive, near 1."""
    size = (n, *shape) if channels is None else (n, channels, *shape)
    return np.abs(np.random.default_rng(seed).normal(1, 0.35, size)).astype(np.float32)
