# SPDX-License-Identifier: Apache-2.0
"""The command line: the only place that prints or ends a program.

Results go to standard output; a refusal is one line on standard error, or for a cohort table one
line for each problem. Exit codes: 0 done, 1 refused input or a broken promise, 2 usage, 3 a bug of
ours; 130 after Ctrl-C, as shells have it.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import json
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NoReturn, TextIO

import nigroedge
from nigroedge import command as prediction
from nigroedge.errors import InternalError, NigroedgeError, NigroedgeWarning, TableError
from nigroedge.extra import lacks_memory, pip_line, reason_of
from nigroedge.result import NOTICE
from nigroedge.smwi import command as smwi
from nigroedge.study import command as study
from nigroedge.subcommand import Outcome, Progress, Subcommand
from nigroedge.terminal import one_line

DONE, REFUSED, USAGE, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 130

#: What RuntimeError says where no thread is to be had: in Python, and in libraries of C++.
_REFUSED_THREADS = ("can't start new thread", os.strerror(errno.EAGAIN))
_NO_THREAD = (
    "expected the threads asked for, the system gave fewer: ask for fewer, --threads 1 needs none "
    "but the first (where torch runs, OMP_NUM_THREADS=1), or raise the limit of processes"
)

#: Every command, in the order of the help.
COMMANDS = (*prediction.COMMANDS, *smwi.COMMANDS, *study.COMMANDS)

_DESCRIPTION = """\
Striatal dopamine-transporter binding ratio from a midbrain SMWI, in milliseconds on any CPU."""
_EPILOG = f"exit codes: 0 done, 1 refused input, 2 usage, 3 internal error\n{NOTICE}"


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
    return _program().main(sys.argv[1:] if arguments is None else arguments)


def parser() -> argparse.ArgumentParser:
    """Make the parser of every command; pages about them are made of it."""
    return _program().parser()


def _program() -> Program:
    return Program(
        "nigroedge",
        speaker="nigroedge",
        description=_DESCRIPTION,
        commands="nigroedge.cli",
    )


# ----------------------------------------------------------------------------------------- program


@dataclass(frozen=True)
class Program:
    """Commands under one name: parsed, run, shown, and their ends mapped to exit codes.

    Parameters
    ----------
    name : str
        As it is typed.
    speaker : str
        What each line of complaint begins with; {command} stands for the command's name.
    description : str
    commands : str
        The module whose COMMANDS they are, in the order of the help; imported when they are needed.
    check : callable, optional
        Raises what keeps every command from running; --help and --version do without it.
    extra : str, optional
        The extra whose packages its commands import: one that is missing is a refusal then.
    """

    name: str
    speaker: str
    description: str
    commands: str
    check: Callable[[], None] | None = None
    extra: str | None = None

    def main(self, arguments: Sequence[str]) -> int:
        """Run a command, and give the exit code."""
        # Nothing here is worth BLAS's threads: they would spin beside ours, and numpy does not
        # survive that they are refused.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        complain = self._complaints()
        try:
            options = self.parser().parse_args(_joined(arguments))
            complain = self._complaints(options.command)
            if self.check is not None:
                self.check()
            return _run(options, complain)
        except SystemExit as stop:  # argparse: 0 after --help and --version, 2 after a usage error
            return int(stop.code or DONE)
        except KeyboardInterrupt:
            return complain("interrupted", INTERRUPTED)
        except BrokenPipeError:  # whoever read our output has left
            _abandon_output()
            return REFUSED
        except TableError as error:  # one line for each problem
            return complain.of_each(error)
        except InternalError as error:
            return complain.of_a_bug(error)
        except NigroedgeError as error:
            return complain(error, REFUSED)
        except (BlockingIOError, RuntimeError) as error:
            if _is_of_threads(error):
                return complain(_NO_THREAD, REFUSED)
            if os.strerror(errno.ENOMEM) in str(error):  # as torch says it
                return complain.of_memory(error)
            return complain.of_a_bug(error)
        except OSError as error:  # such as a full disk below our output
            _abandon_output()
            return complain(f"cannot read or write: {error}", REFUSED)
        except MemoryError as error:
            return complain.of_memory(error)
        except ImportError as error:
            return self._not_imported(error, complain)
        except SystemError as error:  # as Python says it of a C function that got no memory
            return complain.of_memory(error) if _is_limited() else complain.of_a_bug(error)
        except Exception as error:
            return complain.of_a_bug(error)

    def parser(self) -> argparse.ArgumentParser:
        """Make the parser of every command."""
        top = _Parser(
            prog=self.name,
            complain=self._complaints(),
            description=self.description,
            epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        top.add_argument("--version", action=_Version)
        added = top.add_subparsers(
            title="commands", metavar="COMMAND", dest="command", required=True
        )
        for command in importlib.import_module(self.commands).COMMANDS:
            _add(added, command, self._complaints(command.name))
        return top

    def _complaints(self, command: str = "") -> _Complaints:
        return _Complaints(self.speaker.format(command=command).rstrip())

    def _not_imported(self, error: ImportError, complain: _Complaints) -> int:
        """Say what keeps a package from being imported, if it is not ours to see to that."""
        if lacks_memory(error):
            return complain.of_memory(reason_of(error))
        is_absent = isinstance(error, ModuleNotFoundError)
        is_ours = _package(error.name or "") in {"nigroedge", _package(self.commands)}
        if is_ours or (is_absent and self.extra is None):
            return complain.of_a_bug(error)
        if is_absent and self.extra is not None:
            return complain(f"{error}; {pip_line(self.extra)}", REFUSED)
        return complain(f"expected a package that can be imported, got {reason_of(error)}", REFUSED)


def _package(module: str) -> str:
    return module.partition(".")[0]


def _run(options: argparse.Namespace, complain: _Complaints) -> int:
    with _warnings_in_one_line(complain):
        with _progress() as progress:
            outcome: Outcome = options.run(options, progress)
            answer = outcome.to_dict() if options.json else None
        if answer is not None:
            _print(json.dumps(answer, indent=2, allow_nan=False))
        else:
            for text in outcome.lines():
                _print("\n".join(map(one_line, text.split("\n"))))
    return REFUSED if outcome.failed else DONE


@contextlib.contextmanager
def _warnings_in_one_line(complain: _Complaints) -> Iterator[None]:
    """Say our own warnings as a line of standard error; leave those of others to Python."""
    with warnings.catch_warnings():
        show, said = warnings.showwarning, set()

        def say(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if not issubclass(category, NigroedgeWarning):
                show(message, category, *where, **more)
            elif str(message) not in said:
                said.add(str(message))
                complain(f"warning: {message}", DONE)

        warnings.simplefilter("always", NigroedgeWarning)
        warnings.showwarning = say
        yield


def _is_of_threads(error: Exception) -> bool:
    """Whether a thread or a process was refused: by Python, a C++ library, or fork()."""
    text = error.strerror if isinstance(error, OSError) else str(error)
    return text in _REFUSED_THREADS


def _abandon_output() -> None:
    _abandon(sys.stdout)


def _abandon(stream: TextIO | None) -> None:
    """Keep Python from flushing, as it ends, what could not be written; that would be code 120."""
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: a stream without a file
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_limited() -> bool:
    """Whether this process may take less memory than there is."""
    try:
        import resource
    except ImportError:  # Windows
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


@dataclass(frozen=True)
class _Complaints:
    """Says what went wrong, a line each on standard error, and gives the exit code."""

    speaker: str

    def __call__(self, message: object, code: int) -> int:
        self._say(f"{self.speaker}: {one_line(str(message))}")
        return code

    def _say(self, line: str) -> None:
        try:
            _print(line, to_stderr=True)
        except OSError:  # nobody listens: the exit code is left to tell
            _abandon(sys.stderr)

    def of_memory(self, reason: object) -> int:
        return self(f"expected enough memory, got none: {reason}".rstrip(": "), REFUSED)

    def of_each(self, error: TableError) -> int:
        heading, *problems = str(error).split("\n")
        self(heading, REFUSED)
        for line in map(one_line, problems):
            self._say(line)
        return REFUSED

    def of_a_bug(self, error: Exception) -> int:
        if os.environ.get("NIGROEDGE_DEBUG") == "1":
            traceback.print_exception(error)
        hint = "NIGROEDGE_DEBUG=1 shows where"
        return self(f"internal error: {type(error).__name__}: {error} ({hint})", INTERNAL)


def _print(text: str, *, to_stderr: bool = False) -> None:
    """Print, with what the stream's encoding cannot say escaped."""
    stream = sys.stderr if to_stderr else sys.stdout
    if stream is None:  # the caller closed it
        raise OSError("standard error is closed" if to_stderr else "standard output is closed")
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


