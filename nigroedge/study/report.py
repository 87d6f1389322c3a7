# SPDX-License-Identifier: Apache-2.0
"""One HTML file that shows an evaluation: opens offline, prints, and fits a phone.

Nothing is loaded from anywhere: figures are SVG inside the file. Participants appear as lines of
the table, never by their identifiers, so that a report may be passed on. Whatever came from outside
(names of models and of the table) is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from nigroedge.result import NOTICE
from nigroedge.study.contingency import SPECT, Contingency
from nigroedge.study.evaluation import Evaluation, Performance, UnitResult
from nigroedge.study.figure import figures
from nigroedge.study.groups import READINGS, ByReading
from nigroedge.study.page import (
    between,
    figure,
    group,
    listing,
    number,
    page,
    shown,
    signed,
    table,
    test,
    with_interval,
)
from nigroedge.study.unit import UNITS, UnitName

#: Rows of the list of largest residuals.
_LARGEST = 10

_METHODS = """
<dl>
<dt>What counts as one value</dt>
<dd>By participant: the mean SBR of the sides that the table has of the participant, measured and
predicted alike; read as lost if a side is lost, SPECT abnormal if a side is. Left and right sides
are given alone as well. Where all sides count, the two of one person are correlated: intervals
come from drawing participants, and tests that need independent values are left out.</dd>
<dt>ρc</dt>
<dd>Lin's concordance correlation coefficient with 1/n moments (Lin 1989, Biometrics 45:255).
Intervals (95 %): Fisher, tanh(atanh ρc ± 1.96/√(n − 3)) with n participants, as in Bae 2023; Lin,
his asymptotic variance as corrected in 2000 (Biometrics 56:324), on the scale of atanh ρc; BCa,
bootstrap by participant. RMSE and ρc trade off: shrinking predictions to the mean lowers both. ρc
is primary.</dd>
<dt>Oracle</dt>
<dd>Of a simulated cohort: the mean SBR given the hidden state. No prediction from an image has a
lower RMSE in the long run; one that is stretched away from the mean may have a higher ρc.</dd>
<dt>Errors</dt>
<dd>MAE ± population SD of the absolute error, so that MAE² + SD² = RMSE². Interval of the MAE:
normal, with the sample SD; of the RMSE: the roots of the same interval about the mean squared
error; beside each the BCa bootstrap by participant. Normalised: over the range of the measured
SBR.</dd>
<dt>Bland–Altman</dt>
<dd>Bias and bias ± 1.96 sample SD of predicted − measured; shaded: 95 % t intervals.</dd>
<dt>Tests</dt>
<dd>Between readings: Welch's t-test if Shapiro–Wilk finds neither group at odds with a normal
distribution (p ≥ 0.05), else Mann–Whitney U. Pair by pair: the absolute errors of each
participant, by the paired t-test if Shapiro–Wilk finds their differences not at odds with a
normal distribution, else Wilcoxon's signed ranks; and BCa intervals, by participant, of the
differences of ρc, MAE and RMSE. MRI against SPECT: Pearson's chi-square without continuity
correction, or Fisher's exact test where an expected count is below 5. All tests are two-sided;
none is corrected for there being several.</dd>
</dl>
"""


def report_html(evaluation: Evaluation, provenance: Mapping[str, Any]) -> str:
    """Write the report.

    Parameters
    ----------
    evaluation : Evaluation
    provenance : dict
        What was read and run, as in results.json: 'table', 'split', 'models', 'version'.

    Raises
    ------
    MissingDependencyError
        Without matplotlib.
    """
    drawn = figures(evaluation)
    parts = [
        _head(evaluation, provenance),
        _main_table(evaluation),
        _figures(evaluation, drawn),
        _tables(evaluation),
        _comparisons(evaluation),
        _by_side(evaluation),
        _rho_c_intervals(evaluation),
        _largest(evaluation),
        f"<h2>How it was computed</h2>{_METHODS}",
        _provenance(provenance),
    ]
    return page("Predicted against measured SBR", parts)


# ----------------------------------------------------------------------------------------- sections


def _head(evaluation: Evaluation, provenance: Mapping[str, Any]) -> str:
    participants = evaluation.results["participant"].n
    whose = {"test": "of the test split", "all": "of the whole table"}[provenance["split"]]
    lines = [
        "<h1>Predicted against measured SBR</h1>",
        f'<p class="notice"><strong>{escape(NOTICE)}</strong></p>',
    ]
    lines += [f'<p class="notice">{escape(note)}</p>' for note in provenance["notes"]]
    models = listing([f"<em>{shown(name)}</em>" for name in evaluation.models])
    counted = f"{participants} participant{'s' if participants != 1 else ''}"
    lines.append(
        f"<p>Striatal dopamine-transporter binding ratio (SBR) of {counted} "
        f"({len(evaluation.rows)} sides) {whose}, predicted by {models}, against SPECT. By "
        f"participant means the mean of the participant's sides.</p>"
    )
    return "\n".join(lines)


def _main_table(evaluation: Evaluation) -> str:
    result = evaluation.results["participant"]
    lines = [
        "<h2>Agreement with measured SBR, by participant</h2>",
        _performance_table(evaluation, "participant"),
        _ceiling_text(result),
        "<p>Baselines, without which no score means anything:</p><ul>",
    ]
    lines += [
        f"<li><strong>{name}</strong>: {escape(source)}</li>"
        for name, source in evaluation.baseline_sources.items()
    ]
    return "\n".join([*lines, "</ul>", _bias_table(evaluation)])


def _bias_table(evaluation: Evaluation) -> str:
    heading = ["prediction", "bias", "lower limit", "upper limit", "slope", "intercept"]
    rows = []
    for name, found in evaluation.results["participant"].performance.items():
        limits = found.agreement
        estimates = (limits.bias, limits.lower, limits.upper)
        cells = [with_interval(each, "t", 2) for each in estimates] + _line(found)
        cells = [cell.replace(" <span", "<br><span") for cell in cells]
        rows.append((_kind(evaluation, name), [_called(evaluation, name), *cells]))
    caption = (
        "Bias and limits of agreement (predicted − measured, bias ± 1.96 SD), and the line "
        "measured = intercept + slope · predicted, with 95 % t intervals."
    )
    return table(caption, heading, rows)


def _called(evaluation: Evaluation, name: str) -> str:
    return shown(name) if name in evaluation.models else f"baseline: {name}"


def _kind(evaluation: Evaluation, name: str) -> str:
    """Give the class of a row: models stand out, and a line divides them from the baselines."""
    if name in evaluation.models:
        return "model"
    return "first-baseline" if name == next(iter(evaluation.baselines)) else ""


def _ceiling_text(result: UnitResult) -> str:
    said = []
    for name, one in result.ceiling.items():
        of_rho_c, of_way = (
            f"{number(share.value, 1)} % (95 %: {between(share.intervals['bca'], 1)})"
            for share in (one.rho_c, one.rmse)
        )
        way = (
            f"the RMSE lies {of_way} of the way from the binary reading's down to the oracle's"
            if one.rmse.value > 0
            else "the RMSE is no better than the binary reading's"
        )
        said.append(
            f"<p><em>{shown(name)}</em>: ρc is {of_rho_c} of the oracle's, whose RMSE no image can "
            f"better; {way}.</p>"
        )
    return "".join(said)


def _performance_table(evaluation: Evaluation, unit: UnitName) -> str:
    result = evaluation.results[unit]
    heading = ["prediction", "ρc (95 %)", "MAE ± SD", "median", "RMSE (95 %)", "MAE / range, %"]
    rows = [
        (_kind(evaluation, name), [_called(evaluation, name), *_scores(found)])
        for name, found in result.performance.items()
    ]
    independent = result.n == result.participants
    caption = (
        f"{UNITS[unit].capitalize()}: {result.n} values of {result.participants} participants. "
        f"Intervals: {'ρc Fisher, RMSE normal' if independent else 'BCa by participant'}."
    )
    return table(caption, heading, rows)


def _scores(found: Performance) -> list[str]:
    errors = found.residuals
    independent = errors.rmse.intervals["normal"] is not None
    return [
        with_interval(found.rho_c, "fisher" if independent else "bca", 3),
        f"{number(errors.mae.value, 3)} ± {number(errors.sd, 3)}",
        number(errors.median, 3),
        with_interval(errors.rmse, "normal" if independent else "bca", 3),
        f"{number(errors.normalised_mean, 1)} ± {number(errors.normalised_sd, 1)}",
    ]


def _figures(evaluation: Evaluation, drawn: Mapping[str, str]) -> str:
    lines = [
        "<h2>Figures</h2>",
        figure(
            drawn["sorted"],
            "Measured SBR in ascending order, and the prediction for each participant.",
            "Measured SBR of each participant in ascending order (line) and what was predicted "
            "(dots), as figure 2 of Bae 2023.",
        ),
    ]
    captions = {
        "agreement": "Bland–Altman: the difference against the mean of both.",
        "residual": "Residuals against the measured SBR. A slope down means predictions drawn to "
        "the mean.",
        "calibration": "Calibration: measured against predicted SBR, identity (dotted) and "
        "least-squares line.",
        "within": "Share of participants within an error of so much SBR, beside the baselines.",
    }
    for name in evaluation.models:
        lines += [f"<h3>{shown(name)}</h3>", '<div class="grid">']
        lines += [
            figure(drawn[f"{kind}: {name}"], f"{caption} {name}", caption)
            for kind, caption in captions.items()
        ]
        lines.append("</div>")
    return "\n".join(lines)


def _tables(evaluation: Evaluation) -> str:
    lines = ["<h2>MRI reading against SPECT reading (Table 1)</h2>"]
    if not evaluation.table_1:
        lines.append("<p>None: the table has no row with both readings.</p>")
    else:
        lines.append(
            "<p>Of all rows of the table that have both readings, whatever their split.</p>"
        )
        lines.append(_table_1(evaluation.table_1))
    lines.append("<h2>SBR by reading (Table 2)</h2>")
    if not any(row.reading for row in evaluation.rows):
        lines.append("<p>None: no evaluated row has a reading.</p>")
        return "\n".join(lines)
    lines += [
        _table_2(UNITS[name], result.by_reading)
        for name, result in evaluation.results.items()
        if name != "side"
    ]
    return "\n".join(lines)


def _table_1(tables: Mapping[UnitName, Contingency]) -> str:
    heading = ["", *(f"{reading}, {spect}" for reading in READINGS for spect in SPECT)]
    heading += ["concordance, % (95 %)", "test"]
    rows = [
        (
            "",
            [
                UNITS[name],
                *(str(count) for row in found.counts for count in row),
                with_interval(found.concordance, "wilson", 1),
                test(found.test),
            ],
        )
        for name, found in tables.items()
    ]
    caption = "Nigral hyperintensity (intact, lost) and SPECT (normal, abnormal): counts."
    return table(caption, heading, rows, texts=1)


def _table_2(unit: str, by_reading: Mapping[str, ByReading]) -> str:
    heading = ["SBR", "intact: mean ± SD (n)", "lost: mean ± SD (n)", "test"]
    rows = [
        ("", [shown(name), group(found.intact), group(found.lost), test(found.test)])
        for name, found in by_reading.items()
    ]
    return table(f"{unit.capitalize()}. Sample SD.", heading, rows, texts=1)


def _comparisons(evaluation: Evaluation) -> str:
    if not evaluation.results["participant"].comparisons:
        return ""
    lines = [
        "<h2>Compared pair by pair</h2>",
        "<p>First less second, with BCa intervals by participant. A negative difference of MAE or "
        "RMSE and a positive one of ρc speak for the first.</p>",
    ]
    heading = ["", "Δ MAE", "Δ RMSE", "Δ ρc", "test of the absolute errors"]
    rows = []
    for name, result in evaluation.results.items():
        for pair, found in result.comparisons.items():
            cells = (with_interval(e, "bca", 3) for e in (found.mae, found.rmse, found.rho_c))
            rows.append(
                (
                    "",
                    [
                        f"{shown(pair)}, {UNITS[name]}",
                        *(cell.replace(" <span", "<br><span") for cell in cells),
                        test(found.test),
                    ],
                )
            )
    participants = evaluation.results["participant"].participants
    lines.append(table(f"{participants} participants.", heading, rows, texts=1))
    return "\n".join(lines)


def _by_side(evaluation: Evaluation) -> str:
    tables = [
        _performance_table(evaluation, name) for name in evaluation.results if name != "participant"
    ]
    return "\n".join(["<h2>Agreement by side</h2>", *tables])


def _rho_c_intervals(evaluation: Evaluation) -> str:
    heading = ["", "n", "ρc", "Fisher", "Lin", "BCa", "r", "C<sub>b</sub>"]
    rows = [
        (
            "",
            [
                f"{shown(name)}, {UNITS[unit]}",
                str(result.n),
                number(found.rho_c.value, 4),
                *(between(found.rho_c.intervals[kind], 4) for kind in ("fisher", "lin", "bca")),
                number(found.pearson_r, 4),
                number(found.accuracy, 4),
            ],
        )
        for unit, result in evaluation.results.items()
        for name, found in result.performance.items()
        if name in evaluation.models
    ]
    caption = (
        "ρc = r · C<sub>b</sub>: precision times accuracy. 95 % intervals; – where a method has "
        "none."
    )
    return "<h2>The three intervals of ρc</h2>" + table(caption, heading, rows)


def _line(found: Performance) -> list[str]:
    if found.calibration is None:
        return ["–", "–"]
    return [
        with_interval(each, "t", 2)
        for each in (found.calibration.slope, found.calibration.intercept)
    ]


def _largest(evaluation: Evaluation) -> str:
    name = next(iter(evaluation.models))
    predicted = evaluation.models[name]
    measured = np.array([row.sbr for row in evaluation.rows], np.float64)
    order = np.argsort(-np.abs(predicted - measured), kind="stable")[:_LARGEST]
    rows = [
        (
            "",
            [
                str(evaluation.rows[i].line),
                evaluation.rows[i].side,
                evaluation.rows[i].reading or "–",
                number(measured[i], 2),
                number(predicted[i], 2),
                signed(predicted[i] - measured[i]),
            ],
        )
        for i in order
    ]
    heading = ["line of the table", "side", "reading", "measured", "predicted", "residual"]
    caption = f"{shown(name)}: look at these images first. All rows are in predictions.csv."
    return "<h2>Largest residuals</h2>" + table(caption, heading, rows)


def _provenance(provenance: Mapping[str, Any]) -> str:
    source = provenance["table"]
    lines = [
        "<h2>What was read and run</h2><ul>",
        f"<li>nigroedge {escape(provenance['version'])}</li>",
        f"<li>table <code>{shown(source['name'])}</code>, "
        f"sha256 <code>{source['sha256']}</code></li>",
    ]
    for model in provenance["models"]:
        used = ", ".join(
            f"{shown(f['card'])} sha256 <code>{f['sha256']}</code> on {f['engine']} ({f['isa']}, "
            f"{f['threads']} threads)"
            for f in model["files"]
        )
        lines.append(f"<li>{shown(model['name'])}: {used or 'predictions of the table'}</li>")
    return "\n".join([*lines, "</ul>"])
