# SPDX-License-Identifier: Apache-2.0
"""Make the site: stage every page, run the generator strictly, check what it wrote."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

from docs.site.check import problems_of
from docs.site.stage import ROOT, stage

HERE = Path(__file__).parent
#: What lies in the folder that is made.
PAGES, CONFIG, SITE = "pages", "mkdocs.yml", "site"


def main() -> int:
    """Make the site; give the exit code."""
    options = _options()
    folder: Path = options.folder
    shutil.rmtree(folder, ignore_errors=True)
    config: dict[str, Any] = tomllib.loads((HERE / "site.toml").read_text())
    menu, unlisted = stage(folder / PAGES, config.pop("menu"))
    # JSON is YAML: the generator's own format, without a library to write it.
    settings = {**config, "nav": menu, "docs_dir": PAGES, "site_dir": SITE}
    settings["plugins"]["mkdocstrings"]["handlers"]["python"]["paths"] = [str(ROOT)]
    (folder / CONFIG).write_text(json.dumps(settings, indent=1))
    generator = Path(sysconfig.get_path("scripts")) / "zensical"
    build = [generator, "build", "--clean", "--strict", "--config-file", CONFIG]
    made = subprocess.run(build, cwd=folder, check=False)
    problems = [f"no menu reaches {name}: docs/site/site.toml" for name in unlisted]
    if made.returncode == 0:
        (folder / SITE / "404.html").unlink()  # its links are a server's, and a folder has none
        problems += problems_of(folder / SITE)
    for problem in problems:
        print(problem, file=sys.stderr)
    if made.returncode or problems:
        return 1
    print(folder / SITE / "index.html")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m docs.site", description="Make the site.")
    parser.add_argument("folder", type=Path, help="made anew; the site is FOLDER/site")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
