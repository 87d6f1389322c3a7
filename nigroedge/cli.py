# SPDX-License-Identifier: Apache-2.0
"""The command line: the only place that prints or ends the program.

Results go to standard output; a refusal is one line on standard error, or for a cohort table one
line for each problem. Exit codes: 0 done, 1 refused input or a broken promise, 2 usage, 3 a bug of
ours; 130 after Ctrl-C, as shells have it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import re
import shlex
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import nigroedge
from nigroedge.errors import InternalError, NigroedgeError, TableError
from nigroedge.result import NOTICE
from nigroedge.terminal import check_heading, check_text, model_text, one_line, result_text

if TYPE_CHECKING:
    from nigroedge.verify import Check
    from nigroedge.volume import Volume

DONE, REFUSED, USAGE, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 130

Point = tuple[float, float, float]

#: First simulated patient of demo; those below train, calibrate, check and verify models.
_DEMO_FIRST_SUBJECT = 4 << 30
_MAX_DEMO_SEED = (1 << 30) - 1

_EPILOG = f"exit codes: 0 done, 1 refused input, 2 usage, 3 internal error\n{NOTICE}"

_PREDICT = """\
Predict the striatal binding ratio (SBR) of one side or both from a midbrain SMWI.

A centroid is that of nigrosome-1, as X,Y,Z in RAS+ millimetres: x grows to the patient's right, y
to anterior, z to superior. Left and right are the patient's."""

_PREDICT_EPILOG = f"""\
examples:
  nigroedge predict smwi.nii.gz --left -9,-18,-14 --right 10,-18,-14
  nigroedge predict smwi.nii.gz --landmarks points.mrk.json --json
  nigroedge predict smwi.nii --left -9,-18,-14 --model left.onnx --engine openvino --threads 2
  nigroedge predict smwi.nii --landmarks points.csv --model left.onnx --model right.onnx

landmark files: 3-D Slicer's .mrk.json and .fcsv (points labelled left and right, or L and R; their
coordinate system is honoured), or .csv with the header side,x,y,z in RAS mm

{_EPILOG}"""

_VERIFY = """\
Run a model and its INT8 siblings (NAME.onnx, NAME.int8.onnx, NAME.int8.xml) on every engine of this
machine, and compare with the self-test in the file and, on simulated patches, with the float model.
Promises: float within 1e-4 SBR; INT8 within 0.05 SBR in the mean and 0.15 at worst. Times are
medians. Exit code 1 if a promise is broken."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; by default those of the process.

    Returns
    -------
    int
        The exit code.
    """
    try:
        options = _parser().parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # argparse: 0 after --help and --version, 2 after a usage error
        return int(stop.code or DONE)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except BrokenPipeError:  # whoever read our output has left
        _abandon_output()
        return REFUSED
    except TableError as error:  # one line for each problem
        return _complain_of_each(error)
    except NigroedgeError as error:
        return _bug(error) if isinstance(error, InternalError) else _complain(error, REFUSED)
    except OSError as error:  # such as a full disk below our output
        _abandon_output()
        return _complain(f"cannot read or write: {error}", REFUSED)
    except Exception as error:
        return _bug(error)


def _abandon_output() -> None:
    """Keep Python from flushing, as it ends, what could not be written; that would be code 120."""
    if sys.stdout is not None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: a stream without a file
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(message: object, code: int) -> int:
    _print(f"nigroedge: {one_line(str(message))}", to_stderr=True)
    return code


def _complain_of_each(error: TableError) -> int:
    heading, *problems = str(error).split("\n")
    for line in (f"nigroedge: {one_line(heading)}", *map(one_line, problems)):
        _print(line, to_stderr=True)
    return REFUSED


def _bug(error: Exception) -> int:
    if os.environ.get("NIGROEDGE_DEBUG") == "1":
        traceback.print_exception(error)
    hint = "NIGROEDGE_DEBUG=1 shows where"
    return _complain(f"internal error: {type(error).__name__}: {error} ({hint})", INTERNAL)


def _print(text: str, *, to_stderr: bool = False) -> None:
    """Print, with what the stream's encoding cannot say escaped."""
    stream = sys.stderr if to_stderr else sys.stdout
    if stream is None:  # the caller closed it
        raise OSError("standard error is closed" if to_stderr else "standard output is closed")
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


def _print_json(value: dict[str, Any]) -> None:
    _print(json.dumps(value, indent=2, allow_nan=False))


