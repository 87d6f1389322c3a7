# SPDX-License-Identifier: Apache-2.0
"""matplotlib loads quietly, with a folder of its own or without one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

#: Loads it; says whether it is there, what the variable is, and where it thinks that its folder is.
LOAD = """
import os, sys, tempfile
from pathlib import Path
tempfile.tempdir = "/proc/none"  # so that matplotlib cannot help itself
from nigroedge.drawing import load_matplotlib
load_matplotlib("this needs", beside=Path(sys.argv[1]))
import matplotlib
print(matplotlib.get_cachedir())
print(os.environ.get("MPLCONFIGDIR"))
"""


def load(beside, **environment):
    known = ("HOME", "MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
    clean = {name: value for name, value in os.environ.items() if name not in known}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, beside],
        env={**clean, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    cache, variable = done.stdout.splitlines()
    return Path(cache), variable


@pytest.mark.parametrize("home", ["/proc/none", "~"], ids=["unwritable", "unknown"])
@pytest.mark.parametrize("variable", [None, "/proc/none/either"])
def test_without_a_folder_it_gets_one_that_does_not_stay(tmp_path, home, variable):
    given = {} if variable is None else {"MPLCONFIGDIR": variable}
    cache, after = load(tmp_path / "out/report.html", HOME=home, **given)

    assert tmp_path == cache.parent
    assert [] == list(tmp_path.iterdir())
    assert str(variable) == after


def test_with_a_folder_it_is_left_alone(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    cache, after = load(tmp_path / "report.html", HOME=home)

    assert (home / ".cache/matplotlib", "None") == (cache, after)
    assert [home] == list(tmp_path.iterdir())


def test_a_folder_that_is_named_is_taken(tmp_path):
    named = tmp_path / "named"
    cache, after = load(tmp_path / "report.html", HOME="/proc/none", MPLCONFIGDIR=str(named))

    assert (named, str(named)) == (cache, after)


def test_a_blank_figure_is_on_no_list_and_in_no_window():
    code = (
        "import sys; from nigroedge.drawing import blank_figure; "
        "figure = blank_figure((3, 2), 'this needs'); figure.subplots(); "
        "print(*figure.get_size_inches(), 'matplotlib.pyplot' in sys.modules)"
    )

    assert "3.0 2.0 False\n" == subprocess.check_output([sys.executable, "-c", code], text=True)
