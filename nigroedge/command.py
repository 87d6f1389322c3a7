# SPDX-License-Identifier: Apache-2.0
"""The commands of one prediction: predict, demo, info and verify."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nigroedge.names import readable
from nigroedge.result import NOTICE
from nigroedge.subcommand import (
    Progress,
    Subcommand,
    add_engine,
    add_transform,
    point,
)

if TYPE_CHECKING:
    from nigroedge.artefact import Artefact
    from nigroedge.phantom import Simulation
    from nigroedge.result import Result
    from nigroedge.spec import ModelSpec
    from nigroedge.verify import Check
    from nigroedge.volume import Volume

#: First simulated patient of demo; those below train, calibrate, check and verify models.
_DEMO_FIRST_SUBJECT = 4 << 30
_MAX_DEMO_SEED = (1 << 30) - 1


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", nargs="?", metavar="MODEL", help="default: bundled reference")


# ---------------------------------------------------------------------------------------- predict

_PREDICT = """\
Predict the striatal binding ratio (SBR) of one side or both from a midbrain SMWI.

A centroid is that of nigrosome-1, as X,Y,Z in RAS+ millimetres: x grows to the patient's right, y
to anterior, z to superior. Left and right are the patient's."""

_PREDICT_EPILOG = """\
examples:
  nigroedge predict smwi.nii.gz --left -9,-18,-14 --right 10,-18,-14
  nigroedge predict smwi.nii.gz --landmarks points.mrk.json --json
  nigroedge predict smwi.nii --left -9,-18,-14 --model left.onnx --engine openvino --threads 2
  nigroedge predict smwi.nii --landmarks points.csv --model left.onnx --model right.onnx

landmark files: 3-D Slicer's .mrk.json, .json, .fcsv and tables (label,l,p,s or label,r,a,s), whose
coordinate system is honoured; or a table (.csv, .tsv) with the columns side,x,y,z in RAS mm. Labels
name sides (left, N1_R, L); two points without a side are told apart by position, and the result
says so
"""


