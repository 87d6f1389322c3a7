# SPDX-License-Identifier: Apache-2.0
"""Landmarks in: the patient's left stays left, whatever way a file's axes run."""

import contextlib
import json
import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.centroid import BY_POSITION, GIVEN, Centroid
from nigroedge.errors import FormatError, GeometryError, InputError
from nigroedge.io.landmarks import MAX_BYTES, load_landmarks

LEFT, RIGHT = (-9.0, -18.0, -14.0), (10.5, -17.25, -13.0)
BOTH = {"left": LEFT, "right": RIGHT}

CSV = "side,x,y,z\nleft,-9,-18,-14\nright,10.5,-17.25,-13\n"
GERMAN = CSV.replace(",", ";").replace(".", ",")

#: As Slicer 5 writes it: two columns more than the header names.
FCSV = """# Markups fiducial file version = 5.6
# CoordinateSystem = LPS
# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID
1,9,18,-14,0,0,0,1,1,1,0,Left,,vtkMRMLScalarVolumeNode1,2,0
2,-10.5,17.25,-13,0,0,0,1,1,1,0,R,"said, so",,2,0
"""

#: As Slicer exports a control-point table.
TABLE = """label,l,p,s,defined,selected,visible,locked,description
left,9,18,-14,1,1,1,0,
"N1_R",-10.5,17.25,-13,1,1,1,0,"said, so"
"""
RAS_TABLE = "label,r,a,s\nL,-9,-18,-14\nR,10.5,-17.25,-13\n"


def point(label="left", position=(9, 18, -14), **members):
    return {"id": "1", "label": label, "position": list(position), **members}


def other(label="right", **members):
    return point(label, (-10.5, 17.25, -13), **members)


def markups(*points, beside=(), **members):
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", **members}
    return json.dumps({"markups": [*beside, {**markup, "controlPoints": list(points)}]})


LINE = {"type": "Line", "coordinateSystem": "LPS", "controlPoints": [point("left"), other()]}
BOX = {"type": "ROI", "center": [0, 0, 0], "size": [1, 1, 1]}
MARKUPS = markups(point("L", positionStatus="defined"), other())


@pytest.fixture
def read(tmp_path):
    def read(content, name):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_landmarks(path)

    return read


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (CSV, "points.csv"),
        (CSV.upper().replace("LEFT", " L "), "POINTS.CSV"),
        ("\ufeff" + CSV.replace("\n", "\r\n"), "spreadsheet.csv"),
        (CSV.replace(",", "\t").encode("utf-16"), "unicode.txt"),
        (CSV.replace(",", "\t").encode("utf-16"), "unicode.csv"),
        (CSV + "\n\n,,,\n", "blank-rows.csv"),
        (CSV.replace("\n", ",,\n"), "trailing.csv"),
        (",side,x,y,z\n0,left,-9,-18,-14\n1,right,10.5,-17.25,-13\n", "index.csv"),
        (GERMAN, "german.csv"),
        ("sep=;\r\n" + GERMAN, "declared.csv"),
        ('side,x,y,z\nleft,"-9,0",-18,-14\nright,"10,5","-17,25",-13\n', "quoted.csv"),
        (CSV.replace(",", "\t"), "points.tsv"),
        (CSV.replace(",", "\t").replace(".", ","), "german.tsv"),
        ("z,y,x,side\n-14,-18,-9,left\n-13,-17.25,10.5,right\n", "turned.csv"),
        (TABLE, "slicer.csv"),
        (TABLE.replace('"said, so"', "").replace(",", "\t"), "slicer.tsv"),
        (RAS_TABLE, "ras.csv"),
        (FCSV, "points.fcsv"),
        (FCSV.replace("= LPS", "= 1"), "older.fcsv"),
        (FCSV.replace("LPS\n", "LPS,,,,,,,,,,,,,,,\n") + ",,,,\n", "spreadsheet.fcsv"),
        (FCSV.replace(",2,0\n", "\n"), "slicer4.fcsv"),
        (MARKUPS, "points.mrk.json"),
        (MARKUPS, "points.json"),
        (MARKUPS.encode("utf-16"), "wide.json"),
        (markups(point(), other(), beside=[LINE, BOX]), "beside.mrk.json"),
        (MARKUPS.replace('"mm"', '["mm", "UCUM", "millimeter"]'), "coded.mrk.json"),
    ],
)
def test_the_same_points_come_out_of_every_format(read, content, name):
    points = read(content, name)

    assert BOTH == points
    assert {GIVEN} == {each.source for each in points.values()}


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("side,x,y,z\nL,9,18,-14\n", "points.csv"),
        (FCSV.replace("= LPS", "= RAS").replace("2,-10.5", "#"), "points.fcsv"),
        (FCSV.replace("= LPS", "= 0").replace("2,-10.5", "#"), "older.fcsv"),
        (markups(point(), coordinateSystem="RAS"), "points.mrk.json"),
    ],
)
def test_ras_coordinates_are_taken_as_they_are_and_one_side_is_enough(read, content, name):
    assert {"left": (9.0, 18.0, -14.0)} == read(content, name)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (markups(other("F-1"), point("F-2")), "f.mrk.json"),
        (markups(point("F_1"), other("N-2")), "n.mrk.json"),
        (markups(point(""), other("")), "empty.mrk.json"),
        (markups({"position": [9, 18, -14]}, {"position": [-10.5, 17.25, -13]}), "no.mrk.json"),
        (FCSV.replace("Left", "F-1").replace(",R,", ",F-2,"), "f.fcsv"),
        (TABLE.replace("left", "F-2").replace('"N1_R"', "F-1"), "f.csv"),
    ],
)
def test_two_points_without_a_side_have_sides_by_position_and_say_so(read, content, name):
    points = read(content, name)

    assert BOTH == points
    assert {BY_POSITION} == {each.source for each in points.values()}


