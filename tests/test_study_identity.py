# SPDX-License-Identifier: Apache-2.0
"""One person under two spellings is found, in every table; two persons stay two."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import TableError
from nigroedge.study.identity import differences, person
from nigroedge.study.table import read_table

SPELLINGS = [
    ("007", "7", ["leading zeros"]),
    ("000", "0", ["leading zeros"]),
    ("P007", "P7", ["leading zeros"]),
    ("sub-01-002", "sub-1-2", ["leading zeros"]),
    ("7.0", "7", ["a decimal zero"]),
    ("7,0", "007", ["a decimal zero", "leading zeros"]),
    ("ab12", "AB12", ["case"]),
    ("Straße", "STRASSE", ["case"]),
    ("\u00e9", "e\u0301", ["Unicode form"]),
    ("\uff17", "7", ["Unicode form"]),
    ("a\u20131", "a-1", ["Unicode form"]),
    ("\u0420007", "P7", ["letters that look alike", "leading zeros"]),
    ("\u0391\u0412\u043e1", "abo1", ["case", "letters that look alike"]),
    ("P 1", "P1", ["spaces"]),
    ("sub-x", "x", ["a sub- prefix"]),
    ("sub_x", "sub-x", ["a sub- prefix"]),
    ("sub07", "sub-07", ["a sub- prefix"]),
    ("sub.07", "sub-07", ["a sub- prefix"]),
    ("sub-sub-x", "x", ["a sub- prefix"]),
    ("a_1", "a-1", ["a hyphen or underscore"]),
    ("'007", "007", ["an apostrophe"]),
    ("7.", "7", ["a decimal zero"]),
    ("1E5", "100000", ["case", "an exponent"]),
    ("1e+5", "100000", ["an exponent"]),
    ("\u0667", "7", ["Unicode form"]),
    ("SUB-007", "7", ["case", "a sub- prefix", "leading zeros"]),
]


@pytest.mark.parametrize(("one", "other", "said"), SPELLINGS)
def test_spellings_of_one_person(one, other, said):
    assert person(one) == person(other)
    assert said == differences(one, other) == differences(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("7", "70"), ("700", "7"), ("P1", "P11"), ("10", "1"), ("7.5", "75"), ("1.05", "1.5")),
        *(("e", "\u00e9"), ("sub", "b"), ("sub-a", "sub-b"), ("a-1", "a1"), ("1-2", "12")),
        *(("subject-1", "1"), ("0", "1"), ("1.0.0", "1"), ("sub-", "sub")),
    ],
)
def test_spellings_of_two_persons(one, other):
    assert person(one) != person(other)


def test_what_two_steps_would_take_away_is_a_matter_of_spelling():
    assert person("P\u00a01") == person("P 1")
    assert ["spelling"] == differences("P\u00a01", "P 1")


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs"]), min_size=1)


@given(names, st.integers(0, 99999), st.integers(0, 4))
def test_what_spreadsheets_and_systems_do_to_an_identity_keeps_the_person(name, n, zeros):
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert person(name) == person(unicodedata.normalize(form, name))
    assert person(f"{n}") == person("0" * zeros + f"{n}") == person(f"sub-{n}") == person(f"{n}.0")
    assert person(f"x{n}") == person(f"X{n}") == person(f" x {n:07d} ")


@pytest.mark.parametrize(("one", "other"), [("PO7", "P07"), ("I2", "12"), ("sub-1l", "sub-11")])
def test_letters_that_are_typed_for_digits_are_seen(tmp_path, one, other):
    path = tmp_path / "table.csv"
    path.write_text(f"participant_id,side\n{one},left\nOli,left\n0li,left\n{other},right\n")
    with pytest.raises(TableError) as caught:
        read_table(path)

    assert [
        "line 5: expected one spelling of each participant_id, got one that differs from line 2's "
        "in O for 0, or l for 1, alone"
    ] == list(caught.value.problems)


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_different_numbers_are_different_persons(numbers):
    assert len(numbers) == len({person(f"sub-{n:05d}") for n in numbers})


@pytest.mark.parametrize(("one", "other", "said"), SPELLINGS)
def test_a_table_with_both_is_refused_with_both_lines_and_without_the_names(
    tmp_path, one, other, said
):
    path = tmp_path / "table.csv"
    path.write_text(f'participant_id,side\nQ,left\n"{one}",left\nR,left\n"{other}",right\n')
    with pytest.raises(TableError) as caught:
        read_table(path)

    assert [
        f"line 5: expected one spelling of each participant_id, got one that differs from line 3's "
        f"in {' and '.join(said)} alone"
    ] == list(caught.value.problems)


def test_each_further_spelling_is_said_once(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("participant_id,side\n007,left\n7,left\n7,right\n07,left\n8,left\n")
    with pytest.raises(TableError) as caught:
        read_table(path)

    assert ["line 3", "line 5"] == [p.partition(":")[0] for p in caught.value.problems]
