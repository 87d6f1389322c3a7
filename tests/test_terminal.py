# SPDX-License-Identifier: Apache-2.0
"""What people see: rows that say everything, and nothing that a file could smuggle in."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.artefact import read_artefact
from nigroedge.model import read_spec
from nigroedge.result import EngineUsed, InputUsed, ModelUsed, Result, SideResult
from nigroedge.terminal import check_heading, check_text, model_text, one_line, result_text
from nigroedge.verify import Check
from tests.model_family import write_model
from tests.onnx_files import CARD

RESULT = Result(
    SideResult(2.314, (-9.0, -18.04, -14.0), 1.0),
    SideResult(2.229, (10.0, -18.0, -14.0), 0.934),
    ModelUsed("reference", "ab" * 32),
    EngineUsed("native", "avx2", 2),
    InputUsed("smwi.nii", "cd" * 32),
    {"read": 1.0, "crop": 0.034, "predict": 5.12},
    version="1.2",
)


def test_a_prediction_word_by_word():
    assert f"""\
side      SBR    centre, RAS mm         coverage
left      2.31   -9.0, -18.0, -14.0     100.0 %
right     2.23   10.0, -18.0, -14.0     93.4 %

asymmetry       +0.037, (left - right) / mean
model           reference, sha256 {"ab" * 32}
engine          native, avx2, 2 threads
input           smwi.nii, sha256 {"cd" * 32}
time            read 1.00 ms, crop 0.03 ms, predict 5.12 ms

Research use only. Not for diagnosis.""" == result_text(RESULT)


def test_one_side_from_memory_with_a_model_of_its_own():
    result = replace(
        RESULT,
        right=None,
        input=None,
        model={"left": ModelUsed("l", "1"), "right": ModelUsed("r", "2")},
        engine={"left": EngineUsed("onnx", "auto", 1), "right": EngineUsed("openvino", "auto", 1)},
    )
    text = result_text(result)

    assert "\nright " not in text
    assert "asymmetry" not in text
    assert "input" not in text
    assert "model left      l, sha256 1\nmodel right     r, sha256 2\n" in text
    assert "engine left     onnx, auto, 1 thread\nengine right    openvino, auto, 1 thread" in text


def test_checks_are_rows_under_their_headings():
    passed = Check("a.onnx", "onnx", "pass", False, 1e-7, 2e-7, 3e-6, 1.5, 2.75, "auto", 2)
    missing = Check("a.int8.xml", "openvino", "not installed", True, reason="pip install\nit")
    names, units = check_heading().splitlines()

    assert len(names) >= names.index("2 sides") == units.rindex("ms")
    assert "3.0e-06" == check_text(passed)[names.index("worst") :].split()[0]
    assert check_text(passed).endswith(" PASS")
    assert ["not installed", "  pip install\\nit"] == [
        line[-13:] if i == 0 else line for i, line in enumerate(check_text(missing).splitlines())
    ]


def test_a_card_cannot_hide_or_reorder_what_is_shown(tmp_path):
    card = replace(CARD, name="a\u202eb", metrics={"m\u2066": {"x": 1}, "y": "\u200bz"})
    artefact = read_artefact(write_model(tmp_path / "model.onnx", card=card))
    text = model_text(artefact, read_spec(artefact))

    assert r"name            a\u202eb 1" in text
    assert r"metric m\u2066  x 1" in text
    assert r"metric y        \u200bz" in text
    assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"mirror": "none"}, "side            both"),
        ({}, "side            both, the right one mirrored, its centroid on voxel n/2"),
        (
            {"mirror": "left", "mirror_centre": "n/2-1"},
            "side            both, the left one mirrored, its centroid on voxel n/2-1",
        ),
    ],
)
def test_how_a_side_is_mirrored_is_said(tmp_path, changes, shown):
    artefact = read_artefact(write_model(tmp_path / "model.onnx", **changes))

    assert shown in model_text(artefact, read_spec(artefact)).splitlines()


@given(st.text())
def test_what_is_shown_stays_on_its_line(text):
    shown = one_line(text)

    assert shown.isprintable()
    assert shown == text or not text.isprintable()


@pytest.mark.parametrize(
    ("text", "shown"), [("a b", "a b"), ("a\tb\0", r"a\tb\x00"), ("\udcff", r"\udcff"), ("é", "é")]
)
def test_one_line(text, shown):
    assert shown == one_line(text)


def test_metrics_are_words_and_numbers(tmp_path):
    metrics = {
        "network": {"rmse": 0.7936, "rho_c": None, "slope": -0.0},
        "folds": [0.7, 0.8],
        "epochs": 4,
        "deep": {"by site": {"A": 1}},
    }
    artefact = read_artefact(
        write_model(tmp_path / "model.onnx", card=replace(CARD, metrics=metrics))
    )
    lines = model_text(artefact, read_spec(artefact)).split("\n")

    assert [
        "metric network  rmse 0.7936, rho_c none, slope 0.0",
        "metric folds    0.7, 0.8",
        "metric epochs   4",
        'metric deep     by site {"A": 1}',
    ] == [line for line in lines if line.startswith("metric ")]