coordinates = st.floats(-25, 25, allow_nan=False)
points = st.tuples(coordinates, coordinates, coordinates)
pairs = st.tuples(points, points).map(sorted).filter(lambda two: 8 <= two[1][0] - two[0][0] <= 50)


@given(pairs, st.sampled_from(["LPS", "RAS"]), st.sampled_from(",;\t"), st.booleans())
def test_all_formats_agree_on_any_points(tmp_path_factory, pair, system, delimiter, comma):
    folder = tmp_path_factory.mktemp("points")
    sign = np.array([-1, -1, 1] if system == "LPS" else [1, 1, 1])
    a, b = ((np.array(xyz) * sign).tolist() for xyz in pair)
    header = ("label", *("lps" if system == "LPS" else "ras"))
    (folder / "p.csv").write_text(table([("side", *"xyz"), ("l", *pair[0]), ("r", *pair[1])]))
    (folder / "p.tsv").write_text(table([header, ("l", *a), ("r", *b)], delimiter, comma=comma))
    (folder / "p.mrk.json").write_text(
        markups(point("left", a), point("right", b), coordinateSystem=system)
    )
    (folder / "p.fcsv").write_text(
        f"# CoordinateSystem = {system}\n# columns = id,x,y,z,label\n"
        f"1,{a[0]!r},{a[1]!r},{a[2]!r},l\n2,{b[0]!r},{b[1]!r},{b[2]!r},r\n"
    )

    for name in ("p.csv", "p.tsv", "p.mrk.json", "p.fcsv"):
        assert {"left": pair[0], "right": pair[1]} == load_landmarks(folder / name)


def table(rows, delimiter=",", *, comma=False):
    """Write a table by hand, cells of numbers with a decimal comma or a point, each in quotes."""
    texts = [[cell if isinstance(cell, str) else repr(cell) for cell in row] for row in rows]
    cells = [[text.replace(".", ",") if comma else text for text in row] for row in texts]
    return "".join(delimiter.join(f'"{cell}"' for cell in row) + "\n" for row in cells)


