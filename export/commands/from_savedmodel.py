# SPDX-License-Identifier: Apache-2.0
"""The command `export from-savedmodel`."""

from __future__ import annotations

import argparse
from pathlib import Path

from export.commands.arguments import add_conventions, add_output, checked_output, conventions
from export.commands.written import Written, imported
from nigroedge.subcommand import Progress, Subcommand

_EPILOG = """\
example:
  python -m export from-savedmodel net_left --side left --normalize mean --axes ALI --scale 6.84 \\
                   -o left.onnx
"""


def _add_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("folder", type=Path, metavar="FOLDER", help="holds saved_model.pb and variables/")
    add_conventions(command)
    add("--name", help="for the card (default: the folder's)")
    add("--licence", default="unknown: that of the SavedModel", help="for the card")
    add_output(command)


def _run(options: argparse.Namespace, progress: Progress) -> Written:
    said, output = conventions(options), checked_output(options)
    from export.from_savedmodel import convert

    name = options.name or options.folder.resolve().name
    convert(options.folder, output, said, name=name, licence=options.licence)
    return imported(output)


COMMAND = Subcommand(
    "from-savedmodel",
    "rebuild a TensorFlow SavedModel as a model file, without TensorFlow",
    _add_arguments,
    _run,
    epilog=_EPILOG,
)
