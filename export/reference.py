# SPDX-License-Identifier: Apache-2.0
"""The reference run: from nothing to the bundled model, its scores, and what more patients buy.

A chain of commands (`export.chain`): one whose file is there is passed over, so that a run that was
cut off goes on where it stopped. How long each took is kept in times.json.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from export.chain import MODEL, RESNET, Chain, Plan, Step, point
from export.findings import summarise
from export.progress import say
from nigroedge.cli import INTERRUPTED
from nigroedge.errors import NigroedgeError
from nigroedge.io.writing import write_file


def reference(chain: Chain) -> Path:
    """Run what is not yet done of the chain.

    Returns
    -------
    Path
        results.json: scores, learning curve and times.

    Raises
    ------
    NigroedgeError
        If a command fails; what it said is on standard error.
    """
    chain.folder.mkdir(parents=True, exist_ok=True)
    steps = chain.steps()
    for number, step in enumerate(steps, 1):
        where = f"step {number} of {len(steps)}, {step.name}"
        if step.output.exists():
            say(f"{where}: done before")
            continue
        say(f"{where}: {' '.join(step.arguments)}")
        _run_timed(step, chain.folder / "times.json")
    return summarise(chain)


def _run_timed(step: Step, times: Path) -> None:
    began = time.monotonic()
    code = step.run(step.arguments)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code:
        raise NigroedgeError(f"{step.name}: exit code {code}")
    taken = json.loads(times.read_text()) if times.exists() else {}
    taken[step.name] = round(taken.get(step.name, 0) + time.monotonic() - began, 1)
    write_file(times, json.dumps(taken, indent=1) + "\n", if_exists="replace")


def bundle(plan: Plan, folder: Path, models: Path, study: Path) -> None:
    """Copy the model with its INT8 siblings, and the results, to where the project keeps them."""
    study.mkdir(parents=True, exist_ok=True)
    for ending in ("onnx", "int8.onnx", "int8.xml", "int8.bin"):
        shutil.copyfile(folder / MODEL / f"{MODEL}.{ending}", models / f"{MODEL}.{ending}")
    for name in ("results.json", "learning-curve.svg"):
        shutil.copyfile(folder / name, study / name)
    for name in (point(plan.curve[-1]), MODEL, RESNET):
        shutil.copyfile(folder / name / "log.svg", study / f"{name}-log.svg")
