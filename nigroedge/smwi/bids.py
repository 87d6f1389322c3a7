# SPDX-License-Identifier: Apache-2.0
"""Find a multi-echo scan in a BIDS folder, and name what comes of it as a BIDS derivative.

Read are MEGRE and T2starw images of part-mag (or no part) and part-phase, one file an echo or one
with all of them, and their JSON sidecars with BIDS's inheritance: a sidecar further up counts where
a nearer one is silent, and those of one level must agree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nigroedge.errors import InputError
from nigroedge.names import quoted
from nigroedge.smwi.acquisition import Acquisition
from nigroedge.smwi.echo_image import CONVERT, EchoImage, Part
from nigroedge.smwi.sidecar import merged, read_sidecar

SUFFIXES = ("MEGRE", "T2starw")
IMAGE_ENDS = (".nii", ".nii.gz")
PARTS = ("mag", "phase", None)
#: Not read, but named: see `nigroedge.smwi.echo_image.CONVERT`.
CARTESIAN = ("real", "imag")

_ENTITY = re.compile(r"([a-zA-Z]+)-([a-zA-Z0-9+]+)")
_FOLDER = re.compile(r"(sub|ses)-([a-zA-Z0-9+]+)")
_LABEL = re.compile(r"[a-zA-Z0-9]+")


@dataclass(frozen=True)
class RawScan(Acquisition):
    """One scan of a BIDS folder.

    Parameters
    ----------
    entities : dict
        Of the file names, but for echo and part: {'sub': '01', ...}.
    """

    entities: dict[str, str]


def find_scan(folder: Path) -> RawScan:
    """Find the one multi-echo scan of a subject's or a session's folder.

    Raises
    ------
    InputError
        If there is none, or more than one, a part is missing, there are two files for one image,
        a name is of another subject or session than its folder, echoes of the two parts differ, or
        sidecars contradict each other (see `Acquisition.of`).
    FormatError
        If a sidecar is no JSON object, or says two things of one key; so do two of one level.
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
    """Images by what they share: all entities but echo and part, and the suffix.

    An image without a part is magnitude to BIDS; only beside phase is it one of ours.
    """
    groups: dict[str, list[Path]] = {}
    for pattern in ("*.nii*", "anat/*.nii*", "ses-*/anat/*.nii*"):
        for path in sorted(folder.glob(pattern)):
            if not path.name.endswith(IMAGE_ENDS):
                continue
            entities, suffix = parse_name(path)
            if suffix in SUFFIXES and entities.get("part") in (*PARTS, *CARTESIAN):
                key = _joined({k: v for k, v in entities.items() if k not in ("echo", "part")})
                groups.setdefault(f"{key}_{suffix}", []).append(path)
    parts = {key: {_part_of(path) for path in paths} for key, paths in groups.items()}
    of_scans = [key for key, found in parts.items() if found & {"mag", "phase"}]
    of_scans = of_scans or [key for key, found in parts.items() if found & {*CARTESIAN}]
    return {key: groups[key] for key in of_scans}


def _part_of(path: Path) -> str | None:
    return parse_name(path)[0].get("part")


def _scan(paths: Sequence[Path], folder: Path) -> RawScan:
    for path in paths:
        _check_folders(path)
    magnitude = _by_echo(paths, "mag") or _by_echo(paths, None)
    phase = _by_echo(paths, "phase")
    if not phase:
        _refuse_cartesian(paths)
    if magnitude.keys() != phase.keys():
        raise InputError(
            f"expected the same echoes of part-mag and part-phase, got "
            f"{sorted(magnitude)} and {sorted(phase)}"
        )
    found = Acquisition.of(
        _images(magnitude, "mag", folder),
        _images({echo: phase[echo] for echo in magnitude}, "phase", folder),
    )
    entities, _ = parse_name(found.phase[0])
    shared = {key: value for key, value in entities.items() if key not in ("echo", "part")}
    return RawScan(**vars(found), entities=shared)


