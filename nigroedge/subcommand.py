# SPDX-License-Identifier: Apache-2.0
"""What a command is: its words, its arguments, and what it does. Printing is the command line's.

Each package that has commands brings a tuple COMMANDS, in its module `command`, or `commands` where
there are many; :mod:`nigroedge.cli` joins them. A command runs without printing: it tells how far
it is, and gives an outcome that can be shown to people or to programs.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol


class Progress(Protocol):
    """Is told how far a command is."""

    def __call__(self, stage: str, done: float, total: float) -> None:
        """Take the name of the stage and how much of it is done; a total of 1 is a fraction."""


class Outcome(Protocol):
    """What a command found, for either reader; each is asked for once at most.

    Attributes
    ----------
    failed : bool
        Whether what was asked for does not hold; known when the outcome has been shown.
    """

    @property
    def failed(self) -> bool: ...

    def to_dict(self) -> dict[str, Any] | list[dict[str, Any]]:
        """Give what --json prints."""

    def lines(self) -> Iterable[str]:
        """Give what is printed otherwise, line by line as it is found."""


@dataclass(frozen=True)
class Subcommand:
    """A command of `nigroedge`.

    Parameters
    ----------
    name : str
    summary : str
        One line, lower case, without a full stop.
    add_arguments : callable
        Adds every argument but --json to the command's parser.
    run : callable
        Takes the parsed arguments and a Progress, gives an Outcome. The arguments have
        `usage_error`, which takes a message and ends the program with exit code 2.
    description : str, optional
        The summary by default.
    epilog : str, optional
        Examples, shown before what every command says.
    """

    name: str
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Progress], Outcome]
    description: str = ""
    epilog: str = ""


def add_engine(
    command: argparse.ArgumentParser, *, default: str = "it follows from the file"
) -> None:
    """Add --engine and --threads."""
    command.add_argument(
        "--engine",
        metavar="E",
        help=f"what runs the model: native, onnx or openvino; by default {default}",
    )
    add_threads(command)


def add_threads(command: argparse.ArgumentParser) -> None:
    """Add --threads."""
    command.add_argument(
        "--threads", type=int, metavar="N", help="threads; by default one per CPU granted to us"
    )


def add_transform(command: argparse.ArgumentParser) -> None:
    """Add --transform."""
    command.add_argument(
        "--transform",
        choices=("sform", "qform"),
        help="which transform of an image is right, where its header says two things",
    )


Point = tuple[float, float, float]


def point(text: str) -> Point:
    """Read X,Y,Z in millimetres for an argument.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is not three finite numbers.
    """
    return _three_numbers(text, "X,Y,Z in mm such as -9,-18,-14")


def direction(text: str) -> Point:
    """Read X,Y,Z of a direction for an argument.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is not three finite numbers, or all of them are 0.
    """
    expected = "a direction X,Y,Z such as 0,0.2,0.98"
    read = _three_numbers(text, expected)
    if not any(read):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return read


def _three_numbers(text: str, expected: str) -> Point:
    try:
        if not text.isascii() or "_" in text:  # float() takes digits of any script, and 1_0 for 10
            raise ValueError
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        x = y = z = math.nan
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return x, y, z
