# SPDX-License-Identifier: Apache-2.0
"""The pieces that the HTML report is made of: page, tables, figures, numbers. All are HTML text."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from html import escape

from nigroedge.study.groups import Group, Test, p_text
from nigroedge.study.interval import Estimate, Interval

STYLE = """
:root { color-scheme: light; }
body { max-width: 62rem; margin: 0 auto; padding: 1rem 1rem 3rem; color: #1a1a1a; background: #fff;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .5rem; padding-bottom: .2rem;
  border-bottom: 1px solid #ccc; }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .3rem; }
p, ul, dl { max-width: 46rem; }
.notice { border-left: 5px solid #D55E00; background: #fdf3ec; padding: .5rem .8rem;
  margin: .6rem 0; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
p.caption { font-size: .92rem; color: #444; margin: 1rem 0 .2rem; }
th, td { padding: .28rem .9rem .28rem 0; text-align: right; white-space: nowrap;
  vertical-align: top; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
td.text { white-space: normal; min-width: 15rem; }
td:first-child { overflow-wrap: anywhere; white-space: normal; min-width: 8rem; }
thead th { white-space: normal; border-bottom: 2px solid #333; font-weight: 600;
  vertical-align: bottom; }
tbody td { border-bottom: 1px solid #ddd; }
tr.model td { font-weight: 600; }
tr.first-baseline td { border-top: 2px solid #999; }
.interval { font-weight: 400; color: #444; }
figure { margin: .8rem 0; break-inside: avoid; }
figure img { max-width: 100%; height: auto; display: block; }
figcaption { font-size: .9rem; color: #444; max-width: 46rem; }
.grid { display: grid; gap: 1rem 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); }
code { overflow-wrap: anywhere; }
dt { font-weight: 600; margin-top: .5rem; }
dd { margin-left: 1rem; }
@media print {
  body { font-size: 10.5pt; max-width: none; padding: 0; }
  h2, h3, p.caption { break-after: avoid; }
  .scroll { overflow: visible; }
  table { font-size: 8.5pt; break-inside: avoid; }
  th, td { padding-right: .5rem; }
  .grid { grid-template-columns: 1fr 1fr; }
}
"""

#: Should anything slip through: the page may load nothing and run nothing.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, parts: Iterable[str]) -> str:
    """Give a whole page that needs no other file."""
    return "\n".join(
        (
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            *parts,
            "</body>",
            "</html>",
            "",
        )
    )


def table(
    caption: str,
    heading: Sequence[str],
    rows: Iterable[tuple[str, Sequence[str]]],
    *,
    texts: int = 0,
) -> str:
    """Lay out caption and cells that are HTML already; the last `texts` columns hold sentences."""
    first_text = len(heading) - texts
    head = "".join(
        f'<th scope="col"{_is_text(i >= first_text)}>{cell}</th>' for i, cell in enumerate(heading)
    )
    body = "\n".join(
        f"<tr{_class(kind)}>"
        + "".join(f"<td{_is_text(i >= first_text)}>{cell}</td>" for i, cell in enumerate(cells))
        + "</tr>"
        for kind, cells in rows
    )
    return (
        f'<p class="caption">{caption}</p>\n<div class="scroll"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _is_text(yes: bool) -> str:
    return _class("text" if yes else "")


def figure(svg: str, alternative: str, caption: str) -> str:
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<figure><img alt="{shown(alternative)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def shown(text: str) -> str:
    """Escape what came from outside, and show what would hide or turn the text round."""
    return escape("".join(c if c.isprintable() else "\ufffd" for c in text))


def listing(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def number(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:z.{digits}f}".replace("-", "−")  # z: no minus before a zero


def signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−") if math.isfinite(value) else "–"


def between(found: Interval | None, digits: int) -> str:
    if found is None:
        return "–"
    return f"{number(found.low, digits)} to {number(found.high, digits)}"


def with_interval(estimate: Estimate, kind: str, digits: int) -> str:
    found = estimate.intervals.get(kind)
    value = number(estimate.value, digits)
    if found is None:
        return value
    return f'{value} <span class="interval">({between(found, digits)})</span>'


def group(found: Group) -> str:
    return f"{number(found.mean, 2)} ± {number(found.sd, 2)} ({found.n})"


def test(found: Test) -> str:
    if found.name is None:
        return f"none: {escape(found.reason)}"
    statistic = (
        ""
        if found.statistic is None or not math.isfinite(found.statistic)
        else (f", statistic {number(found.statistic, 2)}")
    )
    p = escape(p_text(found.p or 0.0))
    return f"<strong>{p}</strong>, {escape(found.name)}{statistic} ({escape(found.reason)})"
