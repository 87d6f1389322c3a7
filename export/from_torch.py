# SPDX-License-Identifier: Apache-2.0
"""Make a graph of a trained torch network: build it, and have it exported.

The code is the user's own and is run; the weights are data and are not (:mod:`export.weights`).
torch's own exporter writes the graph; :mod:`export.imported` makes a model file of it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from nigroedge.errors import InputError, MissingDependencyError, ModelError
from nigroedge.names import readable

Shape3 = tuple[int, int, int]
#: Relative to the largest answer: what two ways to sum in float32 differ by at most.
_TOLERANCE = 1e-4
#: torch's exporters: the current one, which needs onnxscript, and the one before.
EXPORTERS = ("dynamo", "torchscript")


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
    network = _unwrapped(network)
    lazy = [name for name, each in network.state_dict().items() if is_lazy(each)]
    if lazy:
        raise InputError(
            f"expected {factory}() to give layers that know their sizes, got lazy ones: "
            f"{', '.join(lazy)[:200]}; call the network once on a patch there"
        )
    return network


def _unwrapped(network: nn.Module) -> nn.Module:
    """Take out what torch.compile or parallel training has wrapped."""
    for name in ("module", "_orig_mod"):
        inner = getattr(network, name, None)
        wraps = name == "_orig_mod" or isinstance(network, _PARALLEL)
        if wraps and isinstance(inner, nn.Module):
            return _unwrapped(inner)
    return network


_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


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
    _check_runs(network, patch)
    if exporter == "dynamo" and importlib.util.find_spec("onnxscript") is None:
        raise MissingDependencyError("torch's exporter needs: pip install onnxscript")
    try:
        with _quiet():
            _EXPORT[exporter](network, patch, buffer)
    except Exception as error:  # torch's exporters raise whatever the network's code leads to
        said = _said(error.__cause__ or error)
        other = next(name for name in EXPORTERS if name != exporter)
        raise ModelError(
            f"torch cannot export the network ({said}); try --exporter {other}, or write that "
            "part with layers that ONNX has"
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


def _check_runs(network: nn.Module, patch: torch.Tensor) -> None:
    """Refuse a network that does not run, before an exporter says so in its words."""
    try:
        with torch.inference_mode():
            network(patch)
    except Exception as error:  # of the network's own code
        raise ModelError(
            f"the network does not run on patches (n, 1, {', '.join(map(str, patch.shape[2:]))}), "
            f"the one argument of forward(): {_said(error)}; --shape says how large they are"
        ) from error


def _said(error: BaseException) -> str:
    """Give what torch says in one line, without colours."""
    return " ".join(_ESCAPES.sub("", str(error)).split())[:300]


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
    if answers[0].dim() < 1:
        raise ModelError(
            "expected the network to give (1, 1) for one patch, (n, 1) for n, got (): forward() "
            "ends without squeeze(), or with squeeze(-1)"
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
            _silent(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Lose what C++ writes to standard output: the older exporter prints whole graphs there."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
