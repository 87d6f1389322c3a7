# SPDX-License-Identifier: Apache-2.0
"""Scales and offsets of a graph's channels, folded into the layers before them.

Batch normalisation of inference mode is one, and so are sums and products with constants.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, helper

from export.net import Net, attribute


@dataclass(frozen=True)
class Affine:
    """What a node does to each channel: value · gain + offset, (channels,) each or one."""

    gain: np.ndarray
    offset: np.ndarray


def fold_scales(net: Net) -> bool:
    """Fold batch normalisation, and sums and products with constants, into the layer before."""
    for node in net.nodes:
        affine = affine_of(net, node)
        if affine is None:
            continue
        source, _ = mapped_input(net, node)
        layer = net.maker(source)
        if layer is None or not is_layer(net, layer) or len(net.readers(source)) != 1:
            continue
        scale_layer(net, layer, affine)
        node.input[0] = source  # the constant may stand first
        net.drop(node)
        return True
    return False


def is_layer(net: Net, node: NodeProto) -> bool:
    """Whether a node has stored weights whose first axis is its outputs'."""
    rows = node.op_type == "Conv" or (node.op_type == "Gemm" and attribute(node, "transB", 0) == 1)
    return rows and net.constant(node, 1) is not None


def mapped_input(net: Net, node: NodeProto) -> tuple[str, int]:
    """Give the input of a node of two that is no constant, and its place."""
    index = 1 if len(node.input) > 1 and node.input[0] in net.constants else 0
    return node.input[index], index


def affine_of(net: Net, node: NodeProto) -> Affine | None:
    """Give what a node does to each channel, if it is the same at every voxel."""
    if node.op_type == "BatchNormalization":
        return _normalisation(net, node)
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or len(node.input) != 2:
        return None
    source, index = mapped_input(net, node)
    values = net.constant(node, 1 - index)
    shape = net.shapes[source]
    if values is None or source in net.constants or len(shape) < 2:
        return None
    flat = _per_channel(values, shape)
    if flat is None or (node.op_type == "Div" and index == 1):
        return None
    one, zero = np.ones(1), np.zeros(1)
    if node.op_type == "Add":
        return Affine(one, flat)
    if node.op_type == "Sub":
        return Affine(one, -flat) if index == 0 else Affine(-one, flat)
    return Affine(flat if node.op_type == "Mul" else 1 / flat, zero)


def _per_channel(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """Give a constant as (channels,) or (1,), if it is the same at every voxel."""
    full = (1,) * (len(shape) - values.ndim) + values.shape
    fits = len(full) == len(shape) and full[0] == 1 and set(full[2:]) <= {1}
    return values.reshape(-1) if fits and full[1] in (1, shape[1]) else None


def _normalisation(net: Net, node: NodeProto) -> Affine:
    scale, bias, mean, variance = (net.constants[name] for name in node.input[1:5])
    gain = scale / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
    return Affine(gain, bias - mean * gain)


def scale_layer(net: Net, layer: NodeProto, affine: Affine) -> None:
    """Fold it into the weights and the bias of a layer."""
    weights = net.constants[layer.input[1]]
    n_out = len(weights)
    gain = np.broadcast_to(affine.gain, n_out)
    old = net.constant(layer, 2)
    bias = (np.zeros(n_out) if old is None else old) * gain + affine.offset
    layer.input[1] = net.store(
        weights * gain.reshape(-1, *[1] * (weights.ndim - 1)), layer.input[1]
    )
    names = [*layer.input[:2], net.store(bias, layer.output[0] + "_bias")]
    del layer.input[:]
    layer.input.extend(names)


def scaled(net: Net, *, scale: float, offset: float) -> Net:
    """Make the output scale · output + offset: in the last layer, or by a Mul and an Add behind it.

    What of the kind stands behind the last activation already becomes part of it.
    """
    while (last := net.maker(net.output)) is not None:
        affine = affine_of(net, last)
        if affine is None or last.op_type == "BatchNormalization":
            break
        offset += scale * float(affine.offset.item())
        scale *= float(affine.gain.item())
        net.output = mapped_input(net, last)[0]
        net.nodes.remove(last)
    net.sweep()
    affine = Affine(np.array([scale]), np.array([offset]))
    if last is not None and last.op_type == "Gemm" and is_layer(net, last):
        scale_layer(net, last, affine)
        net.sweep()  # of the weights as they were
        return net
    if (scale, offset) == (1.0, 0.0):
        return net
    for op_type, value in (("Mul", scale), ("Add", offset)):
        if op_type == "Mul" or value != 0:
            end = f"{net.output}_{op_type.lower()}"
            stored = net.store(np.array([value]), op_type.lower())
            net.nodes.append(helper.make_node(op_type, [net.output, stored], [end], name=end))
            net.output = end
    return net