# --------------------------------------------------------------------------------------- arguments


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the usage in one line."""

    def error(self, message: str) -> NoReturn:
        _complain(f"{message} (see: {self.prog} --help)", USAGE)
        raise SystemExit(USAGE)


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


def _joined(arguments: Sequence[str]) -> list[str]:
    """Join --left -9,-18,-14 to --left=-9,-18,-14: argparse takes a leading minus for an option."""
    joined: list[str] = []
    is_option = True
    for argument in arguments:
        if is_option and joined[-1:] in (["--left"], ["--right"]) and re.match(r"-[\d.]", argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
        is_option = is_option and argument != "--"
    return joined


def _coordinate(text: str) -> Point:
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        x = y = z = math.nan
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
        raise argparse.ArgumentTypeError(f"expected X,Y,Z in mm such as -9,-18,-14, got {text!r}")
    return x, y, z


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "nigroedge",
        description=f"{(nigroedge.__doc__ or '').splitlines()[0]}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"nigroedge {nigroedge.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_predict, _add_demo, _add_info, _add_verify, _add_smwi, _add_evaluate):
        add(commands)
    return parser


def _add(commands: Any, name: str, summary: str, **texts: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        **{"description": f"{summary[0].upper()}{summary[1:]}.", "epilog": _EPILOG, **texts},
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")
    return command


def _add_engine(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--engine", metavar="E", help="what runs the model; by default it follows from the file"
    )
    command.add_argument(
        "--threads", type=int, metavar="N", help="threads of the engine; by default one per CPU"
    )


def _add_predict(commands: Any) -> None:
    summary = "predict the SBR of a patient"
    command = _add(commands, "predict", summary, description=_PREDICT, epilog=_PREDICT_EPILOG)
    command.add_argument("image", metavar="IMAGE", help="SMWI: .nii, .nii.gz, .hdr or .img")
    for side in ("left", "right"):
        command.add_argument(
            f"--{side}",
            action=_Once,
            type=_coordinate,
            metavar="X,Y,Z",
            help=f"{side} centroid, RAS mm",
        )
    command.add_argument(
        "--landmarks", action=_Once, metavar="FILE", help="centroids of one side or both"
    )
    command.add_argument(
        "--model",
        action="append",
        metavar="FILE",
        help="model file; twice for one per side; by default the bundled reference",
    )
    _add_engine(command)
    command.add_argument(
        "--transform",
        choices=("sform", "qform"),
        help="which transform of the image is right, where its two disagree",
    )
    command.set_defaults(run=_predict, usage_error=command.error)


def _add_demo(commands: Any) -> None:
    command = _add(commands, "demo", "predict a simulated patient with the bundled model")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="which patient (0)")
    command.add_argument("--out", metavar="FILE", help="write the image: new .nii or .nii.gz file")
    _add_engine(command)
    command.set_defaults(run=_demo, usage_error=command.error)


def _add_info(commands: Any) -> None:
    command = _add(commands, "info", "show what a model file says of itself")
    command.add_argument("model", nargs="?", metavar="MODEL", help="default: bundled reference")
    command.set_defaults(run=_info)


def _add_verify(commands: Any) -> None:
    summary = "check every engine of this machine: parity and milliseconds"
    command = _add(commands, "verify", summary, description=_VERIFY)
    command.add_argument("model", nargs="?", metavar="MODEL", help="default: bundled reference")
    command.add_argument(
        "--threads", type=int, metavar="N", help="threads of each engine; by default one per CPU"
    )
    command.set_defaults(run=_verify)


def _add_smwi(commands: Any) -> None:
    from nigroedge.smwi import command as smwi

    texts = {"description": smwi.DESCRIPTION, "epilog": f"{smwi.EPILOG}\n{_EPILOG}"}
    command = _add(commands, "smwi", smwi.SUMMARY, **texts)
    smwi.add_arguments(command)
    command.set_defaults(run=_smwi)


def _add_evaluate(commands: Any) -> None:
    from nigroedge.study import command as study

    texts = {"description": study.DESCRIPTION, "epilog": f"{study.EPILOG}\n{_EPILOG}"}
    command = _add(commands, "evaluate", study.SUMMARY, **texts)
    study.add_arguments(command)
    _add_engine(command)
    command.set_defaults(run=_evaluate)


# ---------------------------------------------------------------------------------------- commands


def _predict(options: argparse.Namespace) -> int:
    given = {side: getattr(options, side) for side in ("left", "right")}
    if (options.landmarks is None) == (given == {"left": None, "right": None}):
        options.usage_error("expected either --landmarks, or --left, --right or both")
    # Nothing here multiplies matrices: numpy's threads for that would spin beside the engine's.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
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
    result = predict(volume, **centres, models=models_by_side(models))
    if options.json:
        _print_json(result.to_dict())
    else:
        _print(result_text(result))
    return DONE


def _demo(options: argparse.Namespace) -> int:
    if not 0 <= options.seed <= _MAX_DEMO_SEED:
        options.usage_error(f"expected --seed from 0 to {_MAX_DEMO_SEED}, got {options.seed}")
    from nigroedge.model import load_model
    from nigroedge.phantom import simulate

    model = load_model(engine=options.engine, threads=options.threads)
    patient = simulate(_DEMO_FIRST_SUBJECT + options.seed)
    volume = patient.volume if options.out is None else _saved(patient.volume, options.out)
    result = model.predict(volume, left=patient.left_mm, right=patient.right_mm)
    measured = {"left": patient.sbr_left, "right": patient.sbr_right}
    subject = patient.subject
    expected = {"left": subject.left.expected_sbr, "right": subject.right.expected_sbr}
    if options.json:
        simulated = {"seed": options.seed, "sbr": measured, "expected_sbr": expected}
        _print_json({**result.to_dict(), "simulated": simulated})
        return DONE
    _print(f"Simulated patient {options.seed}: not a person, and the model was trained on such.\n")
    _print(result_text(result))
    for what, sbr in (
        ("expected from the nigra, the best that an image can tell", expected),
        ("measured, with the spread that no image explains", measured),
    ):
        _print(f"{'simulated SBR':15} left {sbr['left']:.2f}, right {sbr['right']:.2f}: {what}")
    _print("\nThis shows that the software works; it says nothing about patients.")
    if options.out is not None:
        left, right = (",".join(map(repr, xyz)) for xyz in (patient.left_mm, patient.right_mm))
        file = one_line(shlex.quote(options.out))
        _print(
            f"\nAgain from the file:\n  nigroedge predict --left {left} --right {right} -- {file}"
        )
    return DONE


def _saved(volume: Volume, path: str) -> Volume:
    """Write a volume and read it back, as a user would."""
    from nigroedge.io.nifti import load_volume, save_volume

    save_volume(volume, path)
    return load_volume(path)


def _info(options: argparse.Namespace) -> int:
    from nigroedge.artefact import read_artefact
    from nigroedge.model import REFERENCE, read_spec

    artefact = read_artefact(REFERENCE if options.model is None else options.model)
    spec = read_spec(artefact)
    if not options.json:
        _print(model_text(artefact, spec))
        return DONE
    metadata = dict(artefact.metadata)
    card = json.loads(metadata.pop("nigroedge.card"))
    _print_json(
        {
            "path": str(artefact.path),
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
    )
    return DONE


def _verify(options: argparse.Namespace) -> int:
    from nigroedge.verify import verify

    checks: list[Check] = []
    for check in verify(options.model, threads=options.threads):
        if not options.json:
            _print(check_text(check) if checks else f"{check_heading()}\n{check_text(check)}")
        elif sys.stderr.isatty():
            _print(check_text(check), to_stderr=True)
        checks.append(check)
    if options.json:
        plain = [check.to_dict() for check in checks]
        _print_json({"checks": plain, "version": nigroedge.__version__, "notice": NOTICE})
    return REFUSED if any(check.status == "fail" for check in checks) else DONE


def _smwi(options: argparse.Namespace) -> int:
    from nigroedge.smwi.command import run

    outcome = run(options, _show_progress if sys.stderr.isatty() else lambda stage, done: None)
    if options.json:
        _print_json({**outcome.to_dict(), "version": nigroedge.__version__, "notice": NOTICE})
    else:
        _print(outcome.text())
    return DONE


def _evaluate(options: argparse.Namespace) -> int:
    from nigroedge.study.command import run

    outcome = run(options, _show_count if sys.stderr.isatty() else lambda stage, done, total: None)
    if options.json:
        _print_json(outcome.to_dict())
    else:
        _print("\n".join(map(one_line, outcome.text().split("\n"))))
    return DONE


def _show_count(stage: str, done: int, total: int) -> None:
    """One line of standard error, written over and over; ended where all is done."""
    end = "\n" if done == total else ""
    print(f"\r{stage} {done} / {total}", end=end, file=sys.stderr, flush=True)


def _show_progress(stage: str, done: float) -> None:
    """One line of standard error, written over and over; ended where the last stage ends."""
    end = "\n" if (stage, done) == ("smwi", 1.0) else ""
    print(f"\r{stage:<12}{100 * done:4.0f} %", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
