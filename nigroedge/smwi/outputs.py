# SPDX-License-Identifier: Apache-2.0
"""Write a reconstruction as BIDS derivatives: NIfTI, a JSON beside each, and a figure if wanted.

Images are not compressed: noise gains little by it, and predict maps them instead of reading them.
Nothing is overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import nigroedge
from nigroedge.errors import InputError
from nigroedge.io.nifti import save_volume
from nigroedge.smwi.bids import derivative_stem
from nigroedge.smwi.reconstruction import SmwiResult
from nigroedge.volume import Volume

#: End of the name → field of SmwiResult, and what the sidecar says of it.
IMAGES: dict[str, tuple[str, dict[str, str]]] = {
    "SMWI": ("voxels", {"Description": "Susceptibility map-weighted image: M · S^m"}),
    "Chimap": ("chi_ppm", {"Description": "Magnetic susceptibility", "Units": "ppm"}),
    "desc-total_fieldmap": ("frequency_hz", {"Description": "Total field", "Units": "Hz"}),
    "desc-local_fieldmap": ("local_field_ppm", {"Description": "Local field", "Units": "ppm"}),
    "desc-rss_magnitude": ("magnitude", {"Description": "Root sum of squares over echoes"}),
    "desc-fit_reliability": ("reliability", {"Description": "Agreement of the echoes, 0 to 1"}),
    "desc-brain_mask": ("mask", {"Description": "Brain", "Type": "Brain"}),
    "desc-eroded_mask": ("eroded_mask", {"Description": "Where the local field is known"}),
}


def write_outputs(
    result: SmwiResult, out: Path, entities: Mapping[str, str], *, figure: bool = False
) -> list[Path]:
    """Write every image with its sidecar, and give the paths of what was written, SMWI first.

    Raises
    ------
    InputError
        If a file of that name exists, or one cannot be written.
    """
    stem = derivative_stem(out, entities)
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        _describe_dataset(out)
    except OSError as error:
        raise InputError(f"{str(out)!r}: {error.strerror or type(error).__name__}") from error
    written = []
    for end, (name, said) in IMAGES.items():
        path = stem.with_name(f"{stem.name}_{end}.nii")
        save_volume(Volume(_storable(getattr(result, name)), result.affine), path)
        _write_json(path.with_suffix(".json"), {**said, **result.parameters})
        written.append(path)
    if figure:
        from nigroedge.smwi.figure import save_figure

        path = stem.with_name(f"{stem.name}_desc-stages_figure.png")
        save_figure(result, path)
        written.append(path)
    return written


def _storable(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values.astype(np.uint8) if values.dtype == bool else values


def _write_json(path: Path, said: Mapping[str, Any]) -> None:
    with path.open("x", encoding="utf-8") as file:
        json.dump(said, file, indent=2, allow_nan=False)
        file.write("\n")


def _describe_dataset(out: Path) -> None:
    path = out / "dataset_description.json"
    if not path.exists():
        generated_by = [{"Name": "nigroedge", "Version": nigroedge.__version__}]
        _write_json(
            path,
            {
                "Name": "SMWI by nigroedge",
                "BIDSVersion": "1.10.0",
                "DatasetType": "derivative",
                "GeneratedBy": generated_by,
            },
        )