def _check_folders(path: Path) -> None:
    """Refuse an image in the folder of another subject or session than its name says."""
    entities, _ = parse_name(path)
    found = (_FOLDER.fullmatch(part) for part in path.absolute().parts)
    folders = {folder[1]: folder[2] for folder in found if folder}
    for key, label in folders.items():
        if entities.get(key, label) != label:
            raise InputError(
                f"expected images of {key}-{label} in its folder, got {quoted(path.name)}"
            )


def _by_echo(paths: Sequence[Path], part: str | None) -> dict[str, Path]:
    """Files of a part by the number of their echo, which may be written as 01 or 1."""
    found: dict[str, Path] = {}
    for path in paths:
        entities, _ = parse_name(path)
        if entities.get("part") != part:
            continue
        echo = entities.get("echo", "1")
        echo = str(int(echo)) if echo.isdecimal() else echo
        if echo in found:
            raise InputError(
                f"expected one file for echo {echo} of part-{part or 'mag'}, got "
                f"{quoted(found[echo].name)} and {quoted(path.name)}: move away the one that does "
                f"not belong"
            )
        found[echo] = path
    return found


def _refuse_cartesian(paths: Sequence[Path]) -> None:
    found = {part: path for path in paths if (part := _part_of(path)) in CARTESIAN}
    if found:
        parts = " and ".join(f"part-{part}" for part in sorted(found))
        first = min(path.name for path in paths if _part_of(path) in CARTESIAN)
        raise InputError(
            f"expected images of part-mag and part-phase, got {parts}, such as {quoted(first)}: "
            f"{CONVERT}"
        )


def _images(paths: Mapping[str, Path], part: Part, folder: Path) -> list[EchoImage]:
    """Give the files of a part with what is said of them, of a list of all times each its own.

    The number of an echo in a name is its place in that list, from 1: BIDS's index.
    """
    numbers = [str(n + 1) for n in range(len(paths))]
    images = []
    for echo, path in paths.items():
        said = sidecar(path, folder)
        times = said.get("EchoTime")
        if isinstance(times, list) and len(times) == len(paths) and {*numbers} == paths.keys():
            said = {**said, "EchoTime": times[numbers.index(echo)]}
        images.append(EchoImage(path, part, said))
    return images


def parse_name(path: Path) -> tuple[dict[str, str], str]:
    """Entities and suffix of a BIDS file name: sub-01_echo-1_MEGRE.nii.gz.

    Nothing of a name that is none of BIDS's, or that has one entity twice.
    """
    *parts, suffix = path.name.partition(".")[0].split("_")
    entities = {}
    for part in parts:
        found = _ENTITY.fullmatch(part)
        if found is None or found[1] in entities:
            return {}, ""
        entities[found[1]] = found[2]
    return entities, suffix


def sidecar(path: Path, folder: Path) -> dict[str, Any]:
    """What the sidecars of an image say, the nearest last.

    Raises
    ------
    FormatError
        If two of one level contradict each other; see `nigroedge.smwi.sidecar` too.
    """
    entities, suffix = parse_name(path)
    said: dict[str, Any] = {}
    for level in reversed(_levels(path, folder)):
        fitting = []
        for candidate in sorted(level.glob(f"*{suffix}.json")):
            own, own_suffix = parse_name(candidate)
            if own_suffix == suffix and own.items() <= entities.items():
                fitting.append((candidate, read_sidecar(candidate)))
        said |= merged(fitting)
    return said


def beside(path: Path, part: Part) -> EchoImage:
    """Give an image that was named, with what the JSON of its name beside it says, if there is any.

    Raises
    ------
    FormatError
        As `nigroedge.smwi.sidecar.read_sidecar`.
    """
    end = next((end for end in (".nii.gz", path.suffix) if path.name.endswith(end)), "")
    own = path.with_name(f"{path.name.removesuffix(end)}.json")
    return EchoImage(path, part, read_sidecar(own) if own.is_file() else {})


def _levels(path: Path, folder: Path) -> list[Path]:
    """Folders from the image's up to the dataset's root, or to the folder above the one named."""
    levels = [path.parent]
    while levels[-1] not in (folder.parent, levels[-1].parent):
        if (levels[-1] / "dataset_description.json").exists():
            break
        levels.append(levels[-1].parent)
    return levels


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
