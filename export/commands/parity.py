# SPDX-License-Identifier: Apache-2.0
"""The command `export parity`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from export.commands.arguments import (
    COHORT_TABLE,
    N_PATCHES,
    PRESET_NAMES,
    add_samples,
    positive,
    samples,
    spec_of,
)
from nigroedge.names import readable
from nigroedge.subcommand import Progress, Subcommand

if TYPE_CHECKING:
    from export.parity import Refusal, Removal, Row


_REMOVED = """\
with --table, an INT8 sibling that breaks its promise there is removed, and a line says why;
those of the bundled model stay
"""


def _add_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("models", nargs="*", type=Path, metavar="MODEL", help="float32 .onnx, siblings beside it")
    add("--preset", action="append", choices=PRESET_NAMES, default=[], help="with random weights")
    add("--threads", type=positive, help="default: all CPUs granted to us")
    add_samples(command, "compare on")


@dataclass(frozen=True)
class _Compared:
    rows: list[Row | Refusal]
    removed: list[Removal]
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        return not all(row.passed for row in self.rows)

    def to_dict(self) -> list[dict[str, Any]]:
        return [each.to_dict() for each in (*self.rows, *self.removed)]

    def lines(self) -> Iterator[str]:
        from export.parity import table

        yield table(self.rows)
        yield from (f"removed {each.removed}: {each.reason}" for each in self.removed)
        yield from self.notes


def _run(options: argparse.Namespace, progress: Progress) -> _Compared:
    from export.parity import remove_broken

    presets = options.preset or ([] if options.models else PRESET_NAMES)
    rows: list[Row | Refusal] = []
    removed: list[Removal] = []
    for model in options.models:
        found = _rows(model, options)
        rows += found
        removed += remove_broken(model, found) if options.table else []
    for preset in presets:
        with TemporaryDirectory() as folder:
            rows += _rows(_random_family(preset, Path(folder)), options)
    return _Compared(rows, removed, _notes(options))


def _notes(options: argparse.Namespace) -> tuple[str, ...]:
    """Say that patches may be those of the calibration, where a table has but one sort of rows."""
    from export.samples import has_split

    if not options.table or has_split(options.table, "test"):
        return ()
    table = readable(options.table.name)
    return (f"{table} has no splits: INT8 that was calibrated with it was compared on the same",)


def _rows(model: Path, options: argparse.Namespace) -> list[Row | Refusal]:
    from export.parity import parity
    from nigroedge.engine import resolve_threads

    threads = resolve_threads(options.threads)
    return parity(model, samples(options, spec_of(model), "check"), threads=threads)


def _random_family(preset: str, folder: Path) -> Path:
    """Write a preset with random weights, and its INT8 siblings."""
    from export.init import random_model
    from export.quantize import quantize
    from export.samples import simulated_samples
    from export.to_onnx import write_model

    model = folder / f"{preset}.onnx"
    network, spec = random_model(preset, seed=0)
    write_model(model, network, spec)
    quantize(model, simulated_samples(spec, purpose="calibrate", n_patches=N_PATCHES, seed=0))
    return model


COMMAND = Subcommand(
    "parity",
    "compare every engine, on a model and its INT8 siblings, with torch (exit code 1: FAIL)",
    _add_arguments,
    _run,
    epilog=f"{COHORT_TABLE}\n{_REMOVED}",
)
