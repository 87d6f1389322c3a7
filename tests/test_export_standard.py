# SPDX-License-Identifier: Apache-2.0
"""The scale of learning: SDs from the mean, and back, for numbers and for networks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from export.standard import Standard
from nigroedge.errors import InputError

targets = st.lists(st.floats(0, 8), min_size=2, max_size=30).filter(lambda sbr: np.std(sbr) > 1e-3)


def test_mean_and_population_sd():
    standard = Standard.of(np.array([1.0, 1.0, 3.0, 3.0]))

    assert Standard(mean=2.0, sd=1.0) == standard
    assert [-1.0, 1.0] == standard.from_sbr(np.array([1.0, 3.0])).tolist()


@given(targets)
def test_standardised_targets_have_mean_0_and_sd_1_and_come_back(sbr):
    sbr = np.array(sbr)
    standard = Standard.of(sbr)
    learned = standard.from_sbr(sbr)

    # Rounding of 30 float64 sums and of a division by an SD of at least 1e-3.
    assert pytest.approx((0, 1), abs=1e-9) == (learned.mean(), learned.std())
    np.testing.assert_allclose(standard.to_sbr(learned), sbr, atol=1e-12)


@given(targets, st.integers(0, 99))
def test_a_network_answers_on_the_other_scale(sbr, seed):
    standard = Standard.of(np.array(sbr))
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(3, 1)).double()
    patches = torch.rand(5, 3, dtype=torch.float64)
    with torch.no_grad():
        before = network(patches).numpy()
        standard.fold_into(network)
        in_sbr = network(patches).numpy()
        standard.fold_out_of(network)
        after = network(patches).numpy()

    np.testing.assert_allclose(in_sbr, standard.to_sbr(before), atol=1e-9)
    np.testing.assert_allclose(after, before, atol=1e-9)


def test_targets_that_do_not_differ_teach_nothing():
    with pytest.raises(InputError, match=r"training rows that differ in SBR, got 2\.5 in all"):
        Standard.of(np.full(4, 2.5))
