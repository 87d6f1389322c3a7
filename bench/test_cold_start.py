# SPDX-License-Identifier: Apache-2.0
"""From the start of a process to the SBR of both sides: C, this package, and ONNX Runtime.

Each program reads the bundled model and an uncompressed NIfTI file of 384 × 384 × 30 voxels, and
prints two numbers, with as many threads as there are CPUs (up to four in C). The files are in the
page cache and Python's bytecode is beside its sources, as where one process is started for each
patient. The programs take turns: whatever else the machine does meets all of them alike.

    make bench BENCH_ARGS="bench/test_cold_start.py -s"
"""

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nigroedge
from nigroedge.io.nifti import save_volume
from nigroedge.model import REFERENCE
from nigroedge.phantom import simulate
from tests.conftest import ROOT

ROUNDS = 25
#: SBR by which ONNX Runtime may differ (numeric contract).
TOLERANCE = 1e-4
#: Where a session forbids Python to write bytecode, the sources in place would be compiled at every
#: start, which no installed package is.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


@pytest.fixture(scope="module")
def commands(tmp_path_factory) -> dict[str, list[str]]:
    """Build the three programs' command lines: the same model, image and centroids."""
    pytest.importorskip("onnxruntime")
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("cold")
    program, image = folder / "predict", folder / "scan.nii"
    library = Path(nigroedge.get_library())
    subprocess.run(
        [
            *("cc", "-std=c99", "-O2", f"-I{nigroedge.get_include()}"),
            *(ROOT / "examples/predict.c", "-o", program),
            *(library, f"-Wl,-rpath,{library.parent}", "-lm"),
        ],
        check=True,
    )
    patient = simulate(1)
    save_volume(patient.volume, image)
    left, right = (",".join(map(repr, mm)) for mm in (patient.left_mm, patient.right_mm))
    files = (REFERENCE, str(image))
    return {
        "C": [str(program), *files, "left", left, "right", right],
        "nigroedge": [
            sys.executable,
            str(ROOT / "bench/cold_start_nigroedge.py"),
            *files,
            left,
            right,
        ],
        "ONNX Runtime": [
            *(sys.executable, str(ROOT / "bench/cold_start_onnxruntime.py")),
            *(*files, left, right),
        ],
    }


def answer(command: list[str]) -> list[float]:
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT)
    lines = done.stdout.splitlines()
    return [float(next(word for word in line.split() if word[-1].isdigit())) for line in lines]


def test_cold_start(benchmark, commands):
    expected = answer(commands["C"])
    assert expected == answer(commands["nigroedge"])
    assert expected == pytest.approx(answer(commands["ONNX Runtime"]), abs=TOLERANCE)
    times_ms: dict[str, list[float]] = {name: [] for name in commands}

    def one_round() -> None:
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
            times_ms[name].append((time.perf_counter() - start) * 1e3)

    benchmark.pedantic(one_round, rounds=ROUNDS, warmup_rounds=1)

    reference = times_ms["ONNX Runtime"]
    for name, times in times_ms.items():
        benchmark.extra_info[name] = {
            "median_ms": round(statistics.median(times), 1),
            "min_ms": round(min(times), 1),
            "median_of_onnxruntime": round(
                statistics.median(times) / statistics.median(reference), 3
            ),
            "min_of_onnxruntime": round(min(times) / min(reference), 3),
        }
        print(f"\n{name}: {benchmark.extra_info[name]}", end="")
