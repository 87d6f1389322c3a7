# SPDX-License-Identifier: Apache-2.0
"""How near a model comes to the oracle of a simulated cohort."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nigroedge.study.bootstrap import RESAMPLES, bca_estimates, joint_sums, performance_of_sums
from nigroedge.study.interval import Estimate
from nigroedge.study.rho_c import Floats

_RHO_C, _RMSE = 0, 2


@dataclass(frozen=True)
class Ceiling:
    """How near a model comes to the oracle, per cent; interval 'bca', by participant.

    Parameters
    ----------
    rho_c : Estimate
        Of the oracle's ρc.
    rmse : Estimate
        Of the way from the reading's RMSE down to the oracle's.
    """

    rho_c: Estimate
    rmse: Estimate


def ceiling(
    predicted: Floats,
    reading: Floats,
    oracle: Floats,
    measured: Floats,
    participants: npt.NDArray[np.intp],
    *,
    resamples: int = RESAMPLES,
) -> Ceiling | None:
    """Tell how near a prediction comes to the oracle.

    Parameters
    ----------
    predicted, reading, oracle, measured : (n,)
        SBR; what the model and the two baselines predict, and what was measured.
    participants : (n,) of int
        Whose row it is, 0 to p − 1.

    Returns
    -------
    Ceiling or None
        None where the oracle's RMSE is not below the reading's, or its ρc not above 0, and of one
        participant, who has no ρc.
    """
    sums = joint_sums((predicted, reading, oracle), measured, participants)
    of_reading, of_oracle = (performance_of_sums(sums[:, i : i + 8].sum(axis=0)) for i in (8, 16))
    if len(sums) < 2 or not (of_oracle[_RMSE] < of_reading[_RMSE] and of_oracle[_RHO_C] > 0):
        return None
    return Ceiling(*bca_estimates(shares_of_sums, sums, resamples=resamples))


def shares_of_sums(sums: Floats) -> Floats:
    """Give both shares, per cent (2, …), of sums (…, 24) of a model, the reading, the oracle."""
    model, reading, oracle = (performance_of_sums(sums[..., i : i + 8]) for i in (0, 8, 16))
    way = reading[_RMSE] - oracle[_RMSE]
    return 100 * np.stack([model[_RHO_C] / oracle[_RHO_C], (reading[_RMSE] - model[_RMSE]) / way])
