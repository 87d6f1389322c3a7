# SPDX-License-Identifier: Apache-2.0
"""Packages of an extra: what is said where they are missing, or broken."""

import sys

import pytest

from nigroedge.errors import MissingDependencyError
from nigroedge.extra import from_extra


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
    assert "This needs quick: pip install nigroedge[fast]" == message_of(statement)


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
    assert message.endswith("): pip install nigroedge[fast]")


def test_other_errors_pass():
    with pytest.raises(ZeroDivisionError), from_extra("fast", "This needs", "quick"):
        1 / 0  # noqa: B018


def test_a_package_that_is_hidden_counts_as_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "quick", None)

    assert "This needs quick: pip install nigroedge[fast]" == message_of("import quick")
