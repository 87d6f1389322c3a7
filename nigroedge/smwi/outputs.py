# SPDX-License-Identifier: Apache-2.0
"""Write a reconstruction as BIDS derivatives: NIfTI, a JSON beside each, and a figure if wanted.

Images are not compressed: noise gains little by it, and predict maps them instead of reading them.
Nothing is overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import nigroedge
from nigroedge.errors import InputError
from nigroedge.io.nifti import save_volume
from nigroedge.io.writing import check_writable, together, write_file
from nigroedge.names import quoted
from nigroedge.smwi.bids import derivative_stem
from nigroedge.smwi.reconstruction import SmwiResult
from nigroedge.smwi.sidecar import read_object
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


_FIGURE = "desc-stages_figure"
_DESCRIPTION = "dataset_description.json"
#: Keys of derivatives alone, before BIDS 1.4 had DatasetType and since.
_DERIVED = {"GeneratedBy", "PipelineDescription"}


def output_paths(
    out: Path, entities: Mapping[str, str], *, figure: bool = False
) -> tuple[Path, ...]:
    """Give the path of every image, SMWI first, and of the figure."""
    stem = derivative_stem(out, entities)
    ends = [*(f"{end}.nii" for end in IMAGES), *([f"{_FIGURE}.png"] if figure else [])]
    return tuple(stem.with_name(f"{stem.name}_{end}") for end in ends)


def check_outputs(paths: Iterable[Path]) -> None:
    """Make sure, before the work, that the images, their sidecars and the figure can be written.

    Raises
    ------
    InputError
        If one is there already, or its folder cannot be made or written to.
    """
    check_writable(each for path in paths for each in (path, *_sidecar(path)))


def check_dataset(out: Path) -> None:
    """Refuse to write derivatives among raw data.

    Raises
    ------
    InputError
        If the folder's dataset_description.json does not say that it holds derivatives.
    FormatError
        If that file is no JSON object.
    """
    path = out / _DESCRIPTION
    if not path.is_file():
        return
    said = read_object(path)
    kind = said.get("DatasetType", "derivative" if _DERIVED & said.keys() else "raw")
    if kind != "derivative":
        raise InputError(
            f"expected a folder of derivatives, got {quoted(out)}, whose {_DESCRIPTION} says that "
            f"it holds other data: name another, such as {quoted(out / 'derivatives' / 'smwi')}"
        )


def write_outputs(
    result: SmwiResult, out: Path, entities: Mapping[str, str], *, figure: bool = False
) -> None:
    """Write every image with its sidecar to their `output_paths`, all of them or none.

    Raises
    ------
    InputError
        If a file of that name exists, or one cannot be written.
    """
    paths = output_paths(out, entities, figure=figure)
    with together() as files:
        for path, (name, said) in zip(paths, IMAGES.values(), strict=False):
            volume = Volume(_storable(getattr(result, name)), result.affine)
            save_volume(volume, path, among=files)
            for sidecar in _sidecar(path):
                files.write(sidecar, _json({**said, **result.parameters}))
        if figure:
            from nigroedge.smwi.figure import save_figure

            with files.open(paths[-1]) as file:
                save_figure(result, file)
        _describe_dataset(out, files.write)


def _sidecar(path: Path) -> tuple[Path, ...]:
    return (path.with_suffix(".json"),) if path.suffix == ".nii" else ()


def _storable(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values.astype(np.uint8) if values.dtype == bool else values


def _json(said: Mapping[str, Any]) -> str:
    return json.dumps(said, indent=2, allow_nan=False) + "\n"


def _describe_dataset(out: Path, write: Callable[..., None] = write_file) -> None:
    """Say what the folder is, unless that is said: runs of several people share it."""
    said = {
        "Name": "SMWI by nigroedge",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "nigroedge", "Version": nigroedge.__version__}],
    }
    write(out / _DESCRIPTION, _json(said), if_exists="keep")
