# SPDX-License-Identifier: Apache-2.0
"""A graph is rebuilt in torch as ONNX defines it; what is not computed is refused by name."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from export.onnx_network import OnnxNetwork, network_of
from export.to_onnx import write_model
from nigroedge.errors import ModelError
from tests.test_export_to_onnx import hand_made, spec_of

#: Float32 sums of up to some hundred numbers near 1, in another order.
ROUNDING = 2e-5


def graph_of(nodes, weights, *, inputs=(1, 3, 6, 5, 7)):
    """A graph from 'x' to 'y'; weights by name."""
    return helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", 1, inputs)],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )


def by_torch(graph, x, dtype=torch.float32):
    network = OnnxNetwork(graph, where="m.onnx").to(dtype)
    with torch.no_grad():
        return network(torch.from_numpy(x).to(dtype)).numpy()


def by_runtime(graph, x, opset):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 9
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]


def maps(seed=0, shape=(1, 3, 6, 5, 7)):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def test_a_residual_net_with_strides_by_hand():
    # Voxels 0 … 4 along x. A window of 3 by 2 with a pad of 1 gives 0+1, 1+2+3, 3+4 = 1, 6, 7; a
    # window of 1 by 2 gives 0, 2, 4; the sum less 9 is -8, -1, 2; a tenth below 0: -0.8, -0.1, 2.
    ones = np.ones((1, 1, 3, 1, 1), np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], strides=[2, 1, 1], pads=[1, 0, 0, 1, 0, 0]),
        helper.make_node("Conv", ["x", "v"], ["b"], strides=[2, 1, 1]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Sub", ["c", "nine"], ["d"]),
        helper.make_node("LeakyRelu", ["d"], ["y"], alpha=0.1),
    ]
    weights = {"w": ones, "v": ones[:, :, :1], "nine": np.float32(9)}
    x = np.arange(5, dtype=np.float32).reshape(1, 1, 5, 1, 1)
    got = by_torch(graph_of(nodes, weights, inputs=x.shape), x, torch.float64)

    np.testing.assert_allclose(got.ravel(), [-0.8, -0.1, 2], rtol=1e-7)  # 0.1 is a float32


@st.composite
def windows(draw):
    """A convolution or pool of any window that ONNX can say, and its weights."""
    three = lambda low, high: [draw(st.integers(low, high)) for _ in range(3)]  # noqa: E731
    op_type = draw(st.sampled_from(["Conv", "MaxPool", "AveragePool"]))
    kernel, said = three(1, 3), {"strides": three(1, 3)}
    if op_type != "AveragePool" and draw(st.booleans()):
        said["dilations"] = three(1, 2)
    said["kernel_shape"] = kernel
    padding = draw(st.sampled_from(["pads", "none", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if padding == "pads":
        said["pads"] = [draw(st.integers(0, k - 1)) for k in (*kernel, *kernel)]
    elif padding != "none":
        said["auto_pad"] = padding
    if padding.startswith("SAME"):  # with what follows ONNX Runtime refuses it
        said.pop("dilations", None)
        said["strides"] = [min(s, k) for s, k in zip(said["strides"], kernel, strict=True)]
    if op_type == "AveragePool":
        said["count_include_pad"] = draw(st.integers(0, 1))
    if op_type == "Conv":
        said["group"] = draw(st.sampled_from([1, 3]))
    return op_type, said, draw(st.integers(0, 99))


@settings(max_examples=30, deadline=None)
@given(windows())
def test_any_window_is_as_onnx_runtime_has_it(drawn):
    op_type, said, seed = drawn
    weights = {}
    if op_type == "Conv":
        shape = (3, 3 // said["group"], *said["kernel_shape"])
        weights = {"w": maps(seed, shape), "b": maps(seed, (3,))}
    node = helper.make_node(op_type, ["x", *weights], ["y"], **said)
    graph = graph_of([node], weights)
    x = maps(seed + 1)

    np.testing.assert_allclose(by_torch(graph, x), by_runtime(graph, x, 17), atol=ROUNDING)


VECTOR = (2, 4)
SOME = {
    "w": maps(1, (3, 4)),
    "wt": maps(1, (4, 3)),
    "b": maps(2, (3,)),
    "one": maps(2, (1,)),
    "low": np.float32(-0.5),
    "high": np.float32(0.5),
    "gain": maps(3, (1, 3, 1, 1, 1)),
    **{name: np.abs(maps(n, (3,))) for n, name in enumerate(("s", "h", "m", "v"))},
    "axes": np.array([2, 3, 4]),
    "grouped": np.array([0, 1, -1]),
}


@pytest.mark.parametrize(
    ("op_type", "inputs", "said", "shape"),
    [
        ("GlobalAveragePool", "x", {}, None),
        ("ReduceMean", "x axes", {"keepdims": 0}, None),
        ("Relu", "x", {}, None),
        ("LeakyRelu", "x", {}, None),
        ("Elu", "x", {"alpha": 0.7}, None),
        ("Sigmoid", "x", {}, None),
        ("Softplus", "x", {}, None),
        ("Tanh", "x", {}, None),
        ("Erf", "x", {}, None),
        ("Clip", "x low high", {}, None),
        ("Clip", "x  high", {}, None),
        ("Add", "x x", {}, None),
        ("Sub", "one x", {}, None),
        ("Mul", "x gain", {}, None),
        ("Div", "x gain", {}, None),
        ("Concat", "x x", {"axis": 1}, None),
        ("BatchNormalization", "x s h m v", {"epsilon": 0.01}, None),
        ("InstanceNormalization", "x s h", {"epsilon": 0.01}, None),
        ("Reshape", "x grouped", {}, None),
        ("Flatten", "x", {}, None),
        ("Flatten", "x", {"axis": -2}, None),
        ("Gemm", "x w b", {"transB": 1}, VECTOR),
        ("Gemm", "x wt", {}, VECTOR),
        ("Gemm", "x wt one", {"alpha": 0.5, "beta": 2.0}, VECTOR),
        ("Gemm", "x wt b", {"transA": 1}, VECTOR[::-1]),
    ],
)
def test_every_other_operator_is_as_onnx_runtime_has_it(op_type, inputs, said, shape):
    names = inputs.split(" ")
    node = helper.make_node(op_type, names, ["y"], **said)
    x = 3 * maps(5) if shape is None else maps(5, shape)
    graph = graph_of([node], {n: SOME[n] for n in names if n in SOME}, inputs=x.shape)

    np.testing.assert_allclose(by_torch(graph, x), by_runtime(graph, x, 18), atol=ROUNDING)


def test_softplus_is_exact_where_torch_is_not():
    # torch's own gives 21 for 21; the sum of log(1 + exp(-21)) = 7.6e-10 is there in float64.
    graph = graph_of([helper.make_node("Softplus", ["x"], ["y"])], {}, inputs=(1,))

    assert by_torch(graph, np.array([21.0]), torch.float64)[0] - 21 == pytest.approx(
        7.58e-10, rel=1e-2
    )


@pytest.mark.parametrize(
    ("op_type", "attribute", "value", "message"),
    [
        ("MaxPool", "ceil_mode", 1, "node MaxPool '.*': expected ceil_mode to be 0, got 1"),
        ("MaxPool", "storage_order", 1, ".*expected storage_order to be 0, got 1"),
        ("Gemm", "auto", "x", "node Gemm 'gemm_4': expected auto to be absent"),
        ("Conv", "auto_pad", "SAME", "node Conv 'conv_0': expected auto_pad of ONNX"),
        ("Conv", "kernel_shape", [3, 3, 1], r"node Conv 'conv_0': expected kernel_shape \[3, 3, 3"),
        ("Conv", "group", 2, "node Conv 'conv_0': "),
    ],
)
def test_another_computation_is_refused_by_the_name_of_its_node(
    tmp_path, op_type, attribute, value, message
):
    write_model(tmp_path / "m.onnx", hand_made(), spec_of((2, 2, 2)))
    graph = onnx.load(tmp_path / "m.onnx").graph
    (node,) = [n for n in graph.node if n.op_type == op_type]
    kept = [a for a in node.attribute if a.name != attribute]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(attribute, value)])

    with pytest.raises(ModelError, match=r"m\.onnx: " + message) as refused:
        by_torch(graph, np.ones((1, 1, 2, 2, 2), np.float32))
    assert "\n" not in str(refused.value)


def renamed(graph):
    graph.node[1].op_type = "Hardmax"


def of_another_domain(graph):
    graph.node[1].domain = "com.example"


def reading_what_is_not_there(graph):
    graph.node[1].input[0] = "nothing"


def with_two_outputs(graph):
    graph.node[2].output.append("indices")


def without_its_end(graph):
    del graph.node[-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed, "node Hardmax 'relu_1': torch cannot be compared with it; expected one of Conv,"),
        (of_another_domain, "node Relu 'relu_1': torch cannot be compared"),
        (reading_what_is_not_there, "node Relu 'relu_1': expected inputs .*, got 'nothing'"),
        (with_two_outputs, "node MaxPool '.*': expected one output, got 2"),
        (without_its_end, "expected a node that makes 'sbr', got none"),
    ],
)
def test_a_graph_that_cannot_be_rebuilt_is_refused(tmp_path, change, message):
    write_model(tmp_path / "m.onnx", hand_made(), spec_of((2, 2, 2)))
    graph = onnx.load(tmp_path / "m.onnx").graph
    change(graph)

    with pytest.raises(ModelError, match=r"m\.onnx: " + message):
        OnnxNetwork(graph, where="m.onnx")


def test_bytes_that_are_no_onnx_are_refused():
    with pytest.raises(ModelError, match=r"m\.onnx: expected an ONNX file, got something else"):
        network_of(b"<?xml version='1.0'?>", where="m.onnx")
