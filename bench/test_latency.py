# SPDX-License-Identifier: Apache-2.0
"""Latency of the networks: every engine on the float file and on its INT8 sibling, beside torch.

One patch (one side) and two (both), one thread and two. Weights are random, since time does not
depend on them; patches are simulated. Every case is checked against torch before it is timed.
Engines come from nigroedge's own table, so that a new one is timed without a change here.

`pytest bench/test_latency.py --benchmark-enable` times case after case; `python
bench/test_latency.py [PRESET …]` times them in turns, which is fairer on a machine that is not
idle, and prints the table of docs/benchmarks.md.
"""

from __future__ import annotations

import functools
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch

from export.init import random_model
from export.onnx_network import read_network
from export.quantize import quantize
from export.samples import simulated_samples
from export.siblings import sibling_paths
from export.to_onnx import write_model
from nigroedge.artefact import read_artefact
from nigroedge.engine import DEFAULT_ENGINE, ENGINES, INT8_TOLERANCE
from nigroedge.model import load_model

Patches = np.ndarray
Call = Callable[[], np.ndarray]

PRESETS = ("slim", "mri-dat", "bae2023", "resnet")
#: The one that is run, untimed, with the tests: it is quick to quantise.
QUICK = "slim"
TURNS = 60  # of each case in the table

_FOLDER = TemporaryDirectory(prefix="nigroedge-bench-")


@dataclass(frozen=True)
class Case:
    """One bar of the diagram: what runs which file, on how many patches and threads."""

    preset: str
    engine: str
    precision: str
    n_patches: int
    threads: int

    @property
    def group(self) -> str:
        """What it is compared with."""
        patches = "one patch" if self.n_patches == 1 else "two patches"
        return f"{self.preset}: {patches}, {self.threads} thread{'s' * (self.threads > 1)}"

    @property
    def name(self) -> str:
        """What it is called within its group."""
        return f"{self.engine} {self.precision}"


def cases(presets: tuple[str, ...] = PRESETS) -> Iterator[Case]:
    """List every case: torch, every engine that runs float files, and INT8 on its own engine."""
    float_engines = [name for name, entry in ENGINES.items() if "onnx" in entry.runs]
    int8_engines = [DEFAULT_ENGINE["onnx-qdq"], DEFAULT_ENGINE["openvino"]]
    runs = [("torch", "float32")]
    runs += [(name, "float32") for name in float_engines] + [
        (name, "int8") for name in int8_engines
    ]
    for preset in presets:
        for n_patches in (1, 2):
            for threads in (1, 2):
                for engine, precision in runs:
                    yield Case(preset, engine, precision, n_patches, threads)


@functools.cache
def family(preset: str) -> tuple[Path, Patches, np.ndarray]:
    """Write a float file and its siblings; give it with two patches and torch's answers to them."""
    path = Path(_FOLDER.name) / f"{preset}.onnx"
    network, spec = random_model(preset, seed=0)
    write_model(path, network, spec)
    quantize(path, simulated_samples(spec, purpose="calibrate", n_patches=8, seed=0))
    patches = simulated_samples(spec, purpose="check", n_patches=2, seed=0).patches
    with torch.inference_mode():
        return path, patches, network(torch.from_numpy(patches[:, None]))[:, 0].numpy()


def torch_call(path: Path, patches: Patches, threads: int) -> Call:
    """Run torch at its best: channels innermost, inference mode."""
    network = read_network(path).eval()
    for weight in network.weights:
        if weight.dim() == 5:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last_3d)
    batch = torch.from_numpy(patches[:, None]).contiguous(memory_format=torch.channels_last_3d)

    def run() -> np.ndarray:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with torch.inference_mode():
            return network(batch)[:, 0].numpy()

    return run


def engine_call(path: Path, case: Case, patches: Patches) -> Call:
    file = path if case.precision == "float32" else sibling_paths(path)[case.engine]
    engine = load_model(file, case.engine, case.threads).engine
    return lambda: engine.run(patches)


def checked(case: Case) -> Call:
    """Make the call of a case, its answer compared with torch's."""
    path, patches, expected = family(case.preset)
    patches = np.ascontiguousarray(patches[: case.n_patches])
    if case.engine == "torch":
        call = torch_call(path, patches, case.threads)
    else:
        call = engine_call(path, case, patches)
    tolerance = 1e-4 if case.precision == "float32" else INT8_TOLERANCE
    np.testing.assert_allclose(call(), expected[: case.n_patches], rtol=0, atol=tolerance)
    return call


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: f"{case.group}, {case.name}")
def test_latency(benchmark, case, request):
    quick = case.preset == QUICK and case.n_patches == 2 and case.threads == 1
    if not quick and not request.config.getoption("benchmark_enable"):
        pytest.skip("timed by make bench; tests run only one group of the quickest preset")
    benchmark.group = case.group
    benchmark.extra_info.update(model=read_artefact(family(case.preset)[0]).sha256)

    benchmark(checked(case))


def main(presets: tuple[str, ...]) -> None:
    print(f"{platform.machine()}, {TURNS} turns, ms\n")
    print("| | engine | median | minimum | median ÷ least |\n|---|---|---|---|---|")
    for group in dict.fromkeys(case.group for case in cases(presets)):
        calls = {case.name: checked(case) for case in cases(presets) if case.group == group}
        milliseconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(TURNS):
            for name, call in calls.items():
                call()  # bring its code and data back into the caches: all are measured warm
                start = time.perf_counter()
                call()
                milliseconds[name].append(1e3 * (time.perf_counter() - start))
        median = {name: float(np.median(ms)) for name, ms in milliseconds.items()}
        for name, ms in milliseconds.items():
            ratio = median[name] / min(median.values())
            print(f"| {group} | {name} | {median[name]:.2f} | {min(ms):.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or PRESETS)
