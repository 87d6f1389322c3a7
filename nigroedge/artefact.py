# SPDX-License-Identifier: Apache-2.0
"""A model file in memory: read once, checked, hashed, and what it says of itself.

Two formats: ONNX, read by the C++ core, and OpenVINO IR, whose XML is read by
:mod:`nigroedge.openvino_ir`. Both are hostile until checked. Engines get the bytes that were
checked and hashed, never the path: a file that changes on disk cannot become another model.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

from nigroedge import _core
from nigroedge.errors import InputError, ModelError
from nigroedge.io.open_file import OpenFile
from nigroedge.names import readable

#: Larger files are refused before they are read. The largest preset has 70 MB.
MAX_MODEL_BYTES = 512 << 20

#: Operators that only a quantised ONNX graph has.
_QUANTISED_OPS = {"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul"}

Kind = Literal["onnx", "onnx-qdq", "openvino"]


class TensorType(NamedTuple):
    """An input or output of a graph.

    Parameters
    ----------
    name : str
    dtype : str
        As ONNX spells it: 'float', 'int64', …
    dims : tuple of int
        Sizes; −1 for a batch of any size.
    batch_name : str
        What the file calls the open batch dimension; may be empty.
    """

    name: str
    dtype: str
    dims: tuple[int, ...]
    batch_name: str = ""

    def __str__(self) -> str:
        """Spell it as in 'patch' float (n, 1, 50, 50, 20)."""
        dims = ", ".join("n" if size < 0 else str(size) for size in self.dims)
        return f"{self.name!r} {self.dtype} ({dims})"


@dataclass(frozen=True, eq=False)
class Artefact:
    """A model file that was read and checked.

    Parameters
    ----------
    path : path-like
        Where it came from, as the user named it.
    kind : {'onnx', 'onnx-qdq', 'openvino'}
        What it is: a float ONNX graph, a quantised one, or an OpenVINO IR.
    quantised : bool
        Whether any of it runs in 8-bit integers.
    content, weights : bytes
        The file, and for an OpenVINO IR its .bin (else empty).
    metadata : Mapping[str, str]
        All of an ONNX file; of an OpenVINO IR the nigroedge section of rt_info, with ONNX's keys.
    inputs, outputs : tuple of TensorType
    ops : Mapping[str, int]
        How often each operator occurs.
    n_parameters : int, optional
        Numbers that were learnt: weights and biases. None for an OpenVINO IR, whose constants do
        not say which they are.
    """

    path: str | os.PathLike[str]
    kind: Kind
    quantised: bool
    content: bytes = field(repr=False)
    weights: bytes = field(repr=False)
    metadata: Mapping[str, str] = field(repr=False)
    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]
    ops: Mapping[str, int]
    n_parameters: int | None

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return os.path.basename(self.path)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of content followed by weights, in hexadecimal; computed when first asked for."""
        import hashlib  # it loads OpenSSL: best where `hashing` asks

        digest = hashlib.sha256(self.content)
        digest.update(self.weights)
        return digest.hexdigest()


def read_artefact(path: str | os.PathLike[str]) -> Artefact:
    """Read and check a model file: .xml is an OpenVINO IR, its .bin beside it; all else is ONNX.

    Raises
    ------
    ModelError
        If there is no such file, or it is not a model that the project may run.
    """
    try:
        if not _is_openvino(path):
            return artefact_of(path, _read_file(path, MAX_MODEL_BYTES))
        from nigroedge.openvino_ir import MAX_XML_BYTES

        content = _read_file(path, MAX_XML_BYTES)
        weights = _read_file(os.path.splitext(path)[0] + ".bin", MAX_MODEL_BYTES)
        return artefact_of(path, content, weights)
    except ModelError as error:
        raise ModelError(f"model file {readable(path)}: {error}") from error


def artefact_of(path: str | os.PathLike[str], content: bytes, weights: bytes = b"") -> Artefact:
    """Check a model file that is in memory already.

    Parameters
    ----------
    path : path-like
        Where it came from; .xml is an OpenVINO IR. Nothing is read from there.
    content, weights : bytes
        The file, and for an OpenVINO IR its .bin.

    Raises
    ------
    ModelError
        If it is not a model that the project may run.
    """
    is_openvino = _is_openvino(path)
    try:
        return _openvino(path, content, weights) if is_openvino else _onnx(path, content)
    except ModelError as error:
        from nigroedge.io.kind import N_BYTES, kind_of

        # Weights may begin with anything; so few of them are something else.
        few = weights if is_openvino and len(weights) < N_BYTES else None
        found = kind_of(content[:N_BYTES]) or (None if few is None else kind_of(few))
        if found is None:
            raise
        expected = "an OpenVINO model, .xml and .bin" if is_openvino else "an ONNX model"
        raise ModelError(f"expected {expected}, got {found}") from error


def _is_openvino(path: str | os.PathLike[str]) -> bool:
    return os.fspath(path).lower().endswith(".xml")


def _onnx(path: str | os.PathLike[str], content: bytes) -> Artefact:
    summary = _core.read_onnx(content)
    quantised = not _QUANTISED_OPS.isdisjoint(summary["ops"])
    return Artefact(
        path=path,
        kind="onnx-qdq" if quantised else "onnx",
        quantised=quantised,
        content=content,
        weights=b"",
        metadata=summary["metadata"],
        inputs=tuple(TensorType(*value) for value in summary["inputs"]),
        outputs=tuple(TensorType(*value) for value in summary["outputs"]),
        ops=summary["ops"],
        n_parameters=summary["n_parameters"],
    )


def _openvino(path: str | os.PathLike[str], content: bytes, weights: bytes) -> Artefact:
    # The XML parser is imported where there is XML: whoever runs ONNX need not wait for it.
    from nigroedge.openvino_ir import read_ir

    ir = read_ir(content, len(weights))
    return Artefact(
        path=path,
        kind="openvino",
        quantised="FakeQuantize" in ir.ops,
        content=content,
        weights=weights,
        metadata=ir.metadata,
        inputs=tuple(TensorType(*value) for value in ir.inputs),
        outputs=tuple(TensorType(*value) for value in ir.outputs),
        ops=ir.ops,
        n_parameters=None,
    )


def _read_file(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """Read a whole regular file of at most max_bytes; its size is checked before it is read."""
    try:
        file = OpenFile(os.fspath(path))
        if file.size > max_bytes:
            raise InputError(f"expected at most {max_bytes} bytes, got {file.size}")
        return file.content()
    except OSError as error:
        from nigroedge.io.kind import reason_of

        raise ModelError(f"cannot be read: {reason_of(error, path)} ({readable(path)})") from error
    except InputError as error:
        raise ModelError(f"cannot be read: {error} ({readable(path)})") from error
