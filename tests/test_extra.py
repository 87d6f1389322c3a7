# SPDX-License-Identifier: Apache-2.0
"""Packages of an extra: what is said where they are missing, or broken."""

import errno
import os
import re
import shutil
import subprocess
import sys

import pytest

from nigroedge.errors import MissingDependencyError
from nigroedge.extra import from_extra, pip_line
from tests.conftest import ROOT

#: Quoted, since zsh takes brackets for a pattern; and for whoever has a clone, as all have now.
PIP_LINE = "pip install 'nigroedge[fast]' (in a clone: '.[fast]')"


def message_of(statement: str) -> str:
    with pytest.raises(MissingDependencyError) as caught, from_extra("fast", "This needs", "quick"):
        exec(statement)
    return str(caught.value)


def test_what_is_there_is_imported():
    with from_extra("fast", "This needs", "json"):
        import json

    assert "{}" == json.dumps({})


@pytest.mark.parametrize("statement", ["import quick", "import quick.parts", "from quick import x"])
def test_a_missing_package_is_named_with_its_pip_line(statement):
    assert f"This needs quick: {PIP_LINE}" == message_of(statement)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("import other", "No module named 'other'"),
        ("raise ImportError('libquick.so.1: cannot open shared object file')", "libquick.so.1: "),
    ],
)
def test_a_package_that_is_there_but_does_not_load_says_why(statement, reason):
    message = message_of(statement)

    assert message.startswith(f"This needs quick ({reason}")
    assert message.endswith(f"): {PIP_LINE}")


def test_a_page_of_reasons_is_cut_to_the_one_at_its_end():
    assert message_of(
        "raise ImportError('IMPORTANT\\nread this\\nOriginal error was: libq.so.1: no')"
    ) == (f"This needs quick (libq.so.1: no): {PIP_LINE}")


@pytest.mark.parametrize(
    "reason", ["libq.so: failed to map segment from shared object", os.strerror(errno.ENOMEM)]
)
def test_a_package_that_gets_no_memory_is_not_to_be_installed_again(reason):
    with pytest.raises(ImportError, match=reason), from_extra("fast", "This needs", "quick"):
        raise ImportError(f"IMPORTANT\n\nOriginal error was: {reason}")


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh"])
def test_a_shell_takes_the_pip_line_as_it_is_printed(shell):
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    command = pip_line("fast").partition(" (")[0]
    done = subprocess.run(
        [shell, "-c", command.replace("pip install", "echo")], capture_output=True, text=True
    )

    assert (0, "nigroedge[fast]\n") == (done.returncode, done.stdout)


def test_there_is_one_wording_of_it():
    """Pages and messages alike: whoever copies a line must get on with it."""
    bare = re.compile(r"pip install (?:nigroedge|\.)\[")
    files = [
        *ROOT.glob("nigroedge/**/*.py"),
        *ROOT.glob("export/**/*.py"),
        *ROOT.glob("docs/**/*.md"),
    ]

    assert [] == [
        path.name for path in (*files, ROOT / "README.md") if bare.search(path.read_text())
    ]


def test_other_errors_pass():
    with pytest.raises(ZeroDivisionError), from_extra("fast", "This needs", "quick"):
        1 / 0  # noqa: B018


def test_a_package_that_is_hidden_counts_as_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "quick", None)

    assert f"This needs quick: {PIP_LINE}" == message_of("import quick")
