# SPDX-License-Identifier: Apache-2.0
"""Read the weights of a trained network: safetensors, or a torch file of tensors alone.

They are data: a pickle that asks for more than tensors is refused, and so is whatever does not fit
the network, all of it by name.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from export.misfits import Weights, misfits
from nigroedge.errors import InputError, ModelError
from nigroedge.io.kind import N_BYTES, kind_of
from nigroedge.names import readable

#: Keys under which training code keeps weights beside other things.
_NESTED = ("state_dict", "model_state_dict", "model", "network_weights", "net")


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
    stored = _fitting(_weights_in(_read_weights(path), path), network.state_dict(), path)
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


def _weights_in(stored: Any, path: Path) -> dict[str, torch.Tensor]:
    """Take the weights out of a checkpoint."""
    for key in _NESTED:
        if isinstance(stored, Mapping) and isinstance(stored.get(key), Mapping):
            stored = stored[key]
            break
    if not isinstance(stored, Mapping) or not stored:
        got = "none" if isinstance(stored, Mapping) else type(stored).__name__
        raise ModelError(f"expected weights in {readable(path)}, got {got}")
    others = [str(name) for name, value in stored.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise ModelError(
            f"expected weights alone in {readable(path)}, or under one of {', '.join(_NESTED)}; "
            f"got {', '.join(others)[:200]}"
        )
    return {str(name): value for name, value in stored.items()}


def _fitting(stored: Weights, wanted: Weights, path: Path) -> Weights:
    """Take off what stands before the names of the network's weights.

    That is 'module.' of DataParallel, an attribute of a Lightning module, '_orig_mod.' of
    torch.compile anywhere.
    """
    plain = {name.replace("_orig_mod.", ""): value for name, value in stored.items()}
    if plain.keys() >= wanted.keys():
        return plain
    counts = Counter(prefix for name in plain for prefix in _before(name, wanted))
    best = [prefix for prefix, n in counts.items() if n == max(counts.values())]
    if len(best) > 1 and counts[best[0]] == len(wanted):
        raise ModelError(
            f"{readable(path)} holds the weights {len(best)} times, under "
            f"{' and '.join(sorted(best))[:200]}: save those alone that you mean"
        )
    prefix = best[0] if len(best) == 1 else ""
    return {name.removeprefix(prefix): value for name, value in plain.items()}


def _before(name: str, wanted: Weights) -> Iterator[str]:
    """Give what stands in a name before one that is wanted: 'model.' of 'model.0.weight'."""
    parts = name.split(".")
    for i in range(len(parts)):
        rest = ".".join(parts[i:])
        if rest in wanted:
            yield name.removesuffix(rest)
