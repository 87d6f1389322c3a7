# SPDX-License-Identifier: Apache-2.0
"""A short fuzz of the ONNX reader under sanitizers, and its parity with the onnx package."""

from __future__ import annotations

import subprocess

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests import onnx_files, wire
from tests.fuzz.make_corpus import seeds

#: Element types, and the numpy type of their bits.
TYPES = {"FLOAT": "f4", "UINT8": "u1", "INT8": "i1", "UINT16": "u2", "INT16": "i2", "INT32": "i4"}
TYPES |= {"INT64": "i8", "BOOL": "u1", "FLOAT16": "u2", "DOUBLE": "f8", "UINT32": "u4"}
TYPES |= {"UINT64": "u8", "BFLOAT16": "u2"}


def test_the_reader_survives_mutations_under_sanitizers(programs, tmp_path):
    paths = []
    for name, content in seeds().items():
        (tmp_path / name).write_bytes(content)
        paths.append(str(tmp_path / name))

    done = subprocess.run(
        [programs / "onnx_reader_fuzz_standalone", "20000", *paths],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert f"{len(paths)} seeds and 20000 mutations: no failure\n" == done.stdout


def test_the_reader_reads_what_the_onnx_package_reads(programs, tmp_path):
    models = [random_model(np.random.default_rng(seed)).SerializeToString() for seed in range(60)]
    models.append(onnx_files.float_model(onnx_files.random_net()).SerializeToString())
    models.append(scattered_floats())
    paths = []
    for i, model in enumerate(models):
        (tmp_path / f"{i}.onnx").write_bytes(model)
        paths.append(str(tmp_path / f"{i}.onnx"))

    got = subprocess.check_output([programs / "onnx_dump", *paths], text=True)

    assert "".join(dump(onnx.load(path)) for path in paths) == got


def random_model(random: np.random.Generator) -> onnx.ModelProto:
    """Draw a model of random tensors and attributes; it need not compute anything sensible."""
    initializers = [random_tensor(random, f"w{i}") for i in range(random.integers(1, 6))]
    nodes = []
    for i in range(random.integers(1, 6)):
        attributes = {
            "alpha": float(np.float32(random.normal())),
            "axis": int(random.integers(-(2**63), 2**63 - 1)),
            "mode": random.choice(["", "constant", "µ–ρχ"]),
            "pads": [int(n) for n in random.integers(-(2**40), 2**40, random.integers(1, 9))],
            "scales": random.normal(size=random.integers(1, 4)).astype(np.float32).tolist(),
            "value": random_tensor(random, "value"),
        }
        keys = random.choice(sorted(attributes), random.integers(0, 7), replace=False)
        inputs = ["x" if i == 0 else f"y{i - 1}", "", str(random.choice([*"x", "w0"]))]
        chosen = {key: attributes[key] for key in keys}
        nodes.append(helper.make_node("Conv", inputs, [f"y{i}", ""], f"node {i}", **chosen))
    batch = random.choice(["n", "batch size", ""])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch or None, 1, 50])
    y = helper.make_tensor_value_info(f"y{len(nodes) - 1}", TensorProto.DOUBLE, [3])
    graph = helper.make_graph(nodes, "graph", [x], [y], initializers)
    opsets = [helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="test")
    helper.set_model_props(model, {"a": "", "b": "ü\n" * int(random.integers(0, 500))})
    return model


def random_tensor(random: np.random.Generator, name: str) -> onnx.TensorProto:
    """Draw a tensor of any type, with its elements in raw_data or in the field of the type."""
    type_name = str(random.choice(sorted(TYPES)))
    dims = random.integers(0, 4, random.integers(0, 4)).tolist()
    dtype = np.dtype(TYPES[type_name])
    if dtype.kind == "f":
        bits = random.normal(size=dims).astype(dtype)
    else:
        content = random.integers(0, 256, np.prod(dims, dtype=int) * dtype.itemsize, np.uint8)
        bits = (content & 1 if type_name == "BOOL" else content).view(dtype)
    data_type = TensorProto.DataType.Value(type_name)
    tensor = TensorProto(name=name, data_type=data_type, dims=dims)
    if random.integers(2):
        tensor.raw_data = bits.tobytes()
    else:
        getattr(tensor, helper.tensor_dtype_to_field(data_type)).extend(bits.ravel().tolist())
    return tensor


def scattered_floats() -> bytes:
    """Write a model whose float_data is one field for each element, as protobuf also allows."""
    model = onnx_files.float_model(onnx_files.random_net())
    tensor = TensorProto(name="spare", data_type=TensorProto.FLOAT, dims=[3]).SerializeToString()
    tensor += b"".join(b"\x25" + np.float32(value).tobytes() for value in (1.5, -2, 3))
    graph = model.graph.SerializeToString() + wire.field(5, tensor)
    model.ClearField("graph")
    return model.SerializeToString() + wire.field(7, graph)


def dump(model: onnx.ModelProto) -> str:
    """Print a model as onnx_dump.cpp does."""
    lines = [f"ir {model.ir_version} producer '{model.producer_name}' graph '{model.graph.name}'"]
    lines += [f"opset '{each.domain}' {each.version}" for each in model.opset_import]
    lines += [f"meta '{each.key}' '{each.value}'" for each in model.metadata_props]
    lines += [_value("input", each) for each in model.graph.input]
    lines += [_value("output", each) for each in model.graph.output]
    lines += [f"init {_tensor(each)}" for each in model.graph.initializer]
    for node in model.graph.node:
        lines.append(f"node {node.op_type} '{node.name}'")
        lines += [f"  in '{name}'" for name in node.input]
        lines += [f"  out '{name}'" for name in node.output]
        lines += [f"  '{each.name}' {each.type} {_attribute(each)}" for each in node.attribute]
    return "\n".join(lines) + "\n"


def _value(noun: str, value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    dims = "".join(f" {d.dim_value if d.HasField('dim_value') else -1}" for d in tensor.shape.dim)
    batch = tensor.shape.dim[0].dim_param
    return f"{noun} '{value.name}' {_type(tensor.elem_type)}{dims} batch '{batch}'"


def _type(data_type: int) -> str:
    return TensorProto.DataType.Name(data_type).lower()


def _tensor(tensor: onnx.TensorProto) -> str:
    array = onnx.numpy_helper.to_array(tensor)
    dims = "".join(f" {n}" for n in tensor.dims)
    return f"'{tensor.name}' {_type(tensor.data_type)}{dims} = {array.tobytes().hex()}"


def _attribute(attribute: onnx.AttributeProto) -> str:
    value = helper.get_attribute_value(attribute)
    formats = {
        onnx.AttributeProto.FLOAT: lambda: np.float32(value).tobytes().hex(),
        onnx.AttributeProto.INT: lambda: str(value),
        onnx.AttributeProto.STRING: lambda: f"'{value.decode()}'",
        onnx.AttributeProto.TENSOR: lambda: _tensor(value),
        onnx.AttributeProto.FLOATS: lambda: np.array(value, np.float32).tobytes().hex(),
        onnx.AttributeProto.INTS: lambda: "".join(f" {n}" for n in value),
    }
    return formats[attribute.type]()
