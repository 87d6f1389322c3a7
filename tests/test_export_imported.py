# SPDX-License-Identifier: Apache-2.0
"""Graphs from elsewhere become model files that give the same answers, or are refused by name."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.conventions import Conventions
from export.imported import convert, read_net
from nigroedge.errors import ModelError
from nigroedge.model import load_model
from tests.onnx_files import CARD

SHAPE = (6, 5, 4)
SAID = Conventions(side="both", normalize="minmax", axes="ALI", scale=2.0)


def patches(n, shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (n, *shape)).astype(np.float32)


def operators(path):
    return {node.op_type for node in onnx.load(path).graph.node}


def answers(path, values, engine=None):
    return load_model(path, engine=engine, threads=1).predict_patches(values)


# --------------------------------------------------------------------------- graphs, node by node


def model(nodes, weights, *, dims=("n", 1, *SHAPE), output=("n", 1), opset=17, kind=1):
    """An ONNX file; weights by name."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", kind, dims)],
        [helper.make_tensor_value_info("y", kind, output)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = 9
    return made


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs.split(), [output], name=output, **attributes)


def mean_of(*last, **weights):
    """A graph that takes the mean of a patch, and goes on with some nodes from 'm'."""
    first = [node("GlobalAveragePool", "x", "g"), node("Flatten", "g", "m")]
    return model([*first, *last], {name: np.float32(value) for name, value in weights.items()})


def converted(made, tmp_path, *, said=SAID, shape=SHAPE, offset=0.0):
    path = tmp_path / "model.onnx"
    convert(made.SerializeToString(), path, said, CARD, shape=shape, offset=offset)
    return path


def test_scale_and_offset_by_hand(tmp_path):
    # The mean of a patch of 0.5, times 3, plus 1 in the graph; times 2, plus 0.25 outside: 5.25.
    made = mean_of(node("MatMul", "m w", "p"), node("Add", "p b", "y"), w=[[3.0]], b=[1.0])
    path = converted(made, tmp_path, offset=0.25)
    half = np.full((1, *SHAPE), 0.5, np.float32)

    assert answers(path, half).tolist() == [5.25]
    assert [each.op_type for each in onnx.load(path).graph.node] == [
        *("GlobalAveragePool", "Flatten", "Gemm")
    ]


def test_batch_normalisation_by_hand(tmp_path):
    # A convolution that copies; (0.5 - 0.25) / 0.5 * 3 + 1 = 2.5, times 2.
    weights = {
        "w": np.ones((1, 1, 1, 1, 1), np.float32),
        **{
            name: np.float32([value])
            for name, value in (("scale", 3), ("shift", 1), ("mean", 0.25), ("var", 0.25))
        },
    }
    made = model(
        [
            node("Conv", "x w", "c"),
            node("Identity", "var", "shared"),  # as exporters write weights that are equal
            node("BatchNormalization", "c scale shift mean shared", "n", epsilon=0.0),
            node("GlobalAveragePool", "n", "g"),
            node("Flatten", "g", "y"),
        ],
        weights,
    )
    path = converted(made, tmp_path)

    assert answers(path, np.full((1, *SHAPE), 0.5, np.float32)).tolist() == [5.0]
    assert operators(path) == {"Conv", "GlobalAveragePool", "Flatten", "Mul"}


def test_batch_normalisation_that_no_layer_can_take_becomes_one(tmp_path):
    # Behind a ReLU and a mean there is none: of 0.5, (0.5 - 0.25) / 0.5 * 3 + 1 = 2.5 on maps;
    # of that, as a vector, (2.5 - 0.25) / 0.5 * 3 + 1 = 14.5, times 2.
    values = (("scale", 3), ("shift", 1), ("mean", 0.25), ("var", 0.25))
    made = model(
        [
            node("Relu", "x", "r"),
            node("BatchNormalization", "r scale shift mean var", "maps", epsilon=0.0),
            node("GlobalAveragePool", "maps", "g"),
            node("Flatten", "g", "f"),
            node("BatchNormalization", "f scale shift mean var", "y", epsilon=0.0),
        ],
        {name: np.float32([value]) for name, value in values},
    )
    path = converted(made, tmp_path)

    assert answers(path, np.full((1, *SHAPE), 0.5, np.float32)).tolist() == [29.0]
    assert operators(path) == {"Relu", "Conv", "GlobalAveragePool", "Flatten", "Gemm"}


