# SPDX-License-Identifier: Apache-2.0
"""The command line of export: `python -m export COMMAND`, from the repository.

Results go to standard output, progress and refusals to standard error. Exit codes: 0 done, 1
refused or a promise broken, 2 usage. Each command imports what it needs when it runs, so that
--help is quick.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from nigroedge.engine import resolve_threads
from nigroedge.errors import InputError, NigroedgeError
from nigroedge.grid import PatchGrid
from nigroedge.preprocess import PATCH_SPACING_MM
from nigroedge.spec import MIRRORS, NORMALIZATIONS, SIDES, ModelSpec

if TYPE_CHECKING:
    from export.parity import Refusal, Row
    from export.samples import Purpose, Samples

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DONE, REFUSED = 0, 1

PRESET_NAMES = ("bae2023", "slim", "mri-dat", "resnet")

_TABLE = """\
a table is a CSV or TSV with the columns participant_id,side,image,x,y,z and, where it is
known, sbr: one row a side, the centroid in RAS mm, images relative to the table"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; give the exit code."""
    args = _parser().parse_args(argv)
    try:
        code: int = args.run(args)
    except NigroedgeError as error:
        print(f"export {args.command}: {error}", file=sys.stderr)
        return REFUSED
    except ModuleNotFoundError as error:
        print(f"export {args.command}: {error}; pip install nigroedge[export]", file=sys.stderr)
        return REFUSED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export", description="Train, write, quantise and check model files."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_init(commands)
    _add_train(commands)
    _add_onnx(commands)
    _add_quantize(commands)
    _add_from_savedmodel(commands)
    _add_parity(commands)
    _add_reference(commands)
    _add_cohort(commands)
    return parser


def _command(
    commands: Commands, name: str, summary: str, *, epilog: str = ""
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=epilog,
    )


# ---- init ----------------------------------------------------------------------------------------


def _add_init(commands: Commands) -> None:
    parser = _command(commands, "init", "write a model file with random weights")
    parser.add_argument("--preset", choices=PRESET_NAMES, required=True)
    parser.add_argument("--seed", type=_natural, default=0, help="of the weights (default 0)")
    _add_output(parser)
    parser.set_defaults(run=_init)


def _init(args: argparse.Namespace) -> int:
    from export.init import random_model
    from export.to_onnx import write_model

    network, spec = random_model(args.preset, seed=args.seed)
    write_model(args.output, network, spec)
    print(args.output)
    return DONE


# ---- train ---------------------------------------------------------------------------------------


def _add_train(commands: Commands) -> None:
    parser = _command(
        commands,
        "train",
        "train a preset on a cohort table and write it as a model file",
        epilog="TABLE is a CSV or TSV with participant_id,side,image,x,y,z,sbr and optionally "
        "split, reading\nand others: docs/training.md. RUN holds config.json, checkpoint.pt, "
        "log.jsonl, log.svg\nand, at the end, RUN.onnx.",
    )
    add = parser.add_argument
    _add_windows(parser)
    add("--preset", choices=PRESET_NAMES, required=True)
    add("--epochs", type=_positive, required=True, help="passes over the training patches")
    add("--batch", type=_positive, default=8, help="patches a step (default 8)")
    add("--learning-rate", type=_number, default=1e-4, help="of AdamW (default 1e-4)")
    add("--schedule", choices=("constant", "one-cycle"), default="constant", help="of that rate")
    add("--weight-decay", type=_number, default=0.0, help="of AdamW (default 0)")
    add("--average", type=_share, default=0.0, help="keep this much of the weights' moving average")
    add("--precision", choices=("float32", "bf16"), default="float32", help="while learning")
    add("--patience", type=_natural, default=0, help="epochs without progress; 0: go on to the end")
    add("--train-participants", type=_positive, metavar="N", help="learn from so many only")
    add("--start", type=Path, metavar="MODEL", help="start from the weights of this model file")
    add("--seed", type=_natural, default=0, help="of everything that is drawn (default 0)")
    add("--threads", type=_positive, default=2, help="default 2; the weights depend on it")
    add("--resume", action="store_true", help="go on with a run that was cut off")
    add("-o", "--output", type=Path, required=True, metavar="RUN", help="folder of the run")
    _add_augmentation(parser)
    parser.set_defaults(run=_train)


def _add_augmentation(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "augmentation", "at most, afresh for each patch of each epoch; 0 switches one off"
    )
    add = group.add_argument
    add("--jitter", type=_natural, default=1, help="voxels the centroid moves, 0 to 3 (default 1)")
    add("--rotation", type=_number, default=5.0, help="degrees, 0 to 8 (default 5)")
    add("--contrast", type=_number, default=0.1, help="of log exponent, 0 to 1 (default 0.1)")
    add("--blur", type=_number, default=0.2, help="share given to neighbours, to 0.5 (default 0.2)")
    add("--noise", type=_number, default=0.03, help="SD over the patch's mean (default 0.03)")


