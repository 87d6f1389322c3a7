# SPDX-License-Identifier: Apache-2.0
"""How far a command is: shown on a terminal, with the time left, and kept out of logs."""

import io
import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge import cli
from nigroedge.subcommand import Subcommand


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def command(monkeypatch):
    """Run a command that reports three steps, 10 s apart, on a given standard error."""

    def work(options, progress):
        for done in (1, 2, 3):
            clock["now"] += 10
            progress("predict", done, 3)
        return SimpleNamespace(failed=False, lines=lambda: ["done"], to_dict=dict)

    clock = {"now": 0.0}
    monkeypatch.setattr(cli, "perf_counter", lambda: clock["now"])
    command = Subcommand("work", "work", lambda parser: None, work)
    monkeypatch.setattr(cli, "COMMANDS", (command,))

    def run(stderr):
        monkeypatch.setattr("sys.stderr", stderr)
        assert 0 == cli.main(["work"])
        return stderr.getvalue()

    return run


def test_a_terminal_shows_the_count_and_the_time_left(command):
    shown = [line.rstrip() for line in command(Terminal()).split("\r")]

    # The clock starts with the first report: the second knows of one step in 10 s, and one is left.
    assert ["", "predict     1 / 3", "predict     2 / 3, 10 s left", "predict     3 / 3"] == shown


def test_a_log_holds_no_progress(command):
    assert "" == command(io.StringIO())


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 1)), min_size=1))
def test_a_shorter_line_covers_a_longer_one(reports):
    stderr = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", stderr)
        with cli._progress() as progress:
            for stage, done in reports:
                progress(stage, done, 1)
    lines = stderr.getvalue().removesuffix("\n").split("\r")[1:]

    assert len(reports) == len(lines)
    widths = [len(line) for line in lines]
    shown = [len(line.rstrip()) for line in lines]
    assert all(width >= before for width, before in zip(widths[1:], shown, strict=False))
    assert all(re.match(r"[ab] +\d+ %", line) for line in lines)
