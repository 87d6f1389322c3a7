# SPDX-License-Identifier: Apache-2.0
"""What a model file says beside its graph: how this method preprocesses, and the model card."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from export.conventions import METHOD
from nigroedge.errors import InputError
from nigroedge.preprocess import PATCH_SHAPE
from nigroedge.spec import ModelCard, ModelSpec

_REPOSITORY = Path(__file__).resolve().parents[1]


def method_spec(card: ModelCard, *, mirror_centre: str = "n/2") -> ModelSpec:
    """Give the spec of this project's models: one network for both sides, the right one mirrored.

    The self-test value is a placeholder: `export.to_onnx.write_model` fills it in.

    Parameters
    ----------
    card : ModelCard
    mirror_centre : {'n/2', 'n/2-1'}
        Whether the right side is mirrored about the centroid, or cropped and then flipped.
    """
    return replace(METHOD, mirror_centre=mirror_centre).spec(PATCH_SHAPE, card)


def make_card(
    *,
    name: str,
    licence: str,
    training_data: str,
    limits: str,
    metrics: Mapping[str, object] | None = None,
) -> ModelCard:
    """Fill in what every model of this repository has in common.

    Raises
    ------
    InputError
        If a text is empty or holds what a card may not.
    """
    try:
        return ModelCard(
            name=name,
            version="1",
            licence=licence,
            intended_use="Research on striatal dopamine-transporter binding. Not for diagnosis.",
            training_data=training_data,
            metrics=metrics or {},
            limits=limits,
            calibration="none: SBR on the scale of the training data; fit a line per site before "
            "use",
            git_revision=git_revision(),
        )
    except ValueError as error:
        raise InputError(str(error)) from error


def git_revision() -> str:
    """Give the commit that this code was run from, '-dirty' if tracked files differ from it."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=_REPOSITORY, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
