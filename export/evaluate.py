# SPDX-License-Identifier: Apache-2.0
"""Run any ONNX graph in float64: onnx's own reference, with torch where that takes minutes.

The reference implementation of onnx is numpy; its convolutions and pools in three dimensions are
loops. Those are given to torch, which computes the same in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from torch.nn import functional

from nigroedge.errors import ModelError


def in_float64(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give a model with its float32 weights in float64, as they are."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    for tensor in wide.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            array = numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return wide


def evaluate(model: onnx.ModelProto, patches: np.ndarray) -> dict[str, np.ndarray]:
    """Run a graph of one input, and give every value by name.

    Parameters
    ----------
    model : onnx.ModelProto
        Casts to float32 are run as casts to float64.
    patches : ndarray of float64

    Raises
    ------
    ModelError
        If the graph cannot be run on patches of that shape.
    """
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    for node in wide.graph.node:
        if node.op_type == "Cast":
            for each in node.attribute:
                if each.name == "to" and each.i in (TensorProto.FLOAT, TensorProto.FLOAT16):
                    each.i = TensorProto.DOUBLE
    try:
        runner = ReferenceEvaluator(wide, new_ops=_TORCH)
        with np.errstate(all="ignore"):  # what is not finite is refused by those who ask
            return dict(runner.run(None, {wide.graph.input[0].name: patches}, intermediate=True))
    except (
        RuntimeError,
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        NotImplementedError,
    ) as error:
        said = str(error).split("\n")[0][:300]
        raise ModelError(
            f"cannot run the graph on patches of {patches.shape[1:]}: {said}"
        ) from error


def _padding(x: np.ndarray, window: dict[str, Any]) -> list[int]:
    """Pads of each axis, all begins and then all ends, as the attributes say."""
    kernel, strides = window["kernel_shape"], window["strides"]
    if window["auto_pad"] in ("NOTSET", b"NOTSET", None):
        return list(window["pads"])
    if window["auto_pad"] in ("VALID", b"VALID"):
        return [0] * 6
    totals = [
        max((-(-n // s) - 1) * s + k - n, 0)
        for n, k, s in zip(x.shape[2:], kernel, strides, strict=True)
    ]
    small, large = [n // 2 for n in totals], [n - n // 2 for n in totals]
    upper = window["auto_pad"] in ("SAME_UPPER", b"SAME_UPPER")
    return [*small, *large] if upper else [*large, *small]


def _padded(x: np.ndarray, pads: list[int], value: float = 0.0) -> torch.Tensor:
    by_torch = [pads[i] for axis in (2, 1, 0) for i in (axis, axis + 3)]
    return functional.pad(_tensor(x), by_torch, value=value)


def _tensor(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(x, order="C"))  # a copy: torch warns of what is read-only


def _of_three(x: np.ndarray, op: str) -> None:
    if x.ndim != 5:
        raise ValueError(f"expected {op} in three dimensions, got {x.ndim - 2}")


class Conv(OpRun):  # type: ignore[misc]
    """A convolution, by torch."""

    op_domain = ""

    def _run(self, x, w, b=None, **given):  # type: ignore[no-untyped-def]
        _of_three(x, "Conv")
        kernel = list(w.shape[2:])
        window: dict[str, Any] = {
            "kernel_shape": kernel,
            "strides": given.get("strides") or [1] * 3,
            "pads": given.get("pads") or [0] * 6,
            "auto_pad": given.get("auto_pad"),
        }
        out = functional.conv3d(
            _padded(x, _padding(x, window)),
            _tensor(w),
            None if b is None else _tensor(b),
            stride=window["strides"],
            dilation=list(given.get("dilations") or [1] * 3),
            groups=given.get("group") or 1,
        )
        return (out.numpy(),)


def _window(given: dict[str, Any]) -> dict[str, Any]:
    if any(n != 1 for n in given.get("dilations") or []):
        raise ValueError("pools with dilation")
    if given.get("ceil_mode"):
        raise ValueError("pools of ceil_mode 1")
    return {
        "kernel_shape": list(given["kernel_shape"]),
        "strides": list(given.get("strides") or [1] * 3),
        "pads": given.get("pads") or [0] * 6,
        "auto_pad": given.get("auto_pad"),
    }


class MaxPool(OpRun):  # type: ignore[misc]
    """A max-pool, by torch."""

    op_domain = ""

    def _run(self, x, **given):  # type: ignore[no-untyped-def]
        _of_three(x, "MaxPool")
        window = _window(given)
        padded = _padded(x, _padding(x, window), -np.inf)
        return (functional.max_pool3d(padded, window["kernel_shape"], window["strides"]).numpy(),)


class AveragePool(OpRun):  # type: ignore[misc]
    """A mean of windows, by torch."""

    op_domain = ""

    def _run(self, x, **given):  # type: ignore[no-untyped-def]
        _of_three(x, "AveragePool")
        window = _window(given)
        pads, sizes = _padding(x, window), (window["kernel_shape"], window["strides"])
        counted = _padded(np.ones_like(x), pads, float(given.get("count_include_pad") or 0))
        sums, counts = (functional.avg_pool3d(t, *sizes) for t in (_padded(x, pads), counted))
        return ((sums / counts).numpy(),)


_TORCH = [Conv, MaxPool, AveragePool]
