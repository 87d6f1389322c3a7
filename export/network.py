# SPDX-License-Identifier: Apache-2.0
"""The regressors: a table of presets, and the torch network that each one names.

Every network is a chain of 3³ convolutions (stride 1, padding 1), ReLU, 2³ max-pools that drop odd
remainders, one flatten (channels outermost) and linear layers, so that its model file needs no
other operation; `resnet` adds an identity shortcut in each block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from nigroedge.errors import ModelError

Shape3 = tuple[int, int, int]


@dataclass(frozen=True)
class Preset:
    """One row of the table.

    Parameters
    ----------
    channels : tuple of int
        Width of each block; each block ends with a 2³ max-pool.
    hidden : tuple of int
        Widths of the linear layers between the flatten and the single output.
    residual : bool
        Whether a block is a widening convolution and a residual pair, instead of two convolutions.
    source : str
        Where the layout comes from.
    """

    channels: tuple[int, ...]
    hidden: tuple[int, ...]
    residual: bool
    source: str


PRESETS = {
    "bae2023": Preset(
        (64, 128, 256), (512,), False, "three VGG blocks of Bae 2023; widths assumed"
    ),
    "slim": Preset((16, 32, 64), (128,), False, "the same blocks at a quarter of the width"),
    "mri-dat": Preset((16, 32, 64, 128), (), False, "the layout of the group's released weights"),
    "resnet": Preset((16, 32, 64), (128,), True, "the comparison of Bae 2023; widths assumed"),
}


class Residual(nn.Module):
    """x + branch(x), the identity shortcut of He 2016 (doi 10.1109/CVPR.2016.90)."""

    def __init__(self, branch: nn.Sequential) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the branch to its input."""
        branched: torch.Tensor = self.branch(x)
        return x + branched


def build(preset: str, patch_shape: Shape3) -> nn.Sequential:
    """Build the network of a preset, with torch's default initial weights.

    Parameters
    ----------
    preset : str
        A key of `PRESETS`.
    patch_shape : (int, int, int)
        Voxels of a patch along each axis.

    Returns
    -------
    nn.Sequential
        (n, 1, *patch_shape) float32 → (n, 1).

    Raises
    ------
    ValueError
        If a pool would leave nothing of the patch.
    """
    row = PRESETS[preset]
    pooled = pooled_shape(patch_shape, n_pools=len(row.channels))
    if min(pooled) < 1:
        raise ValueError(f"{preset} pools {len(row.channels)} times; {patch_shape} is too small")
    widths = (row.channels[-1] * math.prod(pooled), *row.hidden, 1)
    return nn.Sequential(*_blocks(row), nn.Flatten(), *_head(widths))


def pooled_shape(patch_shape: Shape3, *, n_pools: int) -> Shape3:
    """Give the spatial shape that is left after `n_pools` 2³ max-pools, odd remainders dropped."""
    x, y, z = (size >> n_pools for size in patch_shape)
    return x, y, z


def _conv(n_in: int, n_out: int) -> nn.Conv3d:
    return nn.Conv3d(n_in, n_out, kernel_size=3, padding=1)


def _blocks(row: Preset) -> Iterator[nn.Module]:
    n_in = 1
    for width in row.channels:
        yield from (_conv(n_in, width), _relu())
        if row.residual:
            pair = nn.Sequential(_conv(width, width), _relu(), _conv(width, width))
            yield from (Residual(pair), _relu())
        else:
            yield from (_conv(width, width), _relu())
        yield nn.MaxPool3d(2)
        n_in = width


def _relu() -> nn.ReLU:
    """Give a ReLU that writes over its input, which nothing else reads."""
    return nn.ReLU(inplace=True)


def _head(widths: tuple[int, ...]) -> Iterator[nn.Module]:
    for i, (n_in, n_out) in enumerate(pairwise(widths)):
        if i:
            yield nn.ReLU()
        yield nn.Linear(n_in, n_out)


@torch.no_grad()
def he_initialise(network: nn.Module, *, seed: int, bias_sd: float = 0.0) -> None:
    """Draw new weights, normal with variance 2 / fan-in (He 2015, doi 10.1109/ICCV.2015.123).

    The last convolution of a residual branch starts at a quarter of that SD, so that the shortcut
    carries the signal and its size stays the same from block to block. Biases are normal with
    SD `bias_sd`. The same seed gives the same weights on every machine.
    """
    random = np.random.default_rng(seed)
    layers = (m for m in network.modules() if isinstance(m, nn.Conv3d | nn.Linear))
    ends = {id(m.branch[-1]) for m in network.modules() if isinstance(m, Residual)}
    for layer in layers:
        weight, bias = layer.parameters(recurse=False)
        sd = math.sqrt(2 / weight[0].numel()) * (0.25 if id(layer) in ends else 1.0)
        for values, spread in ((weight, sd), (bias, bias_sd)):
            drawn = random.standard_normal(values.shape, np.float32) * np.float32(spread)
            values.copy_(torch.from_numpy(drawn))


def last_linear(network: nn.Sequential) -> nn.Linear:
    """Give the layer whose output is the SBR.

    Raises
    ------
    ModelError
        If the network does not end in a linear layer to one output.
    """
    layer = network[-1]
    if not isinstance(layer, nn.Linear) or layer.out_features != 1:
        raise ModelError(
            f"expected a network that ends in a linear layer to one output, got {layer}"
        )
    return layer


@torch.no_grad()
def fold_scale(network: nn.Sequential, *, scale: float, offset: float = 0.0) -> None:
    """Make the network's output scale · output + offset, in place, through its last layer."""
    layer = last_linear(network)
    layer.weight.mul_(scale)
    layer.bias.mul_(scale).add_(offset)
