# SPDX-License-Identifier: Apache-2.0
"""Tables as spreadsheets and programs write them: every dialect gives the same cells."""

import csv
import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import FormatError
from nigroedge.io.sheet import (
    DELIMITERS,
    MAX_PROBLEMS,
    decode,
    is_missing,
    number,
    read_sheet,
    text_lines,
    two_decimal_signs,
)

TEXT = "id,side,sbr\nP1,left,2.5\nP2,right,3\n"
CELLS = [("id", "side", "sbr"), ("P1", "left", "2.5"), ("P2", "right", "3")]
KNOWN = {"id", "side", "sbr"}


def cells_of(sheet):
    assert () == sheet.problems
    return [sheet.columns, *(tuple(line.cells[c] for c in sheet.columns) for line in sheet.lines)]


@pytest.mark.parametrize(
    ("text", "header_line", "lines"),
    [
        (TEXT, 1, [2, 3]),
        (TEXT.replace("\n", "\r\n"), 1, [2, 3]),
        (TEXT.replace("\n", "\r"), 1, [2, 3]),
        (TEXT.replace(",", ";"), 1, [2, 3]),
        (TEXT.replace(",", "\t"), 1, [2, 3]),
        ("sep=,\r\n" + TEXT, 2, [3, 4]),
        ("sep=\t\n" + TEXT.replace(",", "\t"), 2, [3, 4]),
        ('"sep=;"\n' + TEXT.replace(",", ";"), 2, [3, 4]),
        ("\n,,\n" + TEXT + "\n,,\n \n", 3, [4, 5]),
        (TEXT.replace("\n", ",,\n"), 1, [2, 3]),
        (TEXT.replace("5\n", "5,\n"), 1, [2, 3]),
        (",id,side,sbr\n0,P1,left,2.5\n1,P2,right,3\n", 1, [2, 3]),
        ('"","id","side","sbr"\n"1","P1","left",2.5\n"2","P2","right",3\n', 1, [2, 3]),
        ("Unnamed: 0,id,side,sbr\n0,P1,left,2.5\n1,P2,right,3\n", 1, [2, 3]),
        ("id,,side,sbr\nP1,,left,2.5\nP2,,right,3\n", 1, [2, 3]),
    ],
)
def test_every_dialect_gives_the_same_cells_with_their_lines(text, header_line, lines):
    sheet = read_sheet(text, KNOWN)

    assert CELLS == cells_of(sheet)
    assert header_line == sheet.header_line
    assert lines == [line.number for line in sheet.lines]


def test_what_stands_in_quotes_does_not_separate():
    text = 'id\tside\t"sbr, ""as ; measured"""\n"a\tb"\tleft\t"2,5"\n'

    assert [("id", "side", 'sbr, "as ; measured"'), ("a\tb", "left", "2,5")] == cells_of(
        read_sheet(text, KNOWN)
    )


def test_a_delimiter_within_a_name_of_another_column_does_not_count():
    assert ("id", "age, years") == read_sheet("id\tage, years\na\t3\n", KNOWN).columns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id;side,sbr\n", "line 1: expected one delimiter .*, got commas and semicolons"),
        ("\nid;side\tsbr\n", "line 2: expected one delimiter .*, got semicolons and tabs"),
        ("sep=;\nid,side\n", "line 2: expected semicolons, as line 1 says, .*, got commas"),
        ("sep=:\nid:side\n", "line 1: expected sep= and a comma, semicolon or tab"),
        ('id,"side\n', "line 1: expected the names of the columns: .* quotes closed on the same"),
    ],
)
def test_a_line_of_names_that_can_be_split_in_two_ways_is_refused(text, message):
    with pytest.raises(FormatError, match=message):
        read_sheet(text, KNOWN)


@pytest.mark.parametrize(
    ("rows", "problems"),
    [
        ("P1,left\n", [(2, "expected 3 cells, got 2")]),
        (
            "P1,left,2,5\nP2,left,3\n",
            [(2, "expected 3 cells, got 4; a cell with a comma in it needs quotes")],
        ),
        (
            "1,P1,left,2\n2,P2,left,3\n",
            [
                (
                    2,
                    "expected 3 cells, got 4 on every line: row names without a column of their "
                    "own (in R: row.names = FALSE), or decimal commas without quotes",
                )
            ],
        ),
        (
            "P1;left;2\nP2,left,3\n",
            [(2, "expected 3 cells between commas, as in the header, got semicolons")],
        ),
        (
            "#P1,left,2\n // P2,left\n%P3,left,1\n",
            [
                (n, "expected no line that begins with #, % or //: take away the mark, or the line")
                for n in (2, 3, 4)
            ],
        ),
    ],
)
def test_a_row_of_another_width_is_a_problem_of_its_line(rows, problems):
    assert problems == list(read_sheet("id,side,sbr\n" + rows, KNOWN).problems)


def test_a_cell_under_no_name_is_a_problem_unless_it_is_an_index():
    sheet = read_sheet(",id,,side\n0,P1,note,left\n1,P2,,left\n", KNOWN)

    assert [3] == [line.number for line in sheet.lines]
    assert ((2, "expected nothing in column 3, which has no name, got a cell"),) == sheet.problems


