# SPDX-License-Identifier: Apache-2.0
"""Results as text for a terminal: ASCII of our own, and what files say made safe to show."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from nigroedge.centroid import BY_POSITION
from nigroedge.names import readable
from nigroedge.result import Result

if TYPE_CHECKING:
    from nigroedge.artefact import Artefact
    from nigroedge.spec import ModelSpec
    from nigroedge.verify import Check

T = TypeVar("T")

_SIDE_WIDTHS = (9, 6, 22, 8)
_CHECK_WIDTHS = (22, 9, 7, 7, 10, 9, 9, 9, 9, 13)
_LABEL_WIDTH = 15


def one_line(text: str) -> str:
    """Escape what would move the cursor, change the colour or hide; spaces stay.

    A byte of a file name that is not UTF-8, which Python shows as a lone surrogate, is escaped too.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def result_text(result: Result) -> str:
    """Show a prediction: a row for each side, then all that is needed to repeat it."""
    lines = [_row(("side", "SBR", "centre, RAS mm", "coverage"), _SIDE_WIDTHS)]
    for name, side in (("left", result.left), ("right", result.right)):
        if side is not None:
            centre = ", ".join(f"{mm:.1f}" for mm in side.centre_mm)
            row = (name, f"{side.sbr:.2f}", centre, f"{100 * side.coverage:.1f} %")
            lines.append(_row(row, _SIDE_WIDTHS))
    lines.append("")
    if BY_POSITION in {side.centroid.source for side in (result.left, result.right) if side}:
        lines.append(_labelled("sides", "by position: the points were not labelled left and right"))
    if result.asymmetry is not None:
        lines.append(_labelled("asymmetry", f"{result.asymmetry:+.3f}, (left - right) / mean"))
    for where, model in _each(result.model):
        lines.append(_labelled("model" + where, f"{model.name}, sha256 {model.sha256}"))
    for where, engine in _each(result.engine):
        threads = f"{engine.threads} thread{'s' if engine.threads > 1 else ''}"
        lines.append(_labelled("engine" + where, f"{engine.name}, {engine.isa}, {threads}"))
    if result.input is not None:
        lines.append(_labelled("input", f"{result.input.path}, sha256 {result.input.sha256}"))
    times = ", ".join(f"{step} {ms:.2f} ms" for step, ms in result.timing_ms.items())
    return "\n".join([*lines, _labelled("time", times), "", result.notice])


def model_text(artefact: Artefact, spec: ModelSpec) -> str:
    """Show what a model file says of itself: what it is, its card, its patches, its graph."""
    card, grid = spec.card, spec.grid
    shape = " x ".join(map(str, grid.shape))
    spacing = " x ".join(f"{mm:g}" for mm in grid.spacing_mm)
    ops = ", ".join(f"{n} {name}" for name, n in sorted(artefact.ops.items()))
    rows = {
        "file": readable(artefact.path),
        "sha256": artefact.sha256,
        "kind": f"{artefact.kind}, {'8-bit integers' if artefact.quantised else 'float32'}",
        "name": f"{card.name} {card.version}",
        "licence": card.licence,
        "intended use": card.intended_use,
        "training data": card.training_data,
        **{f"metric {name}": _plainly(value) for name, value in card.metrics.items()},
        "limits": card.limits,
        "calibration": card.calibration,
        "git revision": card.git_revision,
        "side": spec.side + _mirrored(spec),
        "patch": f"{shape} voxels of {spacing} mm, axes {grid.axes}, normalize {spec.normalize}",
        "self-test": f"{spec.selftest_sbr:.7g} SBR",
        "input": "; ".join(map(str, artefact.inputs)),
        "output": "; ".join(map(str, artefact.outputs)),
        "operators": ops,
        "parameters": str(artefact.n_parameters),
    }
    return "\n".join(_labelled(label, text) for label, text in rows.items())


def _mirrored(spec: ModelSpec) -> str:
    if spec.mirror == "none":
        return ""
    return f", the {spec.mirror} one mirrored, its centroid on voxel {spec.mirror_centre}"


def check_heading() -> str:
    """Give the headings of the rows that check_text gives, and their units."""
    names = ("file", "engine", "isa", "threads", "self-test", "mean", "worst", "1 side", "2 sides")
    units = ("", "", "", "", "SBR", "SBR", "SBR", "ms", "ms", "")
    return "\n".join((_row((*names, ""), _CHECK_WIDTHS), _row(units, _CHECK_WIDTHS)))


def check_text(check: Check) -> str:
    """Show one file on one engine as a row, and below it why it failed or what is missing."""
    differences = (check.selftest_difference, check.mean_difference, check.worst_difference)
    cells = (
        check.file,
        check.engine,
        check.isa or "",
        "" if check.threads is None else str(check.threads),
        *("" if value is None else f"{value:.1e}" for value in differences),
        *("" if ms is None else f"{ms:.2f}" for ms in (check.one_side_ms, check.two_sides_ms)),
        "not installed" if check.status == "not installed" else check.status.upper(),
    )
    row = _row(map(one_line, cells), _CHECK_WIDTHS)
    return f"{row}\n  {one_line(check.reason)}" if check.reason else row


def _row(cells: Iterable[str], widths: Iterable[int]) -> str:
    return " ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()


def _labelled(label: str, text: str) -> str:
    return f"{one_line(label):{_LABEL_WIDTH}} {one_line(text)}"


def _each(used: T | Mapping[str, T]) -> list[tuple[str, T]]:
    """Give what served all sides, or what served each, with the words to tell them apart."""
    if isinstance(used, Mapping):
        return [(f" {side}", one) for side, one in used.items()]
    return [("", used)]


def _plainly(value: object) -> str:
    """Show what a card says as words and numbers; what lies deeper than a list of these, as JSON.

    >>> _plainly({"rmse": 0.79, "rho_c": None, "folds": [1, -0.0]})
    'rmse 0.79, rho_c none, folds [1, -0.0]'
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_word(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_word, value))
    return _word(value)


def _word(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "none"
    return json.dumps(value + 0.0 if value == 0 and isinstance(value, float) else value)
