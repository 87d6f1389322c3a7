# SPDX-License-Identifier: Apache-2.0
"""Change one thing of a Python file at a time, and see whether its tests see it.

    python -m tests.mutate nigroedge/smwi/unwrap.py --sample 40 --seed 0

A change that no test sees does nothing, or the tests are blind there. The changes are made in a
copy of the tree: no file here is touched. Texts, annotations and imports stay as they are.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from tests.conftest import ROOT

#: Each operator → what it becomes.
OTHER: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.And: ast.Or, ast.Or: ast.And,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
#: Statements that are removed; without an assignment nothing would run.
REMOVED = (ast.Expr, ast.AugAssign, ast.Raise, ast.Return, ast.If, ast.Break, ast.Continue)
COPIED = ("nigroedge", "export", "tests", "docs", "bench", "csrc", "examples", "pyproject.toml")


def changes(source: str) -> list[tuple[int, str, str]]:
    """Every change of a source: its line, what it does, and the source with it."""
    tree, found = ast.parse(source), []
    apart = {id(node) for part in _apart(tree) for node in ast.walk(part)}
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            places = value if isinstance(value, list) else vars(parent)
            for key in range(len(value)) if isinstance(value, list) else [name]:
                node = places[key]
                for what, new in [] if id(node) in apart else _replacements(node):
                    places[key] = new
                    line = getattr(node, "lineno", getattr(parent, "lineno", 0))
                    found.append((line, what, ast.unparse(ast.fix_missing_locations(tree))))
                    places[key] = node
    return found


def _apart(tree: ast.AST) -> Iterator[ast.AST]:
    """Annotations, decorators and what is imported for annotations alone."""
    for node in ast.walk(tree):
        parts = [getattr(node, name, None) for name in ("annotation", "returns")]
        yield from [part for part in parts if part is not None]
        yield from getattr(node, "decorator_list", [])
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield node


def _replacements(node: object) -> Iterator[tuple[str, ast.AST]]:
    """Give what may come in the place of a node, and what that is called."""
    if type(node) in OTHER:
        new = OTHER[type(node)]()
        yield f"{type(node).__name__} → {type(new).__name__}", new
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        value = not node.value if isinstance(node.value, bool) else node.value + 1
        yield f"{node.value} → {value}", ast.Constant(value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield f"without {type(node.op).__name__}", node.operand
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    if isinstance(node, REMOVED) and not is_text:
        yield f"without {type(node).__name__}", ast.Pass()


def named_after(path: Path) -> list[str]:
    """Test files named after a file, with its package or without: test_NAME.py, test_NAME_….py."""
    stems = (f"test_{path.stem}", f"test_{path.parent.name}_{path.stem}")
    names = [each.name for each in sorted((ROOT / "tests").glob("test_*.py"))]
    return [
        f"tests/{name}"
        for name in names
        if any(name.startswith((f"{stem}.", f"{stem}_")) for stem in stems)
    ]


def passes(tree: Path, tests: list[str], seconds: float | None = None) -> bool:
    """Run tests in a tree; too long a time is no pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    done = subprocess.Popen(
        command,
        cwd=tree,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Two changes within a second would share one compiled file.
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        start_new_session=True,  # so that what a test started ends with it
    )
    try:
        return done.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        if done.poll() is None:
            os.killpg(done.pid, signal.SIGKILL)
            done.wait()


def tried(tree: Path, file: Path, tests: list[str], chosen: list[tuple[int, str, str]]) -> int:
    """Make one change after the other and print what became of it; give how many were seen."""
    start = perf_counter()
    if not passes(tree, tests):
        sys.exit(f"{' '.join(tests)} fail without a change")
    seconds = 20 + 4 * (perf_counter() - start)
    lines, n_seen = (tree / file).read_text().splitlines(), 0
    for line, what, source in chosen:
        (tree / file).write_text(source)
        is_seen = not passes(tree, tests, seconds)
        n_seen += is_seen
        words = "seen  " if is_seen else "UNSEEN"
        print(f"{words} {file}:{line}: {what}: {lines[line - 1].strip()}", flush=True)
    return n_seen


def main() -> None:
    """Read the command line, try a sample of the changes, say how many were seen."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__)
    parser.add_argument("file", type=Path, help="Python file, from the root of the project")
    parser.add_argument("--tests", nargs="+", help="test files; else those named after the file")
    parser.add_argument("--sample", type=int, default=40, help="changes that are tried")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    options = parser.parse_args()
    tests = options.tests or named_after(options.file)
    if not tests:
        parser.error(f"no test is named after {options.file}: name some with --tests")
    every = changes((ROOT / options.file).read_text())
    chosen = random.Random(options.seed).sample(every, min(options.sample, len(every)))
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, Path(folder, name))
        n_seen = tried(Path(folder), options.file, tests, sorted(chosen))
    print(f"{options.file}: {len(every)} changes, {len(chosen)} tried, {n_seen} seen")


if __name__ == "__main__":
    main()
