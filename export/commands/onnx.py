# SPDX-License-Identifier: Apache-2.0
"""The command `export onnx`."""

from __future__ import annotations

import argparse
from pathlib import Path

from export.commands.arguments import COHORT_TABLE, add_output, add_windows, checked_output
from export.commands.written import Written
from nigroedge.subcommand import Progress, Subcommand


def _add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("checkpoint", type=Path, metavar="RUN", help="folder of the run")
    add_windows(command)
    add_output(command)


def _run(options: argparse.Namespace, progress: Progress) -> Written:
    output = checked_output(options)
    from export.train import write_best

    return Written(write_best(options.checkpoint, options.cohort, output, cache=options.cache))


COMMAND = Subcommand(
    "onnx",
    "write the best epoch of a run so far as a model file",
    _add_arguments,
    _run,
    epilog=COHORT_TABLE,
)
