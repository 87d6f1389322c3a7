# SPDX-License-Identifier: Apache-2.0
"""Find a multi-echo scan in a BIDS folder, and name what comes of it as a BIDS derivative.

Read are MEGRE and T2starw images with part-mag and part-phase, one file an echo, and their JSON
sidecars with BIDS's inheritance: a sidecar further up counts where a nearer one is silent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nigroedge.errors import FormatError, InputError
from nigroedge.names import quoted

SUFFIXES = ("MEGRE", "T2starw")
#: No sidecar is as long as this, bytes.
MAX_SIDECAR_BYTES = 1 << 20

_ENTITY = re.compile(r"([a-zA-Z]+)-([a-zA-Z0-9+]+)")
_LABEL = re.compile(r"[a-zA-Z0-9]+")

#: BIDS's Units → the phase unit that they mean; 'arbitrary' is left to detection.
_UNITS: dict[str, str | None] = {"rad": "rad", "arbitrary": None}


@dataclass(frozen=True)
class RawScan:
    """The files of one scan, and what their sidecars say.

    Parameters
    ----------
    magnitude, phase : tuple of Path
        One an echo, in the order of the echo times.
    echo_times_s : tuple of float
    field_strength_t : float
    phase_unit : str, optional
        As in `nigroedge.smwi.phase.UNIT_NAMES`, if the sidecars name one.
    entities : dict
        Of the file names, but for echo and part: {'sub': '01', ...}.
    """

    magnitude: tuple[Path, ...]
    phase: tuple[Path, ...]
    echo_times_s: tuple[float, ...]
    field_strength_t: float
    phase_unit: str | None
    entities: dict[str, str]


def find_scan(folder: Path) -> RawScan:
    """Find the one multi-echo scan of a subject's or a session's folder.

    Raises
    ------
    InputError
        If there is none, or more than one, a part is missing, echoes of the two parts differ, or a
        sidecar says no echo time or field strength.
    FormatError
        If a sidecar is no JSON object.
    """
    if not folder.is_dir():
        raise InputError(f"expected the folder of a BIDS subject, got {quoted(folder)}")
    groups = _groups(folder)
    if not groups:
        raise InputError(
            f"expected files such as sub-01_echo-1_part-mag_MEGRE.nii.gz in an anat folder of "
            f"{quoted(folder)}, found none (suffixes {' and '.join(SUFFIXES)})"
        )
    if len(groups) > 1:
        raise InputError(
            f"expected one multi-echo scan in {quoted(folder)}, found {len(groups)}: "
            f"{', '.join(sorted(groups))}; name the folder of one session, or the files themselves"
        )
    return _scan(next(iter(groups.values())), folder)


def _groups(folder: Path) -> dict[str, list[Path]]:
    """Images by what they share: all entities but echo and part, and the suffix."""
    groups: dict[str, list[Path]] = {}
    for pattern in ("*.nii*", "anat/*.nii*", "ses-*/anat/*.nii*"):
        for path in sorted(folder.glob(pattern)):
            entities, suffix = parse_name(path)
            if suffix in SUFFIXES and entities.get("part") in ("mag", "phase"):
                key = _joined({k: v for k, v in entities.items() if k not in ("echo", "part")})
                groups.setdefault(f"{key}_{suffix}", []).append(path)
    return groups


def _scan(paths: Sequence[Path], folder: Path) -> RawScan:
    parts: dict[str, dict[str, Path]] = {"mag": {}, "phase": {}}
    for path in paths:
        entities, _ = parse_name(path)
        parts[entities["part"]][entities.get("echo", "1")] = path
    if parts["mag"].keys() != parts["phase"].keys():
        raise InputError(
            f"expected the same echoes of part-mag and part-phase, got "
            f"{sorted(parts['mag'])} and {sorted(parts['phase'])}"
        )
    sidecars = {echo: sidecar(path, folder) for echo, path in parts["phase"].items()}
    times = {
        echo: _number(said, "EchoTime", parts["phase"][echo]) for echo, said in sidecars.items()
    }
    echoes = sorted(times, key=lambda echo: times[echo])
    first = parts["phase"][echoes[0]]
    entities, _ = parse_name(first)
    return RawScan(
        magnitude=tuple(parts["mag"][echo] for echo in echoes),
        phase=tuple(parts["phase"][echo] for echo in echoes),
        echo_times_s=tuple(times[echo] for echo in echoes),
        field_strength_t=_number(sidecars[echoes[0]], "MagneticFieldStrength", first),
        phase_unit=_phase_unit(sidecars[echoes[0]], first),
        entities={k: v for k, v in entities.items() if k not in ("echo", "part")},
    )


def _number(said: Mapping[str, Any], key: str, path: Path) -> float:
    value = said.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"expected {key} in a sidecar of {quoted(path.name)}, got {value!r}")
    return float(value)


def _phase_unit(said: Mapping[str, Any], path: Path) -> str | None:
    units = said.get("Units", "arbitrary")
    if units not in _UNITS:
        raise InputError(
            f"expected phase in Units {' or '.join(map(repr, _UNITS))}, got {units!r} in a sidecar "
            f"of {quoted(path.name)}: a field map is no phase"
        )
    return _UNITS[units]


def parse_name(path: Path) -> tuple[dict[str, str], str]:
    """Entities and suffix of a BIDS file name: sub-01_echo-1_MEGRE.nii.gz."""
    *parts, suffix = path.name.partition(".")[0].split("_")
    entities = {}
    for part in parts:
        found = _ENTITY.fullmatch(part)
        if found is None:
            return {}, ""
        entities[found[1]] = found[2]
    return entities, suffix


def sidecar(path: Path, folder: Path) -> dict[str, Any]:
    """What the sidecars of an image say, the nearest and most particular last."""
    entities, suffix = parse_name(path)
    said: dict[str, Any] = {}
    for level in reversed(_levels(path, folder)):
        fitting = []
        for candidate in sorted(level.glob(f"*{suffix}.json")):
            own, own_suffix = parse_name(candidate)
            if own_suffix == suffix and own.items() <= entities.items():
                fitting.append((len(own), candidate))
        for _, candidate in sorted(fitting):
            said |= _read_json(candidate)
    return said


def _levels(path: Path, folder: Path) -> list[Path]:
    """Folders from the image's up to the dataset's root, or to the folder above the one named."""
    levels = [path.parent]
    while levels[-1] not in (folder.parent, levels[-1].parent):
        if (levels[-1] / "dataset_description.json").exists():
            break
        levels.append(levels[-1].parent)
    return levels


def _read_json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SIDECAR_BYTES + 1)
        if len(content) > MAX_SIDECAR_BYTES:
            raise FormatError(
                f"{quoted(path.name)}: expected at most {MAX_SIDECAR_BYTES} bytes of JSON"
            )
        said = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{quoted(path.name)}: expected JSON, got something else") from error
    if not isinstance(said, dict):
        raise FormatError(f"{quoted(path.name)}: expected a JSON object, got {type(said).__name__}")
    return said


def _joined(entities: Mapping[str, str]) -> str:
    return "_".join(f"{key}-{value}" for key, value in entities.items())


def derivative_stem(out: Path, entities: Mapping[str, str]) -> Path:
    """Give the beginning of every path: OUT/sub-01/ses-1/anat/sub-01_ses-1_acq-smwi."""
    folder = out / f"sub-{entities['sub']}"
    if "ses" in entities:
        folder /= f"ses-{entities['ses']}"
    return folder / "anat" / _joined(entities)


def checked_label(label: str) -> str:
    """Give a label back if it is letters and digits; no path is built of anything else."""
    if not _LABEL.fullmatch(label):
        raise InputError(f"expected a label of letters and digits, got {label!r}")
    return label
