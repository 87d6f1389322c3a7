# SPDX-License-Identifier: Apache-2.0
"""What the operators of a model file compute, written in torch from ONNX's definitions.

Those that our own engine runs, in every setting, and some more that other engines run. Nothing of
it is shared with the engines or with what makes graphs canonical, so that it can judge both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional

#: Of torch; None stands for an input that is left out.
Tensors = list[Any]
Attributes = Mapping[str, Any]
Run = Callable[[Tensors, Attributes], torch.Tensor]


@dataclass(frozen=True)
class Operator:
    """How to compute one.

    Parameters
    ----------
    run : callable
        Takes the inputs and every attribute of `usual`. Raises ValueError for what it does not
        compute.
    usual : mapping
        Attributes, and what each is where a node leaves it out. A node may have no other.
    only : mapping
        Attributes of one value: another is another computation.
    """

    run: Run
    usual: Attributes = field(default_factory=dict)
    only: Attributes = field(default_factory=dict)


# ---- windows -------------------------------------------------------------------------------------


def _of_three(x: torch.Tensor) -> None:
    if x.ndim != 5:
        raise ValueError(f"expected maps of three dimensions, got {x.ndim - 2}")


def _pads(x: torch.Tensor, given: Attributes, kernel: list[int]) -> list[int]:
    """Give the padding as ONNX has it: before each axis, then behind each."""
    automatic = given["auto_pad"]
    if automatic == b"NOTSET":
        return list(given["pads"])
    if automatic == b"VALID":
        return [0] * 6
    if automatic not in (b"SAME_UPPER", b"SAME_LOWER"):
        raise ValueError(f"expected auto_pad of ONNX, got {automatic!r}")
    seen = [(k - 1) * d + 1 for k, d in zip(kernel, given["dilations"], strict=True)]
    totals = [
        max((math.ceil(n / s) - 1) * s + k - n, 0)
        for n, k, s in zip(x.shape[2:], seen, given["strides"], strict=True)
    ]
    less, more = [n // 2 for n in totals], [n - n // 2 for n in totals]
    return [*less, *more] if automatic == b"SAME_UPPER" else [*more, *less]


def _padded(x: torch.Tensor, pads: list[int], value: float) -> torch.Tensor:
    if not any(pads):
        return x
    # torch names the last axis first.
    return functional.pad(x, [pads[i] for axis in (2, 1, 0) for i in (axis, axis + 3)], value=value)


def _conv(t: Tensors, given: Attributes) -> torch.Tensor:
    x, weights, bias = t[0], t[1], t[2] if len(t) > 2 else None
    _of_three(x)
    kernel = list(weights.shape[2:])
    if (given["kernel_shape"] or kernel) != kernel:
        raise ValueError(f"expected kernel_shape {kernel}, got {given['kernel_shape']}")
    pads = _pads(x, given, kernel)
    symmetric = pads[:3] == pads[3:]
    return functional.conv3d(
        x if symmetric else _padded(x, pads, 0.0),
        weights,
        bias,
        stride=given["strides"],
        padding=pads[:3] if symmetric else 0,
        dilation=given["dilations"],
        groups=given["group"],
    )


def _max_pool(t: Tensors, given: Attributes) -> torch.Tensor:
    x: torch.Tensor = t[0]
    _of_three(x)
    kernel = given["kernel_shape"]
    padded = _padded(x, _pads(x, given, kernel), -math.inf)
    return functional.max_pool3d(padded, kernel, given["strides"], dilation=given["dilations"])


def _average_pool(t: Tensors, given: Attributes) -> torch.Tensor:
    x: torch.Tensor = t[0]
    _of_three(x)
    kernel, strides = given["kernel_shape"], given["strides"]
    if set(given["dilations"]) != {1}:
        raise ValueError(f"expected dilations of 1, got {given['dilations']}")
    pads = _pads(x, given, kernel)
    means = functional.avg_pool3d(_padded(x, pads, 0.0), kernel, strides)
    if given["count_include_pad"] or not any(pads):
        return means
    # The mean over those of a window's voxels that lie in the map.
    inside = _padded(torch.ones_like(x), pads, 0.0)
    return means / functional.avg_pool3d(inside, kernel, strides)


_WINDOW: Attributes = {
    "auto_pad": b"NOTSET",
    "dilations": [1] * 3,
    "kernel_shape": None,
    "pads": [0] * 6,
    "strides": [1] * 3,
}


# ---- one value for one, and for two --------------------------------------------------------------


def _plain(run: Callable[..., torch.Tensor]) -> Operator:
    """Give an operator without attributes."""
    return Operator(lambda t, given: run(*t))


def _softplus(x: torch.Tensor) -> torch.Tensor:
    """Compute log(1 + exp(x)); torch's own is x beyond 20, which float64 tells apart."""
    return torch.logaddexp(x, torch.zeros_like(x))