def test_noise_does_not_fill_the_memory_with_messages():
    problems = read_sheet("id,side\n" + "x\n" * 5000, KNOWN).problems

    assert MAX_PROBLEMS + 1 == len(problems)
    assert "reading stopped here" in problems[-1][1]


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=6)
tables = st.integers(2, 5).flatmap(
    lambda n: st.lists(
        st.lists(cells, min_size=n, max_size=n).filter(
            lambda row: (
                any(c.strip() for c in row) and not row[0].lstrip().startswith(("#", "%", "//"))
            )
        ),
        min_size=1,
        max_size=5,
    )
)
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16"]


@given(
    tables,
    st.sampled_from([*DELIMITERS]),
    st.sampled_from(ENCODINGS),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from(["", "sep"]),
    st.sampled_from([0, 2]),
)
def test_what_python_writes_in_any_dialect_is_read_back(
    rows, delimiter, encoding, end, quoting, sep, empty
):
    names = [f"name{i}" for i in range(len(rows[0]))]
    buffer = io.StringIO()
    if sep:
        buffer.write(f"sep={delimiter}{end}")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=end, quoting=quoting)
    for row in (names, *rows):
        writer.writerow([*row, *[""] * empty])
        writer.writerow([""] * len(row))
    sheet = read_sheet(decode(buffer.getvalue().encode(encoding)), names)

    assert [tuple(names), *map(tuple, rows)] == cells_of(sheet)


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize(("delimiter", "sign"), [(",", "."), (";", ","), ("\t", ","), (",", ",")])
def test_pandas_writes_what_we_read(tmp_path, index, delimiter, sign):
    pandas = pytest.importorskip("pandas")
    values = [-9.25, 1e-7, 123456.0, 0.1]
    frame = pandas.DataFrame({"id": ["a,b", "ü;", "c", "d\t"], "sbr": values})
    path = tmp_path / "table.csv"
    frame.to_csv(path, sep=delimiter, decimal=sign, index=index, encoding="utf-8-sig")
    sheet = read_sheet(decode(path.read_bytes()), KNOWN)

    assert frame["id"].tolist() == [line.cells["id"] for line in sheet.lines]
    assert values == [number(line.cells["sbr"]) for line in sheet.lines]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Müller\nMüller".encode("latin-1"), "line 1: expected UTF-8 text .* or UTF-16 with"),
        ("a\nb\nMüller".encode("cp1252"), "line 3: expected UTF-8 text"),
        ("a\nb".encode("utf-16-be"), "line 1: expected text without NUL"),
        ("a\nb".encode("utf-32"), "line 1: expected text without NUL"),
        (b"\xff\xfea", "line 1: expected UTF-8 text"),
        (b"\xff\xfe\x00\xd8", "line 1: expected UTF-8 text"),
    ],
)
def test_other_encodings_are_refused_with_their_line(content, message):
    with pytest.raises(FormatError, match=message):
        decode(content)


def test_a_line_ends_where_a_file_says_and_not_at_what_unicode_calls_one():
    assert ["a\x0bb\x1cc\x85d\u2028e", "f", "g", ""] == text_lines(
        "a\x0bb\x1cc\x85d\u2028e\r\nf\rg\n"
    )


# ------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        *((" -4.5 ", -4.5), ("-4,5", -4.5), ("\u22124,5", -4.5), ("+3", 3.0), (".5", 0.5)),
        *((",5", 0.5), ("5,", 5.0), ("1e3", 1000.0), ("1,5E-2", 0.015), ("1e9999", math.inf)),
        *((cell, None) for cell in ("", "n/a", "nan", "inf", "1.234,5", "1,234.5", "1_0", "0x1")),
        *((cell, None) for cell in ("１", "4 5", "4'5", "--4", "4.5 mm", "1e", "1..2", "=1")),
    ],
)
def test_numbers(cell, value):
    assert value == number(cell)


@given(st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_a_number_is_read_to_the_bit_with_either_sign(value, comma):
    text = repr(value).replace(".", ",") if comma else repr(value)

    assert value == number(text)


@given(st.text("0123456789.,eE+- ", max_size=8))
def test_a_number_is_what_python_takes_for_one_or_none(text):
    value = number(text)
    try:
        expected = float(text.replace(",", "."))
    except ValueError:
        expected = None

    assert value == expected


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ([(2, "1,5"), (3, "2"), (4, "-2,5")], None),
        ([(2, "1.5"), (3, "n/a"), (4, "a,b")], None),
        ([(2, "1,5"), (3, "2"), (4, "2.5"), (5, "3.5")], (4, "a comma on line 2 and a point on l")),
        ([(2, "1.5"), (2, "2,5")], (2, "a comma on line 2 and a point on line 2")),
    ],
)
def test_two_decimal_signs_in_one_table(cells, problem):
    found = two_decimal_signs(cells)

    assert (problem is None) == (found is None)
    if found:
        assert problem[0] == found[0]
        assert problem[1] in found[1]


def test_what_counts_as_missing():
    assert all(map(is_missing, ["", " ", "n/a", "N/A", "NA", "na"]))
    assert not any(map(is_missing, ["nan", "-", "0", "none", "#N/A", "n.a."]))
