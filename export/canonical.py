# SPDX-License-Identifier: Apache-2.0
"""Make a graph that any framework exported into one of the operators that our engines run.

Exporters say one thing in many ways: a flatten is a Reshape whose target is computed from shapes, a
linear layer a MatMul and an Add, inference-mode batch normalisation a node or four. Each pass here
turns one such way into one spelling, and is checked: before and after it the graph is run in
float64 on random patches, and must give the same. Weights stay float64 until the end, so that what
is folded is rounded once.

Passes are our own, and small, because they know what a graph of this method is: one patch in, one
number out, no control flow. What they leave is refused by name where an engine cannot run it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import NodeProto, TensorProto, helper

from export.affine import affine_of, fold_scales
from export.net import NATIVE, Net, attribute, drop_attribute, set_attribute
from nigroedge.errors import ModelError

#: In units of the outputs' size: what sums in another order differ by in float64, and a softplus
#: that ends at 20 (exp(-20) is 2e-9).
_TOLERANCE = 5e-9
#: One value in, one out, whatever the layout.
_UNARY = {"Relu", "LeakyRelu", "Elu", "Sigmoid", "Softplus", "Tanh", "Clip", "Erf", "Selu"}


def canonical(net: Net, shape: tuple[int, int, int], *, seed: int = 0) -> Net:
    """Make a graph canonical.

    Parameters
    ----------
    net : Net
        As read; it is changed.
    shape : (int, int, int)
        Voxels of a patch. The input is (n, 1, *shape); one with channels last has been given a
        Transpose in front.
    seed : int
        Of the random patches that passes are checked on.

    Returns
    -------
    Net
        The same object.

    Raises
    ------
    ModelError
        If the graph cannot be run on such patches, does not give one number for each, or a weight
        is not finite.
    """
    patches = np.random.default_rng(seed).uniform(0, 2, (net.batch, 1, *shape))
    wanted = net.run(patches)
    if wanted.size != net.batch:
        raise ModelError(f"expected one number for each patch, got an output of {wanted.shape[1:]}")
    if not np.isfinite(wanted).all():
        raise ModelError("expected finite answers to random patches between 0 and 2, got none")
    for step in PASSES:
        if not step(net):
            continue
        while step(net):
            pass
        net.sweep()
        got = net.run(patches)
        off = np.abs(got.ravel() - wanted.ravel()).max() / max(1.0, np.abs(wanted).max())
        if not off <= _TOLERANCE:
            raise ModelError(f"{step.__name__} changed the answers by {off:.2g}: a bug of ours")
    return net


# ---- passes: each does one thing once, and says whether there was something to do ---------------


def fold_constants(net: Net) -> bool:
    """Make constants of what does not depend on the values of the patch; its shape is known."""
    depends = {"patch"}
    for node in net.nodes:
        if node.op_type not in ("Shape", "Size") and depends & set(node.input):
            depends |= set(node.output)
    fixed = [node for node in net.nodes if not depends & set(node.output)]
    for node in fixed:
        net.nodes.remove(node)
        net.constants |= {name: np.asarray(net.values[name]) for name in node.output if name}
    return bool(fixed)


def leave_the_batch_free(net: Net) -> bool:
    """Let a Reshape whose target was computed from shapes take over as many patches as come."""
    for node in net.nodes:
        target = net.constant(node, 1) if node.op_type == "Reshape" else None
        if target is None or attribute(node, "allowzero", 0) or not len(target):
            continue
        if target[0] == net.shapes[node.input[0]][0] == net.batch:
            node.input[1] = net.store(np.concatenate([[0], target[1:]]), node.input[1])
            return True
    return False


def drop_what_does_nothing(net: Net) -> bool:
    """Drop Identity, Dropout, and casts between kinds of float."""
    for node in net.nodes:
        if node.op_type in ("Identity", "Dropout") or _is_float_cast(net, node):
            net.drop(node)
            return True
        reshapes = node.op_type in ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Expand")
        if reshapes and net.shapes[node.input[0]] == net.shapes[node.output[0]]:
            net.drop(node)
            return True
    return False


def _is_float_cast(net: Net, node: NodeProto) -> bool:
    return node.op_type == "Cast" and attribute(node, "to") in (
        TensorProto.FLOAT,
        TensorProto.DOUBLE,
        TensorProto.FLOAT16,
    )


def merge_padding(net: Net) -> bool:
    """Let a convolution do the padding by zeros that is done before it."""
    for node in net.nodes:
        source = net.maker(node.input[0]) if node.op_type == "Conv" else None
        if source is None or source.op_type != "Pad" or len(net.readers(source.output[0])) != 1:
            continue
        pads, value = net.constant(source, 1), net.constant(source, 2)
        if len(source.input) > 3:  # axes of its own
            continue
        plain = attribute(node, "auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
        if attribute(source, "mode", b"constant") != b"constant" or pads is None or not plain:
            continue
        if (value is not None and value.any()) or len(pads) != 10 or pads[[0, 1, 5, 6]].any():
            continue
        own = np.array(attribute(node, "pads", [0] * 6))
        set_attribute(node, "pads", [int(n) for n in own + np.r_[pads[2:5], pads[7:10]]])
        drop_attribute(node, "auto_pad")
        node.input[0] = source.input[0]
        return True
    return False


def move_transposes_down(net: Net) -> bool:
    """Move a Transpose behind what does not mind, until two of them meet and cancel."""
    for node in net.nodes:
        if node.op_type != "Transpose":
            continue
        order = _order(net, node)
        before = net.maker(node.input[0])
        if before is not None and before.op_type == "Transpose":
            set_attribute(node, "perm", [_order(net, before)[axis] for axis in order])
            node.input[0] = before.input[0]
            return True
        if order == list(range(len(order))):
            net.drop(node)
            return True
        readers = net.readers(node.output[0])
        if len(readers) == 1 and readers[0].op_type in _UNARY and net.output != node.output[0]:
            _swap(net, node, readers[0])
            return True
        if readers and all(_is_sum_of_turned(net, each, order) for each in readers):
            _sum_before(net, readers[0], order)
            return True
    return False


def _order(net: Net, node: NodeProto) -> list[int]:
    rank = len(net.shapes[node.input[0]])
    return list(attribute(node, "perm", list(range(rank))[::-1]))


def _swap(net: Net, transpose: NodeProto, unary: NodeProto) -> None:
    """Let a → Transpose → b → unary → c become a → unary → b → Transpose → c."""
    source, between, end = transpose.input[0], transpose.output[0], unary.output[0]
    at = net.nodes.index(transpose)
    net.nodes.remove(unary)
    unary.input[0], unary.output[0] = source, between
    transpose.input[0], transpose.output[0] = between, end
    net.nodes.insert(at, unary)
    net.shapes[between] = net.shapes[source]


def _is_sum_of_turned(net: Net, node: NodeProto, order: list[int]) -> bool:
    makers = [net.maker(name) for name in node.input]
    return node.op_type == "Add" and all(
        maker is not None and maker.op_type == "Transpose" and _order(net, maker) == order
        for maker in makers
    )


def _sum_before(net: Net, node: NodeProto, order: list[int]) -> None:
    """Sum what two Transposes turn alike, and turn the sum."""
    sources = [net.maker(name).input[0] for name in node.input]  # type: ignore[union-attr]
    total = node.output[0] + "_before"
    at = net.nodes.index(node)
    net.nodes[at : at + 1] = [
        helper.make_node("Add", sources, [total], name=node.name),
        helper.make_node("Transpose", [total], [node.output[0]], perm=order),
    ]
    net.shapes[total] = net.shapes[sources[0]]


def spell_means(net: Net) -> bool:
    """Write means over all three axes as GlobalAveragePool, flattened where axes are dropped."""
    for node in net.nodes:
        if node.op_type != "ReduceMean" or len(net.shapes[node.input[0]]) != 5:
            continue
        stored = net.constant(node, 1)
        axes = attribute(node, "axes", None) if stored is None else [int(n) for n in stored]
        if axes is None or sorted(axis % 5 for axis in axes) != [2, 3, 4]:
            continue
        if attribute(node, "keepdims", 1):
            net.put(node, "GlobalAveragePool", [node.input[0]])
            return True
        mean = node.output[0] + "_mean"
        at = net.nodes.index(node)
        net.nodes.insert(at, helper.make_node("GlobalAveragePool", [node.input[0]], [mean]))
        net.put(node, "Flatten", [mean], axis=1)
        return True
    return False


def spell_flattens(net: Net) -> bool:
    """Write whatever lays maps out as vectors as Flatten; turn weights where it turned maps."""
    for node in net.nodes:
        if node.op_type not in ("Reshape", "Squeeze", "Flatten") or _is_spelled(node):
            continue
        shape = net.shapes[node.output[0]]
        if len(shape) == 2 and shape[0] == net.batch and len(net.shapes[node.input[0]]) > 2:
            net.put(node, "Flatten", [node.input[0]], axis=1)
            return True
    return _flatten_before_turning(net)


def _is_spelled(node: NodeProto) -> bool:
    return bool(node.op_type == "Flatten" and attribute(node, "axis", 1) == 1)


def _flatten_before_turning(net: Net) -> bool:
    """Give a Gemm behind a flattened Transpose the weights for maps that are not turned."""
    for node in net.nodes:
        flatten = net.maker(node.input[0])
        turn = net.maker(flatten.input[0]) if flatten is not None and _is_spelled(flatten) else None
        weights = net.constant(node, 1)
        if node.op_type != "Gemm" or flatten is None or weights is None:
            continue
        if turn is None or turn.op_type != "Transpose" or len(net.readers(flatten.output[0])) != 1:
            continue
        order = _order(net, turn)
        if order[0] != 0:
            continue
        rows = weights if attribute(node, "transB", 0) else weights.T
        sides = [net.shapes[turn.input[0]][axis] for axis in order[1:]]
        back = [1 + order[1:].index(axis) for axis in range(1, len(order))]
        turned = rows.reshape(-1, *sides).transpose(0, *back).reshape(len(rows), -1)
        set_attribute(node, "transB", 1)
        node.input[1] = net.store(turned, node.input[1])
        flatten.input[0] = turn.input[0]
        return True
    return False


def spell_dense_layers(net: Net) -> bool:
    """Write MatMul by a constant as Gemm, with alpha, beta and transB in one spelling."""
    for node in net.nodes:
        if node.op_type == "MatMul" and net.constant(node, 1) is not None:
            weights = net.constants[node.input[1]]
            if weights.ndim == 2 and len(net.shapes[node.input[0]]) == 2:
                name = net.store(weights.T.copy(), node.input[1])
                net.put(node, "Gemm", [node.input[0], name], transB=1)
                return True
        if node.op_type == "Gemm" and net.constant(node, 1) is not None and not _is_dense(node):
            _respell_gemm(net, node)
            return True
    return False


def _is_dense(node: NodeProto) -> bool:
    said = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    return said == {"transB": 1} or bool(said.get("transA"))


def _respell_gemm(net: Net, node: NodeProto) -> None:
    weights = net.constants[node.input[1]]
    rows = (weights if attribute(node, "transB", 0) else weights.T) * attribute(node, "alpha", 1.0)
    inputs = [node.input[0], net.store(rows, node.input[1])]
    bias = net.constant(node, 2)
    if bias is not None:
        spread = np.broadcast_to(bias.reshape(-1) * attribute(node, "beta", 1.0), len(rows)).copy()
        inputs.append(net.store(spread, node.input[2]))
    net.put(node, "Gemm", inputs, transB=1)


def spell_activations(net: Net) -> bool:
    """Write Clip from 0, PRelu of one slope and torch's softplus as what they are."""
    for node in net.nodes:
        if node.op_type == "Clip":
            low, high = net.constant(node, 1), net.constant(node, 2)
            unbounded = (
                len(node.input) < 3 or not node.input[2] or (high is not None and not (high < 3e38))
            )
            if low is not None and float(low) == 0 and unbounded:
                net.put(node, "Relu", [node.input[0]])
                return True
        if node.op_type == "Where" and _is_softplus(net, node):
            net.put(node, "Softplus", [node.input[1]])
            return True
        slope = net.constant(node, 1) if node.op_type == "PRelu" else None
        if slope is not None and slope.size and np.ptp(slope) == 0:
            net.put(node, "LeakyRelu", [node.input[0]], alpha=float(slope.flat[0]))
            return True
    return False


