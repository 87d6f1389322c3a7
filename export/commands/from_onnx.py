# SPDX-License-Identifier: Apache-2.0
"""The command `export from-onnx`."""

from __future__ import annotations

import argparse
from pathlib import Path

from export.commands.arguments import (
    CARD,
    CardToFill,
    add_output,
    add_stranger,
    checked_output,
    conventions,
)
from export.commands.written import Written, imported
from nigroedge.subcommand import Progress, Subcommand

_DESCRIPTION = """\
Make a model file of an ONNX graph that any framework exported: one patch (n, 1, X, Y, Z), or with
channels last, and one number out. Batch normalisation is folded, dropout dropped, layouts turned;
each step is checked against the original in float64."""

_EPILOG = f"""\
example:
  python -m export from-onnx net.onnx --card card.toml --side both --mirror right \\
                   --mirror-centre n/2 --normalize "percentile 1 99 clip" --axes ALI --scale 1 \\
                   -o model.onnx

{CARD}"""


def _add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=Path, metavar="FILE", help="ONNX, opset 13 or newer")
    add_stranger(command)
    add_output(command)


def _run(options: argparse.Namespace, progress: Progress) -> Written | CardToFill:
    if options.card is None:
        return CardToFill()
    said, output = conventions(options), checked_output(options)
    from export.card_file import read_card
    from export.imported import MAX_BYTES, convert
    from nigroedge.io.bounded import read_bounded

    card = read_card(options.card)
    content = read_bounded(options.file, what="an ONNX file", max_bytes=MAX_BYTES)
    convert(content, output, said, card, shape=options.shape, offset=options.offset)
    return imported(output)


COMMAND = Subcommand(
    "from-onnx",
    "make a model file of an ONNX graph from any framework",
    _add_arguments,
    _run,
    description=_DESCRIPTION,
    epilog=_EPILOG,
)
