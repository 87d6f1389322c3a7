# SPDX-License-Identifier: Apache-2.0
"""The command `export init`."""

from __future__ import annotations

import argparse

from export.commands.arguments import (
    add_mirror_centre,
    add_output,
    add_preset,
    checked_output,
    natural,
)
from export.commands.written import Written
from nigroedge.subcommand import Progress, Subcommand


def _add_arguments(command: argparse.ArgumentParser) -> None:
    add_preset(command)
    command.add_argument("--seed", type=natural, default=0, help="of the weights (default 0)")
    add_mirror_centre(command)
    add_output(command)


def _run(options: argparse.Namespace, progress: Progress) -> Written:
    output = checked_output(options)
    from export.init import random_model
    from export.to_onnx import write_model

    network, spec = random_model(
        options.preset, seed=options.seed, mirror_centre=options.mirror_centre
    )
    write_model(output, network, spec)
    return Written(output)


COMMAND = Subcommand("init", "write a model file with random weights", _add_arguments, _run)
