# SPDX-License-Identifier: Apache-2.0
"""Make a model file of an ONNX graph that any framework exported.

The graph is read with suspicion (it comes from elsewhere), made canonical
(:mod:`export.canonical`), given the scale and the metadata of this project, and compared with what
was read: in float64 after every step, and at the end as ONNX Runtime runs it in float32.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from export.affine import scaled
from export.canonical import canonical
from export.conventions import Conventions
from export.evaluate import evaluate, in_float64
from export.net import N_CHECKED, NATIVE, OPSET, Net, check_inference
from export.sizes import check_sizes
from nigroedge.artefact import artefact_of
from nigroedge.errors import ModelError
from nigroedge.io.writing import write_file
from nigroedge.model import selftest_patch
from nigroedge.spec import ModelCard, ModelSpec

Shape3 = tuple[int, int, int]

#: What the runtime reads of a model file at most; the same here.
MAX_BYTES = 512 << 20
MIN_OPSET = 13
#: In units of the answers' SD, or of 1: float32 of one engine against float64.
TOLERANCE = 1e-4
_FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16}


def convert(
    content: bytes,
    output: Path,
    conventions: Conventions,
    card: ModelCard,
    *,
    shape: Shape3,
    offset: float = 0.0,
) -> ModelSpec:
    """Write a graph from elsewhere as a model file.

    Parameters
    ----------
    content : bytes
        An ONNX file: one float input (n, 1, *shape), or with channels last, and one number out.
    output : Path
        The file to write; replaced, whole or not at all, if it exists.
    conventions : Conventions
        What the graph does not say; SBR = its scale · the graph's output + `offset`.
    card : ModelCard
    shape : (int, int, int)
        Voxels of a patch.
    offset : float
        In SBR.

    Returns
    -------
    ModelSpec
        As written, with the self-test value.

    Raises
    ------
    ModelError
        If the graph is none that a model file may hold, or its answers were not kept.
    InputError
        If conventions or card cannot be written, or the file cannot.
    """
    spec = conventions.spec(shape, card)
    net = read_net(content, shape)
    check_inference(net)
    wanted = _answers(net, shape) * conventions.scale + offset
    net = canonical(net, shape)
    end = scaled(net, scale=conventions.scale, offset=offset)
    _name_output(end)
    model = _rounded(end, shape)
    _check_kept(model, wanted, shape)
    spec = replace(spec, selftest_sbr=_selftest(model, spec))
    helper.set_model_props(model, spec.to_metadata())
    content = model.SerializeToString(deterministic=True)
    _check_readable(content, output)
    write_file(output, content, if_exists="replace")
    return spec


# ---- reading -------------------------------------------------------------------------------------


def read_net(content: bytes, shape: Shape3) -> Net:
    """Read a graph from elsewhere; what no model file may hold is refused by name.

    Raises
    ------
    ModelError
        If it is not ONNX of opset 13 or newer, with one float input of that shape and one output,
        all weights inside, of standard operators without control flow, no value of it immense.
    """
    if len(content) > MAX_BYTES:
        raise ModelError(f"expected an ONNX file of up to {MAX_BYTES >> 20} MiB, got more")
    try:
        model = onnx.load_from_string(content)
    except DecodeError as error:
        raise ModelError("expected an ONNX file, got something else") from error
    graph = model.graph
    if not graph.node:
        raise ModelError("expected an ONNX file, got one without a graph")
    opset = _opset(model)
    for node in graph.node:
        _check_node(node)
    constants = {tensor.name: _array(tensor) for tensor in graph.initializer}
    if graph.sparse_initializer:
        raise ModelError("expected dense weights, got sparse ones")
    inputs = [each for each in graph.input if each.name not in constants]
    if not inputs:
        raise ModelError(
            "expected the output to depend on the patch, got a constant: forward() leaves torch, "
            "as by .numpy(), or does not use the patch"
        )
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ModelError(
            f"expected one input and one output, got {len(inputs)} and {len(graph.output)}: export "
            "what takes the patch alone and gives the SBR alone"
        )
    net = Net(list(graph.node), constants, graph.output[0].name, opset)
    _take_constants(net)
    _name_input(net, inputs[0], shape)
    check_sizes(net, shape)
    return net


def _opset(model: onnx.ModelProto) -> int:
    if model.functions:
        raise ModelError(
            f"expected no functions, got {model.functions[0].name!r}: write them out "
            "with onnx.inliner.inline_local_functions"
        )
    version = next((each.version for each in model.opset_import if not each.domain), 0)
    newest = onnx.defs.onnx_opset_version()
    if not MIN_OPSET <= version <= newest:
        raise ModelError(
            f"expected operators of opset {MIN_OPSET} to {newest}, got {version or 'none'}: export "
            f"with opset {OPSET}"
        )
    return int(version)


def _check_node(node: onnx.NodeProto) -> None:
    if node.domain not in ("", "ai.onnx"):
        raise ModelError(
            f"node {node.op_type} {node.name!r}: expected standard operators, got one of the "
            f"domain {node.domain!r}"
        )
    for each in node.attribute:
        if each.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            raise ModelError(f"node {node.op_type} {node.name!r}: expected no control flow")
    training = [each for each in node.attribute if each.name == "training_mode" and each.i]
    if training:
        raise ModelError(
            f"node {node.op_type} {node.name!r}: expected inference mode, got training mode; call "
            "eval() before exporting"
        )


def _array(tensor: onnx.TensorProto) -> np.ndarray:
    """Read a weight: floats as float64. Its declared size is held against what is there."""
    where = f"weight {tensor.name!r}"
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise ModelError(
            f"{where}: expected weights inside the file, got external data; export with "
            "external_data=False, or write onnx.save(onnx.load(FILE), ANOTHER)"
        )
    count = int(np.prod([int(n) for n in tensor.dims], dtype=object)) if tensor.dims else 1
    stored = max(len(tensor.raw_data), 8 * sum(len(getattr(tensor, name)) for name in _DATA_FIELDS))
    if count < 0 or count > stored:
        raise ModelError(f"{where}: {count} values are declared, and fewer are there")
    try:
        values = numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:
        raise ModelError(f"{where}: {error}") from error
    if tensor.data_type not in _FLOATS:
        return np.asarray(values)
    wide = np.asarray(values, np.float64)
    if not np.isfinite(wide).all():
        raise ModelError(f"{where}: expected finite values, got NaN or infinity")
    return wide


_DATA_FIELDS = ("float_data", "double_data", "int32_data", "int64_data", "uint64_data")


def _take_constants(net: Net) -> None:
    """Keep the values of Constant nodes as weights are."""
    for node in [node for node in net.nodes if node.op_type == "Constant"]:
        attribute = node.attribute[0]
        value = helper.get_attribute_value(attribute)
        if attribute.name == "value":
            array = _array(value)
        elif attribute.name in ("value_float", "value_floats"):
            array = np.array(value, np.float64)
        elif attribute.name in ("value_int", "value_ints"):
            array = np.array(value, np.int64)
        else:
            raise ModelError(f"node Constant {node.name!r}: expected numbers")
        net.constants[node.output[0]] = array
        net.nodes.remove(node)


def _name_input(net: Net, port: onnx.ValueInfoProto, shape: Shape3) -> None:
    """Call the input 'patch'; where channels come last, a Transpose makes them so."""
    kind = port.type.tensor_type
    dims = [each.dim_value for each in kind.shape.dim]
    fits = {"first": [1, *shape], "last": [*shape, 1]}
    layout = [
        name
        for name, sides in fits.items()
        if len(dims) == 5 and all(d in (0, n) for d, n in zip(dims[1:], sides, strict=True))
    ]
    if kind.elem_type not in _FLOATS or not layout:
        raise ModelError(
            f"input {port.name!r}: expected float (n, 1, {', '.join(map(str, shape))}), got "
            f"{TensorProto.DataType.Name(kind.elem_type).lower()} "
            f"({', '.join(str(d) if d else 'n' for d in dims)}); --shape says how large they are"
        )
    if net.maker("patch") or "patch" in net.constants:
        raise ModelError("expected no inner value to be called 'patch' but the input")
    net.batch = dims[0] or N_CHECKED
    name = "patch" if layout[0] == "first" else "patch_channels_last"
    for node in net.nodes:
        for i, value in enumerate(node.input):
            if value == port.name:
                node.input[i] = name
    if layout[0] == "last":
        net.nodes.insert(0, helper.make_node("Transpose", ["patch"], [name], perm=[0, 2, 3, 4, 1]))


# ---- writing -------------------------------------------------------------------------------------


def _name_output(net: Net) -> None:
    last = net.maker(net.output)
    if last is None:
        raise ModelError("expected the output to depend on the patch, got a constant")
    for node in net.nodes:
        for i, value in enumerate(node.input):
            if value == net.output:
                node.input[i] = "sbr"
    last.output[0] = net.output = "sbr"


def _rounded(net: Net, shape: Shape3) -> onnx.ModelProto:
    """Round weights to float32, once; a graph of our own operators has our opset."""
    if {node.op_type for node in net.nodes} <= NATIVE:
        net.opset = OPSET
    model = net.proto("float32", (1, *shape))
    model.producer_name = "nigroedge"
    for tensor in model.graph.initializer:
        if not np.isfinite(numpy_helper.to_array(tensor)).all():
            raise ModelError(f"weight {tensor.name!r}: expected values that float32 holds")
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"expected a valid graph: {' '.join(str(error).split())[:300]}") from error
    return model


def _patches(shape: Shape3, n: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 2, (n, 1, *shape))


def _answers(net: Net, shape: Shape3, n: int = N_CHECKED) -> np.ndarray:
    """Give the graph's outputs for patches, run as many at a time as it takes."""
    patches = _patches(shape, n * net.batch)
    model = net.proto("float64", (1, *shape))
    runs = [evaluate(model, part)[net.output] for part in np.split(patches, n)]
    return np.concatenate([run.ravel() for run in runs])


