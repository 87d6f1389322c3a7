# SPDX-License-Identifier: Apache-2.0
"""The script that changes a file for its tests to see: what it changes, and nothing else."""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.mutate import changes, named_after, passes

SOURCE = '''
def f(x: int | None = 1) -> int:
    """Doc."""
    if not x < 2:
        raise ValueError("a")
    return -x
'''


def test_one_thing_is_changed_at_a_time():
    found = {(line, what): source for line, what, source in changes(SOURCE)}

    assert [
        *[(2, "1 → 2"), (4, "2 → 3"), (4, "Lt → LtE"), (4, "without If"), (4, "without Not")],
        *[(5, "without Raise"), (6, "without Return"), (6, "without USub")],
    ] == sorted(found)
    assert ast.unparse(ast.parse(SOURCE)).replace("<", "<=") == found[4, "Lt → LtE"]
    assert ast.unparse(ast.parse(SOURCE)).replace("-x", "x") == found[6, "without USub"]


@pytest.mark.parametrize("path", ["nigroedge/smwi/unwrap.py", "tests/mutate.py", "export/net.py"])
def test_every_change_is_another_program(path):
    source = (ROOT / path).read_text()
    sources = [changed for _, _, changed in changes(source)]

    assert len(sources) == len({*sources, ast.unparse(ast.parse(source))}) - 1
    for changed in sources:
        compile(changed, path, "exec")


def test_tests_are_found_by_name():
    assert ["tests/test_smwi_tv.py"] == named_after(Path("nigroedge/smwi/tv.py"))
    assert ["tests/test_model.py", "tests/test_model_pickle.py"] == (
        named_after(Path("nigroedge/model.py"))
    )


def test_red_and_too_slow_are_no_pass(tmp_path):
    for text, seconds, expected in (("1", 60, True), ("0", 60, False), ("1", 0.01, False)):
        (tmp_path / "test_x.py").write_text(f"def test_x():\n    assert {text}\n")
        assert expected == passes(tmp_path, ["test_x.py"], seconds)