def _clip(t: Tensors, given: Attributes) -> torch.Tensor:
    x: torch.Tensor = t[0]
    low, high = [*t[1:], None, None][:2]
    return x if low is None and high is None else torch.clamp(x, low, high)


# ---- vectors -------------------------------------------------------------------------------------


def _flatten(t: Tensors, given: Attributes) -> torch.Tensor:
    x: torch.Tensor = t[0]
    axis = given["axis"] % x.ndim if given["axis"] < 0 else given["axis"]
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _gemm(t: Tensors, given: Attributes) -> torch.Tensor:
    x, weights, bias = t[0], t[1], t[2] if len(t) > 2 else None
    x = x.T if given["transA"] else x
    rows = weights if given["transB"] else weights.T
    plain = given["alpha"] == given["beta"] == 1.0
    if plain and (bias is None or tuple(bias.shape) == (len(rows),)):
        return functional.linear(x, rows, bias)
    product: torch.Tensor = given["alpha"] * functional.linear(x, rows)
    return product if bias is None else product + given["beta"] * bias


def _normalisation(t: Tensors, given: Attributes) -> torch.Tensor:
    x, scale, shift, mean, variance = t
    return functional.batch_norm(x, mean, variance, scale, shift, eps=given["epsilon"])


def _instance_normalisation(t: Tensors, given: Attributes) -> torch.Tensor:
    x, scale, shift = t
    return functional.instance_norm(x, weight=scale, bias=shift, eps=given["epsilon"])


def _reshape(t: Tensors, given: Attributes) -> torch.Tensor:
    x: torch.Tensor = t[0]
    sides = [x.shape[i] if side == 0 else side for i, side in enumerate(t[1].tolist())]
    return x.reshape(sides)


def _mean(t: Tensors, given: Attributes) -> torch.Tensor:
    x: torch.Tensor = t[0]
    stored = t[1] if len(t) > 1 else None
    axes = given["axes"] if stored is None else stored.tolist()
    if not axes:
        raise ValueError("expected the axes of a mean")
    return x.mean(axes, keepdim=bool(given["keepdims"]))


#: By ONNX's names.
OPERATORS: Mapping[str, Operator] = {
    "Conv": Operator(_conv, {**_WINDOW, "group": 1}),
    "MaxPool": Operator(_max_pool, _WINDOW, {"ceil_mode": 0, "storage_order": 0}),
    "AveragePool": Operator(_average_pool, {**_WINDOW, "count_include_pad": 0}, {"ceil_mode": 0}),
    "GlobalAveragePool": _plain(lambda x: x.mean(tuple(range(2, x.ndim)), keepdim=True)),
    "ReduceMean": Operator(_mean, {"axes": None, "keepdims": 1}, {"noop_with_empty_axes": 0}),
    "Relu": _plain(functional.relu),
    "LeakyRelu": Operator(
        lambda t, given: functional.leaky_relu(t[0], given["alpha"]), {"alpha": 0.01}
    ),
    "Elu": Operator(lambda t, given: functional.elu(t[0], given["alpha"]), {"alpha": 1.0}),
    "Sigmoid": _plain(torch.sigmoid),
    "Softplus": _plain(_softplus),
    "Tanh": _plain(torch.tanh),
    "Erf": _plain(torch.erf),
    "Clip": Operator(_clip),
    "Add": _plain(torch.add),
    "Sub": _plain(torch.sub),
    "Mul": _plain(torch.mul),
    "Div": _plain(torch.div),
    "Concat": Operator(lambda t, given: torch.cat(t, given["axis"]), {"axis": 1}),
    "BatchNormalization": Operator(
        _normalisation, {"epsilon": 1e-5, "momentum": 0.9}, {"training_mode": 0}
    ),
    "InstanceNormalization": Operator(_instance_normalisation, {"epsilon": 1e-5}),
    "Flatten": Operator(_flatten, {"axis": 1}),
    "Reshape": Operator(_reshape, only={"allowzero": 0}),
    "Gemm": Operator(_gemm, {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}),
}
