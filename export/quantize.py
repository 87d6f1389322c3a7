# SPDX-License-Identifier: Apache-2.0
"""Make the INT8 siblings of a float model file.

NAME.int8.onnx (QDQ) is for ONNX Runtime, NAME.int8.xml with .bin for OpenVINO. One recipe for both.
Activations are unsigned 8 bit, one range a tensor, from the least to the
largest value seen in calibration. Weights are signed, one scale a channel, and use half of the 8
bits: AVX2 without VNNI adds two u8 · s8 products in 16 bits and saturates, 2 · 255 · 64 still fits.
Linear layers stay float: they take a thousandth of the multiply-adds and, quantised, made most of
the error. Last, the line that best leads from the quantised answers back to the float ones on the
calibration patches is folded into the last layer: rounding draws the extremes in by a per cent or
two, which costs more ρc than all that is random in it.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
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

from export.progress import track
from export.samples import Samples
from nigroedge.engine import resolve_threads
from nigroedge.engine.openvino import import_openvino
from nigroedge.errors import ModelError
from nigroedge.io.writing import scratch_folder, together
from nigroedge.model import load_model

Patches = npt.NDArray[np.float32]
Array = npt.NDArray[Any]

#: Operations that stay float32.
FLOAT_OPERATIONS = {"onnx": "Gemm", "openvino": "MatMul"}


def sibling_paths(model: Path) -> dict[str, Path]:
    """Give the INT8 siblings of a float model file, by the engine that runs each."""
    return {
        "onnx": model.with_name(f"{model.stem}.int8.onnx"),
        "openvino": model.with_name(f"{model.stem}.int8.xml"),
    }


def quantize(model: Path, samples: Samples) -> list[Path]:
    """Write both INT8 siblings beside a float model file.

    Parameters
    ----------
    model : Path
        Float model file.
    samples : Samples
        Calibration patches, prepared as the model says.

    Returns
    -------
    list of Path
        The files written: .int8.onnx and .int8.xml (with a .bin beside it).

    Raises
    ------
    ModelError
        If one of them fails its self-test or differs from the float model on a calibration patch by
        more than INT8 may. What was there before is left then.
    """
    paths = sibling_paths(model)
    float_model = onnx.load(model)
    wanted = _run_onnx(float_model, samples.patches, "running the float model")
    with scratch_folder(model) as scratch:
        made = {engine: scratch / path.name for engine, path in paths.items()}
        _write_qdq(float_model, made["onnx"], samples.patches, wanted)
        _write_ir(float_model, made["openvino"], samples.patches, wanted)
        for path in made.values():
            _check(path, samples.patches, wanted)
        with together() as files:
            for path in (*made.values(), made["openvino"].with_suffix(".bin")):
                files.write(model.with_name(path.name), path.read_bytes(), if_exists="replace")
    return list(paths.values())


def _check(path: Path, patches: Patches, wanted: Array) -> None:
    model = load_model(path)
    worst = float(np.abs(model.predict_patches(patches) - wanted).max())
    if worst > model.engine.tolerance:
        raise ModelError(
            f"model file {path.name}: expected at most {model.engine.tolerance:g} SBR from the "
            f"float model on the calibration patches, got {worst:.3g}"
        )


# ---- ONNX Runtime --------------------------------------------------------------------------------


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands the patches to ONNX Runtime's calibration one by one."""

    def __init__(self, patches: Patches) -> None:
        self._patches = iter(track(patches, "calibrating for ONNX Runtime", total=len(patches)))

    def get_next(self) -> dict[str, Patches] | None:
        patch = next(self._patches, None)
        return None if patch is None else {"patch": patch[None, None]}


def _write_qdq(model: onnx.ModelProto, path: Path, patches: Patches, wanted: Array) -> None:
    float_model = copy.deepcopy(model)
    linear = [n.name for n in model.graph.node if n.op_type == FLOAT_OPERATIONS["onnx"]]
    metadata = {p.key: p.value for p in model.metadata_props}
    # Says that there is nothing to fold or fuse beforehand, which it would otherwise warn of.
    add_pre_process_metadata(float_model)
    quantize_static(
        float_model,
        path,
        _Reader(patches),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        calibrate_method=CalibrationMethod.MinMax,
        nodes_to_exclude=linear,
    )
    quantized = onnx.load(path)
    onnx.helper.set_model_props(quantized, metadata)
    got = _run_onnx(quantized, patches, f"running {path.name}")
    _fold_line(quantized, *line(got, wanted))
    path.write_bytes(quantized.SerializeToString(deterministic=True))


