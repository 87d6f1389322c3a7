# SPDX-License-Identifier: Apache-2.0
"""The bookkeeping of bench.smwi_answers: what is summed up, and what is not made twice."""

import json

from bench.smwi_answers import FIRST_SEED, participant, summary, wanted


def test_the_summary_can_be_checked_by_hand():
    rows = [
        {"sbr": [4.5, 2.2], "sbr_true_chi": [4.4, 4.5], "seconds": 1.0},  # the second one crosses
        {"sbr": [3.2, 4.1], "sbr_true_chi": [2.9, 4.1], "seconds": 3.0},  # nobody does
    ]

    # Of 0, 0.1, 0.3 and 2.3: midway between the second and third; 0.3 + 0.85 · 2.0.
    assert "0.20 | 2.00 | 2.30 | -0.475 | 1 | 2.0" == summary(rows)


def test_what_the_file_holds_is_not_made_again(tmp_path):
    path = tmp_path / "answers.jsonl"
    assert [(FIRST_SEED, ["best"]), (FIRST_SEED + 1, ["best"])] == list(wanted(path, 2, ["best"]))
    path.write_text(json.dumps({"seed": FIRST_SEED, "method": "best"}) + "\n")

    expected = [(FIRST_SEED, ["fast"]), (FIRST_SEED + 1, ["fast", "best"])]
    assert expected == list(wanted(path, 2, ["fast", "best"]))


def test_half_of_the_participants_are_healthy():
    ill = [participant(seed).diseased for seed in range(FIRST_SEED, FIRST_SEED + 4)]

    assert [False, True, False, True] == ill
