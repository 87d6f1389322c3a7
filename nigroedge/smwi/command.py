# SPDX-License-Identifier: Apache-2.0
"""The command `nigroedge smwi`: its arguments, and what it does."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nigroedge import __version__
from nigroedge.names import readable
from nigroedge.result import NOTICE
from nigroedge.smwi.phase_unit import UNIT_NAMES
from nigroedge.subcommand import (
    Point,
    Progress,
    Subcommand,
    add_threads,
    add_transform,
    direction,
)

if TYPE_CHECKING:
    from nigroedge.io.nifti_header import Frame
    from nigroedge.smwi.method import Method
    from nigroedge.smwi.scan import MultiEcho

_DESCRIPTION = """\
Make SMWI of the magnitude and phase of a multi-echo gradient echo.

Give images as NIfTI: one file for each echo, in the order of the echo times, or one file with the
echoes along its fourth axis (and channels along a fifth). Or give the folder of a BIDS subject or
session with MEGRE or T2starw images of part-mag and part-phase.

Written are, under BIDS derivative names: SMWI, susceptibility, field maps, masks, and a JSON beside
each with every parameter and the inputs' hashes. Nothing is overwritten."""

_EPILOG = """\
examples:
  nigroedge smwi --magnitude mag.nii --phase phase.nii --echo-times 0.01 0.02 0.03 0.04 0.05 \\
                 --field-strength 3 --out derivatives
  nigroedge smwi --bids study/sub-01 --out study/derivatives/smwi --method paper --figure
"""

METHOD_NAMES = ("paper", "fast", "best")


def _add_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--magnitude", nargs="+", metavar="FILE", help="magnitude images")
    add("--phase", nargs="+", metavar="FILE", help="phase images, as many")
    add("--echo-times", nargs="+", type=float, metavar="S", help="echo times in seconds")
    add("--field-strength", type=float, metavar="T", help="tesla")
    add("--bids", metavar="DIR", help="folder of a BIDS subject or session")
    add("--out", required=True, metavar="DIR", help="where to write; made if it is not there")
    add("--subject", metavar="LABEL", help="for names of what is written (default: unknown)")
    add("--method", choices=METHOD_NAMES, default="best", help="how (default: best)")
    add("--mask", metavar="FILE", help="brain mask; found from the magnitude by default")
    add("--phase-unit", choices=UNIT_NAMES, help="unit of the phase; detected by default")
    add("--b0", type=direction, metavar="X,Y,Z", help="direction of B0; by default the scanner's z")
    add("--phase-sign", type=int, choices=(1, -1), default=1, help="-1 turns the phase round")
    add("--chi-threshold", type=float, metavar="PPM", help="χth of the mask (default: 1)")
    add("--power", type=float, metavar="M", help="power of the mask (default: 4)")
    add("--figure", action="store_true", help="also write one picture of every stage")
    add_transform(command)
    add_threads(command)


@dataclass(frozen=True)
class _Made:
    """What was written, SMWI first, and the parameters as beside the SMWI."""

    written: tuple[Path, ...]
    parameters: dict[str, Any]
    failed = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "written": [readable(path) for path in self.written],
            "parameters": self.parameters,
            "version": __version__,
            "notice": NOTICE,
        }

    def lines(self) -> Iterator[str]:
        said = self.parameters
        kept = 100 * said["ErodedMaskVoxels"] / max(said["MaskVoxels"], 1)
        detected = " (detected)" if said["PhaseUnitDetected"] else ""
        yield (
            f"{len(said['EchoTime'])} echoes at {said['MagneticFieldStrength']:g} T, "
            f"phase in {said['PhaseUnit']}{detected}; "
            f"susceptibility in {kept:.0f} % of the mask"
        )
        if said["B0From"] == "aligned":
            yield (
                "B0 along z of coordinates aligned to another image (code 2), taken for the "
                "scanner's: if that image was turned, give --b0"
            )
        yield from map(readable, self.written)
        yield NOTICE


def _run(options: argparse.Namespace, progress: Progress) -> _Made:
    """Read, reconstruct, write."""
    _check_usage(options)
    from nigroedge.smwi.bids import checked_label
    from nigroedge.smwi.outputs import check_dataset, check_outputs, output_paths, write_outputs
    from nigroedge.smwi.reconstruction import reconstruct

    entities = {"sub": checked_label(options.subject or "unknown")}
    out = Path(options.out)
    check_dataset(out)
    scan, found = _scan(options)
    if options.subject is None:
        entities = found or entities
    paths = output_paths(out, entities, figure=options.figure)
    check_outputs(paths)
    if options.figure:
        from nigroedge.smwi.figure import require_matplotlib

        require_matplotlib(beside=paths[0])
    result = reconstruct(
        scan,
        method=_method(options),
        mask=None if options.mask is None else _mask_values(options, scan),
        workers=options.threads,
        progress=lambda stage, done: progress(stage, done, 1),
    )
    write_outputs(result, out, entities, figure=options.figure)
    return _Made(paths, result.parameters)


