# SPDX-License-Identifier: Apache-2.0
"""The study's figures as SVG: sorted SBR, as figure 2 of Bae 2023, and four of the errors.

Colours are Okabe and Ito's, which people with any colour vision can tell apart; what matters is
told by shape and line as well. A figure of many points holds its points as a picture.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nigroedge.drawing import blank_figure, load_matplotlib
from nigroedge.study.baseline import NAMES
from nigroedge.study.evaluation import Evaluation, Performance
from nigroedge.study.rho_c import Floats
from nigroedge.study.unit import Unit

BLACK, BLUE, ORANGE, GREEN, GREY = "#000000", "#0072B2", "#D55E00", "#009E73", "#6b6b6b"
#: Of models, in their order.
COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9")
MARKERS = ("o", "D", "s", "v", "P")
#: Reading → marker, filled or not, and what the legend says.
_READINGS = {
    "intact": ("^", True, "read as intact"),
    "lost": ("o", False, "read as lost"),
    None: ("s", False, "not read"),
}
_SAID = "the report's figures need"
#: More points than this are drawn as a picture: an SVG of each would be slow to show.
_MAX_VECTOR_POINTS = 500
#: Text as shapes: the same letters on every machine. A fixed salt: the same bytes every time.
_STYLE = {
    "svg.fonttype": "path",
    "svg.hashsalt": "nigroedge",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "legend.frameon": False,
}


def figures(evaluation: Evaluation) -> dict[str, str]:
    """Draw every figure of an evaluation.

    Returns
    -------
    dict of str → str
        'sorted', then for each model 'agreement: NAME', 'residual: NAME', 'calibration: NAME' and
        'within: NAME' → SVG.

    Raises
    ------
    MissingDependencyError
        Without matplotlib.
    """
    unit = evaluation.units["participant"]
    performance = evaluation.results["participant"].performance
    drawn = {"sorted": _svg(partial(draw_sorted, unit=unit, models=[*evaluation.models]), (7, 4))}
    for i, name in enumerate(evaluation.models):
        said = {"found": performance[name], "colour": COLOURS[i % len(COLOURS)]}
        for kind, draw in _OF_A_MODEL.items():
            drawn[f"{kind}: {name}"] = _svg(
                partial(draw, unit=unit, predicted=unit.predictions[name], **said), (5.4, 4.3)
            )
    return drawn


def draw_sorted(axes: Any, unit: Unit, models: list[str]) -> None:
    """Draw the measured SBR in ascending order, and what was predicted for each."""
    order = np.argsort(unit.measured, kind="stable")
    place = np.arange(1, len(order) + 1)
    size = 22 if len(order) <= 150 else 8
    if models:
        axes.vlines(
            place,
            unit.measured[order],
            unit.predictions[models[0]][order],
            color="0.8",
            linewidth=0.8,
            rasterized=_many(unit),
        )
    for i, name in enumerate(models):
        axes.scatter(
            place,
            unit.predictions[name][order],
            s=size if i == 0 else 1.5 * size,
            marker=MARKERS[i % len(MARKERS)],
            facecolor="none" if i else COLOURS[0],
            edgecolor=COLOURS[i % len(COLOURS)],
            linewidth=0.9,
            label=f"predicted, {_short(name)}",
            rasterized=_many(unit),
        )
    axes.plot(place, unit.measured[order], color=BLACK, linewidth=2, label="measured (SPECT)")
    axes.set_xlabel("participants in the order of measured SBR")
    axes.set_ylabel("SBR")
    axes.legend(loc="upper left")
    axes.margins(x=0.01)


def draw_agreement(
    axes: Any, unit: Unit, predicted: Floats, found: Performance, colour: str
) -> None:
    """Draw the difference against the mean, with bias and limits of agreement."""
    _points(axes, (predicted + unit.measured) / 2, predicted - unit.measured, unit, colour)
    agreement = found.agreement
    for estimate, label, style in (
        (agreement.upper, "+1.96 SD", "--"),
        (agreement.bias, "bias", "-"),
        (agreement.lower, "−1.96 SD", "--"),
    ):
        if not np.isfinite(estimate.value):
            continue
        axes.axhline(estimate.value, color=BLACK, linestyle=style, linewidth=1.2)
        band = estimate.intervals["t"]
        if band is not None:
            axes.axhspan(band.low, band.high, color=GREY, alpha=0.15, linewidth=0)
        axes.annotate(
            f"{label}: {estimate.value:+.2f}".replace("-", "−"),
            (1, estimate.value),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
            fontsize=9,
            bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5},
        )
    axes.set_xlabel("mean of predicted and measured SBR")
    axes.set_ylabel("predicted − measured SBR")
    _legend(axes)


def draw_residual(
    axes: Any, unit: Unit, predicted: Floats, found: Performance, colour: str
) -> None:
    """Draw the residual against the measured SBR: predictions drawn to the mean slope down."""
    residual = predicted - unit.measured
    _points(axes, unit.measured, residual, unit, colour)
    axes.axhline(0, color=BLACK, linewidth=1.2)
    axes.set_xlabel("measured SBR")
    axes.set_ylabel("predicted − measured SBR")
    _legend(axes)


def draw_calibration(
    axes: Any, unit: Unit, predicted: Floats, found: Performance, colour: str
) -> None:
    """Draw the measured against the predicted SBR, with identity and the line of calibration."""
    _points(axes, predicted, unit.measured, unit, colour)
    ends = np.array(
        [
            min(predicted.min(), unit.measured.min()),
            max(predicted.max(), unit.measured.max()),
        ]
    )
    axes.plot(ends, ends, color=GREY, linestyle=":", linewidth=1.5, label="identity")
    if found.calibration is not None:
        slope, intercept = found.calibration.slope.value, found.calibration.intercept.value
        span = np.array([predicted.min(), predicted.max()])
        axes.plot(
            span,
            intercept + slope * span,
            color=BLACK,
            linewidth=1.6,
            label=f"{slope:.2f} × predicted {intercept:+.2f}".replace("-", "−"),
        )
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("predicted SBR")
    axes.set_ylabel("measured SBR")
    _legend(axes)


def draw_within(axes: Any, unit: Unit, predicted: Floats, found: Performance, colour: str) -> None:
    """Draw the share of values whose error is at most so large, for the model and the baselines."""
    baselines = {name: unit.predictions[name] for name in NAMES if name in unit.predictions}
    share = 100 * np.arange(1, len(unit.measured) + 1) / len(unit.measured)
    for i, (name, values) in enumerate({"model": predicted, **baselines}.items()):
        axes.step(
            np.r_[0, np.sort(np.abs(values - unit.measured))],
            np.r_[0, share],
            where="post",
            color=GREY if i else colour,
            linestyle=("-", ":", "--", "-.")[i],
            linewidth=1.3 if i else 2.2,
            label=name,
        )
    axes.set_xlim(left=0)
    axes.set_ylim(0, 102)
    axes.set_xlabel("absolute error, SBR")
    axes.set_ylabel("share of participants, %")
    _legend(axes)


_OF_A_MODEL: dict[str, Callable[..., None]] = {
    "agreement": draw_agreement,
    "residual": draw_residual,
    "calibration": draw_calibration,
    "within": draw_within,
}


def _points(axes: Any, x: Any, y: Any, unit: Unit, colour: str) -> None:
    """Draw the values of a unit, the shape of each telling how it was read."""
    readings = np.array(unit.readings, dtype=object)
    for reading, (marker, filled, label) in _READINGS.items():
        chosen = readings == reading
        if not chosen.any():
            continue
        axes.scatter(
            x[chosen],
            y[chosen],
            s=26,
            marker=marker,
            facecolor=colour if filled else "none",
            edgecolor=colour,
            linewidth=1.1,
            alpha=0.85,
            label=label if any(unit.readings) else None,
            rasterized=_many(unit),
        )


def _legend(axes: Any) -> None:
    """Put the legend above the plot, where it hides no point."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            handles,
            labels,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=2,
            fontsize=9,
            borderaxespad=0.2,
            handletextpad=0.4,
            columnspacing=1.2,
        )


def _many(unit: Unit) -> bool:
    return len(unit.measured) > _MAX_VECTOR_POINTS


def _short(name: str, length: int = 40) -> str:
    """Shorten a name for a legend; a $ in it is no formula."""
    shown = name if len(name) <= length else f"{name[: length - 1]}…"
    shown = "".join(letter if letter.isprintable() else "?" for letter in shown)
    return shown.replace("$", r"\$")


def _svg(draw: Callable[[Any], None], inches: tuple[float, float]) -> str:
    require_matplotlib()
    import matplotlib

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # in a model's name: drawn as a box
        figure = blank_figure(inches, _SAID)
        draw(figure.subplots())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", dpi=200, metadata={"Date": None})
    return buffer.getvalue()


def require_matplotlib(beside: Path | None = None) -> None:
    """Make sure that figures can be drawn; raises as `load_matplotlib` does."""
    load_matplotlib(_SAID, beside=beside)
