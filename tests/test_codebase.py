# SPDX-License-Identifier: Apache-2.0
"""The rules that a machine can check: who may know whom, and what a file must say."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import nigroedge
from tests.conftest import ROOT

OPTIONAL = {
    *("torch", "onnx", "onnxruntime", "openvino", "nncf", "pydicom", "highdicom", "scipy"),
    *("matplotlib", "isal", "tqdm"),
}
#: What a program that reads an image and predicts does not wait for, unless numpy has imported it.
NOT_AT_START = {
    *("hashlib", "nibabel", "numpy.typing", "pathlib", "xml", "zlib"),
    *("nigroedge.cli", "nigroedge.io.gunzip", "nigroedge.io.landmarks", "nigroedge.openvino_ir"),
}
RUNTIME = {"numpy", "nibabel", "nigroedge"}

#: Which folders of csrc a file of each folder may include from: kernels ← core ← faces.
INCLUDES = {
    "kernels": {"kernels"},
    "core": {"core", "kernels"},
    "include": set(),
    "bindings.cpp": {"core", "kernels"},
    "capi.cpp": {"core", "kernels", "include"},
}
#: An instruction-set file may include its contract, its own templates and intrinsics: nothing that
#: could hand an inline function compiled for a new CPU to an old one.
ISA_FILE = re.compile(r"(avx2|avx512|neon)")
ISA_INCLUDES = re.compile(r'"(kernels/)?\w+\.(h|inc)"|<(cstddef|cstdint|immintrin\.h|arm_neon\.h)>')


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def cpp_files() -> list[Path]:
    return [p for p in sorted((ROOT / "csrc").rglob("*")) if p.suffix in {".cpp", ".h", ".inc"}]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(nodes: list[ast.stmt] | list[ast.AST]) -> set[str]:
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def test_importing_nigroedge_pulls_in_no_optional_dependency():
    code = "import sys, nigroedge, nigroedge.cli; print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())

    assert set() == loaded & OPTIONAL


def test_a_program_that_predicts_starts_without_what_it_does_not_need():
    code = (
        "import sys, numpy\n"
        "before = set(sys.modules)\n"
        "from nigroedge.io.nifti import load_volume\n"
        "from nigroedge.model import load_model\n"
        "import nigroedge.engine.native, nigroedge.pipeline\n"
        "print(*set(sys.modules) - before)"
    )
    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())

    assert set() == loaded & (NOT_AT_START | OPTIONAL)


@pytest.mark.parametrize("path", python_files("nigroedge"), ids=relative)
def test_runtime_imports_at_the_top_only_what_every_user_has(path):
    tree = parsed(path)
    at_top = imported(tree.body) - set(sys.stdlib_module_names)
    anywhere = imported(list(ast.walk(tree))) - set(sys.stdlib_module_names)

    assert at_top <= RUNTIME
    assert anywhere <= RUNTIME | OPTIONAL
    assert not anywhere & {"torch", "nncf", "onnx", "export", "tests", "bench"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in python_files("nigroedge")}


def imported_modules(path: Path) -> set[str]:
    """Modules of this package that a file imports, anywhere and for types too."""
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= (named & MODULES.keys()) or {node.module}
    return names & MODULES.keys() - {"nigroedge"}  # whose names are a table of the others


def test_no_two_modules_import_each_other():
    graph = {name: imported_modules(path) for name, path in MODULES.items() if name != "nigroedge"}

    assert "nigroedge.pipeline" in graph["nigroedge.model"]  # the graph is not empty
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


#: What joins packages, and so may know them all: commands, the line, the check of a machine.
JOINS = {f"nigroedge.{name}" for name in ("__main__", "cli", "command", "terminal", "verify")}
#: Which packages each may know. Modules of no package, `io` and `engine` are the prediction.
MAY_KNOW = {
    "prediction": set(),
    "smwi": {"prediction"},
    "phantom": {"prediction", "smwi"},
    "study": {"prediction"},
}


def package_of(name: str) -> str:
    package = name.split(".")[1]
    return package if package in MAY_KNOW else "prediction"


@pytest.mark.parametrize("name", sorted(MODULES.keys() - JOINS - {"nigroedge"}))
def test_packages_know_only_those_below_them(name):
    package = package_of(name)
    known = imported_modules(MODULES[name])

    assert set() == known & JOINS
    assert {package_of(other) for other in known} <= MAY_KNOW[package] | {package}


@pytest.mark.parametrize("path", python_files("nigroedge", "export"), ids=relative)
def test_only_the_command_line_prints_or_exits(path):
    if path.name in {"cli.py", "__main__.py"}:
        return
    calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
    names = {ast.unparse(call.func) for call in calls}

    assert set() == names & {"print", "exit", "sys.exit", "os._exit", "input"}


@pytest.mark.parametrize("path", cpp_files(), ids=relative)
def test_includes_point_one_way(path):
    layer = path.relative_to(ROOT / "csrc").parts[0]
    layers = set(INCLUDES)
    for target in re.findall(r'#include "([^"]+)"', path.read_text()):
        folder = target.split("/")[0] if "/" in target else layer
        assert folder in INCLUDES[layer] or folder not in layers, f"{path} includes {target}"


@pytest.mark.parametrize("path", [p for p in cpp_files() if ISA_FILE.search(p.stem)], ids=relative)
def test_instruction_set_files_are_quarantined(path):
    included = re.findall(r"#include (\S+)", path.read_text())

    assert [] == [target for target in included if not ISA_INCLUDES.fullmatch(target)]


@pytest.mark.parametrize("path", cpp_files(), ids=relative)
def test_the_library_neither_prints_nor_ends_the_program(path):
    text = re.sub(r"//.*", "", path.read_text())

    assert not re.search(r"\b(printf|std::cout|std::cerr|abort|exit|std::terminate)\b\s*[(<]", text)


@pytest.mark.parametrize(
    "path", python_files("nigroedge", "export", "tests", "bench") + cpp_files(), ids=relative
)
def test_a_file_opens_with_what_it_is(path):
    text = path.read_text()

    assert "SPDX-License-Identifier: Apache-2.0" in text[:2000]
    if path.suffix == ".py":
        assert ast.get_docstring(parsed(path))
    else:
        assert text.startswith(("//", "/*"))


def test_the_version_is_said_once_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cmake = (ROOT / "csrc/CMakeLists.txt").read_text()

    assert project["version"] == nigroedge.__version__
    assert f"project(nigroedge VERSION {project['version']} " in cmake


def test_every_public_name_is_there_and_imported_when_it_is_used():
    used = (
        "import sys, nigroedge as n\n"
        "assert not {'numpy', 'nigroedge.model', 'nigroedge.io.landmarks'} & set(sys.modules)\n"
        "n.load_model\n"
        "assert 'nigroedge.io.landmarks' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", used], check=True)

    assert set(nigroedge.__all__) <= set(dir(nigroedge))
    for name in nigroedge.__all__:
        assert name == getattr(nigroedge, name).__name__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        nigroedge.nothing  # noqa: B018
