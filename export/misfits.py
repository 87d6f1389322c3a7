# SPDX-License-Identifier: Apache-2.0
"""What of a checkpoint does not fit a network: all of it at once, by name.

torch's own `load_state_dict` casts in silence: the whole numbers of a quantised layer become
weights, and of a complex one the imaginary parts go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

Weights = Mapping[str, torch.Tensor]


def misfits(wanted: Weights, stored: Weights) -> str:
    """Say what does not fit, or nothing.

    Parameters
    ----------
    wanted, stored : mapping of str to tensor
        The network's state dict, and the one that is to be loaded into it.
    """
    said = [
        ("missing", sorted(wanted.keys() - stored.keys())),
        ("unexpected", sorted(stored.keys() - wanted.keys())),
        *_of_tensors(wanted, {name: stored[name] for name in wanted if name in stored}),
    ]
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in said if names)


def _of_tensors(wanted: Weights, stored: Weights) -> Iterator[tuple[str, list[str]]]:
    shapes = {
        name: f"{name} {list(value.shape)} for {list(wanted[name].shape)}"
        for name, value in stored.items()
        if value.shape != wanted[name].shape
    }
    kinds = {
        name: f"{name} {_kind(value)} for {_kind(wanted[name])}"
        for name, value in stored.items()
        if not _can_be_copied(value, wanted[name])
    }
    yield "shape", list(shapes.values())
    yield "type", list(kinds.values())
    sound = {name: each for name, each in stored.items() if name not in {*shapes, *kinds}}
    yield "not finite", [name for name, each in sound.items() if not _finite(each, wanted[name])]
    yield (
        "below 0",
        [name for name, each in sound.items() if name.endswith("running_var") and (each < 0).any()],
    )


def _kind(tensor: torch.Tensor) -> str:
    words = [str(tensor.dtype).removeprefix("torch.")]
    if tensor.layout != torch.strided:
        words.append(str(tensor.layout).removeprefix("torch."))
    return " ".join([*words, *(["without values"] * tensor.is_meta)])


def _can_be_copied(stored: torch.Tensor, wanted: torch.Tensor) -> bool:
    plain = stored.layout == torch.strided and not stored.is_meta
    return plain and stored.is_floating_point() == wanted.is_floating_point()


def _finite(stored: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Whether all values are finite in the network's type, which may be the narrower one."""
    return bool(torch.isfinite(stored.to(wanted.dtype)).all())