REFUSED = [
    (CSV, "points.xlsx", InputError, r"named \.mrk\.json, \.json, \.fcsv, \.csv, \.tsv or \.txt"),
    ("", "empty.csv", FormatError, r"line 1: expected the columns side,x,y,z \(RAS mm\), or those"),
    ("left,1,2,3\n", "no-header.csv", FormatError, "line 1: .*, got 'left', '1', '2', '3'$"),
    ("side,x,y,z\n", "no-rows.csv", InputError, "labelled left and right, found none"),
    (CSV + "left,1,2,3\n", "twice.csv", InputError, "line 4: expected one left point"),
    (CSV.replace("right", "#right"), "hash.csv", FormatError, "line 3: expected no line that begi"),
    (CSV + "L,-9,-18,-14\n", "twice.csv", InputError, "line 4: .* a second one, 'L' after 'left'"),
    (CSV + "rigth,1,2,3\n", "slip.csv", FormatError, "line 4: expected the side .*, got 'rigth'"),
    ("side,x,y,z\n1,-9,2,3\n2,9,2,3\n", "f.csv", FormatError, "line 2: expected the side left"),
    (CSV.replace("-9", "nan"), "nan.csv", FormatError, "line 2: expected a position of three"),
    (CSV.replace("-9", "1e999"), "inf.csv", InputError, "line 2: expected a finite position"),
    (CSV.replace("-9", "x"), "word.csv", FormatError, "line 2: expected a position of three"),
    (CSV.replace("-9,", ","), "gap.csv", FormatError, "line 2: expected a position of three"),
    (CSV.replace("-9", "n/a"), "n-a.csv", FormatError, "line 2: expected a position of three"),
    (CSV.replace("-9,", ""), "short.csv", FormatError, "line 2: expected 4 cells, got 3$"),
    (CSV.replace("-9", "-9,5"), "comma.csv", FormatError, "line 2: expected 4 cells, got 5; a c"),
    ("side,x,y,z\nleft,NA,n/a,\n", "none.csv", FormatError, "line 2: .* got none: leave the line"),
    (CSV.replace("-18", "'-18"), "quote.csv", FormatError, "line 2: expected a position of three"),
    (CSV.replace("x,y", "x;y"), "mixed.csv", FormatError, "line 1: expected the columns"),
    ("side,x;y,z\n", "two.csv", FormatError, "line 1: expected the columns side,x,y,z"),
    ("side;x,y,z\n", "two.csv", FormatError, "line 1: expected one delimiter .*commas and semicol"),
    (GERMAN.replace(";1", ",1"), "rows.csv", FormatError, "line 3: expected 4 cells, got 3"),
    (GERMAN + CSV[11:], "rows.csv", FormatError, "line 4: .* between semicolons, .*, got commas"),
    (GERMAN.replace("-9", "-9.5"), "signs.csv", FormatError, "comma on line 3 and a point on line"),
    ("sep=|\n" + CSV, "sep.csv", FormatError, "line 1: expected sep= and a comma, semicolon or t"),
    ("sep=;\n" + CSV, "sep.csv", FormatError, "line 2: expected semicolons, as line 1 says"),
    (
        CSV.replace("x,", "x,x,"),
        "column.csv",
        FormatError,
        "line 1: expected each column once, got 'x'",
    ),
    (CSV.replace("z", "z,unit"), "unit.csv", FormatError, "line 1: .* 'z', 'unit'$"),
    (CSV.replace("side", "label"), "frame.csv", FormatError, "line 1: .* got 'label', 'x', 'y'"),
    (TABLE.replace("l,l,p,s", "l,l,a,s"), "frame.csv", FormatError, "line 1: expected the columns"),
    (TABLE.replace("-14,1", "-14,0"), "undefined.csv", InputError, "line 2: .* got 'left', whose"),
    (TABLE.replace("-14,1", "-14,"), "undefined.csv", InputError, "line 2: expected placed points"),
    (CSV.replace("left", "vasen"), "finnish.csv", FormatError, "expected the side left or right"),
    (
        TABLE.replace("left", "vasen").replace('"N1_R"', "oikea"),
        "finnish.csv",
        InputError,
        "line 2, line 3: expected labels that name a side, .* got 'vasen' and 'oikea'",
    ),
    (TABLE + "F-3,1,2,3,1,1,1,0,\n", "third.csv", InputError, "line 4: .* others .* got 'F-3'"),
    (RAS_TABLE.replace("R,", "rigth,"), "slip.csv", InputError, "line 3: .* others .* got 'rigth'"),
    ('side,x,y,z\n"left,1,2,3\n', "open.csv", FormatError, "line 2: .* their quotes closed"),
    ("side,x,y,z,,\nleft,1,2,3,,4\n", "beyond.csv", FormatError, "line 2: expected 4 cells, got 6"),
    ("side,x,,y,z\nleft,1,2,3,4\n", "none.csv", FormatError, "line 2: .*column 3, which has no na"),
    (CSV + '"' + "a" * 200_000, "field.csv", FormatError, "line 4: expected cells of at most"),
    (CSV.encode() + b"\xff\xfe", "latin.csv", FormatError, "line 4: expected UTF-8 text"),
    (CSV + "\0", "nul.csv", FormatError, "line 4: expected text without NUL"),
    (CSV.encode("utf-16-le"), "no-mark.csv", FormatError, "line 1: expected text without NUL"),
    (CSV.encode("utf-32"), "utf-32.csv", FormatError, "line 1: expected text without NUL"),
    (b"\x1f\x8b\x08" + bytes(50), "gzip.mrk.json", FormatError, "got gzip: unpack it with gunzip"),
    (CSV + "#" * MAX_BYTES, "huge.csv", InputError, "at most 1048576 bytes"),
    (FCSV.replace("# Coord", "# Other"), "which.fcsv", FormatError, "CoordinateSystem = LPS"),
    (FCSV + "# CoordinateSystem = RAS\n", "two.fcsv", FormatError, "one value of 'Coordinat.*two"),
    (FCSV.replace("LPS", "IJK"), "ijk.fcsv", FormatError, "CoordinateSystem = LPS"),
    (FCSV.replace("# columns", "# col"), "columns.fcsv", FormatError, "names x, y, z and lab"),
    (FCSV.replace("x,y,z", "a,b,c"), "columns.fcsv", FormatError, "names x, y, z and label"),
    (FCSV + "4,1,2\n", "short.fcsv", FormatError, "line 6: expected the columns that the header"),
    (FCSV + '"4,1,2\n', "open.fcsv", FormatError, "line 6: expected .* quotes closed"),
    (FCSV.replace("Node1,2", "Node1,1"), "preview.fcsv", InputError, "line 4: .* got 'Left', who"),
    (FCSV.replace("Left", "F-1"), "one.fcsv", InputError, "line 4: .* as others .*, got 'F-1'"),
    (FCSV.replace(",R,", ",left,"), "twice.fcsv", InputError, "line 5: expected one left"),
    (FCSV.replace("= LPS", "= RAS"), "swapped.fcsv", GeometryError, "line 4, line 5: expected the"),
    ("{", "cut.mrk.json", FormatError, "line 1: expected JSON"),
    (
        markups(point("left")).replace('"left"', '"le\tft"'),
        "tab.mrk.json",
        FormatError,
        r"line 1: column \d+: expected JSON, in whose texts control characters are escaped, such",
    ),
    ("[" * 100_000, "deep.mrk.json", FormatError, "JSON"),
    ('{"markups": ' + "9" * 10_000 + "}", "digits.mrk.json", FormatError, "JSON"),
    (
        MARKUPS.replace('"LPS"', '"LPS", "coordinateSystem": "RAS"'),
        *("keys.mrk.json", FormatError, "each key of an object once, got 'coordinateSystem' twice"),
    ),
    ("[]", "list.mrk.json", FormatError, "a list called 'markups' in the document"),
    ('{"markups": [3]}', "three.mrk.json", InputError, "one list of points .* got no markup"),
    ('{"markups": []}', "none.mrk.json", InputError, "one list of points .* got none"),
    (json.dumps({"markups": [LINE, BOX]}), "line.mrk.json", InputError, "got 'Line', 'ROI'"),
    (
        markups(point(), beside=[{"type": "Fiducial"}]),
        *("two.mrk.json", InputError, r"got markups\[0\] and markups\[1\]"),
    ),
    ('{"markups": [{}]}', "bare.mrk.json", FormatError, r"controlPoints' in markups\[0\]"),
    (markups(), "none.mrk.json", InputError, "labelled left and right, found none"),
    (markups(3), "odd.mrk.json", FormatError, r"Points\[0\]: expected a control point"),
    (
        markups(point("left\ud800")),
        "half.mrk.json",
        FormatError,
        r"Points\[0\]: expected a label of",
    ),
    (markups(point(label=7)), "label.mrk.json", FormatError, r"Points\[0\]: expected a label of t"),
    (markups(point(), point("L")), "twice.mrk.json", InputError, r"Points\[1\]: expected one"),
    (markups(point(), other("F-2")), "half.mrk.json", InputError, r"\[1\]: .* got 'F-2'"),
    (markups(point(), other(), point("F-3")), "more.mrk.json", InputError, r"\[2\]: .* got 'F-3'"),
    (markups(point("F-1")), "one.mrk.json", InputError, "got 1 point without a side: 'F-1'"),
    (markups(*map(point, "abcde")), "five.mrk.json", InputError, "got 5 .*'a', 'b', 'c', 'd', …"),
    (markups(point("F-1"), point("F-2", (2, 0, 0))), "near.mrk.json", GeometryError, "7.0 mm apa"),
    (markups(point("letf"), other("F-2")), "slip.mrk.json", InputError, r"\[0\]: .* got 'letf'"),
    (markups(point("F-1"), other("brightest")), "glued.mrk.json", InputError, r"\[1\]: .* or none"),
    (markups(point("R"), other("L")), "swapped.mrk.json", GeometryError, r"got left \(10.5,"),
    (markups(point(), point("right")), "same.mrk.json", GeometryError, r"got left \(-9.0,"),
    (markups(point("L-R"), other()), "both.mrk.json", InputError, r"\[0\]: .* got both in 'L-R'"),
    (markups(point("F\n" * 50)), "long.mrk.json", InputError, r"'(F\\n){20}…'$"),
    (markups(point(), coordinateSystem="IJK"), "ijk.mrk.json", FormatError, "'LPS' or 'RAS'"),
    (markups(point(), coordinateSystem=[0]), "list.mrk.json", FormatError, "'LPS' or 'RAS'"),
    (markups(point(), coordinateSystem=None), "no.mrk.json", FormatError, "'LPS' or 'RAS'"),
    (markups(point(), coordinateUnits="um"), "um.mrk.json", FormatError, "'mm'"),
    (markups(point(positionStatus="preview")), "p.mrk.json", InputError, "got 'left', whose posit"),
    (markups(point(positionStatus="undefined")), "u.mrk.json", InputError, "is not defined"),
    (markups(point(), other("F-2", positionStatus=0)), "u.mrk.json", InputError, "got 'F-2', whos"),
    (markups(point(position=(1, 2))), "two.mrk.json", FormatError, "three numbers"),
    (markups(point(position=("1", "2", "3"))), "s.mrk.json", FormatError, "three numbers"),
    (markups(point(position=(True, 2, 3))), "true.mrk.json", FormatError, "three numbers"),
    (markups(point(position=(10**400, 2, 3))), "big.mrk.json", FormatError, "three numbers"),
    (markups({"label": "left"}), "nowhere.mrk.json", FormatError, "three numbers"),
    (markups(point(position=(float("nan"), 2, 3))), "nan.mrk.json", InputError, "finite"),
]


