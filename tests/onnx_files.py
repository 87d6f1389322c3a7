# SPDX-License-Identifier: Apache-2.0
"""Small model files for tests: made with the onnx package, and a float64 oracle for what they give.

The network is of the project's own kind, as small as it can be: convolution 3³ and ReLU, max-pool
2³ that drops odd remainders, flatten, Gemm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nigroedge.grid import PatchGrid
from nigroedge.model import selftest_patch
from nigroedge.spec import ModelCard, ModelSpec

CARD = ModelCard(
    name="tiny",
    version="1",
    licence="Apache-2.0",
    intended_use="Tests.",
    training_data="None: random weights.",
    metrics={},
    limits="Means nothing.",
    calibration="None.",
    git_revision="none",
)


@dataclass(frozen=True)
class Net:
    """Weights of a tiny network, float32.

    conv : list of (weight (cout, cin, 3, 3, 3), bias (cout,)), each followed by ReLU and a max-pool
    head : (weight (1, features), bias (1,))
    """

    shape: tuple[int, int, int]
    conv: tuple[tuple[np.ndarray, np.ndarray], ...]
    head: tuple[np.ndarray, np.ndarray]


def random_net(seed=0, shape=(7, 6, 4), channels=(3, 4)) -> Net:
    """Draw weights that keep outputs of normalised patches near 2, within what an SBR can be."""
    random = np.random.default_rng(seed)
    conv, width, size = [], 1, np.array(shape)
    for out in channels:
        scale = np.sqrt(2 / (27 * width))
        weight = random.normal(0, scale, (out, width, 3, 3, 3)).astype(np.float32)
        conv.append((weight, random.normal(0, 0.1, out).astype(np.float32)))
        width, size = out, size // 2
    features = width * int(size.prod())
    head = random.normal(0, 0.25 / np.sqrt(features), (1, features)).astype(np.float32)
    return Net(shape, tuple(conv), (head, np.array([2], np.float32)))


def oracle(net: Net, patches: np.ndarray) -> np.ndarray:
    """Run the network in float64, from the definitions of its layers."""
    values = patches[:, np.newaxis].astype(np.float64)
    for weight, bias in net.conv:
        values = np.maximum(_conv3(values, weight) + bias.reshape(1, -1, 1, 1, 1), 0)
        values = _max_pool2(values)
    weight, bias = net.head
    return values.reshape(len(values), weight.shape[1]) @ weight[0].astype(np.float64) + bias[0]


def _conv3(values, weight):
    padded = np.pad(values, [(0, 0), (0, 0), (1, 1), (1, 1), (1, 1)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3, 3), axis=(2, 3, 4))
    return np.einsum("ncxyzijk,ocijk->noxyz", windows, weight.astype(np.float64), optimize=True)


def _max_pool2(values):
    x, y, z = (n // 2 for n in values.shape[2:])
    values = values[:, :, : 2 * x, : 2 * y, : 2 * z]
    return values.reshape(*values.shape[:2], x, 2, y, 2, z, 2).max(axis=(3, 5, 7))


def spec_of(net: Net, **changes) -> ModelSpec:
    """Describe the network, with the self-test value that the oracle gives."""
    patch = selftest_patch(net.shape, "mean")
    return replace(
        ModelSpec(
            grid=PatchGrid(net.shape, (0.5, 0.5, 1.0), "ALI"),
            normalize="mean",
            side="both",
            mirror="right",
            selftest_sbr=float(oracle(net, patch[np.newaxis])[0]),
            card=CARD,
        ),
        **changes,
    )


def float_model(net: Net, metadata: dict[str, str] | None = None) -> onnx.ModelProto:
    """Build the float graph, with the network's own metadata unless others are given."""
    nodes, initializers, value = [], [], "patch"
    for i, (weight, bias) in enumerate(net.conv):
        initializers += [_tensor(weight, f"w{i}"), _tensor(bias, f"b{i}")]
        nodes += _block(i, value, f"w{i}", f"b{i}")
        value = f"pool{i}"
    initializers += [_tensor(net.head[0], "head_w"), _tensor(net.head[1], "head_b")]
    nodes += [
        helper.make_node("Flatten", [value], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "head_w", "head_b"], ["sbr"], transB=1),
    ]
    return _model(net, nodes, initializers, metadata)


