# SPDX-License-Identifier: Apache-2.0
"""Labels: which side they name, and which they only seem to."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nigroedge.centroid import BY_POSITION, GIVEN, MAX_APART_MM, MIN_APART_MM
from nigroedge.errors import InputError
from nigroedge.io.sides import Labelled, by_side, shown, side_of


@pytest.mark.parametrize(
    "label",
    [
        *("left", "Left", "LEFT", "l", "L", "N1_L", "left nigrosome-1", "L-N1", "nigrosome_left"),
        *("Lt.", "NigrosomeL", "leftNigrosome", "N1L", "L1", "lh.nigrosome", "sub-01_side-L"),
        *("SNr L", "nigrosome (left)", "Ｌ", "L/left", "l-1", "NIGROSOME_LEFT", "left_n1_v2"),
        *("links", "linke SN", "N1 gauche", "izquierda", "esquerda", "N1sinistra", "sinister"),
        *("左", "左側", "N1左", "㊧", "黒質・左", "좌", "N1 좌측", "왼쪽"),
    ],
)
def test_a_label_names_its_side_by_one_of_its_words(label):
    assert "left" == side_of(label, "here")


@pytest.mark.parametrize(
    "label",
    [
        *("R", "N1_R", "right", "nigrosome_R", "Rt", "rh", "RightSN"),
        *("rechts", "Rechte SN", "droite", "DERECHA", "direita", "destra", "dexter", "右", "右侧"),
        *("우측", "오른쪽"),
    ],
)
def test_and_so_does_the_other(label):
    assert "right" == side_of(label, "here")


@pytest.mark.parametrize(
    "label",
    [
        *(
            "F-1",
            "F_2",
            "N-1",
            "MarkupsFiducial_1",
            "",
            "1",
            "SNr",
            "SNL",
            "LN1",
            "bright",
            "cleft",
        ),
        *("él", "e\u0301l", "l\u0308", "rigth", "middle", "G", "D", "linksig", "dex", "中"),
    ],
)
def test_a_letter_within_a_word_names_no_side(label):
    assert side_of(label, "here") is None


@pytest.mark.parametrize(
    "label",
    [
        *("left right", "L-R", "RightL", "SN-r L", "right (was left)"),
        *("links, right", "左右", "左 R", "gauche-droite"),
    ],
)
def test_a_label_that_names_both_sides_is_refused_by_name(label):
    with pytest.raises(InputError, match="here: expected a label that names one side, got both in"):
        side_of(label, "here")


@given(st.sampled_from([" ", "_", "-", ".", "1", "/"]), st.sampled_from(["", "nigrosome", "sn"]))
def test_a_side_stays_itself_beside_any_other_word(mark, word):
    for side, short in (("left", "l"), ("right", "r")):
        for name in (side, short, side.upper(), short.upper(), side.title()):
            assert side == side_of(f"{word}{mark}{name}", "") == side_of(f"{name}{mark}{word}", "")


ALIKE = [("F-1", "F-2"), ("1", "2"), ("", ""), ("F", "F_1"), ("N1", "N1 (2)"), ("f-1", "N-2")]
UNLIKE = [
    *(("N1_G", "N1_D"), ("vasen", "oikea"), ("лев", "прав"), ("dx", "sx"), ("←", "→")),
    *(("N1", "N1 ipsilateral"), ("", "middle"), ("A", "B"), ("recths", "linsk")),
]


@pytest.mark.parametrize("labels", ALIKE)
def test_labels_that_differ_in_a_number_alone_leave_sides_to_position(labels):
    points = [Labelled("", label, (x, 0, 0)) for label, x in zip(labels, (9, -9), strict=True)]

    assert {"left": (-9, 0, 0), "right": (9, 0, 0)} == by_side(points)


@pytest.mark.parametrize("labels", UNLIKE)
def test_words_that_may_be_sides_in_another_language_are_refused(labels):
    points = [Labelled("here", label, (x, 0, 0)) for label, x in zip(labels, (9, -9), strict=True)]

    with pytest.raises(InputError, match="here: expected labels that name a side, such as left"):
        by_side(points)


coordinate = st.floats(-40, 40)


@given(st.tuples(coordinate, coordinate, coordinate), st.tuples(coordinate, coordinate, coordinate))
@example((0.0, 0.0, 0.0), (MIN_APART_MM, 0.0, 0.0))
@example((-25.0, 0.0, 0.0), (MAX_APART_MM - 25, 0.0, 0.0))
def test_by_position_the_smaller_x_is_left_whatever_the_order(a, b):
    points = [Labelled("", "F-1", a), Labelled("", "F-2", b)]
    if abs(a[0] - b[0]) < MIN_APART_MM:
        for two in (points, points[::-1]):
            with pytest.raises(InputError, match="at least 8 mm apart along x"):
                by_side(two)
        return
    if abs(a[0] - b[0]) > MAX_APART_MM:
        with pytest.raises(InputError, match="8 to 50 mm apart along x"):
            by_side(points)
        return
    expected = {"left": min(a, b), "right": max(a, b)}

    assert expected == by_side(points) == by_side(points[::-1])
    assert [BY_POSITION] * 2 == [one.source for one in by_side(points).values()]


@given(st.tuples(coordinate, coordinate, coordinate), st.tuples(coordinate, coordinate, coordinate))
@example((0.0, 0.0, 0.0), (MIN_APART_MM, 0.0, 0.0))
@example((-25.0, 0.0, 0.0), (MAX_APART_MM - 25, 0.0, 0.0))
def test_labels_and_positions_agree_or_are_refused(a, b):
    points = [Labelled("", "n1_l", a), Labelled("", "n1_r", b)]
    if not a[0] < b[0]:
        with pytest.raises(InputError, match="expected the left centroid to have a smaller x"):
            by_side(points)
        return
    if not MIN_APART_MM <= b[0] - a[0] <= MAX_APART_MM:
        with pytest.raises(InputError, match="8 to 50 mm apart along x"):
            by_side(points)
        return

    assert {"left": a, "right": b} == by_side(points)
    assert [GIVEN] * 2 == [one.source for one in by_side(points).values()]


@pytest.mark.parametrize("labels", [("left", "N1"), ("N1", "left")])
def test_a_point_without_a_side_beside_one_with_is_refused(labels):
    points = [Labelled("here", label, (x, 0, 0)) for label, x in zip(labels, (-9, 9), strict=True)]

    with pytest.raises(InputError, match=r"a label that names a side, as others .*, got 'N1'"):
        by_side(points)


def test_a_long_label_is_cut_in_messages():
    assert repr("n" * 40) == shown("n" * 40)
    assert repr("n" * 40 + "…") == shown("n" * 41)