# --------------------------------------------------------------------------------------- arguments


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the usage in one line."""

    def __init__(self, *, complain: _Complaints, **options: Any) -> None:
        super().__init__(**options)
        self._complain = complain

    def print_help(self, file: Any = None) -> None:
        """Print the help, or fail: argparse takes no notice of a disk that is full."""
        _print(self.format_help().rstrip("\n"))

    def error(self, message: str) -> NoReturn:
        self._complain(f"{message} (see: {self.prog} --help)", USAGE)
        raise SystemExit(USAGE)


class _Version(argparse.Action):
    """Prints the version, or fails: argparse takes no notice of a disk that is full."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        summary = "show program's version number and exit"
        super().__init__(option_strings, dest, nargs=0, help=summary)

    def __call__(self, parser: argparse.ArgumentParser, *given: Any) -> NoReturn:
        _print(f"nigroedge {nigroedge.__version__}")
        parser.exit()


#: Options whose values may begin with a minus sign.
_SIGNED = ("--left", "--right", "--b0", "--phase-unit", "--scale", "--offset")


def _joined(arguments: Sequence[str]) -> list[str]:
    """Join --left -9,-18,-14 to --left=-9,-18,-14: argparse takes a leading minus for an option."""
    joined: list[str] = []
    is_option = True
    for argument in arguments:
        is_value = bool(joined) and joined[-1] in _SIGNED and re.match(r"-[\d.]", argument)
        if is_option and is_value:
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
        is_option = is_option and argument != "--"
    return joined


