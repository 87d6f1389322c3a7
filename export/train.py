# SPDX-License-Identifier: Apache-2.0
"""Train a regressor on a cohort table and write it as a model file.

Mean squared error, participants split once so that nobody is on two sides of it. A run that was cut
off and resumed gives the same weights, bit for bit, as one that was not (`export.lessons`). Written
is the epoch of least validation error; of a cycle of the learning rate its last one, where the rate
has come down: a few hundred validation rows tell the epochs of a cycle apart by their noise. The
test rows are looked at once, after that, for the card.
"""

from __future__ import annotations

from pathlib import Path

from export.course import Course, TrainConfig
from export.progress import bar, say
from export.run import Run
from export.training import Training
from nigroedge.errors import InputError


def train(
    config: TrainConfig, table: Path, folder: Path, *, cache: Path, resume: bool = False
) -> Path:
    """Train, and write the model file.

    Parameters
    ----------
    table : Path
        Cohort table with image, x, y, z and sbr on every row.
    folder : Path
        Of the run: config.json, checkpoint.pt, log.jsonl, log.svg and, at the end, NAME.onnx, where
        NAME is the folder's.
    cache : Path
        Folder where windows are kept.
    resume : bool
        Go on from the run's checkpoint. Only the number of epochs may differ from before, and only
        while the learning rate is constant.

    Returns
    -------
    Path
        The model file.

    Raises
    ------
    InputError
        If the table is not one to train on, the start is no model file of the preset, the run
        exists and is not to be resumed, or it was begun with another config or another table.
        TableError, one of them, lists what is wrong.
    """
    run = Run(folder)
    course = Course.of(config, table, name=run.name)
    run.open(course, resume=resume)
    training = Training(course, cache)
    run.load(training)
    with bar("training", total=training.n_steps, done=training.steps_done) as shown:
        while not training.ended:
            say(_line(training.run_epoch(shown), config.recipe.epochs))
            run.save(training)
    return training.write(run.model)


def write_best(folder: Path, table: Path, output: Path, *, cache: Path) -> Path:
    """Write the best epoch of a run so far (of a cycle, the last) as a model file.

    Raises
    ------
    InputError
        If the folder holds no run, no epoch of it is done, or it was begun on another table.
    """
    run = Run(folder)
    if not run.begun:
        raise InputError(f"expected the folder of a run with at least one epoch done, got {folder}")
    course = Course.of(run.config(), table, name=run.name)
    run.open(course, resume=True)
    training = Training(course, cache)
    run.load(training)
    return training.write(output)


def _line(entry: dict[str, float], epochs: int) -> str:
    return (
        f"epoch {entry['epoch']:.0f}/{epochs}: training RMSE {entry['train_rmse']:.4f}, "
        f"validation RMSE {entry['validation_rmse']:.4f}, ρc {entry['validation_rho_c']:.4f} SBR, "
        f"{entry['seconds']:.0f} s"
    )