def keras_like():
    """Channels last, as tf2onnx writes it: turned at both ends, and padded by a node."""
    random = np.random.default_rng(3)
    x, y, z = SHAPE
    features = (x // 2) * (y // 2) * (z // 2) * 4
    weights = {
        "w": random.normal(0, 0.3, (4, 1, 3, 3, 3)).astype(np.float32),
        "b": random.normal(0, 0.1, (1, 4, 1, 1, 1)).astype(np.float32),
        "d": random.normal(0, 0.3, (features, 1)).astype(np.float32),
        "pads": np.array([0, 0, 1, 1, 1, 0, 0, 1, 1, 1]),
        "flat": np.array([-1, features]),
    }
    nodes = [
        node("Transpose", "x", "t", perm=[0, 4, 1, 2, 3]),
        node("Pad", "t pads", "p"),
        node("Conv", "p w", "c"),
        node("Add", "c b", "s"),
        node("Transpose", "s", "back", perm=[0, 2, 3, 4, 1]),
        node("Relu", "back", "r"),
        node("Transpose", "r", "again", perm=[0, 4, 1, 2, 3]),
        node("MaxPool", "again", "m", kernel_shape=[2] * 3, strides=[2] * 3),
        node("Transpose", "m", "last", perm=[0, 2, 3, 4, 1]),
        node("Reshape", "last flat", "f"),
        node("MatMul", "f d", "y"),
    ]
    return model(nodes, weights, dims=("n", *SHAPE, 1)), weights


def test_channels_last_are_turned(tmp_path):
    import onnxruntime

    made, _ = keras_like()
    path = converted(made, tmp_path)
    values = patches(3, SHAPE)
    session = onnxruntime.InferenceSession(made.SerializeToString())
    want = 2 * session.run(None, {"x": values[..., None]})[0][:, 0]

    assert operators(path) == {"Conv", "Relu", "MaxPool", "Flatten", "Gemm"}
    np.testing.assert_allclose(answers(path, values), want, rtol=1e-5, atol=1e-5)


def test_a_graph_for_one_patch_at_a_time_takes_any_number(tmp_path):
    made = mean_of(node("Identity", "m", "y"))
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    path = converted(made, tmp_path)
    values = patches(3, SHAPE)

    np.testing.assert_allclose(answers(path, values), 2 * values.mean((1, 2, 3)), rtol=1e-6)


# ---------------------------------------------------------------------------------------- refused


def changed(change):
    made = mean_of(node("Identity", "m", "y"))
    change(made)
    return made


def two_inputs(made):
    made.graph.input.append(helper.make_tensor_value_info("z", 1, [1]))


def two_outputs(made):
    made.graph.output.append(helper.make_tensor_value_info("m", 1, ["n", 1]))


def external(made):
    tensor = made.graph.initializer.add(name="w", dims=[1], data_type=1)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def huge(made):
    made.graph.initializer.add(name="w", dims=[1000, 1000, 1000], data_type=1, raw_data=b"1234")


def with_nan(made):
    made.graph.initializer.append(numpy_helper.from_array(np.float32([np.nan]), "w"))


def function(made):
    made.functions.add(name="mine", domain="d")


def control_flow(made):
    branch = helper.make_graph([], "branch", [], [])
    made.graph.node[0].attribute.append(helper.make_attribute("then_branch", branch))


def training(made):
    made.graph.node[0].attribute.append(helper.make_attribute("training_mode", 1))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (changed(two_inputs), "expected one input and one output, got 2 and 1"),
        (changed(two_outputs), "expected one input and one output, got 1 and 2"),
        (changed(external), "weight 'w': .* got external data; .*external_data=False"),
        (changed(huge), "weight 'w': 1000000000 values are declared, and fewer are there"),
        (changed(with_nan), "weight 'w': expected finite values, got NaN or infinity"),
        (changed(function), "expected no functions, got 'mine'"),
        (changed(control_flow), "node GlobalAveragePool 'g': expected no control flow"),
        (changed(training), "expected inference mode, got training mode"),
        (changed(lambda m: setattr(m.graph.node[0], "domain", "com.x")), "the domain 'com.x'"),
        (changed(lambda m: setattr(m.opset_import[0], "version", 12)), "opset 13 to .*, got 12"),
        (changed(lambda m: m.graph.ClearField("node")), "without a graph"),
        (model([node("Relu", "x", "y")], {}), "one number for each patch, got an output of"),
        (mean_of(node("Log", "m l", "y"), l=1.0), "cannot run the graph"),
        (model([node("Relu", "x", "y")], {}, dims=("n", 1, 9, 9, 9)), "--shape says how large"),
        (model([node("Relu", "x", "y")], {}, kind=TensorProto.INT64), "expected float .n, 1, 6, 5"),
        (model([node("Relu", "x", "y")], {}, dims=("n", 2, *SHAPE)), "got float .n, 2, 6, 5, 4"),
    ],
)
def test_what_no_model_file_may_hold_is_refused_in_one_line(made, message, tmp_path):
    with pytest.raises(ModelError, match=message) as refused:
        converted(made, tmp_path)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("variance", [-1.0, np.nan])
