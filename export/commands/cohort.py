# SPDX-License-Identifier: Apache-2.0
"""The command `export cohort`."""

from __future__ import annotations

import argparse
from pathlib import Path

from export.commands.arguments import natural, positive
from export.commands.written import Written
from nigroedge.subcommand import Progress, Subcommand

_EPILOG = """\
DIR/table.tsv has a row a side; DIR/images, when simulated, a window of the SMWI for each.
The same command continues a run that was cut off, and more participants extend it.
The default is the size of the study: 367, of whom 74 test.
"""


def _add_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    source = command.add_mutually_exclusive_group()
    source.add_argument("--participants", type=positive, help="to simulate (default 367)")
    source.add_argument("--table", type=Path, help="of a group's own participants, CSV or TSV")
    add(
        "--split",
        action="append",
        choices=("train", "validation", "test"),
        help="simulate images of this split alone; again for another (default: all)",
    )
    add("--fast", action="store_true", help="ideal SMWI, blurred, with noise; not field and echoes")
    add("--seed", type=natural, default=0, help="of participants and of the deal (default 0)")
    add("--workers", type=positive, help="processes (default: one per CPU granted to us)")
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the cohort")


def _run(options: argparse.Namespace, progress: Progress) -> Written:
    if options.table is None:
        return Written(_simulated(options))
    if options.fast or options.split:
        options.usage_error("--fast and --split are for simulated participants, not for --table")
    from export.cohort import check_cohort

    return Written(check_cohort(options.table, options.output, seed=options.seed))


def _simulated(options: argparse.Namespace) -> Path:
    from export.cohort import SPLITS, STUDY_PARTICIPANTS, CohortConfig, simulate_cohort
    from nigroedge.engine import resolve_threads

    return simulate_cohort(
        CohortConfig("fast" if options.fast else "physical", options.seed),
        options.participants or STUDY_PARTICIPANTS,
        options.output,
        workers=options.workers or resolve_threads(None),
        scanned=options.split or SPLITS,
    )


COMMAND = Subcommand(
    "cohort",
    "simulate a cohort, or check a group's own table and deal its participants out",
    _add_arguments,
    _run,
    epilog=_EPILOG,
)
