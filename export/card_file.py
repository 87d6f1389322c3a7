# SPDX-License-Identifier: Apache-2.0
"""Read a model card from a TOML file: what a person must know before using a network."""

from __future__ import annotations

import tomllib
from pathlib import Path

from export.spec import git_revision
from nigroedge.errors import InputError
from nigroedge.names import readable
from nigroedge.spec import ModelCard

#: The texts of a card, all of them required, and what each says.
TEXTS = {
    "name": "of the model",
    "version": "of the model",
    "licence": "of the weights",
    "intended_use": "what it is for, and what not",
    "training_data": "whose images and SBR, how many, from which scanner and sequence",
    "limits": "where it was not tried, or failed",
    "calibration": "whose SBR it speaks, and what a site has to do before use",
}


def read_card(path: Path) -> ModelCard:
    """Read a card.

    Parameters
    ----------
    path : Path
        A TOML file with the keys of `TEXTS`, and perhaps a table `metrics`.

    Raises
    ------
    InputError
        If it cannot be read, a text is missing or empty, or a key is unknown.
    """
    where = readable(path)
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {where}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{where} is no TOML: {error}") from error
    wrong = {
        "missing": [f"{name} ({what})" for name, what in TEXTS.items() if not said.get(name)],
        "unknown": sorted(said.keys() - TEXTS.keys() - {"metrics"}),
    }
    if any(wrong.values()):
        problems = [f"{kind}: {', '.join(keys)}" for kind, keys in wrong.items() if keys]
        raise InputError(f"card {where}: {'; '.join(problems)}")
    try:
        texts = {name: said[name] for name in TEXTS}
        return ModelCard(**texts, metrics=said.get("metrics", {}), git_revision=git_revision())
    except ValueError as error:
        raise InputError(f"card {where}: {error}") from error