def _add_windows(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--cohort", type=Path, required=True, metavar="TABLE", help="cohort table (see below)")
    add("--cache", type=Path, default=Path("runs/cache"), help="of windows cut from the images")


def _train(args: argparse.Namespace) -> int:
    from export.augment import Augmentation
    from export.learner import Recipe
    from export.train import TrainConfig, train

    try:
        augmentation = Augmentation(
            args.jitter, args.rotation, args.contrast, args.blur, args.noise
        )
    except ValueError as error:
        raise InputError(str(error)) from error
    recipe = Recipe(
        epochs=args.epochs,
        batch=args.batch,
        learning_rate=args.learning_rate,
        schedule=args.schedule,
        weight_decay=args.weight_decay,
        average=args.average,
        precision=args.precision,
        augmentation=augmentation,
    )
    config = TrainConfig(
        preset=args.preset,
        recipe=recipe,
        patience=args.patience,
        participants=args.train_participants,
        start=args.start,
        seed=args.seed,
        threads=args.threads,
    )
    print(train(config, args.cohort, args.output, cache=args.cache, resume=args.resume))
    return DONE


# ---- onnx ----------------------------------------------------------------------------------------


def _add_onnx(commands: Commands) -> None:
    parser = _command(commands, "onnx", "write the best epoch of a run so far as a model file")
    parser.add_argument("checkpoint", type=Path, metavar="RUN", help="folder of the run")
    _add_windows(parser)
    _add_output(parser)
    parser.set_defaults(run=_onnx)


def _onnx(args: argparse.Namespace) -> int:
    from export.train import write_best

    print(write_best(args.checkpoint, args.cohort, args.output, cache=args.cache))
    return DONE


# ---- quantize ------------------------------------------------------------------------------------


def _add_quantize(commands: Commands) -> None:
    parser = _command(
        commands,
        "quantize",
        "write the INT8 siblings NAME.int8.onnx and NAME.int8.xml beside a model file",
        epilog=_TABLE,
    )
    parser.add_argument("model", type=Path, help="float32 .onnx")
    _add_samples(parser, "calibrate with")
    parser.set_defaults(run=_quantize)


def _quantize(args: argparse.Namespace) -> int:
    from export.quantize import quantize

    for path in quantize(args.model, _samples(args, _spec_of(args.model), "calibrate")):
        print(path)
    return DONE


# ---- from-savedmodel -----------------------------------------------------------------------------


def _add_from_savedmodel(commands: Commands) -> None:
    parser = _command(
        commands,
        "from-savedmodel",
        "rebuild a TensorFlow SavedModel as a model file, without TensorFlow",
        epilog="example: python -m export from-savedmodel net_left --side left --normalize mean "
        "--axes ALI --scale 6.84 -o left.onnx",
    )
    add = parser.add_argument
    add("folder", type=Path, help="holds saved_model.pb and variables/")
    add("--side", choices=SIDES, required=True, help="side of the patient that it serves")
    add("--mirror", choices=MIRRORS, default="none", help="side that it was trained on flipped")
    add("--normalize", choices=NORMALIZATIONS, required=True, help="of its patches")
    add("--axes", type=_axes, required=True, help="where its patch axes grow to, such as ALI")
    add("--spacing", type=_spacing, default=PATCH_SPACING_MM, help="mm (default 0.5,0.5,1)")
    add("--scale", type=float, required=True, help="SBR = scale · its output")
    add("--name", help="for the card (default: the folder's)")
    add("--licence", default="unknown: that of the SavedModel", help="for the card")
    _add_output(parser)
    parser.set_defaults(run=_from_savedmodel)


def _from_savedmodel(args: argparse.Namespace) -> int:
    from export.from_savedmodel import convert

    convert(
        args.folder,
        args.output,
        side=args.side,
        mirror=args.mirror,
        normalize=args.normalize,
        axes=args.axes,
        spacing_mm=args.spacing,
        scale=args.scale,
        name=args.name or args.folder.resolve().name,
        licence=args.licence,
    )
    print(args.output)
    return DONE


# ---- parity --------------------------------------------------------------------------------------


def _add_parity(commands: Commands) -> None:
    parser = _command(
        commands,
        "parity",
        "compare every engine, on a model and its INT8 siblings, with torch (exit code 1: FAIL)",
        epilog=_TABLE,
    )
    add = parser.add_argument
    add("models", nargs="*", type=Path, metavar="MODEL", help="float32 .onnx, siblings beside it")
    add("--preset", action="append", choices=PRESET_NAMES, default=[], help="with random weights")
    add("--threads", type=_positive, default=resolve_threads(None), help="default: all CPUs")
    add("--json", action="store_true")
    _add_samples(parser, "compare on")
    parser.set_defaults(run=_parity)


def _parity(args: argparse.Namespace) -> int:
    from export.parity import table

    if not args.models and not args.preset:
        args.preset = list(PRESET_NAMES)
    rows = [row for model in args.models for row in _parity_of(model, args)]
    for preset in args.preset:
        with TemporaryDirectory() as folder:
            rows += _parity_of(_random_family(preset, Path(folder)), args)
    print(json.dumps([row.to_dict() for row in rows], indent=1) if args.json else table(rows))
    return DONE if all(row.passed for row in rows) else REFUSED


def _parity_of(model: Path, args: argparse.Namespace) -> list[Row | Refusal]:
    from export.parity import parity

    return parity(model, _samples(args, _spec_of(model), "check"), threads=args.threads)


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


# ---- cohort --------------------------------------------------------------------------------------


def _add_cohort(commands: Commands) -> None:
    parser = _command(
        commands,
        "cohort",
        "simulate a cohort, or check a group's own table and deal its participants out",
        epilog="DIR/table.tsv has a row a side; DIR/images, when simulated, a window of the SMWI "
        "for each.\nThe same command continues a run that was cut off, and more participants "
        "extend it.\nThe default is the size of the study: 367, of whom 74 test.",
    )
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--participants", type=_positive, help="to simulate (default 367)")
    source.add_argument("--table", type=Path, help="of a group's own participants, CSV or TSV")
    add(
        "--split",
        action="append",
        choices=("train", "validation", "test"),
        help="simulate images of this split alone; again for another (default: all)",
    )
    add("--fast", action="store_true", help="ideal SMWI, blurred, with noise; not field and echoes")
    add("--seed", type=_natural, default=0, help="of participants and of the deal (default 0)")
    add("--workers", type=_positive, default=resolve_threads(None), help="default: all CPUs")
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the cohort")
    parser.set_defaults(run=_cohort, usage_error=parser.error)


def _cohort(args: argparse.Namespace) -> int:
    from export.cohort import (
        SPLITS,
        STUDY_PARTICIPANTS,
        CohortConfig,
        check_cohort,
        simulate_cohort,
    )

    if args.table and (args.fast or args.split):
        args.usage_error("--fast and --split are for simulated participants, not for --table")
    if args.table:
        print(check_cohort(args.table, args.output, seed=args.seed))
        return DONE
    config = CohortConfig("fast" if args.fast else "physical", args.seed)
    participants = args.participants or STUDY_PARTICIPANTS
    scanned = args.split or SPLITS
    print(simulate_cohort(config, participants, args.output, workers=args.workers, scanned=scanned))
    return DONE


# ---- reference -----------------------------------------------------------------------------------


def _add_reference(commands: Commands) -> None:
    parser = _command(
        commands,
        "reference",
        "make the bundled model from nothing: cohort, training, evaluation, INT8 (docs/study)",
    )
    add = parser.add_argument
    add("--threads", type=_positive, default=2, help="default 2; the weights depend on it")
    add("--miniature", action="store_true", help="8 participants, 2 epochs: shows that it runs")
    add("--bundle", action="store_true", help="copy model and results to nigroedge and docs")
    add("-o", "--output", type=Path, default=Path("runs/reference"), metavar="DIR")
    parser.set_defaults(run=_reference)


def _reference(args: argparse.Namespace) -> int:
    from export.reference import MINIATURE, REFERENCE, bundle, reference
    from nigroedge.cli import main as nigroedge

    plan = MINIATURE if args.miniature else REFERENCE
    print(reference(plan, args.output, threads=args.threads, export=main, nigroedge=nigroedge))
    if args.bundle:
        root = Path(__file__).resolve().parents[1]
        bundle(plan, args.output, root / "nigroedge" / "models", root / "docs" / "study")
    return DONE


# ---- arguments that commands share ---------------------------------------------------------------

#: Patches to calibrate with, and to compare on, where nothing else is asked for.
N_PATCHES = 64


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")


def _add_samples(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--patches", type=_positive, default=N_PATCHES, help=f"to {what}, simulated (default 64)"
    )
    parser.add_argument("--seed", type=_natural, default=0, help="of the simulated subjects")
    parser.add_argument("--table", type=Path, help=f"to {what} instead (see below)")


def _samples(args: argparse.Namespace, spec: ModelSpec, purpose: Purpose) -> Samples:
    from export.samples import simulated_samples, table_samples

    if args.table:
        return table_samples(spec, args.table)
    return simulated_samples(spec, purpose=purpose, n_patches=args.patches, seed=args.seed)


def _spec_of(model: Path) -> ModelSpec:
    from nigroedge.artefact import read_artefact
    from nigroedge.model import read_spec

    return read_spec(read_artefact(model))


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text!r}")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return value


def _share(text: str) -> float:
    value = _number(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to below 1, got {text!r}")
    return value


def _axes(text: str) -> str:
    try:
        return PatchGrid((1, 1, 1), (1.0, 1.0, 1.0), text).axes
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _spacing(text: str) -> tuple[float, float, float]:
    try:
        x, y, z = (float(part) for part in text.split(","))
        return PatchGrid((1, 1, 1), (x, y, z), "ALI").spacing_mm
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected X,Y,Z in mm, got {text!r}") from error


if __name__ == "__main__":
    sys.exit(main())
