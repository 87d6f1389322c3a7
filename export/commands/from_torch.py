# SPDX-License-Identifier: Apache-2.0
"""The command `export from-torch`."""

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
Make a model file of a trained torch network: the code that builds it, which is run, and its
weights, which are data: a pickle that asks for more than tensors is refused."""

_EPILOG = f"""\
example:
  python -m export from-torch nets.py:vgg --weights best.pt --card card.toml --side both \\
                   --mirror right --mirror-centre n/2-1 --normalize zscore --axes ALI --scale 1 \\
                   -o model.onnx

{CARD}"""


def _add_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "factory",
        metavar="FACTORY",
        help="package.module:callable or file.py:callable, which gives the nn.Module",
    )
    add(
        "--weights",
        type=Path,
        required=True,
        metavar="FILE",
        help=".safetensors, or a torch file of tensors alone",
    )
    add(
        "--exporter",
        choices=("dynamo", "torchscript"),
        default="dynamo",
        help="of torch: the current one (default), or the one before",
    )
    add_stranger(command)
    add_output(command)


def _run(options: argparse.Namespace, progress: Progress) -> Written | CardToFill:
    if options.card is None:
        return CardToFill()
    said, output = conventions(options), checked_output(options)
    from export.card_file import read_card
    from export.from_torch import build, export
    from export.imported import convert
    from export.weights import load_weights

    card = read_card(options.card)
    network = build(options.factory)
    load_weights(network, options.weights)
    content = export(network, options.shape, options.exporter)
    convert(content, output, said, card, shape=options.shape, offset=options.offset)
    return imported(output)


COMMAND = Subcommand(
    "from-torch",
    "make a model file of a trained torch network",
    _add_arguments,
    _run,
    description=_DESCRIPTION,
    epilog=_EPILOG,
)