def _add(commands: Any, command: Subcommand, complain: _Complaints) -> None:
    summary = command.summary
    added: argparse.ArgumentParser = commands.add_parser(
        command.name,
        complain=complain,
        help=summary,
        description=command.description or f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"{command.epilog}\n{_EPILOG}" if command.epilog else _EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    added.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_arguments(added)
    added.set_defaults(run=command.run, usage_error=added.error)


# ---------------------------------------------------------------------------------------- progress


class _ProgressLine:
    """One line of standard error, written over and over: what is done, and the time left."""

    def __init__(self) -> None:
        self._stage = ""
        self._first = 0.0  # what was done when the stage was first heard of, at this time:
        self._start = 0.0
        self._shown = ""

    def __call__(self, stage: str, done: float, total: float) -> None:
        if stage != self._stage:
            self._stage, self._first, self._start = stage, done, perf_counter()
        count = f"{100 * done:3.0f} %" if total == 1 else f"{done:g} / {total:g}"
        self._show(f"{stage:<12}{count}{self._left(done, total)}")

    def _left(self, done: float, total: float) -> str:
        elapsed_s = perf_counter() - self._start
        if not self._first < done < total or elapsed_s < 1:  # nobody can tell, or need know
            return ""
        return f", {elapsed_s * (total - done) / (done - self._first):.0f} s left"

    def _show(self, line: str) -> None:
        print(f"\r{line:<{len(self._shown)}}", end="", file=sys.stderr, flush=True)
        self._shown = line

    def close(self) -> None:
        if self._shown:
            print(file=sys.stderr, flush=True)
            self._shown = ""


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    """Show progress on a terminal; leave logs alone."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    with contextlib.closing(_ProgressLine()) as line:
        yield line


if __name__ == "__main__":
    sys.exit(main())
