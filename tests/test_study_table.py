# SPDX-License-Identifier: Apache-2.0
"""The cohort table: read back to the bit, and every problem of a broken one said at once."""

import csv
import hashlib
import io
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import InputError, TableError
from nigroedge.io.sheet import is_missing, number
from nigroedge.io.sides import side_of
from nigroedge.study.identity import person
from nigroedge.study.table import MAX_BYTES, Row, read_hashed_table, read_table, write_table


def dialect(text, delimiter, other, sign):
    """Write a table with another delimiter and decimal sign; identities stay as they are."""
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=other).writerows(
        [
            row[0],
            *(cell.replace(".", sign) if number(cell) is not None else cell for cell in row[1:]),
        ]
        for row in csv.reader(io.StringIO(text), delimiter=delimiter)
    )
    return buffer.getvalue()


TABLE = """\
participant_id,side,image,x,y,z,sbr,reading,spect,split,expected_sbr,predicted,predicted_b,site
P1,left,images/p1.nii,-9,-18,-14,2.31,lost,abnormal,train,2.5,2.2,2.1,A
P1,right,/data/p1.nii,9.5,-18,-14,4.5e0,intact,normal,train,,4.1,,A
"Müller, P2",left,,,,,,,,test,,,,"B ""x"" y"
"""


@pytest.fixture
def read(tmp_path):
    def read(content, **options):
        path = tmp_path / "table.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_table(path, **options)

    return read


def problems(read, content, **options):
    with pytest.raises(TableError) as caught:
        read(content, **options)
    assert str(caught.value).endswith("\n  ".join(["", *caught.value.problems]))
    return list(caught.value.problems)


# ------------------------------------------------------------------------------------------ reading


def test_every_column_is_read(read, tmp_path):
    first, second, third = read(TABLE)

    assert (
        Row(
            participant_id="P1",
            side="left",
            image=tmp_path / "images/p1.nii",
            centre_mm=(-9.0, -18.0, -14.0),
            sbr=2.31,
            reading="lost",
            spect="abnormal",
            split="train",
            expected_sbr=2.5,
            predicted={"": 2.2, "b": 2.1},
            line=2,
            other={"site": "A"},
        )
        == first
    )
    assert (Path("/data/p1.nii"), 4.5, {"": 4.1}) == (second.image, second.sbr, second.predicted)
    assert "Müller, P2" == third.participant_id
    assert (None, None, None, None, None) == (
        *(third.image, third.centre_mm, third.sbr, third.reading, third.expected_sbr),
    )
    assert {"site": 'B "x" y'} == third.other
    assert [2, 3, 4] == [row.line for row in (first, second, third)]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text + "\n\n,,,,,,,,,,,,,\n",
        lambda text: text.replace(",", "\t").replace("Müller\t", "Müller,"),
        lambda text: text.replace(",", "\t").replace("Müller\t", "Müller,").encode("utf-16"),
        lambda text: dialect(text, ",", ";", ","),
        lambda text: text.replace("\n", ",,\n"),
        lambda text: "".join(f"{i},{line}\n" for i, line in enumerate(text.splitlines()))[1:],
        lambda text: text.replace(",,,,,,,,", ",NA,n/a,N/A,NA,n/a,,n/a,"),
    ],
    ids=[
        *("spreadsheet", "old-mac", "empty-rows", "tsv", "utf-16", "german", "trailing", "index"),
        "n/a",
    ],
)
def test_the_same_rows_come_out_of_every_way_to_store_them(read, change):
    """Of a spreadsheet in half of Europe, of R, of pandas, of BIDS."""
    assert read(TABLE) == read(change(TABLE))


ids = st.text(min_size=1, max_size=8).filter(
    lambda text: (
        text.isprintable()
        and text == text.strip()
        and text[0] not in "=+-@#%/"
        and not is_missing(text)
    )
)
ratios = st.none() | st.floats(-1, 15, exclude_min=True, exclude_max=True)
millimetres = st.floats(allow_nan=False, allow_infinity=False)
words = {
    "reading": st.sampled_from([None, "intact", "lost"]),
    "spect": st.sampled_from([None, "normal", "abnormal"]),
}


