# SPDX-License-Identifier: Apache-2.0
"""The C++ tests, and the choice of kernels: every instruction set gives the same bits."""

import os
import subprocess
import sys

import pytest

import nigroedge.preprocess
from tests.conftest import ROOT
from tests.cpp_build import cpp_build, tool

DIGEST = """
import hashlib
import numpy as np
from nigroedge.grid import PatchGrid
from nigroedge.preprocess import active_isa, prepare_patch
from nigroedge.volume import Volume

digest = hashlib.sha256()
rng = np.random.default_rng(1)
for spacing in ((0.5, 0.5, 1.0), (0.7, 0.7, 1.5), (0.2, 0.5, 1.0)):
    voxels = np.asfortranarray(rng.integers(0, 3000, (140, 60, 40)).astype(np.int16))
    volume = Volume(voxels, np.diag([*spacing, 1.0]), slope=0.37, intercept=-5)
    centre = [n * s / 2 for n, s in zip(voxels.shape, spacing)]
    for method in ("mean", "zscore"):
        grid = PatchGrid((37, 23, 19), (0.5, 0.5, 1.0), "ALI")
        digest.update(prepare_patch(volume, centre, grid, method).values.tobytes())
print(active_isa(), digest.hexdigest())
"""


def run_with_isa(name):
    return subprocess.run(
        [sys.executable, "-c", DIGEST],
        env={**os.environ, "NIGROEDGE_ISA": name, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_cpp_tests_pass():
    done = subprocess.run(
        [tool("ctest"), "--test-dir", cpp_build(), "--output-on-failure"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_isa_gives_the_same_bits():
    names = nigroedge.preprocess.available_isas()
    outputs = [run_with_isa(name) for name in names]

    assert [(0, name) for name in names] == [
        (done.returncode, done.stdout.split()[0]) for done in outputs
    ]
    assert len({done.stdout.split()[1] for done in outputs}) == 1


@pytest.mark.parametrize("name", ["sclar", " ", "avx2 ", "SCALAR"])
def test_an_unknown_isa_is_an_error(name):
    done = run_with_isa(name)

    assert done.returncode == 1
    assert "expected NIGROEDGE_ISA to be one of scalar" in done.stderr
    assert f"got '{name}'" in done.stderr


def test_an_empty_name_of_an_isa_counts_as_none():
    # `NIGROEDGE_ISA= command` is how a shell's user unsets it.
    done = run_with_isa("")

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.split()[0] == nigroedge.preprocess.available_isas()[-1]


def test_the_best_isa_runs_unless_another_is_named():
    assert nigroedge.preprocess.available_isas()[0] == "scalar"
    if "NIGROEDGE_ISA" not in os.environ:
        assert nigroedge.preprocess.active_isa() == nigroedge.preprocess.available_isas()[-1]
