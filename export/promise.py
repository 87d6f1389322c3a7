# SPDX-License-Identifier: Apache-2.0
"""The numeric contract: how far an engine's answers may be from torch's, and which part is broken.

It is in SBR. A network whose answers are no SBR, because one of them lies outside what a prediction
may be (`nigroedge.pipeline.MIN_SBR` to `MAX_SBR`), is held to as much of its answers' SD instead,
where that is above 1: an error is as large or small as what it is an error of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nigroedge.pipeline import MAX_SBR, MIN_SBR
from nigroedge.study import concordance

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Errors:
    """How far answers are from those of a reference.

    Parameters
    ----------
    worst, mean : float
        Of |Δ| over the patches, SBR.
    selftest : float
        |Δ| between the answer to the self-test patch and the value in the file, SBR.
    rho_c_loss : float or None
        ρc of the reference against measured SBR, minus that of the answers; None where SBR was not
        measured or the model's card reports no scores: what was never claimed cannot be lost.
    """

    worst: float
    mean: float
    selftest: float
    rho_c_loss: float | None


@dataclass(frozen=True)
class Promise:
    """How far from torch float32 an engine may be, in SBR; ρc has no unit."""

    worst: float
    mean: float
    rho_c_loss: float

    def broken(self, errors: Errors, *, unit: float = 1.0) -> list[str]:
        """Say which parts are broken, as 'worst 0.31 > 0.15 SBR'; NaN keeps none.

        Parameters
        ----------
        errors : Errors
        unit : float
            Of `unit_of`. A model file is opened if its self-test holds in SBR, whatever the unit.
        """
        return list(self._broken(errors, unit))

    def _broken(self, errors: Errors, unit: float) -> Iterator[str]:
        for name, value, limit in (
            ("worst", errors.worst, self.worst * unit),
            ("mean", errors.mean, self.mean * unit),
            ("self-test", errors.selftest, self.worst),
        ):
            if not value <= limit:
                yield f"{name} {value:.2g} > {limit:.2g} SBR"
        if errors.rho_c_loss is not None and not errors.rho_c_loss <= self.rho_c_loss:
            yield f"ρc loss {errors.rho_c_loss:.2g} > {self.rho_c_loss:g}"


#: By precision.
PROMISES: Mapping[str, Promise] = {
    "float32": Promise(worst=1e-4, mean=1e-4, rho_c_loss=1e-4),
    "int8": Promise(worst=0.15, mean=0.05, rho_c_loss=0.002),
}


def unit_of(answers: Floats) -> float:
    """Give what the promise of a network is in units of: 1 SBR, or the SD of its answers.

    Parameters
    ----------
    answers : (n,) ndarray
        Of torch, or of the float model; SBR.
    """
    is_sbr = ((answers >= MIN_SBR) & (answers <= MAX_SBR)).all()
    if is_sbr or not np.isfinite(answers).all():  # those that are not finite break any promise
        return 1.0
    return max(1.0, float(np.std(answers)))


def concordance_loss(measured: Floats, reference: Floats, got: Floats) -> float | None:
    """Give ρc of the reference minus that of what was got; None if under two SBR are known.

    Parameters
    ----------
    measured : (n,) ndarray
        NaN where it is not known.
    reference, got : (n,) ndarray
    """
    known = np.isfinite(measured)
    if np.count_nonzero(known) < 2:
        return None
    truth = measured[known]
    return concordance(reference[known], truth) - concordance(got[known], truth)