def _is_softplus(net: Net, node: NodeProto) -> bool:
    """Whether it is x where x > 20 or so and softplus(x) elsewhere, as torch has it."""
    large, soft = net.maker(node.input[0]), net.maker(node.input[2])
    bound = None if large is None else net.constant(large, 1)
    return (
        large is not None
        and soft is not None
        and (large.op_type, soft.op_type) == ("Greater", "Softplus")
        and {large.input[0], soft.input[0]} == {node.input[1]}
        and bound is not None
        and bool(bound.size == 1 and bound >= 20)  # where both are the same to 2e-9
    )


def spell_scales(net: Net) -> bool:
    """Write batch normalisation that no layer before it could take as a layer of its own.

    That is done where nothing else keeps the built-in engine from the graph: others run it cheaper
    as it is.
    """
    if {node.op_type for node in net.nodes} - NATIVE != {"BatchNormalization"}:
        return False
    node = next(node for node in net.nodes if node.op_type == "BatchNormalization")
    affine, n = affine_of(net, node), net.shapes[node.input[0]][1]
    if affine is None or len(net.shapes[node.input[0]]) not in (2, 5):
        return False
    is_map = len(net.shapes[node.input[0]]) == 5
    weights = np.diag(np.broadcast_to(affine.gain, n)).reshape(n, n, *[1, 1, 1] * is_map)
    bias = np.broadcast_to(affine.offset, n).copy()
    names = [
        net.store(each, f"{node.output[0]}_{what}")
        for each, what in ((weights, "gain"), (bias, "offset"))
    ]
    if is_map:
        net.put(node, "Conv", [node.input[0], *names], kernel_shape=[1, 1, 1])
    else:
        net.put(node, "Gemm", [node.input[0], *names], transB=1)
    return True


def end_in_a_vector(net: Net) -> bool:
    """Flatten an output that still has axes; leave one for the numbers where there is none."""
    last = net.maker(net.output)
    if last is None or len(net.shapes[net.output]) == 2:
        return False
    if len(net.shapes[net.output]) < 2:
        if net.shapes[last.input[0]] != (net.batch, 1) or last.op_type not in _DROP_AN_AXIS:
            return False
        net.nodes.remove(last)
        net.output = last.input[0]
        return True
    flat = net.output + "_flat"
    net.nodes.append(helper.make_node("Flatten", [net.output], [flat], axis=1))
    net.shapes[flat] = (net.batch, 1)
    net.output = flat
    return True


#: How (n, 1) becomes (n,).
_DROP_AN_AXIS = ("Squeeze", "Reshape", "Flatten", "Gather")

#: In their order; what one leaves the next may need.
PASSES: tuple[Callable[[Net], bool], ...] = (
    fold_constants,
    leave_the_batch_free,
    drop_what_does_nothing,
    merge_padding,
    move_transposes_down,
    spell_means,
    spell_flattens,
    drop_what_does_nothing,
    spell_dense_layers,
    spell_flattens,
    spell_activations,
    fold_scales,
    end_in_a_vector,
    spell_scales,
)