@pytest.mark.parametrize(
    ("content", "name", "error", "words"), REFUSED, ids=[name for _, name, *_ in REFUSED]
)
def test_what_cannot_be_trusted_is_refused_with_its_place(read, content, name, error, words):
    with pytest.raises(error, match=words) as caught:
        read(content, name)

    assert error is caught.type
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=300), st.sampled_from(["a.csv", "a.fcsv", "a.json"]))
def test_any_bytes_give_points_or_our_error(tmp_path_factory, content, name):
    path = tmp_path_factory.mktemp("bytes") / name
    for start in (b"", CSV.encode(), TABLE.encode(), FCSV.encode(), MARKUPS[:-40].encode()):
        path.write_bytes(start + content)
        with contextlib.suppress(InputError):
            load_landmarks(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.just("left"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("markups", "controlPoints", "label", "position", "coordinateSystem"),
                    *("positionStatus", "type"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(json_values)
def test_any_json_gives_points_or_our_error(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "a.mrk.json"
    for document in (
        value,
        {"markups": [{"controlPoints": [value, point()]}]},
        json.loads(markups(value, point(), beside=[value])),
    ):
        path.write_text(json.dumps(document))
        with contextlib.suppress(InputError):
            load_landmarks(path)


def test_files_that_are_none_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("pipe.csv", "absent.csv", "nul\0.csv", "x" * 300 + ".csv"):
        with pytest.raises(InputError):
            load_landmarks(tmp_path / name)


def test_a_centroid_is_its_coordinates_and_keeps_its_source_when_it_travels():
    centroid = Centroid(LEFT, BY_POSITION)

    assert LEFT == centroid == pickle.loads(pickle.dumps(centroid))
    assert BY_POSITION == pickle.loads(pickle.dumps(centroid)).source
    assert GIVEN == Centroid(LEFT).source


# --------------------------------------------------------------------- inputs that once went wrong


@pytest.mark.parametrize(
    "name",
    [
        *(
            "22-slicer-table/points.csv",
            "22-slicer-table/points.tsv",
            "22-slicer-table/points.json",
        ),
        *("27-landmarks-from-excel/blank.csv", "27-landmarks-from-excel/index.csv"),
        "27-landmarks-from-excel/trailing.csv",
    ],
)
def test_what_slicer_and_spreadsheets_write_predicts_as_coordinates_do(answer, shared_cases, name):
    slab = shared_cases / "00-base-right/slab.nii"
    typed = ("--left=-4.678,2.727,-3.894", "--right=18.384,2.871,-2.966")
    expected, got = (
        answer("predict", slab, *where) for where in (typed, ("--landmarks", shared_cases / name))
    )

    assert (expected["left"], expected["right"]) == (got["left"], got["right"])
    assert (4.77, 4.74) == (round(got["left"]["sbr"], 2), round(got["right"]["sbr"], 2))
