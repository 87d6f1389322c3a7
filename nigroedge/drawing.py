# SPDX-License-Identifier: Apache-2.0
"""Load matplotlib, quietly, and also where it finds no folder for its settings and fonts.

It wants one as soon as it is imported, and refuses to load without: on a root that is mounted
read-only, or where nobody says where home is. Then it gets one beside what we are to write.
Figures are for files alone: no window, and nothing of pyplot, which keeps a list of its own.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from nigroedge.errors import InputError
from nigroedge.extra import from_extra
from nigroedge.io.writing import check_writable, scratch_folder

_VARIABLE = "MPLCONFIGDIR"


def load_matplotlib(said: str, *, beside: Path | None = None) -> None:
    """Import matplotlib and its fonts.

    Parameters
    ----------
    said : str
        What needs it, with the verb: "the figure needs".
    beside : Path, optional
        A file that is to be written: where matplotlib finds no folder, it gets one beside that
        file for as long as it loads.

    Raises
    ------
    MissingDependencyError
        Without matplotlib.
    """
    is_fine = beside is None or "matplotlib" in sys.modules or _finds_room()
    room = nullcontext() if beside is None or is_fine else _room(beside)
    with from_extra("plots", said, "matplotlib"), _quiet(), room:
        import matplotlib.font_manager  # noqa: F401


def blank_figure(inches: tuple[float, float], said: str) -> Any:
    """Give an empty figure, to be filled and saved; what is raised is as of `load_matplotlib`."""
    load_matplotlib(said)
    from matplotlib.figure import Figure

    return Figure(figsize=inches, layout="constrained")


def _finds_room() -> bool:
    """Whether the folders that matplotlib's manual names can be written to."""
    try:
        check_writable((folder / "fontlist.json" for folder in _folders()), if_exists="keep")
    except (InputError, RuntimeError):  # RuntimeError: pathlib does not know the home
        return False
    return True


def _folders() -> tuple[Path, ...]:
    """https://matplotlib.org/stable/install/environment_variables_faq.html."""
    if os.environ.get(_VARIABLE):
        return (Path(os.environ[_VARIABLE]),)
    if not sys.platform.startswith(("linux", "freebsd")):
        return (Path.home() / ".matplotlib",)
    where = (("XDG_CONFIG_HOME", ".config"), ("XDG_CACHE_HOME", ".cache"))
    return tuple(
        Path(os.environ.get(variable) or Path.home() / name) / "matplotlib"
        for variable, name in where
    )


@contextmanager
def _room(beside: Path) -> Iterator[None]:
    before = os.environ.get(_VARIABLE)
    with scratch_folder(beside) as folder:
        os.environ[_VARIABLE] = str(folder)
        try:
            yield
        finally:
            del os.environ[_VARIABLE]
            os.environ.update({} if before is None else {_VARIABLE: before})


@contextmanager
def _quiet() -> Iterator[None]:
    """Without lines about caches on standard error: nobody can do anything about them."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
