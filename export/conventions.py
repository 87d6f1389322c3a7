# SPDX-License-Identifier: Apache-2.0
"""How a network wants its patches, whom it serves, and what its output is in SBR.

A network from elsewhere does not say any of it; whoever trained it has to.
"""

from __future__ import annotations

from dataclasses import dataclass

from nigroedge.errors import InputError
from nigroedge.grid import PatchGrid
from nigroedge.preprocess import PATCH_AXES, PATCH_SPACING_MM
from nigroedge.spec import ModelCard, ModelSpec


@dataclass(frozen=True)
class Conventions:
    """What `ModelSpec` says, but for what follows from the network itself.

    Parameters
    ----------
    side, normalize, mirror, mirror_centre : str
        As `ModelSpec` has them.
    axes : str
        As `PatchGrid` has them.
    spacing_mm : (float, float, float)
        Of the patch's voxels.
    scale : float
        SBR = scale · the network's output.
    """

    side: str
    normalize: str
    axes: str
    mirror: str = "none"
    mirror_centre: str = "n/2"
    spacing_mm: tuple[float, float, float] = PATCH_SPACING_MM
    scale: float = 1.0

    def spec(self, shape: tuple[int, int, int], card: ModelCard) -> ModelSpec:
        """Give the spec of a network that takes patches of this shape.

        The self-test value is a placeholder: `export.to_onnx.write_model` fills it in.

        Raises
        ------
        InputError
            If they are none that a model file can have.
        """
        try:
            return ModelSpec(
                grid=PatchGrid(shape, self.spacing_mm, self.axes),
                normalize=self.normalize,
                side=self.side,
                mirror=self.mirror,
                mirror_centre=self.mirror_centre,
                selftest_sbr=0.0,
                card=card,
            )
        except ValueError as error:
            raise InputError(str(error)) from error


#: Of this project's models: one network for both sides, the right one mirrored.
METHOD = Conventions(side="both", normalize="mean", axes=PATCH_AXES, mirror="right")
