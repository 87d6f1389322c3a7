# SPDX-License-Identifier: Apache-2.0
"""The presets: sizes as published, weights that a seed decides, one scale folded in."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from export.commands.arguments import PRESET_NAMES
from export.network import PRESETS, build, fold_scale, he_initialise, pooled_shape
from nigroedge.errors import ModelError

PAPER = (50, 50, 20)


def multiply_adds(network, shape):
    """Count those of one patch, from the shapes of the layers."""
    total, voxels = 0, math.prod(shape)
    for layer in network:
        if isinstance(layer, nn.Conv3d):
            total += voxels * layer.weight.numel()
        if isinstance(layer, nn.MaxPool3d):
            shape = tuple(n // 2 for n in shape)
            voxels = math.prod(shape)
        if isinstance(layer, nn.Linear):
            total += layer.weight.numel()
    return total


def test_the_command_line_offers_every_preset():
    assert tuple(PRESETS) == PRESET_NAMES


def test_mri_dat_has_the_parameters_of_the_released_network():
    assert sum(p.numel() for p in build("mri-dat", PAPER).parameters()) == 879_889


@pytest.mark.parametrize(
    ("preset", "billions"), [("slim", 0.75), ("mri-dat", 0.79), ("bae2023", 11.7)]
)
def test_presets_cost_what_the_method_says(preset, billions):
    assert pytest.approx(billions, abs=0.06) == multiply_adds(build(preset, PAPER), PAPER) / 1e9


def test_pools_drop_odd_remainders():
    assert pooled_shape(PAPER, n_pools=4) == (3, 3, 1)


@pytest.mark.parametrize("preset", PRESETS)
@given(shape=st.tuples(*[st.integers(16, 21)] * 3))
def test_every_preset_gives_one_number_a_patch(preset, shape):
    with torch.device("meta"):  # shapes alone
        answers = build(preset, shape)(torch.zeros(2, 1, *shape))

    assert answers.shape == (2, 1)


def test_a_patch_that_pooling_would_empty_is_refused():
    with pytest.raises(ValueError, match=r"mri-dat pools 4 times; \(50, 50, 15\) is too small"):
        build("mri-dat", (50, 50, 15))


def test_a_seed_decides_the_weights():
    one, same, other = (build("slim", (8, 8, 8)) for _ in range(3))
    for network, seed in ((one, 1), (same, 1), (other, 2)):
        he_initialise(network, seed=seed, bias_sd=0.1)

    for a, b, c in zip(one.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_he_initialisation_keeps_the_size_of_the_signal():
    network = build("resnet", (16, 16, 16))
    he_initialise(network, seed=0)
    x = torch.from_numpy(np.random.default_rng(0).normal(1, 0.3, (4, 1, 16, 16, 16))).float()
    with torch.no_grad():
        sizes = [(x := layer(x)).square().mean().sqrt().item() for layer in network[:-1]]

    assert 0.1 < min(sizes) < max(sizes) < 10


@given(scale=st.floats(-8, 8, width=32), offset=st.floats(-8, 8, width=32))
def test_a_folded_scale_is_applied_to_the_output(scale, offset):
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
    x = torch.arange(8.0).reshape(2, 4)
    expected = scale * network(x) + offset

    fold_scale(network, scale=scale, offset=offset)

    torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-4)


def test_a_network_without_one_output_has_no_scale_to_fold():
    with pytest.raises(ModelError, match="ends in a linear layer to one output"):
        fold_scale(nn.Sequential(nn.Linear(4, 2)), scale=1.0)
