# SPDX-License-Identifier: Apache-2.0
"""Every statistic of a table with predictions: by participant and by side, beside the baselines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from nigroedge.study import baseline
from nigroedge.study.agreement import Agreement, Calibration, agreement, calibration
from nigroedge.study.baseline import Baseline, baselines
from nigroedge.study.bootstrap import (
    RESAMPLES,
    bca_intervals,
    participant_sums,
    performance_of_sums,
)
from nigroedge.study.ceiling import Ceiling, ceiling
from nigroedge.study.comparison import Comparison, compare
from nigroedge.study.contingency import Contingency, contingency, count_readings
from nigroedge.study.groups import ByReading, Test, compare_by_reading
from nigroedge.study.interval import Estimate, Interval
from nigroedge.study.residual import Residuals, residuals
from nigroedge.study.rho_c import Floats, concordance, fisher_interval, lin_interval
from nigroedge.study.table import Row
from nigroedge.study.unit import Unit, UnitName, make_units

SIMULATED = (
    "The cohort is simulated. Scores on simulated data show that the software works; they say "
    "nothing about patients and are not comparable with any published score."
)
#: Why a test is left out where both sides of a participant count.
_CORRELATED = Test(None, "the two sides of a participant are not independent")


@dataclass(frozen=True)
class Performance:
    """How well one prediction agrees with measured SBR.

    Parameters
    ----------
    rho_c : Estimate
        Intervals 'fisher' (n participants), 'lin', and 'bca' by participant. NaN of one
        participant: agreement is about how participants differ.
    pearson_r, accuracy : float
        ρc = r · C_b: precision, and accuracy, 1 if neither scale nor mean is off. NaN for constant
        predictions and of one participant.
    residuals : Residuals
        Intervals 'normal' and 'bca'.
    agreement : Agreement
        Intervals 't' and 'bca'.
    calibration : Calibration or None
        None if the prediction does not vary.
    """

    rho_c: Estimate
    pearson_r: float
    accuracy: float
    residuals: Residuals
    agreement: Agreement
    calibration: Calibration | None


@dataclass(frozen=True)
class UnitResult:
    """All statistics of one unit.

    Parameters
    ----------
    n, participants : int
        Values, and participants they come from. Where they differ, intervals and tests that take
        values for independent are None.
    performance : dict of str → Performance
        Models first, then baselines.
    by_reading : dict of str → ByReading
        'measured', then each model: Table 2.
    comparisons : dict of str → Comparison
        'FIRST - OTHER': the first model against each other one and against the reading, which a
        network must beat to be worth its while.
    ceiling : dict of str → Ceiling
        Of each model; empty without an oracle or a reading.
    """

    n: int
    participants: int
    performance: Mapping[str, Performance]
    by_reading: Mapping[str, ByReading]
    comparisons: Mapping[str, Comparison]
    ceiling: Mapping[str, Ceiling]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Everything that the report shows.

    Parameters
    ----------
    rows : tuple of Row
        Those evaluated.
    models, baselines : dict of str → (n,)
        SBR predicted for the rows.
    baseline_sources : dict of str → str
        Where each baseline comes from, or why it is missing.
    units : dict of str → Unit
    results : dict of str → UnitResult
    table_1 : dict of str → Contingency
        Of all rows of the table that have both readings.
    simulated : bool
    """

    rows: tuple[Row, ...]
    models: Mapping[str, Floats]
    baselines: Mapping[str, Floats]
    baseline_sources: Mapping[str, str]
    units: Mapping[UnitName, Unit]
    results: Mapping[UnitName, UnitResult]
    table_1: Mapping[UnitName, Contingency]
    simulated: bool

    def to_dict(self) -> dict[str, Any]:
        """Give what JSON can hold: the results, without the rows; what is undefined is None."""
        results = {name: _plain(asdict(result)) for name, result in self.results.items()}
        return {
            "simulated": self.simulated,
            "baselines": dict(self.baseline_sources),
            "results": results,
            "table_1": {name: _plain(asdict(table)) for name, table in self.table_1.items()},
        }


