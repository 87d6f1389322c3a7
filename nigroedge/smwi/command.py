# SPDX-License-Identifier: Apache-2.0
"""The command `nigroedge smwi`: its arguments, and what it does."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nigroedge import __version__
from nigroedge.names import readable
from nigroedge.result import NOTICE
from nigroedge.subcommand import Progress, Subcommand, add_threads, add_transform

if TYPE_CHECKING:
    from nigroedge.io.nifti import Series
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
#: As in `nigroedge.smwi.phase.UNIT_NAMES`, which costs an import of numpy.
UNIT_NAMES = ("rad", "rad-positive", "mrad", "0..4095", "-4096..4096", "full-range")


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
        yield from map(readable, self.written)
        yield NOTICE


def _run(options: argparse.Namespace, progress: Progress) -> _Made:
    """Read, reconstruct, write."""
    _check_usage(options)
    from nigroedge.io.nifti import load_volume
    from nigroedge.smwi.bids import checked_label
    from nigroedge.smwi.outputs import check_outputs, output_paths, write_outputs
    from nigroedge.smwi.reconstruction import reconstruct

    entities = {"sub": checked_label(options.subject or "unknown")}
    scan, found = _scan(options)
    if options.subject is None:
        entities = found or entities
    out = Path(options.out)
    paths = output_paths(out, entities, figure=options.figure)
    check_outputs(paths)
    if options.figure:
        from nigroedge.smwi.figure import require_matplotlib

        require_matplotlib(beside=paths[0])
    mask = None
    if options.mask is not None:
        mask = _mask_values(load_volume(options.mask, transform=options.transform), scan)
    result = reconstruct(
        scan,
        method=_method(options),
        mask=mask,
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

    magnitude, phase = (
        _Stack.read(paths, options.transform) for paths in (options.magnitude, options.phase)
    )
    affine = same_place((*magnitude.affines, *phase.affines), magnitude.values.shape)
    return MultiEcho(
        magnitude.values,
        phase.values,
        affine,
        options.echo_times or (),
        options.field_strength,
        phase_unit=options.phase_unit or phase_unit,
        phase_sign=options.phase_sign,
        sources=(*magnitude.sources, *phase.sources),
    )


@dataclass(frozen=True, eq=False)
class _Stack:
    """Images of all echoes, from one file or one each."""

    values: Any
    affines: tuple[Any, ...]
    sources: tuple[Any, ...]

    @classmethod
    def read(cls, paths: Sequence[str | Path], transform: str | None) -> _Stack:
        import numpy as np

        from nigroedge.errors import GeometryError
        from nigroedge.io.nifti import load_series

        series = [load_series(path, transform=transform) for path in paths]
        values = [_values(one) for one in series]
        shapes = {one.shape for one in values}
        if len(shapes) > 1:
            raise GeometryError(
                f"expected images of one shape, got {' and '.join(map(str, sorted(shapes)))}"
            )
        if len(values) > 1 or values[0].ndim == 3:
            values = [np.stack(values, axis=3)]
        return cls(
            values[0],
            tuple(one.affine for one in series),
            tuple(one.source for one in series),
        )


def _values(series: Series) -> Any:
    """Read and hash: what becomes of the file while it is reconstructed makes no difference."""
    from nigroedge.digest import hashing

    with hashing(series.source):
        values = series.values()
    series.source.sha256  # noqa: B018 (an error is better now than in minutes)
    return values


def _mask_values(volume: Any, scan: MultiEcho) -> Any:
    from nigroedge.smwi.mask import checked_mask
    from nigroedge.smwi.scan import same_place

    mask = checked_mask(volume.voxels, scan.magnitudes.shape[:3])
    same_place((scan.affine, volume.affine), mask.shape, "the scan and its mask")
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
