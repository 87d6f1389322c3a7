# SPDX-License-Identifier: Apache-2.0
"""Sidecars: what nobody needs stops nobody, what is needed is taken as it stands or refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import FormatError, InputError
from nigroedge.smwi.sidecar import KEYS, MAX_SIDECAR_BYTES, merged, read_sidecar

NEEDED = {"EchoTime": 0.01, "MagneticFieldStrength": 3}


@pytest.fixture
def said(tmp_path):
    """What a sidecar of this content says."""

    def said(content):
        path = tmp_path / "a.json"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_sidecar(path)

    return said


def with_comment(comment):
    return b'{"EchoTime": 0.01, "ImageComments": "' + comment + b'", "MagneticFieldStrength": 3}'


@pytest.mark.parametrize(
    "comment",
    [
        *(b"\xff\xff\xff", b"M\xfcller", b"a\r\nb", b"a\tb\x00c", b"gre\\W", b"C:\\data\\x"),
        *(b"\\u12", b"\\\\\\W", b"\\\\", b'\\"', b"\\ud800", b"\xed\xa0\x80"),
    ],
)
def test_a_comment_stops_nobody(said, comment):
    assert NEEDED == said(with_comment(comment))


@given(st.binary(max_size=30).filter(lambda comment: b'"' not in comment and comment[-1:] != b"\\"))
def test_no_bytes_of_a_comment_stop_anybody(tmp_path_factory, comment):
    """But for a quote, or a backslash before the one that ends it: these end it elsewhere."""
    path = tmp_path_factory.mktemp("sidecar") / "a.json"
    path.write_bytes(with_comment(comment))

    assert NEEDED == read_sidecar(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_text_is_read_in_the_encodings_of_json(said, encoding):
    """PowerShell writes UTF-16, Notepad puts a mark before UTF-8."""
    text = json.dumps(NEEDED | {"PatientName": "Ä"}, ensure_ascii=False)

    assert NEEDED == said(text.encode(encoding))


def test_only_keys_that_are_needed_are_kept(said):
    everything = dict.fromkeys(KEYS, 1) | {"ProtocolName": "gre", "SliceTiming": [0] * 1000}

    assert dict.fromkeys(KEYS, 1) == said(json.dumps(everything))


@pytest.mark.parametrize("word", [None, "n/a", "N/A", "NA", "nan", ""])
def test_what_is_missing_is_not_said(said, word):
    assert {"EchoTime": 0.01} == said(
        json.dumps({"EchoTime": 0.01, "MagneticFieldStrength": word, "Units": word})
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"EchoTime": 0.01,\n "Units": rad}', r"line 2, column 11, behind the key 'Units'"),
        ('{"EchoTime": 0.01,\n "Comment": "x\\"}', r"line 2, column 13, behind the key 'Comment'"),
        ('{"EchoTime": 0.01', r"line 1, column 18, behind the key 'EchoTime': expecting ','"),
        ("", "got an empty file"),
        (" ", "line 1, column 2: expecting value"),
        ("[1]", "a JSON object, got list"),
        ("[" * 100_000, "something else"),
        ('{"EchoTime": ' + "9" * 5000 + "}", "something else"),
        ('{"EchoTime": 0.01, "EchoTime": 0.02}', "EchoTime once, got it twice: 0.01 and 0.02"),
        (" " * (MAX_SIDECAR_BYTES + 1), f"at most {MAX_SIDECAR_BYTES} bytes"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(said, content, message):
    with pytest.raises(InputError, match=rf"'a\.json': expected .*{message}"):
        said(content)


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "a.json").mkdir()

    with pytest.raises(InputError, match=r"'a\.json': expected a regular file, got a folder"):
        read_sidecar(tmp_path / "a.json")


def test_a_key_twice_is_no_harm_where_both_say_the_same_or_nobody_needs_it(said):
    assert NEEDED == said('{"EchoTime": 0.01, "EchoTime": 1e-2, "MagneticFieldStrength": 3}')
    assert {} == said('{"A": 1, "A": 2, "B": {"EchoTime": 1, "EchoTime": 2}}')


def test_sidecars_of_one_level_add_up_or_are_refused():
    a, b, c = (
        (Path(f"{name}.json"), own)
        for name, own in (("a", {"EchoTime": 1}), ("b", {"Units": "rad"}), ("c", {"EchoTime": 2}))
    )

    assert {"EchoTime": 1, "Units": "rad"} == merged([a, b, a])
    with pytest.raises(FormatError, match=r"got EchoTime 1 in 'a\.json' and 2 in 'c\.json'"):
        merged([a, b, c])
