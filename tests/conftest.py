# SPDX-License-Identifier: Apache-2.0
"""What every test may ask for: the real data, and hypothesis without a stop-watch."""

import os
from pathlib import Path

# onnxruntime reports usage unless told not to, and some tests import it by themselves.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

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


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data beside the project, with licences in its README; skip if absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real test data not found at {folder}")
    return folder
