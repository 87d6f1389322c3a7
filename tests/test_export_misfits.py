# SPDX-License-Identifier: Apache-2.0
"""What does not fit a network is said, all of it: names, shapes, types, values."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from export.misfits import misfits

NAMES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 3))


def tensors(sizes):
    return {name: torch.ones(n) for name, n in sizes.items()}


@given(wanted=NAMES, stored=NAMES)
def test_nothing_is_said_where_torch_loads_strictly(wanted, stored):
    network = nn.Module()
    for name, tensor in tensors(wanted).items():
        network.register_buffer(name, tensor)
    try:
        network.load_state_dict(tensors(stored))
        loads = True
    except RuntimeError:
        loads = False
    said = misfits(tensors(wanted), tensors(stored))

    assert loads == (said == "")


@given(wanted=NAMES, stored=NAMES)
def test_every_name_that_does_not_fit_is_listed_once(wanted, stored):
    said = misfits(tensors(wanted), tensors(stored))
    listed = dict(part.split(": ") for part in said.split("; ")) if said else {}
    names = {what: [each.split()[0] for each in text.split(", ")] for what, text in listed.items()}

    assert sorted(wanted.keys() - stored.keys()) == names.get("missing", [])
    assert sorted(stored.keys() - wanted.keys()) == names.get("unexpected", [])
    other = [name for name in wanted.keys() & stored.keys() if wanted[name] != stored[name]]
    assert sorted(other) == sorted(names.get("shape", []))


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (torch.ones(2, dtype=torch.complex64), "type: w complex64 for float32"),
        (torch.ones(2, dtype=torch.int8), "type: w int8 for float32"),
        (torch.ones(2).to_sparse(), "type: w float32 sparse_coo for float32"),
        (torch.ones(2, device="meta"), "type: w float32 without values for float32"),
        (torch.tensor([1, torch.inf]), "not finite: w"),
        (torch.tensor([1, 1e300], dtype=torch.float64), "not finite: w"),  # which float32 is not
        (torch.ones(2, dtype=torch.float64), ""),
        (torch.ones(2, dtype=torch.bfloat16), ""),
    ],
)
def test_types_and_values(stored, said):
    assert said == misfits({"w": torch.zeros(2)}, {"w": stored})


def test_a_variance_is_0_or_more_and_another_value_need_not_be():
    stored = {"running_var": torch.tensor([0.0, -1e-9]), "running_mean": -torch.ones(2)}

    assert "below 0: running_var" == misfits(stored, stored)