def _check_usage(options: argparse.Namespace) -> None:
    given = [options.magnitude, options.phase, options.echo_times, options.field_strength]
    if options.bids is not None:
        if any(value is not None for value in given):
            options.usage_error(
                "expected --bids alone, or --magnitude, --phase, --echo-times and --field-strength"
            )
    elif options.magnitude is None or options.phase is None:
        options.usage_error("expected --magnitude and --phase, or --bids")


def _method(options: argparse.Namespace) -> Method:
    from nigroedge.smwi.method import METHODS

    method = METHODS[options.method]
    if options.chi_threshold is not None:
        method = replace(method, chi_threshold_ppm=options.chi_threshold)
    return method if options.power is None else replace(method, power=options.power)


def _scan(options: argparse.Namespace) -> tuple[MultiEcho, dict[str, str]]:
    if options.bids is None:
        return _scan_of_files(options), {}
    from nigroedge.smwi.bids import find_scan

    found = find_scan(Path(options.bids))
    options.magnitude, options.phase = found.magnitude, found.phase
    options.echo_times, options.field_strength = found.echo_times_s, found.field_strength_t
    return _read(options, found.phase_unit), found.entities


def _scan_of_files(options: argparse.Namespace) -> MultiEcho:
    """Read images that were named; JSON beside them must not contradict what is said of them."""
    from nigroedge.errors import InputError
    from nigroedge.smwi.agreement import agreed_phase_unit, check_given
    from nigroedge.smwi.bids import beside

    if options.field_strength is None:
        raise InputError("expected the field strength in tesla, got none: give --field-strength")
    magnitude = [beside(Path(path), "mag") for path in options.magnitude]
    phase = [beside(Path(path), "phase") for path in options.phase]
    scan = _read(options, agreed_phase_unit(phase))
    check_given(magnitude, phase, scan.echo_times_s, scan.field_strength_t)
    return scan


def _read(options: argparse.Namespace, phase_unit: str | None) -> MultiEcho:
    from nigroedge.smwi.scan import MultiEcho, same_place
    from nigroedge.smwi.stack import best_known, read_stack

    magnitude = read_stack(options.magnitude, transform=options.transform)
    place = magnitude.affines[0]
    phase = read_stack(options.phase, transform=options.transform, target=place)
    same_place((*magnitude.affines, *phase.affines), magnitude.values.shape)
    frame = best_known((magnitude.frame, phase.frame))
    return MultiEcho(
        magnitude.values,
        phase.values,
        place,
        options.echo_times or (),
        options.field_strength,
        phase_unit=options.phase_unit or phase_unit,
        phase_sign=options.phase_sign,
        b0_world=_b0_world(options.b0, frame),
        b0_from="given" if options.b0 is not None else frame,
        sources=(*magnitude.sources, *phase.sources),
    )


def _b0_world(given: Point | None, frame: Frame) -> Point:
    """Where B0 runs: along z of the scanner's coordinates, and of those alone."""
    from nigroedge.errors import GeometryError

    if given is not None:
        return given
    if frame == "standard":
        raise GeometryError(
            "expected a transform to the scanner's coordinates, whose z is the direction of B0, "
            "got one to a standard space (sform_code or qform_code 3 to 5): give --b0 X,Y,Z, the "
            "direction in those coordinates, or name the scanner's transform by --transform"
        )
    return 0.0, 0.0, 1.0


def _mask_values(options: argparse.Namespace, scan: MultiEcho) -> Any:
    from nigroedge.smwi.mask import checked_mask
    from nigroedge.smwi.scan import same_place
    from nigroedge.smwi.stack import read_mask

    values, affine = read_mask(options.mask, scan.affine, transform=options.transform)
    mask = checked_mask(values, scan.magnitudes.shape[:3])
    same_place((scan.affine, affine), mask.shape, "the scan and its mask")
    return mask


COMMANDS = (
    Subcommand(
        "smwi",
        "make SMWI of the magnitude and phase of a multi-echo gradient echo",
        _add_arguments,
        _run,
        description=_DESCRIPTION,
        epilog=_EPILOG,
    ),
)
