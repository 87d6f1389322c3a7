# SPDX-License-Identifier: Apache-2.0
"""The pages: what they say can be typed, links lead somewhere, and they are short."""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import export.__main__
import nigroedge.cli
from docs.site.commands import command_pages, subcommands
from docs.site.markdown import LINK, code_blocks, prose
from docs.site.stage import DOCS, page_paths, stage
from nigroedge.model import REFERENCE
from tests.c_library import declared, exported
from tests.conftest import ROOT
from tests.cpp_build import cpp_build

PAGES = [path for path in page_paths() if "notes" not in path.parts]
NOTES = [path for path in page_paths() if "notes" in path.parts]
FRONT = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]

#: Words of all pages but the notes, and of the README: what a user may be asked to read.
MAX_WORDS, MAX_README_WORDS = 11_000, 700
#: Of prose, which is read: five minutes at 240 words a minute. Code and tables are looked up.
MAX_PAGE_WORDS = 1_200
#: What a reader sees of a line before an editor or a terminal wraps it.
MAX_LINE = 100
#: Options of other programs that pages name.
FOREIGN = {
    *("--benchmark-enable", "--cflags", "--index-url", "--install", "--libs"),
    *("--size", "--tables", "--real", "--atlas", "--patients"),  # scripts in bench and docs/notes
    *("--sample", "--tests"),  # tests/mutate.py
}

PARSERS = {"nigroedge": nigroedge.cli.parser(), "python -m export": export.__main__.parser()}


def named(path):
    return path.relative_to(ROOT).as_posix()


def every_page(test):
    return pytest.mark.parametrize("path", [*FRONT, *PAGES, *NOTES], ids=named)(test)


# ------------------------------------------------------------------------------------------- text


@every_page
def test_prose_is_wrapped(path):
    lines = prose(path.read_text()).splitlines()
    long = [n for n, line in enumerate(lines, 1) if len(line) > MAX_LINE]

    # A row of a table and the words under a picture cannot be wrapped.
    assert [] == [n for n in long if not lines[n - 1].startswith(("|", "!["))]


@pytest.mark.parametrize("path", [*PAGES, *NOTES], ids=named)
def test_a_page_opens_with_what_it_is_for(path):
    title, paragraph, *_ = re.split(r"\n{2,}", path.read_text())

    assert re.fullmatch(r"# \S.*", title)
    assert not paragraph.startswith(("#", "|", "* ", "```", "!", "- "))
    assert paragraph.endswith((".", "**", ":"))


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_a_page_for_users_begins_with_a_command(path):
    opening = path.read_text().partition("\n## ")[0]

    assert "sh" == next(iter(code_blocks(opening)), (None,))[0]


def test_the_pages_for_users_are_short():
    assert sum(len(path.read_text().split()) for path in PAGES) <= MAX_WORDS
    assert len((ROOT / "README.md").read_text().split()) < MAX_README_WORDS


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_a_page_for_users_is_read_in_minutes(path):
    lines = prose(path.read_text()).splitlines()
    read = [line for line in lines if not line.startswith("|")]

    assert len(" ".join(read).split()) <= MAX_PAGE_WORDS


@every_page
def test_the_hash_of_the_bundled_model_is_its_own(path):
    said = set(re.findall(r"reference, sha256 ([0-9a-f]+)", path.read_text()))

    assert said <= {hashlib.sha256(Path(REFERENCE).read_bytes()).hexdigest()}


# ------------------------------------------------------------------------------------------ links