@given(
    st.lists(
        st.builds(
            Row,
            participant_id=ids,
            side=st.sampled_from(["left", "right"]),
            image=st.none() | st.sampled_from([Path("/data/a b.nii"), Path('/data/"t"\t.nii')]),
            centre_mm=st.none() | st.tuples(millimetres, millimetres, millimetres),
            sbr=ratios,
            expected_sbr=ratios,
            predicted=st.dictionaries(
                st.sampled_from(["", "a", "b"]),
                st.floats(-1, 15, exclude_min=True, exclude_max=True),
            ),
            other=st.fixed_dictionaries({"site": st.sampled_from(["A", 'a,"b"\tc', "=1+1", ""])}),
            **words,
        ),
        min_size=1,
        max_size=8,
        # Sides of one participant stay apart: left and right of one image must not cross.
        unique_by=lambda row: person(row.participant_id),
    ),
    st.sampled_from([None, "train", "test"]),
)
def test_what_is_written_is_read_back_to_the_bit(tmp_path_factory, rows, split):
    path = tmp_path_factory.mktemp("table") / "table.tsv"
    rows = [replace(row, split=split, line=i) for i, row in enumerate(rows, 2)]
    write_table(path, rows)

    assert rows == read_table(path)
    assert [path] == list(path.parent.iterdir())


@given(
    st.lists(st.tuples(ids, ratios, millimetres), min_size=1, unique_by=lambda row: person(row[0])),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from([".", ","]),
)
def test_what_is_written_is_read_back_from_every_dialect(
    tmp_path_factory, values, encoding, delimiter, sign
):
    path = tmp_path_factory.mktemp("table") / "table.csv"
    rows = [
        Row(name, "left", centre_mm=(x, 0.0, -x), sbr=sbr, line=line)
        for line, (name, sbr, x) in enumerate(values, 2)
    ]
    write_table(path, rows)
    path.write_bytes(dialect(path.read_text(), "\t", delimiter, sign).encode(encoding))

    assert rows == read_table(path)


def test_images_in_the_folder_are_written_relative_to_it(tmp_path):
    rows = [Row("P1", "left", image=tmp_path / "images/p1.nii"), Row("P1", "right", Path("/a.nii"))]
    write_table(tmp_path / "table.tsv", rows)

    assert "\timages/p1.nii\n" in (tmp_path / "table.tsv").read_text()
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    assert [moved / "images/p1.nii", Path("/a.nii")] == [
        row.image for row in read_table(moved / "table.tsv")
    ]


def test_rows_that_could_not_be_read_back_are_not_written(tmp_path):
    with pytest.raises(TableError, match="line 3: expected each side once"):
        write_table(tmp_path / "table.tsv", [Row("P1", "left"), Row("P1", "left")])
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "label", ["left", "Left ", "LEFT", "L", "links", "左側", "N1_L", "sinistra"]
)
def test_a_side_is_spelled_in_any_way_that_landmarks_know(read, label):
    (row,) = read(f"participant_id,side\nP1,{label}\n")

    assert "left" == row.side == side_of(label, "")


def test_other_words_are_read_in_any_case(read):
    (row,) = read(
        "participant_id,side,image,reading,spect,split\nP1,right,,Lost,NORMAL, Test \n",
        need={"image"},
        unscanned={"test"},
    )

    assert ("lost", "normal", "test") == (row.reading, row.spect, row.split)


# ----------------------------------------------------------------------------------------- problems

BROKEN = """participant_id,side,image,x,y,z,sbr,reading,split
P1,gone,a.nii,1,2,3,2.5,lost,train
P1,right,a.nii,1,2,,2.5,lost,train
,right,a.nii,1,2,3,2.5,lost,test
P2,left,,1,2,3,,lost,test
P2,left,b.nii,1,2,3,2.5,lost,train
P3,left,c.nii,1,2,3,nan,gone,train
P4,left,d.nii,1e999,2,3,-1,lost,train
P5,left,e.nii,1,2,3
P6,left,f.nii,1,2,3,2.5,"lost,train
=P7,left,g.nii,1,2,3,999,lost,
P8,left,h.nii,1,2,3,"2,5",lost,train
P9,left,i.nii,5,2,3,1_0,lost,train
P9,right,i.nii,-5,2,3,2,lost,train
"""