class _Once(argparse.Action):
    """Stores a value; a second one is an error, such as --left twice where one was meant right."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string} is given twice")
        setattr(namespace, self.dest, values)


def _add_predict(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("image", metavar="IMAGE", help="SMWI: .nii, .nii.gz, .hdr or .img")
    for side in ("left", "right"):
        centroid = f"{side} centroid, RAS mm"
        add(f"--{side}", action=_Once, type=point, metavar="X,Y,Z", help=centroid)
    add("--landmarks", action=_Once, metavar="FILE", help="centroids of one side or both")
    add(
        "--model",
        action="append",
        metavar="FILE",
        help="model file; twice for one per side; by default the bundled reference",
    )
    add_engine(command)
    add_transform(command)


@dataclass(frozen=True)
class _Prediction:
    result: Result
    failed = False

    def to_dict(self) -> dict[str, Any]:
        return self.result.to_dict()

    def lines(self) -> Iterator[str]:
        from nigroedge.terminal import result_text

        yield result_text(self.result)


def _predict(options: argparse.Namespace, progress: Progress) -> _Prediction:
    given = {side: getattr(options, side) for side in ("left", "right")}
    if (options.landmarks is None) == (given == {"left": None, "right": None}):
        options.usage_error("expected either --landmarks, or --left, --right or both")
    from nigroedge.io.landmarks import load_landmarks
    from nigroedge.io.nifti import load_volume
    from nigroedge.model import load_model
    from nigroedge.pipeline import models_by_side, predict

    centres = given if options.landmarks is None else load_landmarks(options.landmarks)
    volume = load_volume(options.image, transform=options.transform)
    models = [
        load_model(path, engine=options.engine, threads=options.threads)
        for path in options.model or [None]
    ]
    return _Prediction(predict(volume, **centres, models=models_by_side(models)))


# ------------------------------------------------------------------------------------------- demo


def _add_demo(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seed", type=int, default=0, metavar="N", help="which patient (0)")
    command.add_argument("--out", metavar="FILE", help="write the image: new .nii or .nii.gz file")
    add_engine(command)


@dataclass(frozen=True)
class _Demonstration:
    seed: int
    patient: Simulation
    result: Result
    out: str | None
    failed = False

    @property
    def _sbr(self) -> dict[str, dict[str, float]]:
        patient, subject = self.patient, self.patient.subject
        expected = {"left": subject.left.expected_sbr, "right": subject.right.expected_sbr}
        measured = {"left": patient.sbr_left, "right": patient.sbr_right}
        return {"sbr": measured, "expected_sbr": expected}

    def to_dict(self) -> dict[str, Any]:
        return {**self.result.to_dict(), "simulated": {"seed": self.seed, **self._sbr}}

    def lines(self) -> Iterator[str]:
        from nigroedge.terminal import result_text

        yield f"Simulated patient {self.seed}: not a person, and the model was trained on such."
        yield ""
        yield result_text(self.result)
        for what, kind in (
            ("expected from the nigra, the best that an image can tell", "expected_sbr"),
            ("measured, with the spread that no image explains", "sbr"),
        ):
            left, right = self._sbr[kind].values()
            yield f"{'simulated SBR':15} left {left:.2f}, right {right:.2f}: {what}"
        yield ""
        yield "This shows that the software works; it says nothing about patients."
        if self.out is not None:
            sides = (self.patient.left_mm, self.patient.right_mm)
            left_mm, right_mm = (",".join(map(repr, xyz)) for xyz in sides)
            points = f"--left {left_mm} --right {right_mm}"
            yield ""
            yield "Again from the file:"
            yield f"  nigroedge predict {points} -- {shlex.quote(readable(self.out))}"


def _demo(options: argparse.Namespace, progress: Progress) -> _Demonstration:
    if not 0 <= options.seed <= _MAX_DEMO_SEED:
        options.usage_error(f"expected --seed from 0 to {_MAX_DEMO_SEED}, got {options.seed}")
    from nigroedge.io.writing import check_writable
    from nigroedge.model import load_model
    from nigroedge.phantom import simulate

    check_writable([] if options.out is None else [options.out])
    model = load_model(engine=options.engine, threads=options.threads)
    patient = simulate(_DEMO_FIRST_SUBJECT + options.seed)
    volume = patient.volume if options.out is None else _saved(patient.volume, options.out)
    result = model.predict(volume, left=patient.left_mm, right=patient.right_mm)
    return _Demonstration(options.seed, patient, result, options.out)


def _saved(volume: Volume, path: str) -> Volume:
    """Write a volume and read it back, as a user would."""
    from nigroedge.io.nifti import load_volume, save_volume

    save_volume(volume, path)
    return load_volume(path)


# ------------------------------------------------------------------------------------------- info


@dataclass(frozen=True)
class _Information:
    artefact: Artefact
    spec: ModelSpec
    failed = False

    def to_dict(self) -> dict[str, Any]:
        artefact = self.artefact
        metadata = dict(artefact.metadata)
        card = json.loads(metadata.pop("nigroedge.card"))
        return {
            "path": readable(artefact.path),
            "sha256": artefact.sha256,
            "kind": artefact.kind,
            "quantised": artefact.quantised,
            "card": card,
            "metadata": metadata,
            "graph": {
                "inputs": [str(port) for port in artefact.inputs],
                "outputs": [str(port) for port in artefact.outputs],
                "operators": dict(artefact.ops),
                "n_parameters": artefact.n_parameters,
            },
        }

    def lines(self) -> Iterator[str]:
        from nigroedge.terminal import model_text

        yield model_text(self.artefact, self.spec)


def _info(options: argparse.Namespace, progress: Progress) -> _Information:
    from nigroedge.artefact import read_artefact
    from nigroedge.model import REFERENCE, read_spec

    artefact = read_artefact(REFERENCE if options.model is None else options.model)
    return _Information(artefact, read_spec(artefact))


# ----------------------------------------------------------------------------------------- verify

_VERIFY = """\
Run a model and its INT8 siblings (NAME.onnx, NAME.int8.onnx, NAME.int8.xml) on every engine of this
machine, and compare with the self-test in the file and, on simulated patches, with the float model.
Promises: float within 1e-4 SBR; INT8 within 0.05 SBR in the mean and 0.15 at worst. Times are
medians. With --engine on that one alone. Exit code 1 if a promise is broken."""


def _add_verify(command: argparse.ArgumentParser) -> None:
    _add_model(command)
    add_engine(command, default="every one that runs the file")


class _Verification:
    """Checks as they are made; whether all passed is known at their end."""

    def __init__(self, checks: Iterator[Check]) -> None:
        self.failed = False
        self._checks = checks

    def __iter__(self) -> Iterator[Check]:
        for check in self._checks:
            self.failed |= check.status == "fail"
            yield check

    def to_dict(self) -> dict[str, Any]:
        from nigroedge import __version__

        checks = [check.to_dict() for check in self]
        return {"checks": checks, "version": __version__, "notice": NOTICE}

    def lines(self) -> Iterator[str]:
        from nigroedge.terminal import check_heading, check_text

        for number, check in enumerate(self):
            if number == 0:  # a file that cannot be read has no heading
                yield check_heading()
            yield check_text(check)


def _verify(options: argparse.Namespace, progress: Progress) -> _Verification:
    from nigroedge.verify import verify

    asked = {"engine": options.engine, "threads": options.threads}
    if not options.json:  # rows that appear as they are made are progress enough
        return _Verification(verify(options.model, **asked))
    return _Verification(verify(options.model, **asked, progress=progress))


COMMANDS = (
    Subcommand(
        "predict",
        "predict the SBR of a patient",
        _add_predict,
        _predict,
        description=_PREDICT,
        epilog=_PREDICT_EPILOG,
    ),
    Subcommand("demo", "predict a simulated patient with the bundled model", _add_demo, _demo),
    Subcommand("info", "show what a model file says of itself", _add_model, _info),
    Subcommand(
        "verify",
        "check every engine of this machine: parity and milliseconds",
        _add_verify,
        _verify,
        description=_VERIFY,
    ),
)
