# SPDX-License-Identifier: Apache-2.0
"""The built-in engine beside other runtimes: both sides on two threads, one side on one.

Every case computes the same network with random weights on the same patches and is checked against
torch before it is timed: float32 engines within 1e-4 SBR, INT8 within what quantisation of random
weights may cost. Threads are set for each, models are compiled for their batch, inputs are made
outside the call.

`pytest bench/test_engine.py --benchmark-enable` times case after case. `python -m
bench.test_engine [PRESET …]` times them in turns, which is fairer on a machine that is not idle,
and prints the table of docs/notes/engine.md. oneDNN, inside OpenVINO, uses the widest instructions
that it finds; to see it on a CPU without VNNI, set ONEDNN_MAX_CPU_ISA=AVX2 for the whole run.
"""

from __future__ import annotations

import os
import platform
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from nigroedge import _core
from tests import networks

Run = Callable[[], np.ndarray]

SHAPE = (50, 50, 20)
PRESETS = {
    "slim": "c16 c16 p c32 c32 p c64 c64 p f128 f1",
    "mri-dat": "c16 c16 p c32 c32 p c64 c64 p c128 c128 p f1",
    "bae2023": "c64 c64 p c128 c128 p c256 c256 p f512 f1",
    "resnet": "c16 ( c16 d16 ) p c32 ( c32 d32 ) p c64 ( c64 d64 ) p f128 f1",
}
LOADS = {"both sides, 2 threads": (2, 2), "one side, 1 thread": (1, 1)}
TOLERANCE = {"float": 1e-4, "int8": 0.5}  # SBR


# --------------------------------------------------------------------------------------- runtimes


def native(content: bytes, patches: np.ndarray, threads: int, isa: str | None = None) -> Run:
    network = _core.Network(content, threads=threads, isa=isa)
    return lambda: network.run(patches)


def native_avx2(content: bytes, patches: np.ndarray, threads: int) -> Run:
    if "avx2" not in _core.available_isas():
        pytest.skip("this CPU has no AVX2")
    return native(content, patches, threads, "avx2")


def _openvino(model: Any, patches: np.ndarray, threads: int) -> Run:
    import openvino

    model.reshape([len(patches), 1, *SHAPE])
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()
    values = patches[:, None].copy()
    request.set_input_tensor(openvino.Tensor(values, shared_memory=True))

    def run() -> np.ndarray:
        request.infer()
        return request.get_output_tensor().data[:, 0]

    run.values = values  # type: ignore[attr-defined]  # shared with the request
    return run


def openvino_float(content: bytes, patches: np.ndarray, threads: int) -> Run:
    openvino = pytest.importorskip("nigroedge.engine.openvino").import_openvino()
    return _openvino(openvino.Core().read_model(content), patches, threads)


def openvino_int8(content: bytes, patches: np.ndarray, threads: int) -> Run:
    openvino = pytest.importorskip("nigroedge.engine.openvino").import_openvino()
    nncf = pytest.importorskip("nncf")
    model = openvino.Core().read_model(content)
    model.reshape([1, 1, *SHAPE])
    samples = [patch[None, None] for patch in networks.patches(8, SHAPE, seed=9)]
    model = nncf.quantize(model, nncf.Dataset(samples), subset_size=len(samples))
    return _openvino(model, patches, threads)


def onnxruntime_float(content: bytes, patches: np.ndarray, threads: int) -> Run:
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_free_dimension_override_by_name("n", len(patches))
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    values = patches[:, None].copy()
    return lambda: session.run(None, {"patch": values})[0][:, 0]


def torch_float(content: bytes, patches: np.ndarray, threads: int, dtype: str = "float32") -> Run:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(threads)
    kind = getattr(torch, dtype)
    stored = {name: torch.tensor(array).to(kind) for name, array in weights_of(content).items()}
    nodes = [
        (networks.torch_of(node), list(node.input), node.output[0])
        for node in onnx.load_from_string(content).graph.node
    ]
    values = torch.tensor(patches[:, None], dtype=kind)

    def run() -> np.ndarray:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            known = {**stored, "patch": values}
            for operation, inputs, output in nodes:
                known[output] = operation(*(known[name] for name in inputs))
            return known[output].numpy()[:, 0]

    return run


def ncnn_float(content: bytes, patches: np.ndarray, threads: int) -> Run:
    """Run ncnn one patch after another: it has no batches."""
    ncnn = pytest.importorskip("ncnn")
    network = ncnn.Net()
    network.opt.num_threads = threads
    for half in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(network.opt, f"use_{half}", False)
    param, weights = ncnn_files(content)
    network.load_param_mem(param)
    network.load_model_mem(weights)
    inputs = [ncnn.Mat(np.ascontiguousarray(patch[None])) for patch in patches]

    def run() -> np.ndarray:
        outputs = []
        for values in inputs:
            extractor = network.create_extractor()
            extractor.input("patch", values)
            outputs.append(np.array(extractor.extract("out")[1])[0])
        return np.array(outputs, np.float32)

    return run