def test_all_problems_are_said_at_once_in_the_order_of_the_lines(read):
    need = {"image", "x", "y", "z", "sbr"}

    assert [
        "line 2: expected side left or right, got something else",
        "line 3: expected z, got nothing",
        "line 4: expected participant_id, got nothing",
        "line 5: expected sbr, got nothing",
        "line 5: expected image, got nothing",
        "line 6: expected each side once, got the one of line 5 again",
        "line 6: expected a participant in one split, got train, and test on line 5",
        "line 7: expected reading intact or lost, got something else",
        "line 7: expected sbr to be a finite number, got another text",
        "line 8: expected sbr between -1 and 15",
        "line 8: expected x to be a finite number, got another text",
        "line 9: expected 9 cells, got 6",
        "line 10: expected cells of at most 131072 characters, with their quotes closed on the "
        "same line",
        "line 11: expected sbr between -1 and 15",
        "line 11: expected a participant_id that does not begin with = + - or @, which a "
        "spreadsheet would run as a formula",
        "line 12: expected one decimal sign, got a comma on line 12 and a point on line 2",
        "line 13: expected sbr to be a finite number, got another text",
        "line 14: expected the left centroid to have a smaller x than the right one (RAS: x grows "
        "to the patient's right), got lines 13 and 14",
    ] == problems(read, BROKEN, need=need)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("", ["line 1: expected a column participant_id, found none"]),
        ("participant_id;side,sbr\n", ["line 1: expected one delimiter between the names of"]),
        ("sep=;\nparticipant_id,side\n", ["line 2: expected semicolons, as line 1 says, between"]),
        ("participant_id,side\nNA,left\n", ["line 2: expected participant_id, got nothing"]),
        ("participant_id,side\nP1,n/a\n", ["line 2: expected side, got nothing"]),
        ("participant_id,side\nP1,left/right\n", ["line 2: expected side left or right, got both"]),
        ("participant_id,side\nP1,vasen\n", ["line 2: expected side left or right, got something"]),
        ("participant_id,side,sbr\nP,left,#N/A\n", ["line 2: expected sbr to be a finite number"]),
        ("participant_id,side,\nP,left,2\n", ["line 2: expected 2 cells, got 3"]),
        ("participant_id,side,side\nP1,left,left\n", ["line 1: expected each column once"]),
        ("participant_id,Side\nP1,left\n", ["column side", "expected side spelled so, got 'Side'"]),
        ("participant_id,side,x\nP1,left,1\n", ["expected the columns x, y and z, got x alone"]),
        ("participant_id,side\n", ["line 2: expected at least one row, got none"]),
        ('participant_id,"side\nP1,left\n', ["line 1: expected the names of the columns"]),
        ("participant_id,side\n P1,left\n", ["line 2: expected a participant_id without space"]),
        ("participant_id,side\n\u202eP1,left\n", ["line 2: expected a participant_id of"]),
        (
            "participant_id,side\n\u00e9,left\ne\u0301,right\n",
            ["line 3: expected one spelling of each"],
        ),
        ("participant_id,side,split\nA,left,test\nB,left,\n", ["line 3: expected a split on"]),
        ("participant_id,side,split\nA,left,test\nB,left,x\n", ["line 3: expected split train or"]),
        ("participant_id,side,predicted\nA,left,1e3\n", ["line 2: expected a prediction between"]),
        ("participant_id,side,x,y,z\nA,left,1,,\n", ["line 2: expected x, y and z or none, got x"]),
        ("participant_id,side\n1,left\n1,right\n1,left\n", ["line 4: expected each side once"]),
        ("participant_id,side,sbr\nA,left,１\n", ["line 2: expected sbr to be a finite number"]),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(read, table, expected):
    got = problems(read, table)

    assert len(expected) <= len(got) <= len(expected) + 1
    for part in expected:
        assert any(part in problem for problem in got)


