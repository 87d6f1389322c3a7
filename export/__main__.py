# SPDX-License-Identifier: Apache-2.0
"""The command line of export: `python -m export COMMAND`, from the repository.

Results go to standard output, progress and refusals to standard error. Exit codes: 0 done, 1
refused or a promise broken, 2 usage, 3 a bug of ours; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from threading import Thread

from nigroedge.cli import Program


def _check_threads() -> None:
    """Start a thread where torch will: libgomp below it ends the process if it does not get one.

    Raises
    ------
    RuntimeError
        As Python says that there is none.
    """
    if os.environ.get("OMP_NUM_THREADS") != "1" and (os.cpu_count() or 1) > 1:
        thread = Thread(target=bool)
        thread.start()
        thread.join()


_PROGRAM = Program(
    "python -m export",
    speaker="export {command}",
    description="Train, write, quantise and check model files.",
    commands="export.commands",
    check=_check_threads,
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
