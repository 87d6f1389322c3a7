# SPDX-License-Identifier: Apache-2.0
"""Landmarks in: the patient's left stays left, whatever way a file's axes run."""

import contextlib
import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import FormatError, InputError
from nigroedge.io.landmarks import MAX_BYTES, load_landmarks

LEFT, RIGHT = (-9.0, -18.0, -14.0), (10.5, -17.25, -13.0)
BOTH = {"left": LEFT, "right": RIGHT}

CSV = "side,x,y,z\nleft,-9,-18,-14\nright,10.5,-17.25,-13\n"

#: As Slicer 5 writes it: two columns more than the header names.
FCSV = """# Markups fiducial file version = 5.6
# CoordinateSystem = LPS
# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID
1,9,18,-14,0,0,0,1,1,1,0,Left,,vtkMRMLScalarVolumeNode1,2,0
2,3,4,5,0,0,0,1,1,1,0,F-2,,,2,0
3,-10.5,17.25,-13,0,0,0,1,1,1,0,R,"said, so",,2,0
"""


def point(label="left", position=(9, 18, -14), **members):
    return {"id": "1", "label": label, "position": list(position), **members}


def markups(*points, **members):
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", **members}
    return json.dumps({"@schema": "x#", "markups": [{**markup, "controlPoints": list(points)}]})


MARKUPS = markups(
    point("L", positionStatus="defined"), point("F-3"), point("right", (-10.5, 17.25, -13))
)


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
        (CSV.replace("left", " L ").upper(), "POINTS.CSV"),
        ("\ufeff" + CSV.replace("\n", "\r\n"), "spreadsheet.csv"),
        (CSV + "\n\n", "blank-lines.csv"),
        (FCSV, "points.fcsv"),
        (FCSV.replace("= LPS", "= 1"), "older.fcsv"),
        (FCSV.replace("LPS\n", "LPS,,,,,,,,,,,,,,,\n"), "spreadsheet.fcsv"),
        (FCSV.replace(",2,0\n", "\n"), "slicer4.fcsv"),
        (MARKUPS, "points.mrk.json"),
        (MARKUPS.replace('"mm"', '["mm", "UCUM", "millimeter"]'), "coded.mrk.json"),
    ],
)
def test_the_same_points_come_out_of_every_format(read, content, name):
    assert BOTH == read(content, name)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("side,x,y,z\nL,9,18,-14\n", "points.csv"),
        (FCSV.replace("= LPS", "= RAS").replace("3,-10.5", "#"), "points.fcsv"),
        (FCSV.replace("= LPS", "= 0").replace("3,-10.5", "#"), "older.fcsv"),
        (markups(point(), coordinateSystem="RAS"), "points.mrk.json"),
    ],
)
def test_ras_coordinates_are_taken_as_they_are_and_one_side_is_enough(read, content, name):
    assert {"left": (9.0, 18.0, -14.0)} == read(content, name)


def test_each_markup_has_its_own_coordinate_system(read):
    first, second = (
        json.loads(markups(point())),
        json.loads(markups(point("right", RIGHT), coordinateSystem="RAS")),
    )
    both = {"markups": first["markups"] + second["markups"]}

    assert BOTH == read(json.dumps(both), "two.mrk.json")


coordinates = st.floats(-200, 200, allow_nan=False)
points = st.tuples(coordinates, coordinates, coordinates)


@given(points, points, st.sampled_from(["LPS", "RAS"]))
def test_all_formats_agree_on_any_points(tmp_path_factory, left, right, system):
    folder = tmp_path_factory.mktemp("points")
    sign = np.array([-1, -1, 1] if system == "LPS" else [1, 1, 1])
    a, b = (np.array(left) * sign).tolist(), (np.array(right) * sign).tolist()
    rows = [",".join(map(repr, ("left", *left))), ",".join(map(repr, ("right", *right)))]
    (folder / "p.csv").write_text("side,x,y,z\n" + "\n".join(rows).replace("'", ""))
    (folder / "p.mrk.json").write_text(
        markups(point("left", a), point("right", b), coordinateSystem=system)
    )
    (folder / "p.fcsv").write_text(
        f"# CoordinateSystem = {system}\n# columns = id,x,y,z,label\n"
        f"1,{a[0]!r},{a[1]!r},{a[2]!r},l\n2,{b[0]!r},{b[1]!r},{b[2]!r},r\n"
    )

    for name in ("p.csv", "p.mrk.json", "p.fcsv"):
        assert {"left": left, "right": right} == load_landmarks(folder / name)


