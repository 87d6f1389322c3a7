# SPDX-License-Identifier: Apache-2.0
"""The command `export reference`."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from pathlib import Path

from export.commands.arguments import add_learning_threads
from export.commands.written import Written
from nigroedge.subcommand import Progress, Subcommand

_ROOT = Path(__file__).resolve().parents[2]


def _add_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add_learning_threads(command)
    add("--miniature", action="store_true", help="8 participants, 2 epochs: shows that it runs")
    add("--bundle", action="store_true", help="copy model and results to nigroedge and docs")
    add(
        "-o",
        "--output",
        type=Path,
        default=Path("runs/reference"),
        metavar="DIR",
        help="of all that the chain leaves behind (default: runs/reference)",
    )


def _run(options: argparse.Namespace, progress: Progress) -> Written:
    from export.__main__ import main as export
    from export.chain import MINIATURE, REFERENCE, Chain
    from export.reference import bundle, reference
    from nigroedge.cli import main as nigroedge

    plan = MINIATURE if options.miniature else REFERENCE
    # Its commands print what they write; --json promises one object.
    with redirect_stdout(sys.stderr if options.json else sys.stdout):
        results = reference(Chain(plan, options.output, options.threads, export, nigroedge))
    if options.bundle:
        bundle(plan, options.output, _ROOT / "nigroedge" / "models", _ROOT / "docs" / "study")
    return Written(results)


COMMAND = Subcommand(
    "reference",
    "make the bundled model from nothing: cohort, training, evaluation, INT8 (docs/study)",
    _add_arguments,
    _run,
)
