# SPDX-License-Identifier: Apache-2.0
"""What every test may ask for: real data, small models, a slab, the command line."""

import gc
import json
import os
from pathlib import Path

# onnxruntime reports usage unless told not to, and some tests import it by themselves.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# Workers share the processors: threads of torch in each would wait for those of the others.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

#: Where the real patch lies in the patient, and two centroids of the slab.
CENTRE = "-9,-18,-14"
BOTH = ("--left", CENTRE, "--right", "9,-18,-14")

# A shared machine's speed is no property of the code: no deadlines.
# A fixed seed: a red run can be repeated.
settings.register_profile(
    "project",
    deadline=None,
    derandomize=True,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("project")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Keep what is made here from the collector: whole libraries and thousands of tests stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data beside the project, with licences in its README; skip if absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real test data not found at {folder}")
    return folder


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """Folder of small inputs that once went wrong, described in its README; skip if absent."""
    folder = ROOT.parent / "shared" / "cases"
    if not folder.is_dir():
        pytest.skip(f"inputs that once went wrong not found at {folder}")
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """Folder of small models: tiny with its siblings, and one for each side."""
    from tests.model_family import write_family, write_model

    folder = tmp_path_factory.mktemp("models")
    write_family(folder)
    write_model(folder / "left.onnx", side="left", mirror="none")
    write_model(folder / "right.onnx", side="right", mirror="none", bias=1)
    return folder


@pytest.fixture
def bundled(models, monkeypatch):
    """Let the tiny model stand for the bundled one."""
    from nigroedge import model, verify

    monkeypatch.setattr(model, "REFERENCE", models / "tiny.onnx")
    monkeypatch.setattr(verify, "REFERENCE", models / "tiny.onnx")
    monkeypatch.setattr(verify, "N_TIMED", 2)


@pytest.fixture(scope="session")
def slab(tmp_path_factory) -> Path:
    """A midbrain of 110 × 80 × 24 voxels with both sides inside, int16."""
    from tests.nifti_files import nifti_bytes

    voxels = np.random.default_rng(0).integers(200, 1200, (110, 80, 24)).astype("<i2")
    affine = np.array([[-0.5, 0, 0, 27], [0, -0.5, 0, 2], [0, 0, 1, -26], [0, 0, 0, 1.0]])
    path = tmp_path_factory.mktemp("slab") / "smwi.nii"
    path.write_bytes(nifti_bytes(voxels, affine))
    return path


@pytest.fixture(scope="session")
def table(tmp_path_factory) -> Path:
    """A simulated cohort of six: four train, one validates, one tests."""
    from tests.training_runs import write_table

    return write_table(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="session")
def trained(table, tmp_path_factory) -> Path:
    """Folder of a run of two epochs on it that was not cut off; run.onnx is its model."""
    from tests.training_runs import trained_run

    return trained_run(table, tmp_path_factory.mktemp("whole"))


@pytest.fixture
def no_curve(monkeypatch):
    """Training draws no log.svg, which takes longer than an epoch here; `trained` has one."""
    monkeypatch.setattr("export.run.draw_curve", lambda *_: None)


@pytest.fixture
def run(capsys):
    """Run the command line in this process; give exit code, output and complaint."""
    from nigroedge import cli

    def run(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def answer(run):
    """Run a command that must succeed quietly, and give its JSON."""

    def answer(*arguments):
        code, out, err = run(*arguments, "--json")
        assert (0, "") == (code, err)
        return json.loads(out)

    return answer


@pytest.fixture
def written(tmp_path):
    """Write bytes to a file called image.nii, or as told, and give its path."""

    def write(content, name="image.nii"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write
