# SPDX-License-Identifier: Apache-2.0
"""The command `export quantize`."""

from __future__ import annotations

import argparse
from pathlib import Path

from export.commands.arguments import COHORT_TABLE, add_samples, held_out, samples, spec_of
from export.commands.written import Written
from nigroedge.subcommand import Progress, Subcommand


def _add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", type=Path, metavar="MODEL", help="float32 .onnx")
    add_samples(command, "calibrate with")


def _run(options: argparse.Namespace, progress: Progress) -> Written:
    from export.quantize import quantize

    spec = spec_of(options.model)
    calibration, checked = samples(options, spec, "calibrate"), held_out(options, spec)
    return Written(*quantize(options.model, calibration, held_out=checked))


COMMAND = Subcommand(
    "quantize",
    "write the INT8 siblings NAME.int8.onnx and NAME.int8.xml beside a model file, if they keep "
    "the promise of INT8",
    _add_arguments,
    _run,
    epilog=COHORT_TABLE,
)