REFUSED = [
    (CSV, "points.txt", InputError, r"named \.mrk\.json, \.fcsv or \.csv"),
    (CSV, "points.json", InputError, r"named \.mrk\.json"),
    ("", "empty.csv", FormatError, "line 1: expected the header side,x,y,z"),
    ("left,1,2,3\n", "no-header.csv", FormatError, "line 1"),
    ("side,x,y,z\n", "no-rows.csv", InputError, "labelled left or right, found none"),
    (CSV + "left,1,2,3\n", "twice.csv", InputError, "line 4: expected one left point"),
    (CSV + "L,-9,-18,-14\n", "twice.csv", InputError, "line 4: expected one left point"),
    (CSV + "middle,1,2,3\n", "third.csv", FormatError, "line 4: expected the side left or"),
    (CSV.replace("-9", "nan"), "nan.csv", InputError, "line 2: expected a finite position"),
    (CSV.replace("-9", "1e999"), "inf.csv", InputError, "line 2: expected a finite position"),
    (CSV.replace("-9", "x"), "word.csv", FormatError, "line 2: expected a position of three"),
    (CSV.replace("-9,", ","), "gap.csv", FormatError, "line 2: expected a position of three"),
    (CSV.replace("-9,", ""), "short.csv", FormatError, "line 2: expected 4 columns, got 3"),
    (CSV.replace("-9", "-9,5"), "comma.csv", FormatError, "line 2: expected 4 columns, got 5"),
    (CSV.replace(",", ";"), "semicolon.csv", FormatError, "line 1"),
    (CSV + '"' + "a" * 200_000, "field.csv", FormatError, "separated by commas"),
    (CSV.encode() + b"\xff\xfe", "latin.csv", FormatError, "binary data at byte 49"),
    (CSV + "\0", "nul.csv", FormatError, "binary data at character 49"),
    (b"\x1f\x8b\x08" + bytes(50), "gzip.mrk.json", FormatError, "binary data"),
    (CSV + "#" * MAX_BYTES, "huge.csv", InputError, "at most 1048576 bytes"),
    (FCSV.replace("# Coord", "# Other"), "which.fcsv", FormatError, "CoordinateSystem = LPS"),
    (FCSV.replace("LPS", "IJK"), "ijk.fcsv", FormatError, "CoordinateSystem = LPS"),
    (FCSV.replace("# columns", "# col"), "columns.fcsv", FormatError, "names x, y, z and lab"),
    (FCSV.replace("x,y,z", "a,b,c"), "columns.fcsv", FormatError, "names x, y, z and label"),
    (FCSV + "4,1,2\n", "short.fcsv", FormatError, "line 7: .* too few"),
    (FCSV.replace("Node1,2", "Node1,1"), "preview.fcsv", InputError, "line 4: expected a plac"),
    (FCSV.replace("Left", "F-1").replace(",R,", ",F-3,"), "none.fcsv", InputError, "found no"),
    (FCSV.replace(",R,", ",left,"), "twice.fcsv", InputError, "line 6: expected one left"),
    ("{", "cut.mrk.json", FormatError, "line 1: expected JSON"),
    ("[" * 100_000, "deep.mrk.json", FormatError, "JSON"),
    ('{"markups": ' + "9" * 10_000 + "}", "digits.mrk.json", FormatError, "JSON"),
    ("[]", "list.mrk.json", FormatError, "a list called 'markups' in the document"),
    ('{"markups": [3]}', "three.mrk.json", FormatError, r"controlPoints' in markups\[0\]"),
    (markups(), "none.mrk.json", InputError, "found none"),
    (markups(3, None, "left"), "odd.mrk.json", InputError, "found none"),
    (markups(point(label=7)), "label.mrk.json", InputError, "found none"),
    (markups(point(), point("L")), "twice.mrk.json", InputError, r"Points\[1\]: expected one"),
    (markups(point(), coordinateSystem="IJK"), "ijk.mrk.json", FormatError, "'LPS' or 'RAS'"),
    (markups(point(), coordinateSystem=[0]), "list.mrk.json", FormatError, "'LPS' or 'RAS'"),
    (markups(point(), coordinateSystem=None), "no.mrk.json", FormatError, "'LPS' or 'RAS'"),
    (markups(point(), coordinateUnits="um"), "um.mrk.json", FormatError, "'mm'"),
    (markups(point(positionStatus="preview")), "p.mrk.json", InputError, "not yet placed"),
    (markups(point(positionStatus="undefined")), "u.mrk.json", InputError, "not yet placed"),
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


@given(st.binary(max_size=300), st.sampled_from(["a.csv", "a.fcsv", "a.mrk.json"]))
def test_any_bytes_give_points_or_our_error(tmp_path_factory, content, name):
    path = tmp_path_factory.mktemp("bytes") / name
    for start in (b"", CSV.encode(), FCSV.encode(), MARKUPS[:-40].encode()):
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
                    "markups",
                    "controlPoints",
                    "label",
                    "position",
                    "coordinateSystem",
                    "positionStatus",
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
    path.write_text(json.dumps(value))
    with contextlib.suppress(InputError):
        load_landmarks(path)
    path.write_text(json.dumps({"markups": [{"controlPoints": [value, point()]}]}))
    with contextlib.suppress(InputError):
        load_landmarks(path)


def test_files_that_are_none_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("pipe.csv", "absent.csv", "nul\0.csv", "x" * 300 + ".csv"):
        with pytest.raises(InputError):
            load_landmarks(tmp_path / name)
