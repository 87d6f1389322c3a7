# SPDX-License-Identifier: Apache-2.0
"""The command line of export: `python -m export COMMAND`, from the repository.

Results go to standard output, progress and refusals to standard error. Exit codes: 0 done, 1
refused or a promise broken, 2 usage, 3 a bug of ours; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from export.commands import COMMANDS
from nigroedge.cli import Program

_PROGRAM = Program(
    "python -m export",
    speaker="export {command}",
    description="Train, write, quantise and check model files.",
    commands=COMMANDS,
    extra="export",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; by default those of the process.

    Returns
    -------
    int
        The exit code.
    """
    return _PROGRAM.main(sys.argv[1:] if arguments is None else arguments)


def parser() -> argparse.ArgumentParser:
    """Make the parser of every command; pages about them are made of it."""
    return _PROGRAM.parser()


if __name__ == "__main__":
    sys.exit(main())
