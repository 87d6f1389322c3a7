# SPDX-License-Identifier: Apache-2.0
"""The command `export quantize`."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from export.commands.arguments import COHORT_TABLE, add_samples, held_out, samples, spec_of
from export.commands.written import Written
from nigroedge.errors import NigroedgeWarning
from nigroedge.subcommand import Progress, Subcommand

if TYPE_CHECKING:
    from export.samples import Samples


def _add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", type=Path, metavar="MODEL", help="float32 .onnx")
    add_samples(command, "calibrate with")


def _run(options: argparse.Namespace, progress: Progress) -> Written:
    from export.calibration import ENOUGH_PATCHES
    from export.quantize import quantize

    spec = spec_of(options.model)
    calibration, checked = samples(options, spec, "calibrate"), held_out(options, spec)
    written = quantize(options.model, calibration, held_out=checked)
    if len(calibration) < ENOUGH_PATCHES:
        warnings.warn(
            f"{len(calibration)} patches are few to calibrate with: of those that follow, one in "
            f"{len(calibration) + 1} has values beyond theirs, which INT8 cuts off; expected "
            f"{ENOUGH_PATCHES} or more",
            NigroedgeWarning,
            stacklevel=2,
        )
    return Written(*written, notes=(_on_what(calibration, checked),))


def _on_what(calibration: Samples, checked: Samples | None) -> str:
    if checked is None:
        return f"calibrated with {calibration.origin}, and checked on the same"
    return f"calibrated with {calibration.origin}; checked on {checked.origin}"


COMMAND = Subcommand(
    "quantize",
    "write the INT8 siblings NAME.int8.onnx and NAME.int8.xml beside a model file, if they keep "
    "the promise of INT8",
    _add_arguments,
    _run,
    epilog=COHORT_TABLE,
)
