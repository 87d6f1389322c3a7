# SPDX-License-Identifier: Apache-2.0
"""A model file with random weights, for benches and parity.

He initialisation keeps the signal's size from layer to layer, so that every layer matters to the
output. A random network answers mostly to what all patches share, and INT8 costs it about 15 % of
the spread of its answers, a trained one 2 %; `OUTPUT_GAIN` makes the spread 0.05 to 0.2 SBR, so
that the promise for INT8, which is in SBR, asks about the same of both. The last bias puts the
self-test patch at 3 SBR.
"""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from export.network import Shape3, build, fold_scale, he_initialise
from export.spec import make_card, method_spec
from export.to_onnx import selftest_sbr
from nigroedge.preprocess import PATCH_SHAPE
from nigroedge.spec import ModelSpec

#: Of the last layer, on top of He initialisation.
OUTPUT_GAIN = 0.5
#: SBR of the self-test patch.
MIDDLE_SBR = 3.0
#: SD of the biases: small beside activations near 1, and not zero, so that dropping one shows.
BIAS_SD = 0.05


def random_model(
    preset: str, *, seed: int, mirror_centre: str = "n/2", shape: Shape3 = PATCH_SHAPE
) -> tuple[nn.Sequential, ModelSpec]:
    """Build a preset with random weights and the preprocessing of the paper.

    Parameters
    ----------
    preset : str
        A key of `export.network.PRESETS`.
    seed : int
        Not negative; the same seed gives the same weights.
    mirror_centre : {'n/2', 'n/2-1'}
        As `export.spec.method_spec`.
    shape : (int, int, int)
        Voxels of a patch; the paper's unless tests want a smaller one.
    """
    network = build(preset, shape)
    he_initialise(network, seed=seed, bias_sd=BIAS_SD)
    spec = method_spec(
        make_card(
            name=f"{preset}-random-{seed}",
            licence="Apache-2.0",
            training_data="none: random weights",
            limits="the numbers mean nothing; for benches and parity only",
        ),
        mirror_centre=mirror_centre,
    )
    spec = replace(spec, grid=replace(spec.grid, shape=shape))
    fold_scale(network, scale=OUTPUT_GAIN)
    fold_scale(network, scale=1.0, offset=MIDDLE_SBR - selftest_sbr(network, spec))
    return network, spec
