# SPDX-License-Identifier: Apache-2.0
"""Draw every picture, or those named."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from docs.pictures import echoes, evaluation, hero, offset, points

HERE = Path(__file__).parent
PICTURES = {
    "hero.png": hero.draw,
    "points.png": points.draw,
    "offset.svg": offset.draw,
    "echoes.png": echoes.draw,
    "evaluation.svg": evaluation.draw,
}


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(prog="python -m docs.pictures")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PICTURES)}")
    for name in parser.parse_args().names or PICTURES:
        PICTURES[name](HERE / name)


if __name__ == "__main__":
    main()