def evaluate(
    rows: Sequence[Row],
    evaluated: Sequence[Row],
    models: Mapping[str, Floats],
    *,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """Compute every statistic.

    Parameters
    ----------
    rows : sequence of Row
        The whole table.
    evaluated : sequence of Row
        Those with predictions, all with sbr. If no participant of them is elsewhere in the table,
        the baselines learn from the others; else each from all other participants.
    models : dict of str → (n,)
        SBR predicted for the evaluated rows, not named as a baseline is; the first is the one that
        others are compared with.
    """
    if set(models) & set(baseline.NAMES):
        raise ValueError(f"expected no model named {', '.join(baseline.NAMES)}")
    found = baselines(evaluated, _training(rows, evaluated))
    predicted = {one.name: one.predicted for one in found if one.predicted is not None}
    units = make_units(evaluated, {**models, **predicted})
    return Evaluation(
        rows=tuple(evaluated),
        models=models,
        baselines=predicted,
        baseline_sources=_sources(found),
        units={unit.name: unit for unit in units},
        results={unit.name: _result(unit, list(models), resamples) for unit in units},
        table_1=_table_1(rows),
        simulated=any(row.expected_sbr is not None for row in rows),
    )


def _training(rows: Sequence[Row], evaluated: Sequence[Row]) -> list[Row]:
    ids = {row.participant_id for row in evaluated}
    return [row for row in rows if row.participant_id not in ids and row.sbr is not None]


def _sources(found: Sequence[Baseline]) -> dict[str, str]:
    return {
        one.name: one.source if one.predicted is not None else f"none: {one.source}"
        for one in found
    }


def _result(unit: Unit, models: Sequence[str], resamples: int) -> UnitResult:
    others = {other: other for other in models[1:]}
    if "reading" in unit.predictions:
        others["baseline: reading"] = "reading"
    measured, participants = unit.measured, unit.participants
    first = unit.predictions[models[0]]
    comparisons = {
        f"{models[0]} - {called}": compare(
            first, unit.predictions[other], measured, participants, resamples=resamples
        )
        for called, other in others.items()
    }
    values = {"measured": unit.measured, **{name: unit.predictions[name] for name in models}}
    found = {
        name: performance(predicted, unit, resamples=resamples)
        for name, predicted in unit.predictions.items()
    }
    return UnitResult(
        n=len(unit.measured),
        participants=unit.n_participants,
        performance=found,
        by_reading={name: _by_reading(each, unit) for name, each in values.items()},
        comparisons=comparisons,
        ceiling=_ceilings(unit, models, resamples),
    )


def _ceilings(unit: Unit, models: Sequence[str], resamples: int) -> dict[str, Ceiling]:
    if not {"reading", "oracle"} <= unit.predictions.keys():
        return {}
    reading, oracle = unit.predictions["reading"], unit.predictions["oracle"]
    found = {
        name: ceiling(
            unit.predictions[name],
            reading,
            oracle,
            unit.measured,
            unit.participants,
            resamples=resamples,
        )
        for name in models
    }
    return {name: one for name, one in found.items() if one is not None}


def _by_reading(values: Floats, unit: Unit) -> ByReading:
    found = compare_by_reading(values, unit.readings)
    return found if unit.independent else replace(found, test=_CORRELATED)


def _table_1(rows: Sequence[Row]) -> dict[UnitName, Contingency]:
    """Compare the readings in every unit, whether or not SBR was measured."""
    with_sbr = [replace(row, sbr=0.0 if row.sbr is None else row.sbr) for row in rows]
    tables = {}
    for unit in make_units(with_sbr, {}):
        found = contingency(count_readings(unit.readings, unit.spect))
        if found is not None and not unit.independent:
            share = Estimate(found.concordance.value, {"wilson": None})
            found = replace(found, concordance=share, test=_CORRELATED)
        if found is not None:
            tables[unit.name] = found
    return tables


def performance(predicted: Floats, unit: Unit, *, resamples: int = RESAMPLES) -> Performance:
    """Compare one prediction with the measured SBR of a unit."""
    measured = unit.measured
    sums = participant_sums(predicted, measured, unit.participants)
    drawn = bca_intervals(performance_of_sums, sums, resamples=resamples)
    rho_c, r = math.nan, math.nan
    if unit.n_participants > 1:
        rho_c, r = concordance(predicted, measured), _pearson(predicted, measured)
    of_rho_c = {  # of a constant prediction ρc is 0 in every sample: it has none
        "fisher": fisher_interval(rho_c, unit.n_participants),
        "lin": lin_interval(predicted, measured) if unit.independent else None,
        "bca": drawn[0],
    }
    errors, agreeing = residuals(predicted, measured), agreement(predicted, measured)
    line = calibration(predicted, measured)
    if not unit.independent:
        line = line and Calibration(_bare(line.slope), _bare(line.intercept))
    return Performance(
        rho_c=Estimate(rho_c, dict.fromkeys(of_rho_c) if np.ptp(predicted) == 0 else of_rho_c),
        pearson_r=r,
        accuracy=rho_c / r if r else math.nan,
        residuals=replace(
            errors,
            mae=_with(errors.mae, drawn[1], unit),
            rmse=_with(errors.rmse, drawn[2], unit),
        ),
        agreement=replace(
            agreeing,
            bias=_with(agreeing.bias, drawn[3], unit),
            lower=_with(agreeing.lower, drawn[4], unit),
            upper=_with(agreeing.upper, drawn[5], unit),
        ),
        calibration=line,
    )


def _with(estimate: Estimate, bca: Interval | None, unit: Unit) -> Estimate:
    """Add the interval by participant, and drop those that take correlated values for free."""
    kept = estimate if unit.independent else _bare(estimate)
    return Estimate(estimate.value, {**kept.intervals, "bca": bca})


def _bare(estimate: Estimate) -> Estimate:
    return Estimate(estimate.value, dict.fromkeys(estimate.intervals))


def _pearson(x: Floats, y: Floats) -> float:
    if min(x.std(), y.std()) == 0:
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def _plain(value: Any) -> Any:
    """Give the same with None for NaN and infinity, and lists for tuples."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
