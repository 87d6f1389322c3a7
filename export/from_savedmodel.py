# SPDX-License-Identifier: Apache-2.0
"""Rebuild a TensorFlow SavedModel of a regressor as a model file, without TensorFlow.

OpenVINO's TensorFlow front end reads the graph and brings its convolutions from channels-last to
channels-first (weights D H W I O → O I D H W). The graph must be one chain: blocks of 3³
convolution, bias, ReLU and 2³ max-pool, one flatten, linear layers. What the flatten sees is still
channels-last, so that the columns of the first linear layer are put in channels-first order here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from export.conventions import Conventions
from export.network import Shape3, fold_scale, last_linear
from export.spec import make_card
from export.to_onnx import write_model
from nigroedge.engine.openvino import import_openvino
from nigroedge.errors import ModelError
from nigroedge.spec import ModelSpec

Array = npt.NDArray[Any]

#: Largest difference between the rebuilt network and the original, relative to the largest output.
TOLERANCE = 1e-4

#: OpenVINO's settings for the comparison: float32 throughout.
_EXACT = {"INFERENCE_PRECISION_HINT": "f32"}

_CHANNELS_FIRST = [0, 4, 1, 2, 3]
_CHANNELS_LAST = [0, 2, 3, 4, 1]


def convert(
    folder: Path, output: Path, conventions: Conventions, *, name: str, licence: str
) -> ModelSpec:
    """Write a SavedModel as a model file.

    Parameters
    ----------
    folder, output : Path
        What to read and to write.
    conventions : Conventions
        What a SavedModel does not say.
    name, licence : str
        For the card.

    Raises
    ------
    ModelError
        As `read_savedmodel`.
    InputError
        If the conventions, or what is for the card, cannot be written into a model file.
    """
    network, shape = read_savedmodel(folder)
    fold_scale(network, scale=conventions.scale)
    card = make_card(
        name=name,
        licence=licence,
        training_data="not known to the converter: see where the SavedModel came from",
        limits=f"converted from a TensorFlow SavedModel, its output times {conventions.scale:g}",
    )
    return write_model(output, network, conventions.spec(shape, card))


def read_savedmodel(folder: Path) -> tuple[nn.Sequential, Shape3]:
    """Read a SavedModel as a torch network, checked against OpenVINO running the original graph.

    Parameters
    ----------
    folder : Path
        The folder that holds saved_model.pb and variables/.

    Returns
    -------
    network : nn.Sequential
        (n, 1, X, Y, Z) float32 → (n, 1), in the SavedModel's own unit.
    patch_shape : (int, int, int)
        X, Y, Z.

    Raises
    ------
    ModelError
        If the folder cannot be read, the graph is not of the shape above, or the rebuilt network
        differs by more than `TOLERANCE`.
    """
    if not (folder / "saved_model.pb").is_file():
        raise ModelError(f"expected a folder with saved_model.pb, got {folder}")
    try:
        original = import_openvino().Core().read_model(folder)
    except RuntimeError as error:
        text = " ".join(str(error).split())[:300]
        raise ModelError(f"OpenVINO cannot read {folder}: {text}") from error
    return rebuild(original, where=folder)


def rebuild(original: Any, *, where: Path) -> tuple[nn.Sequential, Shape3]:
    """Rebuild an OpenVINO graph as `read_savedmodel` does; `where` is for its errors."""
    chain = _Chain(where, _operations(original, where))
    patch_shape = chain.patch_shape()
    network = nn.Sequential(*chain.modules())
    last_linear(network)
    _check(network, original, patch_shape, where)
    return network, patch_shape


def _operations(model: Any, folder: Path) -> list[Any]:
    """List the operations of a one-chain graph from its parameter to its result."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"{folder}: expected one input and one output, "
            f"got {len(model.inputs)} and {len(model.outputs)}"
        )
    chain = [model.get_results()[0]]
    while chain[-1].get_type_name() != "Parameter":
        sources = [value.get_node() for value in chain[-1].input_values()]
        flowing = [node for node in sources if node.get_type_name() != "Constant"]
        if len(flowing) != 1:
            raise _refusal(
                folder, chain[-1], f"{len(flowing)} inputs that are not constants", "one"
            )
        chain.append(flowing[0])
    return chain[::-1]


def _refusal(folder: Path, operation: Any, got: object, expected: object) -> ModelError:
    name = f"{operation.get_type_name()} {operation.get_friendly_name()!r}"
    return ModelError(f"{folder}: expected {expected} at {name}, got {got}")


