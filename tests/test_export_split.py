# SPDX-License-Identifier: Apache-2.0
"""Who trains, who validates, who is tested: nobody on two sides of it; and the baselines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.split import Split, baselines, split_rows
from nigroedge.errors import InputError
from nigroedge.study.table import Row


def people(n, splits=None):
    return [
        Row(f"P{i}", side, sbr=1.0, split=splits and splits[i])
        for i in range(n)
        for side in ("left", "right")
    ]


@given(participants=st.integers(4, 200), seed=st.integers(0, 99))
def test_both_sides_of_everybody_are_in_one_part(participants, seed):
    split = split_rows(people(participants), seed)
    parts = [split.train, split.validation, split.test]

    assert list(range(2 * participants)) == sorted(np.concatenate(parts))
    for part in parts:
        assert len(part) > 0
        whose, sides = np.unique(part // 2, return_counts=True)
        assert set(sides) == {2}
        assert len(whose) == len(part) // 2


@given(
    few=st.integers(2, 40),
    more=st.integers(2, 40),
    seed=st.integers(0, 99),
    named=st.booleans(),
)
def test_fewer_participants_are_always_among_more(few, more, seed, named):
    kinds = ("train", "train", "validation", "test") if named else ("train", "test")
    rows = people(80, [kinds[i % len(kinds)] for i in range(80)])
    small, large = (split_rows(rows, seed, participants=n) for n in sorted((few, more)))

    assert set(small.train) <= set(large.train)
    assert set(small.validation) <= set(large.validation)
    assert 2 * min(few, more) == len(small.train) + len(small.validation)
    for split in (small, large):
        assert {"test"} == {rows[i].split for i in split.test}
        assert not {"test"} & {rows[i].split for i in (*split.train, *split.validation)}


def test_a_table_keeps_the_splits_that_it_gives():
    rows = people(3, ["test", "train", "validation"])
    split = split_rows(rows, 0)

    assert [[2, 3], [4, 5], [0, 1]] == [
        p.tolist() for p in (split.train, split.validation, split.test)
    ]
    alone = split_rows(rows[::2], 0)  # one side of each
    assert ([1], [2], [0]) == (*map(list, (alone.train, alone.validation, alone.test)),)


def test_a_seed_deals_as_it_always_did():
    # In another order the same command would train another model.
    assert [20, 21, 30, 31, 50, 51] == split_rows(people(30, ["train"] * 30), 0).validation.tolist()


@pytest.mark.parametrize(
    ("rows", "wanted", "message"),
    [
        (people(2), None, "expected at least 3 participants to split, got 2"),
        (people(2, ["test", "test"]), None, "got 0 and 0"),
        (people(2, ["validation", "validation"]), None, "got 0 and 2"),
        (people(3, ["train", "train", "test"]), 3, "at least 3 participants to learn from, got 2"),
    ],
)
def test_too_few_participants_are_refused(rows, wanted, message):
    with pytest.raises(InputError, match=message):
        split_rows(rows, 0, participants=wanted)


def test_baselines_by_hand():
    measured = [1.0, 3, 2, 4, 0, 0, 2, 6]
    expected = [0.0, 0, 0, 0, 0, 0, 2, 5]
    intact = [False, True, False, True, False, False, False, True]
    rows = [
        Row(
            f"P{i // 2}",
            ("left", "right")[i % 2],
            sbr=m,
            expected_sbr=e,
            reading="intact" if read else "lost",
        )
        for i, (m, e, read) in enumerate(zip(measured, expected, intact, strict=True))
    ]
    split = Split(np.arange(4), np.array([4, 5]), np.array([6, 7]))
    got = {name: row["mae"] for name, row in baselines(rows, split, split.test).items()}

    # constant 2.5; lost 1.5 and intact 3.5; the state's own mean.
    assert {"constant": (0.5 + 3.5) / 2, "reading": (0.5 + 2.5) / 2, "oracle": 0.5} == got