PAIR = "participant_id,side,image,x,y,z\nP,left,{},{},0,0\nP,right,{},{},1,1\n"


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("a.nii", -4.7, "a.nii", 18.4), None),
        (("a.nii", -0.47, "a.nii", 1.84), "8 to 50 mm apart along x (not millimetres, or a slip?)"),
        (("a.nii", -47, "a.nii", 18.4), "8 to 50 mm apart"),
        (("a.nii", 9, "a.nii", -9), "left centroid to have a smaller x"),
        (("a.nii", 9, "b.nii", -9), "left centroid to have a smaller x"),
        (("a.nii", 0, "b.nii", 0), None),  # each cut out, with an origin of its own
        (("a.nii", 3, "b.nii", 1), None),
        (("p_R.nii", 0, "p_L.nii", 0), "of each side the image that is named after it"),
        (("p_L.nii", 0, "p_R.nii", 0), None),
        (("p_right.nii", -9, "p_right.nii", 9), None),
        (("p_LR.nii", -9, "p_L.nii", 9), None),
    ],
)
def test_two_rows_that_are_no_pair_of_sides_are_refused(read, cells, expected):
    text = PAIR.format(*cells)
    if expected is None:
        assert 2 == len(read(text))
        return

    (problem,) = problems(read, text)
    assert problem.startswith("line 3: expected ")
    assert expected in problem
    assert problem.endswith(", got lines 2 and 3")


@pytest.mark.parametrize("code", ["-99", "-1.5", "15.1", "99"])
def test_a_prediction_that_no_model_may_give_is_refused(read, code):
    assert ["line 2: expected a prediction between -1 and 15"] == problems(
        read, f"participant_id,side,predicted\nA,left,{code}\n"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TABLE.encode("latin-1"), "line 4: expected UTF-8"),
        (TABLE.encode() + b"\0", "line 5: expected text without NUL"),
        (TABLE.encode("utf-32"), "line 1: expected text without NUL"),
        (b"a" * (MAX_BYTES + 1), f"at most {MAX_BYTES} bytes"),
    ],
    ids=["latin-1", "nul", "utf-32", "huge"],
)
def test_what_is_no_table_is_refused(read, content, message):
    with pytest.raises(InputError, match=message):
        read(content)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "absent.csv", "a\0b"):
        with pytest.raises(InputError):
            read_table(path)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("table") / "table.csv"
    path.write_bytes(("participant_id,side,sbr,x,y,z\n" + text).encode(errors="replace"))
    try:
        rows = read_table(path)
    except InputError:
        return
    assert all(row.participant_id and row.side in ("left", "right") for row in rows)
    assert all(row.sbr is None or math.isfinite(row.sbr) for row in rows)


SECRET = "Smith-1234567"


@pytest.mark.parametrize("column", range(9))
def test_no_cell_reaches_a_message(read, column):
    # As when a name was pasted into the wrong cell, or a comma in it moved all others.
    cells = BROKEN.splitlines()[1].split(",")
    cells[column] = SECRET
    broken = "\n".join([BROKEN.splitlines()[0], ",".join(cells), f"{SECRET},left,x", "P1,right"])

    assert SECRET not in "".join(problems(read, broken))


def test_the_hash_is_that_of_the_bytes_read(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("participant_id,side\nA,left\n")
    table = read_hashed_table(path)
    path.write_text("participant_id,side\nB,left\n")

    assert ("table.csv", ["A"]) == (table.name, [row.participant_id for row in table.rows])
    assert hashlib.sha256(b"participant_id,side\nA,left\n").hexdigest() == table.sha256


def test_a_table_that_is_written_to_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    path.write_text("participant_id,side\nA,left\n")
    read = os.pread

    def read_and_change(*arguments):
        content = read(*arguments)
        path.write_text("participant_id,side\n")
        return content

    monkeypatch.setattr(os, "pread", read_and_change)
    with pytest.raises(InputError, match=r"table\.csv': expected 27 bytes, .* got 20: it was cut"):
        read_table(path)
