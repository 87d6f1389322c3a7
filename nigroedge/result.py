# SPDX-License-Identifier: Apache-2.0
"""What a prediction gives: a number for each side, and all that is needed to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import nigroedge
from nigroedge.centroid import GIVEN

NOTICE = "Research use only. Not for diagnosis."


@dataclass(frozen=True)
class CentroidUsed:
    """How the centroid, and the side it is on, came to be known: a source of nigroedge.centroid."""

    source: str


@dataclass(frozen=True)
class SideResult:
    """Prediction for one side.

    Parameters
    ----------
    sbr : float
        Predicted striatal specific binding ratio of this side, on the scale of the model's
        training data.
    centre_mm : (float, float, float)
        Centroid of nigrosome-1 as it was given, RAS+ millimetres.
    coverage : float
        Share of the patch that lies inside the image, 0.9 to 1.
    centroid : CentroidUsed
    """

    sbr: float
    centre_mm: tuple[float, float, float]
    coverage: float
    centroid: CentroidUsed = CentroidUsed(GIVEN)


@dataclass(frozen=True)
class ModelUsed:
    """The model that predicted: the name on its card, and the SHA-256 of its file."""

    name: str
    sha256: str


@dataclass(frozen=True)
class EngineUsed:
    """What ran the model: the engine, its instruction set, its number of threads."""

    name: str
    isa: str
    threads: int


@dataclass(frozen=True)
class InputUsed:
    """The file that the volume came from, as it was named, and its SHA-256."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Result:
    """Predictions for one patient.

    Parameters
    ----------
    left, right : SideResult or None
        None for a side that was not asked for.
    model : ModelUsed, or dict of side → ModelUsed
        A dict if each side had a model of its own.
    engine : EngineUsed, or dict of side → EngineUsed
        Likewise.
    input : InputUsed or None
        None if the volume did not come from a file.
    timing_ms : dict of str → float
        Milliseconds: 'read' (if the volume came from a file), 'crop' (with normalisation) and
        'predict'.
    version : str
        Of nigroedge.
    notice : str
        What the result is not for.
    """

    left: SideResult | None
    right: SideResult | None
    model: ModelUsed | Mapping[str, ModelUsed]
    engine: EngineUsed | Mapping[str, EngineUsed]
    input: InputUsed | None
    timing_ms: Mapping[str, float]
    version: str = field(default_factory=lambda: nigroedge.__version__)
    notice: str = NOTICE

    @property
    def asymmetry(self) -> float | None:
        """Give (left − right) / ((left + right) / 2); None with one side or a mean not above 0."""
        if self.left is None or self.right is None:
            return None
        mean = (self.left.sbr + self.right.sbr) / 2
        return (self.left.sbr - self.right.sbr) / mean if mean > 0 else None

    def to_dict(self) -> dict[str, Any]:
        """Give the object that `nigroedge predict --json` prints; what is missing is None."""
        plain = asdict(self)
        sides = {side: plain.pop(side) for side in ("left", "right")}
        for one in filter(None, sides.values()):
            one["centre_mm"] = list(one["centre_mm"])
        return {**sides, "asymmetry": self.asymmetry, **plain}
