# SPDX-License-Identifier: Apache-2.0
"""The INT8 siblings of a float model file: where they lie, and whether they keep the promise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from export.promise import PROMISES, Errors, concordance_loss, unit_of
from export.samples import Samples
from nigroedge.errors import ModelError
from nigroedge.io.open_file import about
from nigroedge.model import load_model
from nigroedge.names import readable


def sibling_paths(model: Path) -> dict[str, Path]:
    """Give the INT8 siblings of a float model file, by the engine that runs each."""
    return {
        "onnx": model.with_name(f"{model.stem}.int8.onnx"),
        "openvino": model.with_name(f"{model.stem}.int8.xml"),
    }


def files_of(sibling: Path) -> list[Path]:
    """Give the files that a sibling consists of, itself first."""
    return [sibling, sibling.with_suffix(".bin")] if sibling.suffix == ".xml" else [sibling]


def remove_sibling(sibling: Path) -> None:
    """Remove a sibling from the disk, with its weights.

    Raises
    ------
    InputError
        If that is not allowed.
    """
    for path in files_of(sibling):
        with about(path):
            path.unlink(missing_ok=True)


def opens(sibling: Path) -> bool:
    """Whether a sibling can be opened: that includes its self-test."""
    try:
        load_model(sibling)
    except ModelError:
        return False
    return True


@dataclass(frozen=True, eq=False)
class Judge:
    """What a sibling is judged by.

    Parameters
    ----------
    samples : Samples
    wanted : (n,) ndarray
        Answers of the float model to the patches, SBR.
    claims_scores : bool
        Whether its card does, so that ρc can be lost.
    """

    samples: Samples
    wanted: npt.NDArray[np.floating]
    claims_scores: bool

    def broken(self, path: Path) -> str:
        """Say which promise a sibling breaks; nothing if it keeps all."""
        try:
            model = load_model(path)  # its self-test included
            got = model.predict_patches(self.samples.patches).astype(np.float64)
        except ModelError as error:
            return str(error).removeprefix(f"model file {readable(path)}: ")
        off = np.abs(got - self.wanted)
        loss = concordance_loss(self.samples.sbr, self.wanted, got) if self.claims_scores else None
        errors = Errors(float(off.max()), float(off.mean()), selftest=0.0, rho_c_loss=loss)
        return ", ".join(PROMISES["int8"].broken(errors, unit=unit_of(self.wanted)))
