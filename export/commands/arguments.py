# SPDX-License-Identifier: Apache-2.0
"""Arguments that several commands take, and what they stand for."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nigroedge.grid import PatchGrid
from nigroedge.spec import MIRROR_CENTRES, MIRRORS, SIDES

if TYPE_CHECKING:
    from export.conventions import Conventions
    from export.samples import Purpose, Samples
    from nigroedge.spec import ModelSpec
    from nigroedge.study.table import Split

#: As in `export.network.PRESETS`, which costs an import of torch.
PRESET_NAMES = ("bae2023", "slim", "mri-dat", "resnet")
#: Patches to calibrate with, and to compare on, where nothing else is asked for.
N_PATCHES = 64
#: Of a whole number; Python reads no more than 4,300.
MAX_DIGITS = 1000

#: Whose patches of a table serve a purpose.
_SPLITS: dict[Purpose, Split] = {"calibrate": "train", "check": "test", "cohort": "train"}

COHORT_TABLE = """\
a table is a CSV or TSV with the columns participant_id,side,image,x,y,z and, where it is
known, sbr: one row a side, the centroid in RAS mm, images relative to the table; where it has
splits, INT8 is calibrated with the rows of train and checked on those of validation, and parity
is measured on those of test
"""


def add_preset(command: argparse.ArgumentParser) -> None:
    """Add --preset, which has to be given."""
    command.add_argument(
        "--preset", choices=PRESET_NAMES, required=True, help="layout of the network"
    )


def add_mirror_centre(command: argparse.ArgumentParser) -> None:
    """Add --mirror-centre of models of this project, whose right side is mirrored."""
    command.add_argument(
        "--mirror-centre",
        choices=MIRROR_CENTRES,
        default="n/2",
        help="voxel of the centroid, left-right, on mirrored sides: n/2 (default), or n/2-1 as "
        "where arrays are cropped, then flipped (np.flip)",
    )


def add_output(command: argparse.ArgumentParser) -> None:
    """Add -o FILE."""
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="model file to write, and folders above it; replaced if it exists",
    )


def checked_output(options: argparse.Namespace) -> Path:
    """Give -o FILE; refuse before the work what could not be written after it."""
    from nigroedge.io.writing import check_writable

    path: Path = options.output
    check_writable([path], if_exists="replace")
    return path


def add_learning_threads(command: argparse.ArgumentParser) -> None:
    """Add --threads of torch while it learns."""
    command.add_argument(
        "--threads", type=positive, default=2, help="default 2; the weights depend on it"
    )


def add_windows(command: argparse.ArgumentParser) -> None:
    """Add --cohort and --cache: a table, and where windows of its images are kept."""
    add = command.add_argument
    add("--cohort", type=Path, required=True, metavar="TABLE", help="cohort table (see below)")
    add("--cache", type=Path, default=Path("runs/cache"), help="of windows cut from the images")


# ---- patches of a cohort -------------------------------------------------------------------------


def add_samples(command: argparse.ArgumentParser, what: str) -> None:
    """Add --patches, --seed and --table: patches to do something with."""
    add = command.add_argument
    add("--patches", type=positive, default=N_PATCHES, help=f"to {what}, simulated (default 64)")
    add("--seed", type=natural, default=0, help="of the simulated subjects (default 0)")
    add("--table", type=Path, help=f"to {what} instead (see below)")


def samples(options: argparse.Namespace, spec: ModelSpec, purpose: Purpose) -> Samples:
    """Give the patches that were asked for, as a model wants them."""
    from export.samples import simulated_samples, table_samples

    if options.table:
        return table_samples(spec, options.table, split=_SPLITS[purpose])
    return simulated_samples(spec, purpose=purpose, n_patches=options.patches, seed=options.seed)


def held_out(options: argparse.Namespace, spec: ModelSpec) -> Samples | None:
    """Give the patches of a table's validation rows, if it has any."""
    from export.samples import has_split, table_samples

    if not options.table or not has_split(options.table, "validation"):
        return None
    return table_samples(spec, options.table, split="validation")


def spec_of(model: Path) -> ModelSpec:
    """Read what a model file says of itself."""
    from nigroedge.artefact import read_artefact
    from nigroedge.model import read_spec

    return read_spec(read_artefact(model))


# ---- how a network from elsewhere wants its patches ----------------------------------------------


def add_conventions(command: argparse.ArgumentParser) -> None:
    """Add what a network does not say of itself: whom it serves and how its patches are made."""
    add = command.add_argument
    add("--side", choices=SIDES, required=True, help="side of the patient that it serves")
    add("--mirror", choices=MIRRORS, default="none", help="side that it was trained on flipped")
    add(
        "--mirror-centre",
        choices=MIRROR_CENTRES,
        help="voxel of the centroid, left-right, on that side: n/2-1 if you cropped, then flipped "
        "(np.flip); n/2 if you mirrored about the centroid; has to be given with --mirror",
    )
    add(
        "--normalize",
        type=normalization,
        required=True,
        metavar="HOW",
        help="of its patches: none, mean, 'divide K', zscore, zscore-nonzero, minmax or "
        "'percentile LOW HIGH' with ' clip' where it clips (docs/model-file.md)",
    )
    add("--axes", type=axes, required=True, help="where its patch axes grow to, such as ALI")
    add("--spacing", type=spacing, default=(0.5, 0.5, 1.0), help="mm (default 0.5,0.5,1)")
    add("--scale", type=factor, required=True, help="SBR = scale · its output")


