# SPDX-License-Identifier: Apache-2.0
"""The weights that training begins with: drawn at random, or those of a model file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from export.network import Shape3, build, fold_scale, he_initialise
from export.onnx_network import network_of
from nigroedge.artefact import Artefact, read_artefact
from nigroedge.errors import InputError, ModelError
from nigroedge.model import read_spec
from nigroedge.names import quoted
from nigroedge.spec import ModelCard

#: Of the last layer, on top of He initialisation: training starts near the mean of the targets.
FIRST_OUTPUT_SCALE = 0.1
#: Of the first layer: a patch divided by its mean varies by about 0.4 about 1.
FIRST_INPUT_SCALE = 2.0


def random_start(preset: str, shape: Shape3, *, seed: int) -> nn.Sequential:
    """Build a network that is ready to learn: He initialisation, the first layer centred.

    The first bias takes off what the mean of a patch, 1, would add; without it all filters answer
    to the mean first.
    """
    network = build(preset, shape)
    he_initialise(network, seed=seed)
    fold_scale(network, scale=FIRST_OUTPUT_SCALE)
    weight, bias = network[0].parameters()
    with torch.no_grad():
        weight.mul_(FIRST_INPUT_SCALE)
        bias.copy_(-weight.sum((1, 2, 3, 4)))
    return network


@dataclass(frozen=True, eq=False)
class Start:
    """A model file to go on from.

    Parameters
    ----------
    artefact : Artefact
        A float32 ONNX file.
    card : ModelCard
        What it says of itself: what comes of it has to say so too.
    """

    artefact: Artefact
    card: ModelCard

    @classmethod
    def read(cls, path: Path) -> Start:
        """Read a model file.

        Raises
        ------
        InputError
            If it is none, such as an ONNX file that does not say what its weights had learned from.
        """
        try:
            artefact = read_artefact(path)
            card = read_spec(artefact).card
        except ModelError as error:
            raise InputError(f"expected a model file to start from: {error}") from error
        if artefact.kind != "onnx":
            raise InputError(
                f"expected a float32 ONNX model file to start from, got {quoted(path)}, "
                f"which is of kind {artefact.kind}"
            )
        return cls(artefact, card)

    def network(self, preset: str, shape: Shape3) -> nn.Sequential:
        """Build the network of a preset with these weights; its output is in SBR.

        Raises
        ------
        InputError
            If the file's layers are not those of the preset.
        """
        network = build(preset, shape)
        mine = list(network.parameters())
        weights = self._weights()
        if [w.shape for w in weights] != [w.shape for w in mine]:
            raise InputError(
                f"expected a model of preset {preset} to start from, "
                f"got {quoted(self.artefact.path)}"
            )
        with torch.no_grad():
            for values, start in zip(mine, weights, strict=True):
                values.copy_(start)
        return network

    def _weights(self) -> list[nn.Parameter]:
        try:
            return list(network_of(self.artefact.content, where=self.artefact.path).weights)
        except ModelError:
            return []  # other layers than any preset has
