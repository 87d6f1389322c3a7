# SPDX-License-Identifier: Apache-2.0
"""The command `export train`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from export.commands.arguments import (
    add_learning_threads,
    add_mirror_centre,
    add_preset,
    add_windows,
    natural,
    number,
    positive,
    share,
)
from export.commands.written import Written
from nigroedge.subcommand import Progress, Subcommand

if TYPE_CHECKING:
    from export.augment import Augmentation
    from export.recipe import Recipe

_EPILOG = """\
TABLE is a CSV or TSV with participant_id,side,image,x,y,z,sbr and optionally split, reading
and others: docs/training.md. RUN holds config.json, checkpoint.pt, log.jsonl, log.svg
and, at the end, RUN.onnx.
"""


def _add_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add_windows(command)
    add_preset(command)
    add("--epochs", type=positive, required=True, help="passes over the training patches")
    add("--batch", type=positive, default=8, help="patches a step (default 8)")
    add("--learning-rate", type=number, default=1e-4, help="of AdamW (default 1e-4)")
    add("--schedule", choices=("constant", "one-cycle"), default="constant", help="of that rate")
    add("--weight-decay", type=number, default=0.0, help="of AdamW (default 0)")
    add("--average", type=share, default=0.0, help="keep this much of the weights' moving average")
    add("--precision", choices=("float32", "bf16"), default="float32", help="while learning")
    add("--patience", type=natural, default=0, help="epochs without progress; 0: go on to the end")
    add("--train-participants", type=positive, metavar="N", help="learn from so many only")
    add_mirror_centre(command)
    add("--start", type=Path, metavar="MODEL", help="start from the weights of this model file")
    add("--seed", type=natural, default=0, help="of everything that is drawn (default 0)")
    add_learning_threads(command)
    add("--resume", action="store_true", help="go on with a run that was cut off")
    add("-o", "--output", type=Path, required=True, metavar="RUN", help="folder of the run")
    _add_augmentation(command)


def _add_augmentation(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group(
        "augmentation", "at most, afresh for each patch of each epoch; 0 switches one off"
    )
    add = group.add_argument
    add("--jitter", type=natural, default=1, help="voxels the centroid moves, 0 to 3 (default 1)")
    add("--rotation", type=number, default=5.0, help="degrees, 0 to 8 (default 5)")
    add("--contrast", type=number, default=0.1, help="of log exponent, 0 to 1 (default 0.1)")
    add("--blur", type=number, default=0.2, help="share given to neighbours, to 0.5 (default 0.2)")
    add("--noise", type=number, default=0.03, help="SD over the patch's mean (default 0.03)")


def _run(options: argparse.Namespace, progress: Progress) -> Written:
    from export.course import TrainConfig
    from export.train import train

    config = TrainConfig(
        preset=options.preset,
        recipe=_recipe(options),
        patience=options.patience,
        participants=options.train_participants,
        start=options.start,
        seed=options.seed,
        threads=options.threads,
        mirror_centre=options.mirror_centre,
    )
    run, cache = options.output, options.cache
    return Written(train(config, options.cohort, run, cache=cache, resume=options.resume))


def _recipe(options: argparse.Namespace) -> Recipe:
    from export.recipe import Recipe

    return Recipe(
        epochs=options.epochs,
        batch=options.batch,
        learning_rate=options.learning_rate,
        schedule=options.schedule,
        weight_decay=options.weight_decay,
        average=options.average,
        precision=options.precision,
        augmentation=_augmentation(options),
    )


def _augmentation(options: argparse.Namespace) -> Augmentation:
    from export.augment import Augmentation

    return Augmentation(
        jitter=options.jitter,
        rotation_deg=options.rotation,
        contrast=options.contrast,
        blur=options.blur,
        noise=options.noise,
    )


COMMAND = Subcommand(
    "train",
    "train a preset on a cohort table and write it as a model file",
    _add_arguments,
    _run,
    epilog=_EPILOG,
)
