# SPDX-License-Identifier: Apache-2.0
"""Two predictions of the same participants, compared pair by pair."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nigroedge.study.bootstrap import RESAMPLES, bca_estimates, difference_of_sums, joint_sums
from nigroedge.study.groups import Test, paired_test
from nigroedge.study.interval import Estimate
from nigroedge.study.rho_c import Floats


@dataclass(frozen=True)
class Comparison:
    """First prediction less second; a negative difference of errors speaks for the first.

    Parameters
    ----------
    participants : int
    test : Test
        Of the absolute errors, a participant's mean over rows if there are two.
    rho_c, mae, rmse : Estimate
        Difference of the two; interval 'bca', by participant. ρc of one participant is NaN.
    """

    participants: int
    test: Test
    rho_c: Estimate
    mae: Estimate
    rmse: Estimate


def compare(
    first: Floats,
    second: Floats,
    measured: Floats,
    participants: npt.NDArray[np.intp],
    *,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare two predictions of the same n rows.

    Parameters
    ----------
    first, second, measured : (n,)
        SBR.
    participants : (n,) of int
        Whose row it is, 0 to p − 1.
    """
    worse = np.abs(first - measured) - np.abs(second - measured)
    by_participant = np.bincount(participants, weights=worse) / np.bincount(participants)
    sums = joint_sums((first, second), measured, participants)
    rho_c, mae, rmse = bca_estimates(difference_of_sums, sums, resamples=resamples)
    if len(sums) < 2:
        rho_c = replace(rho_c, value=math.nan)
    return Comparison(len(by_participant), paired_test(by_participant), rho_c, mae, rmse)