def qdq_model(net: Net, metadata: dict[str, str] | None = None) -> onnx.ModelProto:
    """Build the graph with 8-bit weights and activations as ONNX Runtime's quantiser does (QDQ)."""
    patch = selftest_patch(net.shape, "mean")
    scale = np.float32(patch.max() / 255)
    initializers = [_tensor(scale, "x_scale"), _tensor(np.uint8(0), "x_zero")]
    nodes = [
        helper.make_node("QuantizeLinear", ["patch", "x_scale", "x_zero"], ["x_q"]),
        helper.make_node("DequantizeLinear", ["x_q", "x_scale", "x_zero"], ["x"]),
    ]
    value = "x"
    for i, (weight, bias) in enumerate(net.conv):
        step = np.float32(np.abs(weight).max() / 127)
        initializers += [
            _tensor(np.rint(weight / step).astype(np.int8), f"w{i}_q"),
            _tensor(step, f"w{i}_scale"),
            _tensor(np.int8(0), f"w{i}_zero"),
            _tensor(bias, f"b{i}"),
        ]
        inputs = [f"w{i}_q", f"w{i}_scale", f"w{i}_zero"]
        nodes.append(helper.make_node("DequantizeLinear", inputs, [f"w{i}"]))
        nodes += _block(i, value, f"w{i}", f"b{i}")
        value = f"pool{i}"
    initializers += [_tensor(net.head[0], "head_w"), _tensor(net.head[1], "head_b")]
    nodes += [
        helper.make_node("Flatten", [value], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "head_w", "head_b"], ["sbr"], transB=1),
    ]
    return _model(net, nodes, initializers, metadata)


def set_metadata(model: onnx.ModelProto, metadata: dict[str, str]) -> None:
    """Replace the model's metadata."""
    del model.metadata_props[:]
    helper.set_model_props(model, metadata)


def save_openvino(model: onnx.ModelProto, path, metadata: dict[str, str]) -> None:
    """Write the model as an OpenVINO IR at path (.xml) and beside it (.bin)."""
    from nigroedge.engine.openvino import import_openvino

    openvino = import_openvino()
    network = openvino.Core().read_model(model.SerializeToString())
    for key, value in metadata.items():
        network.set_rt_info(value, key.split(".", 1))
    openvino.save_model(network, path, compress_to_fp16=False)


def _tensor(array, name):
    return numpy_helper.from_array(np.asarray(array), name)


def _block(i, value, weight, bias):
    conv = helper.make_node("Conv", [value, weight, bias], [f"conv{i}"], f"conv{i}", pads=[1] * 6)
    relu = helper.make_node("Relu", [f"conv{i}"], [f"relu{i}"], f"relu{i}")
    sizes = {"kernel_shape": [2, 2, 2], "strides": [2, 2, 2]}
    pool = helper.make_node("MaxPool", [f"relu{i}"], [f"pool{i}"], f"pool{i}", **sizes)
    return [conv, relu, pool]


def _model(net, nodes, initializers, metadata):
    patch = helper.make_tensor_value_info("patch", TensorProto.FLOAT, ["n", 1, *net.shape])
    sbr = helper.make_tensor_value_info("sbr", TensorProto.FLOAT, ["n", 1])
    graph = helper.make_graph(nodes, "tiny", [patch], [sbr], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    set_metadata(model, spec_of(net).to_metadata() if metadata is None else metadata)
    onnx.checker.check_model(model, full_check=True)
    return model
