# SPDX-License-Identifier: Apache-2.0
"""SMWI = M · S^m: by hand, and what holds for any χ."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nigroedge.errors import InputError
from nigroedge.smwi.weighting import susceptibility_mask, weight_magnitude


def test_the_mask_by_hand():
    chi = np.array([-0.1, 0.0, 0.1, 0.5, 1.0, 2.0, np.nan], np.float32)

    np.testing.assert_allclose([1, 1, 0.9, 0.5, 0, 0, 0], susceptibility_mask(chi), atol=1e-7)


def test_nigra_over_peduncle_by_hand():
    """105 and −20 ppb at χth 1 and 0.5 ppm: 0.895⁴ = 0.6416 and 0.79⁴ = 0.3895."""
    chi = np.array([0.105, -0.020], np.float32)
    ones = np.ones(2, np.float32)

    np.testing.assert_allclose([0.6416, 1], weight_magnitude(ones, chi), atol=1e-4)
    np.testing.assert_allclose(
        [0.3895, 1], weight_magnitude(ones, chi, threshold_ppm=0.5), atol=1e-4
    )


@given(
    arrays(np.float32, 6, elements=st.floats(-3, 3, width=32)),
    st.floats(0.1, 2),
    st.floats(0.5, 8),
)
def test_smwi_lies_between_zero_and_magnitude_and_falls_with_chi(chi, threshold, power):
    magnitude = np.full(6, 7, np.float32)

    smwi = weight_magnitude(magnitude, np.sort(chi), threshold_ppm=threshold, power=power)

    assert (smwi >= 0).all()
    assert (smwi <= 7).all()
    assert (np.diff(smwi) <= 0).all()


def test_nan_becomes_zero():
    nan = np.array([np.nan], np.float32)

    assert [0.0] == weight_magnitude(nan, np.zeros(1, np.float32)).tolist()


@pytest.mark.parametrize(
    "wrong",
    [
        *({"threshold_ppm": 0.0}, {"threshold_ppm": 1e-9}, {"threshold_ppm": 1e3}),
        *({"power": -1.0}, {"power": np.nan}, {"power": 1e9}, {"power": np.inf}),
        *({"threshold_ppm": 0.0499}, {"threshold_ppm": 10.01}, {"power": 0.0}, {"power": 32.01}),
    ],
)
def test_parameters_without_meaning_are_refused(wrong):
    with pytest.raises(
        InputError, match=r"expected a (threshold of χ of 0\.05 to 10|power of the)"
    ):
        weight_magnitude(np.ones(1, np.float32), np.ones(1, np.float32), **wrong)


@pytest.mark.parametrize("limits", [{"threshold_ppm": 0.05}, {"threshold_ppm": 10}, {"power": 32}])
def test_the_limits_themselves_are_taken(limits):
    assert [1.0] == weight_magnitude(np.ones(1), np.zeros(1), **limits).tolist()
