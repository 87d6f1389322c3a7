# SPDX-License-Identifier: Apache-2.0
"""Make the INT8 siblings of a float model file.

NAME.int8.onnx (QDQ) is for ONNX Runtime, NAME.int8.xml with .bin for OpenVINO. One recipe for both.
Activations are unsigned 8 bit, one range a tensor, from the least to the
largest value seen in calibration. Weights are signed, one scale a channel, and use half of the 8
bits: AVX2 without VNNI adds two u8 · s8 products in 16 bits and saturates, 2 · 255 · 64 still fits.
Linear layers stay float, and all that has one value a channel: they take a thousandth of the
multiply-adds and, quantised, made most of the error. Last, the line that best leads from the
quantised answers back to the float ones on the calibration patches is folded into the last layer,
or put behind it: rounding draws the extremes in by a per cent or two, which costs more ρc than all
that is random in it. A sibling whose self-test does not hold is made once more, with ranges of the
self-test patch too: noise, unlike what is seen in calibration, and no file opens without it. An
OpenVINO sibling that breaks the promise is made once more without NNCF's correction of biases,
which measures on patches of one value a channel: where zeros around small patches count, that
makes two to three times the error that it takes out.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from export.calibration import MIN_PATCHES, Array, Patches, Seen, counted, line, quantising
from export.progress import Bar
from export.samples import Samples
from export.siblings import Judge, files_of, opens, remove_sibling, sibling_paths
from nigroedge.artefact import read_artefact
from nigroedge.engine import resolve_threads
from nigroedge.engine.openvino import import_openvino
from nigroedge.errors import InputError, ModelError
from nigroedge.io.writing import scratch_folder, together
from nigroedge.model import read_spec
from nigroedge.names import readable
from nigroedge.spec import ModelSpec

Write = Callable[[onnx.ModelProto, Path, Seen], None]

#: Operations that stay float32.
FLOAT_OPERATIONS = {"onnx": "Gemm", "openvino": "MatMul"}


def quantize(model: Path, samples: Samples, *, held_out: Samples | None = None) -> list[Path]:
    """Write the INT8 siblings of a float model file that keep the promise of INT8.

    Parameters
    ----------
    model : Path
        Float model file.
    samples : Samples
        Calibration patches, prepared as the model says.
    held_out : Samples, optional
        Patches that the promise is checked on; by default those of the calibration.

    Returns
    -------
    list of Path
        The files written: .int8.onnx and .int8.xml (with a .bin beside it).

    Raises
    ------
    InputError
        If there are fewer than `MIN_PATCHES` to calibrate with.
    ModelError
        If the model is none, or not in float32. If a sibling fails its self-test or breaks the
        promise: it is not written, and one from before that breaks it too is removed. The other
        sibling is written all the same.
    """
    artefact = read_artefact(model)
    if artefact.kind != "onnx":
        raise ModelError(
            f"model file {artefact.name}: expected a float32 .onnx to quantise, got one of kind "
            f"{artefact.kind}"
        )
    if len(samples) < MIN_PATCHES:
        raise InputError(
            f"expected at least {MIN_PATCHES} patches to calibrate with, got {len(samples)} "
            f"({samples.origin}): INT8 cuts off what lies beyond them, as one in "
            f"{len(samples) + 1} that follow would"
        )
    float_model, spec = onnx.load_from_string(artefact.content), read_spec(artefact)
    checked = held_out or samples
    with quantising(samples, checked) as shown, scratch_folder(model) as scratch:
        wanted = _run_onnx(float_model, samples.patches, shown)
        judge = _judge(float_model, checked, spec, shown)
        made = {engine: scratch / path.name for engine, path in sibling_paths(model).items()}
        seen = Seen(samples.patches, wanted, spec, shown)
        found = {
            made[engine]: _made(write, float_model, made[engine], seen, judge)
            for engine, write in (("onnx", _write_qdq), ("openvino", _write_ir))
        }
        broken = {path: why for path, why in found.items() if why}
        kept = [path for path in made.values() if path not in broken]
        with together() as files:
            for path in [file for each in kept for file in files_of(each)]:
                files.write(model.with_name(path.name), path.read_bytes(), if_exists="replace")
    said = [_not_left(model.with_name(path.name), why, judge) for path, why in broken.items()]
    if said:
        raise ModelError("; ".join(said))
    return list(sibling_paths(model).values())


def _made(write: Write, float_model: onnx.ModelProto, path: Path, seen: Seen, judge: Judge) -> str:
    """Make a sibling, once more where it may help, and say which promise it breaks, if any."""
    try:
        write(float_model, path, seen)
        if not opens(path):  # the ranges that were seen may cut the self-test patch off
            seen = seen.with_selftest()
            write(float_model, path, seen)
        if write is _write_ir and judge.broken(path):
            write(float_model, path, seen.uncorrected())
    except ModelError as error:
        return str(error)
    return judge.broken(path)


def _judge(float_model: onnx.ModelProto, samples: Samples, spec: ModelSpec, shown: Bar) -> Judge:
    wanted = _run_onnx(float_model, samples.patches, shown)
    return Judge(samples, wanted, claims_scores=bool(spec.card.metrics))


def _not_left(path: Path, why: str, judge: Judge) -> str:
    """Remove what lies there from before if it breaks the promise too, and say what is left."""
    said = f"{readable(path)} is not written: {why}, on {judge.samples.origin}"
    if path.exists() and judge.broken(path):
        remove_sibling(path)
        said += "; the one before, which breaks it too, is removed"
    return said


# ---- ONNX Runtime --------------------------------------------------------------------------------


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands the patches to ONNX Runtime's calibration one by one."""

    def __init__(self, patches: Patches, shown: Bar) -> None:
        self._patches = counted(patches, shown)

    def get_next(self) -> dict[str, Patches] | None:
        patch = next(self._patches, None)
        return None if patch is None else {"patch": patch[None, None]}


