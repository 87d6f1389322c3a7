# SPDX-License-Identifier: Apache-2.0
"""The site: it is built of a fresh tree, opens from a folder, and what is broken in it is found."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.site.check import problems_of
from docs.site.commands import command_pages
from docs.site.markdown import code_blocks, outside_code, prose
from docs.site.stage import PACKAGES, page_paths, stage
from tests.conftest import ROOT

GOOD = """<html><head><link rel="stylesheet" href="look.css"></head><body>
<a href="other.html#there">in another page</a> <a href="#here">in this one</a>
<a href="https://doi.org/10.1007/s00234-023-03168-z">followed, not loaded</a>
<h2 id="here">Here</h2><img src="p%20q.png"></body></html>"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "index.html").write_text(GOOD)
    (tmp_path / "other.html").write_text('<h2 id="there">There</h2>')
    (tmp_path / "look.css").write_text("a { background: url(data:image/png;base64,) }")
    (tmp_path / "p q.png").write_bytes(b"")
    return tmp_path


def test_a_whole_site_has_no_problems(site):
    assert [] == problems_of(site)


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("index.html", "other.html#", "gone.html#", "no file behind the link gone.html#there"),
        ("index.html", "#there", "#gone", "no anchor behind the link other.html#gone"),
        ("index.html", "#here", "#gone", "no anchor behind the link #gone"),
        ("index.html", "p%20q", "q", "no file behind the link q.png"),
        ("index.html", 'href="look', 'href="//a.example/look', "loads //a.example/look.css"),
        ("index.html", "p%20q", "https://a.example/p", "loads https://a.example/p.png"),
        ("look.css", "data:image/png;base64,", "http://a.example/f", "loads http://a.example/f"),
    ],
)
def test_what_is_broken_is_named(site, name, old, new, problem):
    path = site / name
    path.write_text(path.read_text().replace(old, new))

    (found,) = problems_of(site)
    assert found.startswith(name)
    assert found.endswith(problem)


def test_links_to_files_of_the_repository_lead_to_pages_that_show_them(tmp_path):
    menu, _ = stage(tmp_path / "pages", [{"title": "Files", "made": "files"}])

    (files,) = menu
    assert "files/csrc-include-nigroedge.h.md" in files["Files"]
    shown = (tmp_path / "pages/files/csrc-include-nigroedge.h.md").read_text()
    assert (ROOT / "csrc/include/nigroedge.h").read_text() in shown
    page = (tmp_path / "pages/embedding.md").read_text()
    assert "](files/csrc-include-nigroedge.h.md)" in page
    assert "](../" not in page


PIECES = st.sampled_from(
    ["words `--option` here", "```sh\nls --all\n```", "````c\n```\n````", "# Title"]
)


@given(st.lists(PIECES, max_size=8))
def test_code_is_told_from_prose(pieces):
    text = "\n\n".join(pieces) + "\n"

    assert text == outside_code(text, lambda part: part)
    assert text.count("\n") == prose(text).count("\n")
    assert "--all" not in prose(text)
    assert text.count("--option") == prose(text).count("--option")
    languages = [language for language, _ in code_blocks(text)]
    assert [piece.strip("`").split("\n")[0] for piece in pieces if piece[0] == "`"] == languages
    assert text.replace("words", "texts") == outside_code(
        text, lambda part: part.replace("words", "texts").replace("ls", "rm")
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Folder of the site, as `make docs` builds it."""
    pytest.importorskip("zensical", reason="not installed: pip install nigroedge[docs]")
    folder = tmp_path_factory.mktemp("docs") / "built"
    made = subprocess.run(
        [sys.executable, "-m", "docs.site", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return folder / "site"


def test_the_site_has_every_page(built):
    for path in page_paths():
        assert (built / path.relative_to(ROOT / "docs").with_suffix(".html")).is_file()
    for name in command_pages():
        assert (built / "commands" / f"{name}.html").is_file()
    for name in PACKAGES:
        assert (built / "api" / f"{name}.html").is_file()


def test_pages_of_python_come_from_the_docstrings(built):
    page = (built / "api/nigroedge.html").read_text()

    for name in ("load_model", "load_volume", "Model.predict", "Volume", "Result.to_dict"):
        assert re.search(rf'id="nigroedge\.{re.escape(name)}"', page), name
    assert "Nigrosome-1 centroid of the patient" in page


def test_the_site_searches_without_a_network(built):
    page = (built / "index.html").read_text()

    assert (built / "search.js").is_file()
    assert 'src="./assets/iframe-worker.js"' in page
    assert not re.search(r'<script[^>]+src="(?!\./)', page)
