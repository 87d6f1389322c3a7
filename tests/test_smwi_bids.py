# SPDX-License-Identifier: Apache-2.0
"""BIDS: which files belong together, what their sidecars say, how results are named."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import FormatError, InputError
from nigroedge.smwi.bids import checked_label, derivative_stem, find_scan, parse_name

LABEL = st.from_regex(r"[a-zA-Z0-9]{1,6}", fullmatch=True)


def make_subject(root, *, suffix="MEGRE", session=None, n_echoes=3, said=None, inherited=None):
    """Empty images with sidecars, as a converter writes them."""
    folder = root / "sub-01" / (f"ses-{session}" if session else "") / "anat"
    folder.mkdir(parents=True)
    (root / "dataset_description.json").write_text("{}")
    if inherited is not None:
        (root / f"part-phase_{suffix}.json").write_text(json.dumps(inherited))
    head = f"sub-01_ses-{session}" if session else "sub-01"
    for echo in range(1, n_echoes + 1):
        for part in ("mag", "phase"):
            stem = folder / f"{head}_echo-{echo}_part-{part}_{suffix}"
            stem.with_suffix(".nii").write_bytes(b"")
            words = {"EchoTime": 0.01 * echo, "MagneticFieldStrength": 3, **(said or {})}
            stem.with_suffix(".json").write_text(json.dumps(words))
    return root / "sub-01"


@pytest.mark.parametrize("suffix", ["MEGRE", "T2starw"])
@pytest.mark.parametrize("session", [None, "a"])
def test_echoes_are_found_and_ordered_by_time(tmp_path, suffix, session):
    raw = find_scan(make_subject(tmp_path, suffix=suffix, session=session))

    assert (0.01, 0.02, 0.03) == raw.echo_times_s
    assert ["1", "2", "3"] == [parse_name(path)[0]["echo"] for path in raw.phase]
    assert {"mag"} == {parse_name(path)[0]["part"] for path in raw.magnitude}
    assert (3.0, None) == (raw.field_strength_t, raw.phase_unit)
    assert ({"sub": "01", "ses": "a"} if session else {"sub": "01"}) == raw.entities


def test_a_sidecar_further_up_counts_where_nearer_ones_are_silent(tmp_path):
    subject = make_subject(tmp_path, inherited={"Units": "rad", "EchoTime": 99})

    raw = find_scan(subject)

    assert ("rad", (0.01, 0.02, 0.03)) == (raw.phase_unit, raw.echo_times_s)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"EchoTime": None}, "expected EchoTime in a sidecar .* got None"),
        ({"MagneticFieldStrength": "3"}, "MagneticFieldStrength.*got '3'"),
        ({"Units": "Hz"}, "a field map is no phase"),
    ],
)
def test_sidecars_without_what_is_needed_are_refused(tmp_path, said, message):
    with pytest.raises(InputError, match=message):
        find_scan(make_subject(tmp_path, said=said))


def test_a_missing_part_is_refused_by_echo(tmp_path):
    subject = make_subject(tmp_path)
    (subject / "anat/sub-01_echo-2_part-phase_MEGRE.nii").unlink()

    with pytest.raises(InputError, match=r"\['1', '2', '3'\] and \['1', '3'\]"):
        find_scan(subject)


def test_two_scans_are_refused_with_their_names(tmp_path):
    make_subject(tmp_path, session="a")
    subject = make_subject(tmp_path, session="b")

    with pytest.raises(InputError, match="found 2: sub-01_ses-a_MEGRE, sub-01_ses-b_MEGRE"):
        find_scan(subject)
    assert "b" == find_scan(subject / "ses-b").entities["ses"]


def test_no_scan_and_no_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="found none"):
        find_scan(tmp_path)
    with pytest.raises(InputError, match="expected the folder"):
        find_scan(tmp_path / "nowhere")


@pytest.mark.parametrize("content", ["[1]", "{", "", "\x00", "[" * 100_000])
def test_sidecars_that_are_no_json_object_are_refused(tmp_path, content):
    subject = make_subject(tmp_path)
    (subject / "anat/sub-01_echo-1_part-phase_MEGRE.json").write_text(content)

    with pytest.raises(FormatError, match="expected"):
        find_scan(subject)


@given(st.dictionaries(st.sampled_from(["ses", "acq", "run"]), LABEL), LABEL)
def test_names_come_apart_as_they_were_put_together(entities, label):
    entities = {"sub": label, **entities}

    stem = derivative_stem(Path("out"), entities)

    assert (entities, "SMWI") == parse_name(stem.with_name(f"{stem.name}_SMWI.nii"))
    assert Path("out", f"sub-{label}") in stem.parents


@given(st.text())
def test_no_path_is_built_of_anything_but_letters_and_digits(text):
    if text.isascii() and text.isalnum():
        assert text == checked_label(text)
    else:
        with pytest.raises(InputError):
            checked_label(text)
