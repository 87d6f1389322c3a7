# SPDX-License-Identifier: Apache-2.0
"""Make a model file of a trained torch network: the code that builds it, and its weights.

The code is the user's own and is run; the weights are data and are not: a pickle that asks for more
than tensors is refused. torch's own exporter writes the graph; :mod:`export.imported` does the
rest.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import logging
import pickle
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from export.misfits import misfits
from nigroedge.errors import InputError, MissingDependencyError, ModelError
from nigroedge.io.kind import N_BYTES, kind_of
from nigroedge.names import readable

Shape3 = tuple[int, int, int]
#: Relative to the largest answer: what two ways to sum in float32 differ by at most.
_TOLERANCE = 1e-4
#: torch's exporters: the current one, which needs onnxscript, and the one before.
EXPORTERS = ("dynamo", "torchscript")
#: Keys under which training code keeps weights beside other things.
_NESTED = ("state_dict", "model_state_dict", "model", "network_weights", "net")


def build(factory: str) -> nn.Module:
    """Call the function that builds a network.

    Parameters
    ----------
    factory : str
        'package.module:callable' or 'file.py:callable'; it takes no arguments.

    Raises
    ------
    InputError
        If there is no such callable, it fails, or gives no network.
    """
    where, colon, name = factory.rpartition(":")
    if not colon or not where or not name.isidentifier():
        raise InputError(
            f"expected package.module:callable or file.py:callable, got {readable(factory)}"
        )
    make = getattr(_module(where), name, None)
    if not callable(make):
        raise InputError(f"expected a callable {name} in {readable(where)}, got none")
    try:
        network = make()
    except Exception as error:
        raise InputError(f"{factory}() failed: {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise InputError(f"expected {factory}() to give an nn.Module, got {type(network).__name__}")
    return network


def _module(where: str) -> Any:
    try:
        if not where.endswith(".py"):
            sys.path.insert(0, "")  # modules of the folder that we are called in, as python -m has
            return importlib.import_module(where)
        path = Path(where)
        if not path.is_file():
            raise InputError(f"expected a Python file, got {readable(path)}")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None  # of a name that ends in .py there is one
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
    except InputError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise InputError(f"{readable(where)} cannot be imported: {said}") from error
    return module


def load_weights(network: nn.Module, path: Path) -> None:
    """Load weights into a network: safetensors, or a torch file that holds nothing but tensors.

    Raises
    ------
    InputError
        If the file cannot be read.
    ModelError
        If it would run code, holds no weights, or others than the network's, or such as no
        network has (NaN, a variance below 0); all are named.
    """
    stored = _unwrapped(_read_weights(path), path)
    problems = misfits(network.state_dict(), stored)
    if problems:
        raise ModelError(f"weights in {readable(path)} do not fit the network; {problems}")
    network.load_state_dict(stored)


def _read_weights(path: Path) -> Any:
    start = _start(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load

            return load(path.read_bytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles of another protocol: it tries them
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, safetensors and zip readers have errors of their own
        # What torch says is left out: it advises to run the file.
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        if isinstance(error, pickle.UnpicklingError) and (asked or start.startswith(_PICKLE)):
            what = f"it names {asked[1][:100]}" if asked else "it is a pickle of other things"
            raise ModelError(
                f"{readable(path)} asks for more than weights, and is not run: {what}; "
                f"{_HOW_TO_SAVE}"
            ) from error
        said = _unreadable(path, start, error)
        raise ModelError(f"{readable(path)} holds no weights that can be read: {said}") from error


#: With which pickles of protocol 2 and later begin.
_PICKLE = b"\x80"


_HOW_TO_SAVE = (
    "save the weights alone, where you trained: torch.save(network.state_dict(), 'weights.pt')"
)


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(N_BYTES)
    except OSError as error:
        raise InputError(f"cannot read {readable(path)}: {error.strerror or error}") from error


def _unreadable(path: Path, start: bytes, error: Exception) -> str:
    """Say what a file is that holds no weights, and what to do."""
    is_zip = start.startswith(b"PK\x03\x04")
    if "TorchScript" in str(error):
        return "it is TorchScript: torch.save(torch.jit.load(FILE).state_dict(), 'weights.pt')"
    if path.suffix == ".safetensors":
        if is_zip:
            return "expected safetensors, got a zip archive: call it .pt if torch.save() wrote it"
    elif start[8:10] == b'{"':
        return "it looks like safetensors: call it .safetensors"
    elif is_zip:
        return f"it is cut short, or another zip archive than torch.save() writes; {_HOW_TO_SAVE}"
    found = kind_of(start)
    return f"expected a torch file or safetensors, got {found}" if found else _HOW_TO_SAVE


def _unwrapped(stored: Any, path: Path) -> dict[str, torch.Tensor]:
    """Take the weights out of a checkpoint, and DataParallel's prefix off their names."""
    for key in _NESTED:
        if isinstance(stored, Mapping) and isinstance(stored.get(key), Mapping):
            stored = stored[key]
            break
    if not isinstance(stored, Mapping) or not stored:
        raise ModelError(f"expected weights in {readable(path)}, got {type(stored).__name__}")
    others = [str(name) for name, value in stored.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise ModelError(
            f"expected weights alone in {readable(path)}, or under one of {', '.join(_NESTED)}; "
            f"got {', '.join(others)[:200]}"
        )
    prefix = "module."
    wrapped = all(str(name).startswith(prefix) for name in stored)
    return {str(name)[len(prefix) if wrapped else 0 :]: value for name, value in stored.items()}


def export(network: nn.Module, shape: Shape3, exporter: str = "dynamo") -> bytes:
    """Export a network by torch's own exporter, for any number of patches.

    Parameters
    ----------
    network : nn.Module
        (n, 1, *shape) float32 → one number for each; put into inference mode.
    shape : (int, int, int)
    exporter : str
        One of `EXPORTERS`.

    Raises
    ------
    ModelError
        If the exporter cannot say the network as ONNX, or says another network.
    MissingDependencyError
        If the current exporter's package is missing.
    """
    network = network.eval().float()
    _check_statistics(network)
    patch, buffer = torch.rand(2, 1, *shape), io.BytesIO()
    if exporter == "dynamo" and importlib.util.find_spec("onnxscript") is None:
        raise MissingDependencyError("torch's exporter needs: pip install onnxscript")
    try:
        with _quiet():
            _EXPORT[exporter](network, patch, buffer)
    except Exception as error:  # torch's exporters raise whatever the network's code leads to
        said = " ".join(_ESCAPES.sub("", str(error.__cause__ or error)).split())[:300]
        other = next(name for name in EXPORTERS if name != exporter)
        raise ModelError(
            f"torch cannot export the network ({said}); try --exporter {other}"
        ) from error
    content = buffer.getvalue()
    _check_alone(network, patch)
    _check_same(network, content, patch)
    return content


#: With which terminals colour what torch says.
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
#: Part of an answer that rounding in float64 stays below by far, and any look at others above.
_ALONE = 1e-9
#: What patches are multiplied by: a network that chooses by their size takes other ways.
_SIZES = (1.0, -1.0, 0.0, 1e-3, 1e3)


def _check_statistics(network: nn.Module) -> None:
    """Refuse batch normalisation by the batch at hand, which eval() does not change."""
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_var is None:
            raise ModelError(
                f"layer {name!r}: expected batch normalisation with running statistics, got none: "
                "an answer would depend on the other patches of its batch"
            )


def _check_alone(network: nn.Module, patch: torch.Tensor) -> None:
    """Refuse a network whose answer to a patch depends on the others of its batch.

    In float64, where batches of one and of two differ by rounding alone, 1e-13 at most.
    """
    unlike = patch.double() * torch.tensor([1.0, 3.0]).reshape(-1, 1, 1, 1, 1)
    try:
        network.double()
        with torch.inference_mode():
            together = network(unlike)
        if not isinstance(together, torch.Tensor):
            return  # `export.imported` says what came instead of one number
        alone, again = _answers(network, unlike), _answers(network, unlike)
    except RuntimeError:
        return  # it names float32 itself: `_check_same` compares there
    finally:
        network.float()
    if together.shape != alone.shape or not np.array_equal(alone, again):
        return  # the same says it of shapes, `_check_same` of what is left to chance
    off = float(np.abs(together.numpy() - alone).max())
    if off > _ALONE * float(np.abs(alone).max()):
        raise ModelError(
            f"expected no look at other patches, got answers that another patch of the batch "
            f"changes by {off:.2g}: statistics must be those of one patch"
        )


def _check_same(network: nn.Module, content: bytes, patch: torch.Tensor) -> None:
    """Refuse a graph that gives other answers than its network, as where an `if` was traced."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(content, options)
    if len(session.get_inputs()) != 1 or len(session.get_outputs()) != 1:
        return  # which no model file may have: `export.imported` says so
    for size in _SIZES:
        wanted = _answers(network, size * patch)
        (got,) = session.run(None, {session.get_inputs()[0].name: (size * patch).numpy()})
        if not (np.isfinite(got).all() or np.isfinite(wanted).all()):
            continue  # `export.imported` says which weight is none
        off = float(np.abs(got - wanted).max()) / max(1.0, float(np.abs(wanted).max()))
        if not off <= _TOLERANCE:
            raise ModelError(
                f"torch exported another network: its answers to patches times {size:g} are off "
                f"by {off:.2g}; expected no `if` on values, no chance, no look at other patches"
            )


def _answers(network: nn.Module, patches: torch.Tensor) -> np.ndarray:
    """Run patches one by one: what a graph gives for a batch must not depend on the others."""
    with torch.inference_mode():
        answers = [network(patch[None]) for patch in patches]
    while isinstance(answers[0], tuple | list) and len(answers[0]) == 1:
        answers = [each[0] for each in answers]
    if not isinstance(answers[0], torch.Tensor):
        raise ModelError(f"expected the network to give a tensor, got {type(answers[0]).__name__}")
    if answers[0].dim() < 2:
        raise ModelError(
            f"expected the network to give (1, 1) for one patch, (n, 1) for n, got "
            f"{tuple(answers[0].shape)}: forward() ends without squeeze()"
        )
    return torch.cat(answers).numpy()


def _by_dynamo(network: nn.Module, patch: torch.Tensor, buffer: io.BytesIO) -> None:
    program = torch.onnx.export(
        network, (patch,), dynamo=True, dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)
    )
    buffer.write(program.model_proto.SerializeToString())  # type: ignore[union-attr]


def _by_torchscript(network: nn.Module, patch: torch.Tensor, buffer: io.BytesIO) -> None:
    torch.onnx.export(
        network,
        (patch,),
        buffer,  # type: ignore[arg-type]  # files are taken too
        dynamo=False,
        opset_version=17,
        input_names=["patch"],
        dynamic_axes={"patch": {0: "n"}},
    )


_EXPORT: dict[str, Callable[[nn.Module, torch.Tensor, io.BytesIO], None]] = {
    "dynamo": _by_dynamo,
    "torchscript": _by_torchscript,
}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what exporters say about themselves from the user; errors are raised all the same."""
    previous = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
