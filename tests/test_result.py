# SPDX-License-Identifier: Apache-2.0
"""A result says what was predicted, by what, from what; its plain form is a contract."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nigroedge
from nigroedge.result import EngineUsed, InputUsed, ModelUsed, Result, SideResult

LEFT = (-5.0, 0.0, 0.0)


def result_of(left, right):
    sides = [None if sbr is None else SideResult(sbr, LEFT, 1.0) for sbr in (left, right)]
    model, engine = ModelUsed("m", "00"), EngineUsed("e", "i", 2)
    return Result(*sides, model, engine, InputUsed("p", "11"), {"crop": 0.5}, "0.0")


@pytest.mark.parametrize(
    ("left", "right", "asymmetry"),
    [(3, 1, 1.0), (1, 3, -1.0), (2, 2, 0.0), (2, None, None), (None, 2, None), (-1, 0.5, None)],
)
def test_asymmetry(left, right, asymmetry):
    assert asymmetry == result_of(left, right).asymmetry


def test_the_plain_form_is_the_documented_json():
    expected = {
        "left": {
            "sbr": 3.0,
            "centre_mm": [-5.0, 0.0, 0.0],
            "coverage": 1.0,
            "centroid": {"source": "given"},
        },
        "right": None,
        "asymmetry": None,
        "model": {"name": "m", "sha256": "00"},
        "engine": {"name": "e", "isa": "i", "threads": 2},
        "input": {"path": "p", "sha256": "11"},
        "timing_ms": {"crop": 0.5},
        "version": "0.0",
        "notice": "Research use only. Not for diagnosis.",
    }
    plain = result_of(3.0, None).to_dict()

    assert expected == plain
    assert list(expected) == list(plain)
    assert expected == json.loads(json.dumps(plain, allow_nan=False))


def test_the_version_is_that_of_the_package():
    result = Result(None, None, ModelUsed("m", "00"), EngineUsed("e", "i", 1), None, {})

    assert nigroedge.__version__ == result.version


@given(st.floats(0.1, 10), st.floats(0.1, 10))
def test_asymmetry_turns_its_sign_when_the_sides_are_swapped(left, right):
    asymmetry = result_of(left, right).asymmetry

    assert -2 < asymmetry < 2
    assert asymmetry == -result_of(right, left).asymmetry