def _write_qdq(model: onnx.ModelProto, path: Path, seen: Seen) -> None:
    float_model = copy.deepcopy(model)
    for number, node in enumerate(float_model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"  # those that stay float are named
    metadata = {p.key: p.value for p in model.metadata_props}
    # Says that there is nothing to fold or fuse beforehand, which it would otherwise warn of.
    add_pre_process_metadata(float_model)
    quantize_static(
        float_model,
        path,
        _Reader(seen.ranged, seen.shown),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        calibrate_method=CalibrationMethod.MinMax,
        nodes_to_exclude=_vector_nodes(float_model),
    )
    quantized = onnx.load(path)
    onnx.helper.set_model_props(quantized, metadata)
    got = _run_onnx(quantized, seen.patches, seen.shown)
    _fold_line(quantized, *line(got, seen.wanted))
    path.write_bytes(quantized.SerializeToString(deterministic=True))


def _run_onnx(model: onnx.ModelProto, patches: Patches, shown: Bar) -> Array:
    """Run (n, X, Y, Z) patches one by one → (n,) SBR."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = resolve_threads(None)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    tracked = counted(patches, shown)
    return np.array([session.run(None, {"patch": p[None, None]})[0].item() for p in tracked])


def _vector_nodes(model: onnx.ModelProto) -> list[str]:
    """Name the nodes that have one value a channel, not maps: they stay float."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    stored = {tensor.name for tensor in graph.initializer}
    vectors = {
        value.name
        for value in (*graph.value_info, *graph.output)
        if _is_vector([side.dim_value for side in value.type.tensor_type.shape.dim])
    }
    return [
        node.name
        for node in graph.node
        if node.op_type == FLOAT_OPERATIONS["onnx"]
        or vectors & set(node.input) - stored
        or (node.op_type != "Flatten" and node.output[0] in vectors)
    ]


def _is_vector(sides: list[int]) -> bool:
    return len(sides) == 2 or (len(sides) > 2 and set(sides[2:]) == {1})


def _fold_line(model: onnx.ModelProto, slope: float, offset: float) -> None:
    """Make the output slope · output + offset: in the last Gemm, or by two nodes behind it."""
    graph, output = model.graph, model.graph.output[0].name
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    last = next(node for node in graph.node if output in node.output)
    if last.op_type == "Gemm" and len(last.input) == 3 and set(last.input[1:]) <= tensors.keys():
        for name, shift in ((last.input[1], 0.0), (last.input[2], offset)):
            folded = np.float32(slope) * numpy_helper.to_array(tensors[name]) + np.float32(shift)
            tensors[name].CopyFrom(numpy_helper.from_array(folded, name))
        return
    steps = [f"{output}_quantised", f"{output}_sloped", output]
    last.output[list(last.output).index(output)] = steps[0]
    for op_type, value, (source, end) in zip(
        ("Mul", "Add"), (slope, offset), pairwise(steps), strict=True
    ):
        name = f"{output}_line_{op_type.lower()}"
        graph.initializer.append(numpy_helper.from_array(np.array([value], np.float32), name))
        graph.node.append(onnx.helper.make_node(op_type, [source, name], [end], name))


# ---- OpenVINO ------------------------------------------------------------------------------------


def _write_ir(model: onnx.ModelProto, path: Path, seen: Seen) -> None:
    openvino = import_openvino()
    # convert_model folds the shapes of the biases; from read_model nncf would find no bias to
    # correct.
    try:
        converted = openvino.convert_model(_without_metadata(model))
    except Exception as error:  # OpenVINO's have no base of their own
        said = " ".join(str(error).split())[:300]
        raise ModelError(f"OpenVINO cannot read the graph: {said}") from error
    quantized = _quantize_with_nncf(converted, seen)
    got = _run_ir(openvino, quantized, seen)
    _fold_line_into_ir(openvino, quantized, *line(got, seen.wanted))
    for entry in model.metadata_props:
        section, name = entry.key.split(".", 1)
        quantized.set_rt_info(entry.value, [section, name])
    openvino.save_model(quantized, path, compress_to_fp16=False)


def _without_metadata(model: onnx.ModelProto) -> io.BytesIO:
    """Give the bytes of the graph alone; OpenVINO would copy the metadata to a place of its own."""
    bare = copy.deepcopy(model)
    del bare.metadata_props[:]
    return io.BytesIO(bare.SerializeToString())


def _quantize_with_nncf(float_model: Any, seen: Seen) -> Any:
    with contextlib.redirect_stdout(sys.stderr):  # where it is to log
        import nncf  # not at the top: it imports OpenVINO, whose telemetry is blocked only by now
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    def fed(patch: Patches) -> dict[str, Patches]:
        seen.shown.update()
        return {"patch": patch[None, None]}

    nncf.set_log_level(logging.WARNING)
    patches = seen.ranged
    with contextlib.redirect_stdout(io.StringIO()):  # its own bars
        return nncf.quantize(
            float_model,
            nncf.Dataset(list(patches), fed),
            subset_size=len(patches),
            target_device=nncf.TargetDevice.CPU,
            # The accurate one goes layer by layer and may add up what it corrects: on the bundled
            # model it made an error of 0.09 SBR where the fast one leaves 0.01.
            fast_bias_correction=True,
            ignored_scope=nncf.IgnoredScope(
                types=[FLOAT_OPERATIONS["openvino"]],
                names=_vector_operations(float_model),
                validate=False,  # a network need have neither
            ),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=nncf.OverflowFix.ENABLE,
                # Its default is the mean of the patches' maxima, which cuts every second one off.
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
                disable_bias_correction=not seen.corrects,
            ),
        )