class _Chain:
    """Reads the operations of the chain in order and turns them into modules."""

    def __init__(self, folder: Path, operations: list[Any]) -> None:
        self._folder = folder
        self._operations = operations
        self._next = 0

    def patch_shape(self) -> Shape3:
        parameter = self._take("Parameter")
        partial = parameter.get_output_partial_shape(0)
        sizes = [d.get_length() if d.is_static else 0 for d in partial][1:]
        if len(sizes) != 4 or sizes[3] != 1 or 0 in sizes:
            raise _refusal(self._folder, parameter, partial, "an input of (n, X, Y, Z, 1)")
        self._transpose(_CHANNELS_FIRST)
        return sizes[0], sizes[1], sizes[2]

    def modules(self) -> Iterator[nn.Module]:
        while self._peek() in ("Convolution", "MaxPool"):
            yield from self._convolution() if self._peek() == "Convolution" else self._pool()
        yield nn.Flatten()
        yield self._linear(self._flatten())
        while self._peek() != "Result":
            self._take("Relu")
            yield from (nn.ReLU(), self._linear())

    def _peek(self) -> str:
        return str(self._operations[self._next].get_type_name())

    def _take(self, type_name: str) -> Any:
        operation = self._operations[self._next]
        if self._peek() != type_name:
            raise _refusal(self._folder, operation, self._peek(), type_name)
        self._next += 1
        return operation

    def _constant(self, operation: Any) -> Array:
        """Give the one constant input of an operation."""
        nodes = (value.get_node() for value in operation.input_values())
        constants = [node.data for node in nodes if node.get_type_name() == "Constant"]
        if len(constants) != 1:
            raise _refusal(self._folder, operation, len(constants), "one constant input")
        return np.array(constants[0])

    def _transpose(self, order: list[int]) -> None:
        operation = self._take("Transpose")
        got = self._constant(operation).tolist()
        if got != order:
            raise _refusal(self._folder, operation, got, order)

    def _settings(self, operation: Any, expected: dict[str, list[int]]) -> None:
        attributes = operation.get_attributes()
        for name, value in expected.items():
            got = list(attributes[name])
            if got != value:
                raise _refusal(self._folder, operation, got, f"{name} {value}")

    def _convolution(self) -> Iterator[nn.Module]:
        operation = self._take("Convolution")
        ones = [1, 1, 1]
        unit = dict.fromkeys(("strides", "dilations", "pads_begin", "pads_end"), ones)
        self._settings(operation, unit)
        weight = self._constant(operation)
        if weight.shape[2:] != (3, 3, 3):
            raise _refusal(self._folder, operation, weight.shape[2:], "a kernel of 3³")
        layer = nn.Conv3d(weight.shape[1], weight.shape[0], kernel_size=3, padding=1)
        _set(layer, weight, self._constant(self._take("Add")))
        self._take("Relu")
        yield from (layer, nn.ReLU())

    def _pool(self) -> Iterator[nn.Module]:
        operation = self._take("MaxPool")
        twos, zeros = [2, 2, 2], [0, 0, 0]
        self._settings(
            operation,
            {"kernel": twos, "strides": twos, "pads_begin": zeros, "pads_end": zeros},
        )
        if operation.get_attributes()["rounding_type"] != "floor":
            raise _refusal(self._folder, operation, "ceil", "rounding to floor")
        yield nn.MaxPool3d(2)

    def _flatten(self) -> npt.NDArray[np.intp]:
        """Give, for each channels-first feature, its column after the channels-last flatten."""
        self._transpose(_CHANNELS_LAST)
        operation = self._take("Reshape")
        x, y, z, channels = operation.input(0).get_partial_shape().get_max_shape()[1:]
        columns = np.arange(x * y * z * channels).reshape(x, y, z, channels)
        shape = operation.get_output_partial_shape(0)
        if len(shape) != 2 or shape[1].get_length() != columns.size:
            raise _refusal(self._folder, operation, shape, f"a flatten to (n, {columns.size})")
        return columns.transpose(3, 0, 1, 2).ravel()

    def _linear(self, columns: npt.NDArray[np.intp] | None = None) -> nn.Linear:
        operation = self._take("MatMul")
        attributes = operation.get_attributes()
        weight = self._constant(operation)
        if not attributes["transpose_b"]:
            weight = weight.T
        if columns is not None:
            weight = weight[:, columns]
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        _set(layer, weight, self._constant(self._take("Add")))
        return layer


def _set(layer: nn.Conv3d | nn.Linear, weight: Array, bias: Array) -> None:
    for values, read in zip(layer.parameters(recurse=False), (weight, bias), strict=True):
        array = np.ascontiguousarray(read, np.float32).reshape(values.shape)
        with torch.no_grad():
            values.copy_(torch.from_numpy(array))


@torch.no_grad()
def _check(network: nn.Sequential, original: Any, patch_shape: Shape3, folder: Path) -> None:
    random = np.random.default_rng(0)
    patches = random.uniform(0.5, 1.5, (4, *patch_shape)).astype(np.float32)
    run = import_openvino().compile_model(original, "CPU", _EXACT)
    expected = run(patches[..., None])[0].ravel()
    got = network(torch.from_numpy(patches[:, None])).numpy().ravel()
    worst = float(np.abs(got - expected).max() / np.abs(expected).max())
    if not worst <= TOLERANCE:
        raise ModelError(
            f"{folder}: expected the rebuilt network to agree with the original within "
            f"{TOLERANCE:g}, got a relative difference of {worst:.3g}"
        )