def anchors(path):
    """Give the anchors of a page's headings, as GitHub and the generator make them."""
    headings = re.findall(r"^#+ (.*)$", prose(path.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", text).strip().lower().replace(" ", "-") for text in headings}


@every_page
def test_links_and_their_anchors_lead_somewhere(path):
    for match in LINK.finditer(prose(path.read_text())):
        target = (path.parent / match["target"]).resolve() if match["target"] else path
        assert target.is_file(), match[0]
        if match["anchor"]:
            assert match["anchor"][1:] in anchors(target), match[0]


def test_the_menu_reaches_every_page(tmp_path):
    menu = tomllib.loads((DOCS / "site/site.toml").read_text())["menu"]
    listed = [page for section in menu for page in section.get("pages", ())]

    assert sorted(listed) == sorted(path.relative_to(DOCS).as_posix() for path in page_paths())


def test_a_page_that_no_menu_has_is_found(tmp_path):
    menu, unlisted = stage(tmp_path / "pages", [{"title": "All", "pages": ["start.md"]}])

    assert [{"All": ["start.md"]}] == menu
    assert "predict.md" in unlisted
    assert "start.md" not in unlisted


SOURCES = [
    path
    for folder in ("nigroedge", "export", "csrc", "bench", "tests", "examples")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".pyi", ".h", ".cpp", ".inc", ".c", ".cs", ".txt"}
]


def test_what_sources_name_of_the_pages_is_there():
    named_pages = {
        (path, name)
        for path in SOURCES
        for name in re.findall(r"\bdocs/[\w/-]+\.(?:md|py|png|svg|json|toml)", path.read_text())
    }

    assert len(named_pages) > 10
    assert [] == [
        f"{named(path)}: {name}" for path, name in named_pages if not (ROOT / name).is_file()
    ]


# --------------------------------------------------------------------------------------- commands


def typed_commands(path):
    """Give the words of each command of ours in the code of a page."""
    for language, code in code_blocks(path.read_text()):
        if language not in {"sh", "text"}:
            continue
        for line in code.replace("\\\n", " ").splitlines():
            for program in PARSERS:
                if line.startswith(f"{program} "):
                    words = shlex.split(line.partition(" # ")[0].removeprefix(program))
                    yield program, words


@every_page
def test_commands_are_those_of_the_parsers(path):
    for program, words in typed_commands(path):
        if words[1:] == ["--help"]:
            with pytest.raises(SystemExit, match=r"^0$"):
                PARSERS[program].parse_args(words)
            continue
        options = PARSERS[program].parse_args(nigroedge.cli._joined(words))  # or exits with code 2
        assert options.run


#: Files of ours that a command reads, and the options behind which it writes.
FILE = re.compile(r"[\w./-]+\.(?:nii(?:\.gz)?|csv|tsv|onnx)")
WRITES = {"-o", "--out"}


def unknown_files(text):
    """Give what the `sh` blocks read that neither the repository has nor a line before wrote."""
    written, unknown = ["patient.nii.gz"], []  # which README.md and docs/start.md make
    for language, code in code_blocks(text):
        lines = code.replace("\\\n", " ").splitlines() if language == "sh" else ()
        for line in lines:
            if not line.startswith(tuple(PARSERS)):
                continue
            words = shlex.split(line.partition(" # ")[0])
            pairs = list(zip(["", *words], words, strict=False))
            for before, word in pairs:
                made = any(word == name or word.startswith(f"{name}/") for name in written)
                if before not in WRITES and FILE.fullmatch(word) and not made:
                    unknown += [] if (ROOT / word).is_file() else [word]
            written += [word for before, word in pairs if before in WRITES]
    return unknown


@pytest.mark.parametrize("path", [*FRONT, *PAGES], ids=named)
def test_what_is_typed_reads_files_that_are_there(path):
    assert [] == unknown_files(path.read_text())


def test_a_file_that_no_line_before_wrote_is_found():
    text = "```sh\nnigroedge info a/b.onnx\npython -m export train -o a\nnigroedge info a/b.onnx\n"

    assert ["a/b.onnx"] == unknown_files(f"{text}```\n")


def known_options():
    parsers = [command for top in PARSERS.values() for command in subcommands(top).values()]
    return {option for each in (*parsers, *PARSERS.values()) for option in options_of(each)}


def options_of(parser):
    return [option for action in parser._actions for option in action.option_strings]


@every_page
def test_options_in_the_text_are_known(path):
    spoken = " ".join(re.findall(r"`([^`\n]+)`", prose(path.read_text())))
    options = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", spoken))

    assert options - FOREIGN <= known_options()


def test_each_command_has_a_page_with_all_its_options():
    pages = command_pages()

    for name, top in (("nigroedge", PARSERS["nigroedge"]), ("export", PARSERS["python -m export"])):
        for word, command in subcommands(top).items():
            text = pages[f"{name}-{word}"]
            assert f"({name}-{word}.md)" in pages[name]
            for action in command._actions:
                said = ", ".join(action.option_strings) or action.metavar or action.dest
                assert f"| `{said}" in text


# ----------------------------------------------------------------------------------- what is typed


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the repository as it is after `pip install .` in a clone."""
    clone = tmp_path_factory.mktemp("a b ü") / "nigroedge"
    listed = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    names = subprocess.check_output(listed, cwd=ROOT, text=True).splitlines()
    built = [*(ROOT / "nigroedge").glob("_core*.so")]
    for folder in ("include", "lib"):
        built += [path for path in (ROOT / "nigroedge" / folder).rglob("*") if path.is_file()]
    for path in (*(ROOT / name for name in names), *built):
        if path.is_file():
            (clone / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, clone / path.relative_to(ROOT))
    return clone


@pytest.fixture(scope="module")
def shell(clone):
    """Types a script in the clone; compilers do not optimise, which changes no bit of an answer."""
    tools = clone.parent / "tools"
    tools.mkdir()
    for compiler in ("cc", "c++"):
        real = shutil.which(compiler)
        (tools / compiler).write_text(f'#!/bin/sh\nexec {real} "$@" -O0\n')
        (tools / compiler).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join(
            [str(tools), os.path.dirname(sys.executable), os.environ["PATH"]]  # noqa: PTH120
        ),
        "PYTHONPATH": str(clone),
        "CMAKE_BUILD_TYPE": "Debug",
        "CMAKE_BUILD_PARALLEL_LEVEL": "2",
    }

    def typed(script, program=("sh", "-ec")):
        command = [*program, script]
        done = subprocess.run(
            command, cwd=clone, env=environment, capture_output=True, text=True, check=False
        )
        assert 0 == done.returncode, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return typed


def blocks(name, language="sh"):
    return [code for kind, code in code_blocks((DOCS / name).read_text()) if kind == language]


#: What the examples print of the simulated patient's left side, and what `nigroedge demo` says.
LEFT = "left 4.7708168 1\n"


def embedding(needing, without=()):
    """Give one script of the first block of docs/embedding.md and of those that need a program."""
    first, *others = blocks("embedding.md")
    chosen = [block for block in others if re.search(needing, block)]
    assert chosen
    chosen = [block for block in chosen if not any(re.search(word, block) for word in without)]
    return "\n".join(["rm -f scan.nii", first, *chosen])


def test_the_commands_about_embedding_work_as_typed(shell, clone):
    script = embedding(r"python -c|cmake|c\+\+", without=(r"\bmono\b", "pkg-config"))
    # In the folder where such a build is made already.
    script = script.replace("-S csrc -B", f"-S '{ROOT}/csrc' -B")
    printed = shell(re.sub(r"\bbuild/c\b", f"'{cpp_build()}'", script))

    assert 3 == printed.count(LEFT)  # from the wheel, of one compiler command, by CMake
    assert declared() == exported(clone / "libnigroedge.so.0")


def test_the_commands_about_pkg_config_work_as_typed(shell):
    if shutil.which("pkg-config") is None:
        pytest.skip("pkg-config is not installed")

    assert 2 == shell(embedding("pkg-config")).count(LEFT)


def test_the_commands_about_csharp_work_as_typed(shell):
    if shutil.which("mcs") is None or shutil.which("mono") is None:
        pytest.skip("no C# compiler and runtime: apt-get install mono-mcs mono-runtime")

    assert "left 4.77" in shell(embedding(r"\bmono\b")).splitlines()[-1]


def test_no_command_about_embedding_is_left_out():
    tested = (r"python -c|cmake|c\+\+", "pkg-config", r"\bmono\b")
    _, *others = blocks("embedding.md")

    assert all(any(re.search(pattern, block) for pattern in tested) for block in others)


def test_the_first_pages_work_as_typed(shell):
    for script in blocks("start.md"):  # tests/test_readme.py types the rest
        shell(re.sub(r"^(make|nigroedge verify).*$", "", script, flags=re.M))
    shell(blocks("predict.md")[0])
    for script in blocks("predict.md", "python"):
        shell(script, (sys.executable, "-c"))
