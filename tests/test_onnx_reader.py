# SPDX-License-Identifier: Apache-2.0
"""The ONNX reader: what it reads of good files, and that it refuses the rest by name.

Its parity with the onnx package's parse, and its fuzz, are in tests/fuzz.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from nigroedge import _core
from nigroedge.errors import ModelError
from tests import onnx_files
from tests.fuzz.make_corpus import refused_models
from tests.wire import field, varint

NET = onnx_files.random_net(shape=(3, 2, 2), channels=(2,))
GOOD = onnx_files.float_model(NET, {"nigroedge.format": "1", "other": ""}).SerializeToString()

#: A whole model by hand: y = Relu(x), x and y float (n, 2).
BATCH, TWO = field(1, field(2, b"n")), field(1, field(1, 2))
VECTOR = field(2, field(1, field(1, 1) + field(2, BATCH + TWO)))
NODE = field(1, b"x") + field(2, b"y") + field(4, b"Relu")
GRAPH = field(1, NODE) + field(11, field(1, b"x") + VECTOR) + field(12, field(1, b"y") + VECTOR)
OPSET = field(8, field(2, 17))
MODEL = field(1, 8) + OPSET + field(7, GRAPH)
WEIGHT = field(1, 2) + field(2, 1) + field(8, b"w")  # float (2,), elements to be added


def with_graph(*parts: bytes) -> bytes:
    """The model by hand, with more fields in its graph."""
    return field(1, 8) + OPSET + field(7, GRAPH + b"".join(parts))


def with_node(*parts: bytes) -> bytes:
    """The model by hand, with more fields in its node."""
    graph = GRAPH.replace(field(1, NODE), field(1, NODE + b"".join(parts)))
    return field(1, 8) + OPSET + field(7, graph)


def with_x(value: bytes) -> bytes:
    """The model by hand, with another type of its input."""
    graph = GRAPH.replace(field(11, field(1, b"x") + VECTOR), field(11, field(1, b"x") + value))
    return field(1, 8) + OPSET + field(7, graph)


def initializer(*parts: bytes) -> bytes:
    return with_graph(field(5, b"".join(parts)))


def test_reads_a_model_written_by_hand():
    assert {
        "ir_version": 8,
        "opset": 17,
        "producer": "",
        "metadata": {},
        "inputs": [("x", "float", (-1, 2), "n")],
        "outputs": [("y", "float", (-1, 2), "n")],
        "ops": {"Relu": 1},
        "n_parameters": 0,
        "initializers": [],
    } == _core.read_onnx(MODEL)


def test_reads_a_network():
    read = _core.read_onnx(GOOD)

    assert {"nigroedge.format": "1", "other": ""} == read["metadata"]
    assert [("patch", "float", (-1, 1, 3, 2, 2), "n")] == read["inputs"]
    assert [("sbr", "float", (-1, 1), "n")] == read["outputs"]
    assert {"Conv": 1, "Relu": 1, "MaxPool": 1, "Flatten": 1, "Gemm": 1} == read["ops"]
    assert [
        ("w0", "float", (2, 1, 3, 3, 3), 216),
        ("b0", "float", (2,), 8),
        ("head_w", "float", (1, 2), 8),
        ("head_b", "float", (1,), 4),
    ] == read["initializers"]


@pytest.mark.parametrize("build", [onnx_files.float_model, onnx_files.qdq_model])
def test_parameters_are_weights_and_biases_only(build):
    learnt = [array for layer in (*NET.conv, NET.head) for array in layer]

    assert (
        sum(array.size for array in learnt)
        == _core.read_onnx(build(NET, {}).SerializeToString())["n_parameters"]
    )


def test_what_exporters_add_and_nobody_needs_is_ignored():
    model = onnx.ModelProto.FromString(GOOD)
    model.doc_string = model.graph.doc_string = "text"
    model.producer_version, model.model_version = "2", 7
    model.graph.metadata_props.add(key="a", value="b")
    model.graph.node[0].metadata_props.add(key="a", value="b")
    model.graph.value_info.append(helper.make_tensor_value_info("conv0", 1, ["n", None, "z"]))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))

    assert _core.read_onnx(GOOD) == _core.read_onnx(model.SerializeToString())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("external_data", r"graph\.initializer\[0\].*external data is not allowed"),
        ("sparse", r"graph.*a sparse initializer is not allowed"),
        ("function", r"a function is not allowed"),
        ("training", r"training information is not allowed"),
        ("subgraph", r"graph\.node\[0\]\.attribute\[0\].*a subgraph is not allowed"),
        ("custom_domain", r"graph\.node\[0\].*'Relu' is of the domain 'com\.example'"),
        ("unknown_op", r"graph\.node\[0\].*'RandomNormalLike' is not among the stateless"),
        ("dangling", r"graph\.node\[0\]: input 'nowhere' is not"),
        ("backwards", r"graph\.node\[0\]: input 'z' is not"),
        ("defined_twice", r"graph\.node\[1\]: the name 'y' is defined twice"),
        ("text_tensor", r"data type 8 is not allowed"),
    ],
)
def test_refuses_what_is_legal_onnx_but_no_model_needs(name, reason):
    model = refused_models()[name]

    with pytest.raises(ModelError, match=reason):
        _core.read_onnx(model.SerializeToString())


OVERLONG = b"\x88\x80\x00"
TOO_WIDE = b"\xff" * 9 + b"\x02"
FLOATS = np.array([1, 2], np.float32).tobytes()


@pytest.mark.parametrize(
    ("content", "reason"),
    [  # what is wrong with each is the message that it gets
        (b"", "got no bytes"),
        (b"\x5c\x01\x00\x00" + bytes(344), "model, byte 0: ONNX has no field 11 here"),
        (b"\x08", "expected a whole varint"),
        (b"\x08\xff", "expected a whole varint"),
        (b"\x08" + OVERLONG, "shortest form"),
        (b"\x08" + TOO_WIDE, "at most 64 bits"),
        (b"\x08" + b"\xff" * 11, "at most 64 bits"),
        (b"\x3b", "graph has wire type 3, expected 2"),
        (b"\x3a" + varint(2**63), "graph claims 9223372036854775808 bytes, but only 0 are left"),
        (b"\x00\x01", "no field 0"),
        (MODEL + b"\xf8\xff\xff\xff\x0f\x01", "no field 536870911"),
        (MODEL + field(7, GRAPH), "graph is given twice"),
        (MODEL + field(1, 8), "ir_version is given twice"),
        (field(1, 8) + OPSET, "expected a graph, got none"),
        (MODEL.replace(field(1, 8), b""), "expected IR version 3 to 14, got 0"),
        (MODEL.replace(field(1, 8), field(1, 99)), "expected IR version 3 to 14, got 99"),
        (MODEL.replace(OPSET, b""), "opset 7 to 28, got 0"),
        (MODEL.replace(OPSET, field(8, field(2, 99))), "opset 7 to 28, got 99"),
        (MODEL + OPSET, "domain '' is imported twice"),
        (MODEL + field(8, field(1, b"ai.onnx") + field(2, 17)), "domain '' is imported twice"),
        (MODEL + field(14, field(2, b"v")), "expected a key, got none"),
        (MODEL + 2 * field(14, field(1, b"k")), "the key 'k' is given twice"),
        (MODEL + field(14, field(1, b"k" * 1025)), "key has 1025 bytes, expected at most 1024"),
        (MODEL + field(14, field(1, b"\xff")), "key is not UTF-8"),
        (MODEL + field(14, field(1, b"\xed\xa0\x80")), "key is not UTF-8"),
        (MODEL + field(14, field(1, b"\xc0\xaf")), "key is not UTF-8"),
        (MODEL + field(26, b""), "a device configuration is not allowed"),
        (with_graph(field(12, field(1, b"z") + VECTOR)), r"output\[1\]: no node computes 'z'"),
        (with_graph(field(12, field(1, b"y") + VECTOR)), "'y' is defined twice"),
        (with_graph(field(11, field(1, b"x") + VECTOR)), "'x' is defined twice"),
        (with_graph(field(1, field(1, b"y") + field(4, b"Relu"))), "at least one output"),
        (with_graph(field(14, b"")), "a quantization annotation is not allowed"),
        (with_graph(*257 * [field(1, NODE)] * 8), "more than 2048 of node"),
        (with_node(*64 * [field(1, b"x")]), "more than 64 of input"),
        (with_node(field(8, b"o")), "an overload of a function is not allowed"),
        (with_node(field(5, field(20, 2))), "expected a name, got none"),
        (with_node(2 * field(5, field(1, b"a") + field(20, 2))), "attribute 'a' is given twice"),
        (with_node(field(5, field(1, b"a") + field(3, 1))), "attribute 'a' has type 0"),
        (with_node(field(5, field(1, b"a") + field(3, 1) + field(20, 1))), "not of its type 1"),
        (with_node(field(5, field(1, b"a") + field(20, 4))), "not of its type 4"),
        (with_node(field(5, field(1, b"a") + field(8, bytes(257)))), "more than 256 of ints"),
        (with_node(field(5, field(21, b"r"))), "a reference to a function's attribute"),
        (with_x(field(2, field(4, b""))), "a sequence is not allowed"),
        (with_x(field(2, b"")), "expected a tensor type for 'x'"),
        (with_x(b""), "expected a tensor type for 'x'"),
        (with_x(field(2, field(1, field(1, 1)))), "expected an elem_type and a shape"),
        (with_x(field(2, field(1, field(1, 8) + field(2, BATCH)))), "data type 8 is not allowed"),
        (with_x(field(2, field(1, field(1, 1) + field(2, TWO + BATCH)))), "only the first"),
        (with_x(field(2, field(1, field(1, 1) + field(2, field(1, field(1, 0)))))), "at least 1"),
        (with_x(field(2, field(1, field(1, 1) + field(2, 9 * TWO)))), "more than 8 dims"),
        (initializer(WEIGHT), "'w' has dims for 8 bytes, but holds 0"),
        (initializer(WEIGHT, field(9, bytes(7))), "'w' has dims for 8 bytes, but holds 7"),
        (initializer(WEIGHT, field(4, FLOATS + FLOATS)), "'w' has dims for 8 bytes, but holds 16"),
        (initializer(WEIGHT, field(4, FLOATS[:5])), "dims for 8 bytes, but holds 5"),
        (initializer(WEIGHT, field(4, FLOATS), field(9, FLOATS)), "beside another field"),
        (initializer(WEIGHT, field(7, b"\1\1")), "type float in the field of another type"),
        (initializer(field(8, b"w"), field(9, FLOATS)), "expected a data_type, got none"),
        (initializer(field(1, 2), field(2, 1), field(9, FLOATS)), "expected a name, got none"),
        (initializer(field(1, 2**64 - 1), field(2, 1)), "expected dims of 0 or more, got -1"),
        (initializer(*3 * [field(1, 2**31)], field(2, 1)), "beyond any file"),
        (initializer(field(1, 0), field(1, 2**62), field(2, 1)), "beyond any file"),
        (initializer(*9 * [field(1, 1)], field(2, 1)), "more than 8 of dims"),
        (
            initializer(field(2, 3), field(8, b"w"), field(5, 200)),
            "200 is outside the range of int8",
        ),
        (
            initializer(field(2, 7), field(8, b"w"), field(7, b"\xff")),
            "dims for 1 elements.*holds 0",
        ),
        (initializer(field(2, 7), field(8, b"w"), field(7, b"\1\x80")), "whole varint"),
        (initializer(WEIGHT, field(3, b"")), "a tensor in segments is not allowed"),
        (initializer(WEIGHT, field(13, b"")), "external data is not allowed"),
        (b"\x0a\x00" + MODEL, "ir_version has wire type 2, expected 0"),
    ],
)
def test_refuses_a_broken_file_and_says_where(content, reason):
    with pytest.raises(ModelError, match=f"^not a usable ONNX model: .*{reason}"):
        _core.read_onnx(content)


def test_refuses_elements_that_would_grow_beyond_the_cap_when_decoded():
    n = (64 << 20) // 8 + 1
    tensor = field(1, n) + field(2, 7) + field(8, b"w") + field(7, bytes(n))

    with pytest.raises(ModelError, match="more than 67108864 bytes of elements outside raw_data"):
        _core.read_onnx(with_graph(field(5, tensor)))


def test_refuses_a_file_beyond_the_cap():
    with pytest.raises(ModelError, match="expected at most 536870912 bytes, got 536870913"):
        _core.read_onnx(bytes((512 << 20) + 1))


def test_nested_messages_end_at_the_first_subgraph():
    nested = b""
    for _ in range(2000):
        nested = field(1, field(5, field(6, nested)))

    with pytest.raises(ModelError, match="a subgraph is not allowed"):
        _core.read_onnx(field(1, 8) + OPSET + field(7, nested))


def test_a_hostile_name_cannot_control_a_terminal():
    name = b"\x1b[2J\n" + b"a" * 500

    with pytest.raises(ModelError) as refused:
        _core.read_onnx(with_node().replace(field(4, b"Relu"), field(4, name[:4])))
    assert r"operator '\x1b[2J' is not" in str(refused.value)

    with pytest.raises(ModelError) as refused:
        _core.read_onnx(MODEL + 2 * field(14, field(1, name)))
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


def test_takes_bytes_and_nothing_else():
    for content in (bytearray(MODEL), np.frombuffer(MODEL, np.uint8), MODEL.decode("latin-1")):
        with pytest.raises(TypeError):
            _core.read_onnx(content)


def read_or_refuse(content: bytes) -> None:
    """Read; a refusal is as good."""
    try:
        read = _core.read_onnx(content)
    except ModelError:
        return
    assert set(read) == set(_core.read_onnx(GOOD))


@given(st.integers(0, len(GOOD) - 1))
def test_a_truncated_file_is_read_or_refused(n):
    read_or_refuse(GOOD[:n])


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_flipped_byte_is_read_or_refused(at, value):
    read_or_refuse(GOOD[:at] + bytes([value]) + GOOD[at + 1 :])


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content):
    read_or_refuse(content)
    read_or_refuse(with_graph(content))
    read_or_refuse(with_node(content))


@given(
    st.lists(st.integers(1, 5), max_size=4),
    st.sampled_from(["float", "int8", "int64", "double"]),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
)
def test_tensors_are_read_as_they_were_written(dims, type_name, name):
    data_type = TensorProto.DataType.Value(type_name.upper())
    dtype = helper.tensor_dtype_to_np_dtype(data_type)
    tensor = onnx.numpy_helper.from_array(np.ones(dims, dtype), name)
    n_bytes = int(np.prod(dims, dtype=int)) * dtype.itemsize

    read = _core.read_onnx(with_graph(field(5, tensor.SerializeToString())))

    assert name in {"x", "y"} or [(name, type_name, tuple(dims), n_bytes)] == read["initializers"]