def _check_kept(model: onnx.ModelProto, wanted: np.ndarray, shape: Shape3) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    patches = _patches(shape, len(wanted)).astype(np.float32)
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        got = session.run(None, {"patch": patches})[0].ravel()
    except Exception as error:  # its errors share no class but this
        said = " ".join(str(error).split())[:300]
        raise ModelError(
            "expected a graph for any number of patches, not one that is fixed when it is exported "
            f"(--exporter dynamo leaves it open): {said}"
        ) from error
    if got.shape != wanted.shape:
        raise ModelError(f"expected {len(wanted)} numbers for as many patches, got {len(got)}")
    off = float(np.abs(got - wanted).max())
    if not off <= TOLERANCE * max(1.0, float(wanted.std())):
        raise ModelError(f"expected the answers of the original in float32, got {off:.2g} SBR off")


def _check_readable(content: bytes, output: Path) -> None:
    """Refuse to write what is then refused when it is read: operators that no model file may hold.

    That is an operator whose output may be of any size, or random.
    """
    try:
        artefact_of(output, content)
    except ModelError as error:
        raise ModelError(
            f"no model file may hold this graph ({error}); write that part with convolutions, "
            "pools, sums and activations"
        ) from error


def _selftest(model: onnx.ModelProto, spec: ModelSpec) -> float:
    """Give the answer to the self-test patch: in float64 of the rounded weights."""
    patch = selftest_patch(spec.grid.shape, spec.normalize).astype(np.float64)
    return float(np.float32(evaluate(in_float64(model), patch[None, None])["sbr"].item()))