def conventions(options: argparse.Namespace) -> Conventions:
    """Give what was said of a network from elsewhere."""
    if "both" != options.side != options.mirror != "none":
        options.usage_error(
            f"--mirror {options.mirror} is of a side that --side {options.side} does not serve: "
            "give --side both, or leave --mirror out"
        )
    centre = _mirror_centre(options)  # before what takes seconds
    from export.conventions import Conventions

    return Conventions(
        side=options.side,
        normalize=options.normalize,
        axes=options.axes,
        mirror=options.mirror,
        mirror_centre=centre,
        spacing_mm=options.spacing,
        scale=options.scale,
    )


def _mirror_centre(options: argparse.Namespace) -> str:
    """Give --mirror-centre, which nobody but who trained the network knows: it is never guessed."""
    asked: str | None = options.mirror_centre
    if options.mirror == "none" and asked is not None:
        options.usage_error("--mirror-centre is for a side that is mirrored: give --mirror too")
    if options.mirror != "none" and asked is None:
        options.usage_error(
            f"--mirror {options.mirror} needs --mirror-centre: n/2-1 if you cropped, then flipped "
            "(np.flip); n/2 if you mirrored about the centroid"
        )
    return asked or "n/2"


#: One to copy, every text of it; [metrics] may be left out.
CARD_TOML = """\
name = "wolf-vgg"
version = "1"
licence = "CC-BY-4.0"
intended_use = "Research. Not for diagnosis."
training_data = "412 people, one 3 T scanner, its own SPECT"
limits = "Not tried on other scanners."
calibration = "SBR of our camera: fit a line per site."

[metrics]
rho_c = 0.71
"""
CARD = f"""\
a card is a TOML file, which people see before every use of the model; no text of it may be empty,
[metrics] may be left out:

{CARD_TOML}"""


def add_stranger(command: argparse.ArgumentParser) -> None:
    """Add what a network from any framework needs besides: its card, its patch, its offset."""
    add_conventions(command)
    add = command.add_argument
    add("--offset", type=any_number, default=0.0, help="SBR = scale · its output + this")
    add("--shape", type=voxels, default=(50, 50, 20), help="of a patch (default 50,50,20)")
    add("--card", type=Path, metavar="TOML", help="the model card; without it one to copy is shown")


class CardToFill:
    """What is shown where --card is missing: a card to copy."""

    failed = True

    def to_dict(self) -> dict[str, Any]:
        """Give what --json prints."""
        return {"written": [], "card": CARD_TOML}

    def lines(self) -> Iterator[str]:
        """Give what is printed otherwise: a TOML file."""
        yield "# --card is missing: save this as card.toml, say what is so, add --card card.toml"
        yield CARD_TOML.rstrip()


# ---- numbers and words ---------------------------------------------------------------------------


def natural(text: str) -> int:
    """Read a whole number of at least 0."""
    return _whole(text, least=0)


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    return _whole(text, least=1)


def _whole(text: str, *, least: int) -> int:
    if not text.isdecimal() or len(text) > MAX_DIGITS or int(text) < least:
        raise argparse.ArgumentTypeError(
            f"expected a whole number of at least {least}, got {text[:40]!r}"
        )
    return int(text)


def number(text: str) -> float:
    """Read a finite number of at least 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return value


def share(text: str) -> float:
    """Read a number from 0 to below 1."""
    value = number(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to below 1, got {text!r}")
    return value


def factor(text: str) -> float:
    """Read a finite number other than 0."""
    expected = "a number other than 0"
    if (value := _finite(text, expected)) == 0:
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return value


def any_number(text: str) -> float:
    """Read a finite number."""
    return _finite(text, "a number")


def _finite(text: str, expected: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        comma = re.fullmatch(r"[-+]?[0-9]+,[0-9]+", text)
        meant = f": write {text.replace(',', '.')}, with a point" if comma else ""
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}{meant}")
    return value


def voxels(text: str) -> tuple[int, int, int]:
    """Read the voxels of a patch along its axes, as X,Y,Z."""
    try:
        x, y, z = (int(part) for part in text.split(","))
        return PatchGrid((x, y, z), (1.0, 1.0, 1.0), "ALI").shape
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected voxels X,Y,Z, got {text[:40]!r}") from error


def normalization(text: str) -> str:
    """Read how patches are normalised, as a model file has it."""
    from nigroedge.preprocess import keeps_signs

    try:
        keeps_signs(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def axes(text: str) -> str:
    """Read the axes of a patch, such as ALI."""
    try:
        return PatchGrid((1, 1, 1), (1.0, 1.0, 1.0), text).axes
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def spacing(text: str) -> tuple[float, float, float]:
    """Read the distances of a patch's voxels, in mm, as X,Y,Z."""
    try:
        x, y, z = (float(part) for part in text.split(","))
        return PatchGrid((1, 1, 1), (x, y, z), "ALI").spacing_mm
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected X,Y,Z in mm, got {text!r}") from error