def test_a_running_variance_that_none_has_is_refused(variance, tmp_path):
    weights = {name: np.float32([1]) for name in ("s", "b", "m")} | {"v": np.float32([variance])}
    made = model(
        [
            node("BatchNormalization", "x s b m v", "n"),
            node("GlobalAveragePool", "n", "g"),
            node("Flatten", "g", "y"),
        ],
        weights,
    )

    with pytest.raises(ModelError, match=r"finite|variances of 0 or more"):
        converted(made, tmp_path)


def test_batch_normalisation_in_training_mode_is_refused(tmp_path):
    one = {name: np.float32([1]) for name in ("s", "b", "m", "v")}
    trains = helper.make_node(
        *("BatchNormalization", ["x", "s", "b", "m", "v"], ["n", "m2", "v2"], "bn"), training_mode=1
    )
    made = model([trains, node("GlobalAveragePool", "n", "g"), node("Flatten", "g", "y")], one)

    with pytest.raises(ModelError, match="BatchNormalization 'bn': expected inference mode") as no:
        converted(made, tmp_path)
    assert "\n" not in str(no.value)


@pytest.mark.parametrize("training", [True, False])
def test_dropout_that_drops_is_refused(training, tmp_path):
    made = mean_of(node("Dropout", "m r t", "y"), r=0.5)
    made.graph.initializer.append(numpy_helper.from_array(np.array(training), "t"))

    if training:
        with pytest.raises(ModelError, match="node Dropout 'y': expected inference mode"):
            converted(made, tmp_path)
    else:
        assert operators(converted(made, tmp_path)) == {"GlobalAveragePool", "Flatten", "Mul"}


def test_a_graph_that_is_right_for_one_number_of_patches_alone_is_refused(tmp_path):
    # Pairs of patches share an output, which a batch of the two that are checked does not show.
    made = model(
        [
            node("GlobalAveragePool", "x", "g"),
            node("Reshape", "g two", "r"),
            node("Mul", "r w", "y"),
        ],
        {"two": np.array([2, 1]), "w": np.float32([[1], [2]])},
    )

    with pytest.raises(ModelError, match=r"cannot run the graph|any number of patches"):
        converted(made, tmp_path)


def test_operators_of_a_newer_opset_stay(tmp_path):
    made = model(
        [
            node("Concat", "x x", "c", axis=1),
            node("GlobalAveragePool", "c", "g"),
            node("Flatten", "g", "f"),
            node("ReduceMean", "f axes", "y"),
        ],
        {"axes": np.array([1])},
        opset=21,
    )
    path = converted(made, tmp_path)
    values = patches(2, SHAPE)

    np.testing.assert_allclose(answers(path, values, "onnx"), 2 * values.mean((1, 2, 3)), rtol=1e-6)


def test_bytes_that_are_no_onnx_are_refused():
    for content in (b"", b"PK\x03\x04" * 9, b"\x08\x07"):
        with pytest.raises(ModelError, match="expected"):
            read_net(content, SHAPE)