def _run_ir(openvino: Any, model: Any, seen: Seen) -> Array:
    """Run the calibration patches one by one → (n,) SBR."""
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": resolve_threads(None)}
    run = openvino.compile_model(model, "CPU", settings)
    tracked = counted(seen.patches, seen.shown)
    return np.array([run(patch[None, None])[0].item() for patch in tracked])


def _vector_operations(model: Any) -> list[str]:
    """Name the operations that have one value a channel, as `_vector_nodes`."""
    return [
        op.get_friendly_name()
        for op in model.get_ops()
        if op.get_type_name() not in ("Constant", "Parameter", "Result", "Reshape")
        and any(_is_vector(_sides(port)) for port in (*op.outputs(), *_computed(op)))
    ]


def _computed(op: Any) -> list[Any]:
    """Give the ports that an operation reads, but for constants."""
    ports = [port.get_source_output() for port in op.inputs()]
    return [port for port in ports if port.get_node().get_type_name() != "Constant"]


def _sides(port: Any) -> list[int]:
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        return []
    return [0 if side.is_dynamic else side.get_length() for side in shape]


def _fold_line_into_ir(openvino: Any, model: Any, slope: float, offset: float) -> None:
    """Make the output slope · output + offset, as `_fold_line`: in the last MatMul and its bias."""
    (result,) = model.get_results()
    last = result.input_value(0)
    parts = {_source(port).get_type_name(): _source(port) for port in last.get_node().inputs()}
    is_dense = last.get_node().get_type_name() == "Add" and parts.keys() == {"MatMul", "Constant"}
    if is_dense and _constant(parts["MatMul"]) is not None:
        for node, shift in ((parts["MatMul"], 0.0), (last.get_node(), offset)):
            constant = _constant(node)
            folded = np.float32(slope) * _source(constant).data + np.float32(shift)
            constant.replace_source_output(openvino.op.Constant(folded).output(0))
        return
    operations, names = openvino.opset13, last.get_names()
    last.get_tensor().set_names({f"{name}_quantised" for name in names})
    sloped = operations.multiply(last, np.array([slope], np.float32))
    end = operations.add(sloped, np.array([offset], np.float32)).output(0)
    end.get_tensor().set_names(names)
    result.input(0).replace_source_output(end)


def _constant(node: Any) -> Any:
    """Give the input of a node that is a constant, if there is one."""
    return next((i for i in node.inputs() if _source(i).get_type_name() == "Constant"), None)


def _source(port: Any) -> Any:
    return port.get_source_output().get_node()