def ncnn_files(content: bytes) -> tuple[str, bytes]:
    """Write a chain as ncnn's two files; ReLU is an activation of the layer before it."""
    stored, lines, data = weights_of(content), ["Input patch 0 1 patch"], b""
    nodes = list(onnx.load_from_string(content).graph.node)
    value = "patch"
    for i, node in enumerate(nodes):
        if node.op_type == "Relu":
            continue
        relu = i + 1 < len(nodes) and nodes[i + 1].op_type == "Relu"
        out = "out" if i == len(nodes) - 1 else f"b{i}"
        weights = [stored[name] for name in node.input[1:]]
        data += b"".join((b"\0" * 4 if each.ndim > 1 else b"") + each.tobytes() for each in weights)
        size = f"{len(weights[0])}" if weights else ""
        kind, options = {
            "Conv": ("Convolution3D", f"0={size} 1=3 4=1 5=1 6={weights and weights[0].size}"),
            "Gemm": ("InnerProduct", f"0={size} 1=1 2={weights and weights[0].size}"),
            "MaxPool": ("Pooling3D", "0=0 1=2 2=2 5=1"),
            "Flatten": ("Flatten", ""),
        }[node.op_type]
        lines.append(f"{kind} l{i} 1 1 {value} {out} {options}{' 9=1' if relu else ''}")
        value = out
    return f"7767517\n{len(lines)} {len(lines)}\n" + "\n".join(lines) + "\n", data


def weights_of(content: bytes) -> dict[str, np.ndarray]:
    graph = onnx.load_from_string(content).graph
    return {each.name: numpy_helper.to_array(each).copy() for each in graph.initializer}


RUNTIMES: dict[str, tuple[Callable[..., Run], str]] = {
    "nigroedge": (native, "float"),
    "nigroedge, AVX2": (native_avx2, "float"),
    "OpenVINO INT8": (openvino_int8, "int8"),
    "OpenVINO float32": (openvino_float, "float"),
    "ONNX Runtime": (onnxruntime_float, "float"),
    "torch": (torch_float, "float"),
    "ncnn": (ncnn_float, "float"),
}


def runtimes(preset: str) -> list[str]:
    """List what runs a preset; the files for ncnn are written for chains alone."""
    return [name for name in RUNTIMES if name != "ncnn" or "(" not in PRESETS[preset]]


def prepare(preset: str, load: str, runtime: str) -> Run:
    """Make one case and check its answer."""
    batch, threads = LOADS[load]
    content = networks.chain(PRESETS[preset], SHAPE)
    patches = networks.patches(batch, SHAPE, seed=5)
    make, precision = RUNTIMES[runtime]
    run = make(content, patches, threads)
    want, _ = networks.forward(content, patches, "float32")
    worst = np.abs(run() - want).max()
    assert worst <= TOLERANCE[precision], f"{runtime} is {worst} SBR off"
    return run


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("preset", ["slim"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_predict(benchmark, preset, runtime, load):
    if benchmark.disabled and LOADS[load][1] > 1 and not runtime.startswith("nigroedge"):
        pytest.skip("only one thread of others is checked where nothing is timed")
    run = prepare(preset, load, runtime)
    benchmark.group = f"{preset}, {load}"
    benchmark.extra_info.update(isa=_core.active_isa(), machine=platform.processor())

    assert len(benchmark(run)) == LOADS[load][0]


# ------------------------------------------------------------------------------------------ table


def settle(seconds: float = 0.5) -> None:
    """Wait until no thread of this process spins, for so long at the most.

    Those of some runtimes do for up to 0.2 s after their work, on a core that the next one needs.
    """
    end, spins = time.perf_counter() + seconds, True
    while spins and time.perf_counter() < end:
        start, used = time.perf_counter(), time.process_time()
        time.sleep(0.002)
        spins = time.process_time() - used > 0.25 * (time.perf_counter() - start)


def in_turns(runs: dict[str, Run], seconds: float) -> dict[str, list[float]]:
    """Time each run three times in turn until the seconds are over, each turn in another order."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    orders = random.Random(1)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(times.values()))) < 9:
        for name in orders.sample(list(runs), len(runs)):
            settle()
            for _ in range(3):
                start = time.perf_counter()
                runs[name]()
                times[name].append(1000 * (time.perf_counter() - start))
    return times


def main(presets: list[str], seconds: float = 20) -> None:
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "no limit")
    print(f"{platform.machine()}, {_core.active_isa()}, {os.cpu_count()} CPUs; oneDNN: {limit}")
    for preset in presets:
        for load in LOADS:
            runs = {name: prepare(preset, load, name) for name in runtimes(preset)}
            times = in_turns(runs, seconds)
            int8 = times["OpenVINO INT8"]
            print(f"\n{preset}, {load}: ms, minimum and median; the same of OpenVINO INT8's")
            for name, each in times.items():
                low, middle = min(each), np.median(each)
                print(
                    f"  {name:18} {low:8.2f} {middle:8.2f}"
                    f"   {low / min(int8):6.2f} {middle / np.median(int8):6.2f}"
                )


if __name__ == "__main__":
    main(sys.argv[1:] or list(PRESETS))