def _run_onnx(model: onnx.ModelProto, patches: Patches, what: str) -> Array:
    """Run (n, X, Y, Z) patches one by one → (n,) SBR."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = resolve_threads(None)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    tracked = track(patches, what, total=len(patches))
    return np.array([session.run(None, {"patch": p[None, None]})[0].item() for p in tracked])


def _fold_line(model: onnx.ModelProto, slope: float, offset: float) -> None:
    """Fold slope · output + offset into the last Gemm."""
    _, weight, bias = model.graph.node[-1].input
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, shift in ((weight, 0.0), (bias, offset)):
        folded = np.float32(slope) * numpy_helper.to_array(tensors[name]) + np.float32(shift)
        tensors[name].CopyFrom(numpy_helper.from_array(folded, name))


# ---- OpenVINO ------------------------------------------------------------------------------------


def _write_ir(model: onnx.ModelProto, path: Path, patches: Patches, wanted: Array) -> None:
    openvino = import_openvino()
    # convert_model folds the shapes of the biases; from read_model nncf would find no bias to
    # correct.
    quantized = _quantize_with_nncf(openvino.convert_model(_without_metadata(model)), patches)
    got = _run_ir(openvino, quantized, patches, f"running {path.name}")
    _fold_line_into_ir(openvino, quantized, *line(got, wanted))
    for entry in model.metadata_props:
        section, name = entry.key.split(".", 1)
        quantized.set_rt_info(entry.value, [section, name])
    openvino.save_model(quantized, path, compress_to_fp16=False)


def _without_metadata(model: onnx.ModelProto) -> io.BytesIO:
    """Give the bytes of the graph alone; OpenVINO would copy the metadata to a place of its own."""
    bare = copy.deepcopy(model)
    del bare.metadata_props[:]
    return io.BytesIO(bare.SerializeToString())


def _quantize_with_nncf(float_model: Any, patches: Patches) -> Any:
    import nncf  # not at the top: it imports OpenVINO, whose telemetry is blocked only by now
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    nncf.set_log_level(logging.WARNING)
    with contextlib.redirect_stdout(sys.stderr):  # its own bars
        return nncf.quantize(
            float_model,
            nncf.Dataset(list(patches), lambda patch: {"patch": patch[None, None]}),
            subset_size=len(patches),
            target_device=nncf.TargetDevice.CPU,
            # The accurate one goes layer by layer and may add up what it corrects: on the bundled
            # model it made an error of 0.09 SBR where the fast one leaves 0.01.
            fast_bias_correction=True,
            ignored_scope=nncf.IgnoredScope(types=[FLOAT_OPERATIONS["openvino"]]),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=nncf.OverflowFix.ENABLE,
                # Its default is the mean of the patches' maxima, which cuts every second one off.
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
            ),
        )


def _run_ir(openvino: Any, model: Any, patches: Patches, what: str) -> Array:
    """Run (n, X, Y, Z) patches one by one → (n,) SBR."""
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": resolve_threads(None)}
    run = openvino.compile_model(model, "CPU", settings)
    tracked = track(patches, what, total=len(patches))
    return np.array([run(patch[None, None])[0].item() for patch in tracked])


def _fold_line_into_ir(openvino: Any, model: Any, slope: float, offset: float) -> None:
    """Fold slope · output + offset into the last MatMul and the addition of its bias."""
    addition = model.get_results()[0].input_value(0).get_node()
    product = next(_source(i) for i in addition.inputs() if _source(i).get_type_name() == "MatMul")
    for node, shift in ((product, 0.0), (addition, offset)):
        constant = next(i for i in node.inputs() if _source(i).get_type_name() == "Constant")
        folded = np.float32(slope) * _source(constant).data + np.float32(shift)
        constant.replace_source_output(openvino.op.Constant(folded).output(0))


def _source(port: Any) -> Any:
    return port.get_source_output().get_node()


# ---- both ----------------------------------------------------------------------------------------


def line(got: Array, wanted: Array) -> tuple[float, float]:
    """Give slope and offset of the least-squares line from `got` to `wanted`, (n,) each.

    Where the answers hardly differ from each other no slope can be told: it is 1 then.
    """
    spread = float(np.var(got))
    error = float(np.var(wanted - got))
    known = spread > 100 * error  # the slope's error is then under 10 % / √n
    slope = float(np.cov(got, wanted, bias=True)[0, 1]) / spread if known else 1.0
    return slope, float(np.mean(wanted) - slope * np.mean(got))
