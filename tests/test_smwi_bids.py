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


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("sub-01", "sub-02", "images of sub-02 in its folder"), ("ses-a", "ses-b", "of ses-b in its")],
)
def test_a_folder_of_another_subject_or_session_than_its_images_is_refused(
    tmp_path, old, new, message
):
    """Before, the images of one person came out under the folder of another in silence."""
    subject = make_subject(tmp_path, session="a")
    anat = next(subject.rglob("anat"))
    moved = tmp_path / anat.relative_to(tmp_path).as_posix().replace(old, new)
    moved.parent.mkdir(parents=True, exist_ok=True)
    anat.rename(moved)

    with pytest.raises(InputError, match=rf"{message}.*got 'sub-01_ses-a_echo-1_part-mag"):
        find_scan(moved.parent.parent if new.startswith("sub") else moved.parent)


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


def test_a_sidecar_of_magnitude_alone_counts_for_both(tmp_path):
    subject = make_subject(tmp_path)
    for path in subject.rglob("*part-phase*.json"):
        path.unlink()

    assert (0.01, 0.02, 0.03) == find_scan(subject).echo_times_s


def test_sidecars_of_one_level_add_up_and_may_not_contradict_each_other(tmp_path):
    subject = make_subject(tmp_path)
    general = subject / "anat/sub-01_part-phase_MEGRE.json"

    general.write_text('{"Units": "rad", "EchoTime": "n/a"}')
    assert ("rad", (0.01, 0.02, 0.03)) == (
        find_scan(subject).phase_unit,
        find_scan(subject).echo_times_s,
    )
    general.write_text('{"EchoTime": 0.01}')
    with pytest.raises(FormatError, match=r"EchoTime 0\.02 in 'sub-01_echo-2_part-phase"):
        find_scan(subject)


@pytest.mark.parametrize(
    ("copy", "original"),
    [
        ("sub-01_echo-2_part-phase_MEGRE.nii.gz", "sub-01_echo-2_part-phase_MEGRE.nii"),
        ("sub-01_echo-02_part-phase_MEGRE.nii", "sub-01_echo-2_part-phase_MEGRE.nii"),
        ("sub-01_part-phase_echo-2_MEGRE.nii", "sub-01_echo-2_part-phase_MEGRE.nii"),
        ("../sub-01_echo-2_part-mag_MEGRE.nii", "sub-01_echo-2_part-mag_MEGRE.nii"),
    ],
)
def test_two_files_for_one_echo_are_refused_with_both_names(tmp_path, copy, original):
    subject = make_subject(tmp_path)
    (subject / "anat" / copy).write_bytes(b"")

    with pytest.raises(
        InputError, match=f"one file for echo 2 of part-.*{Path(copy).name}"
    ) as error:
        find_scan(subject)
    assert original in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        "sub-01_echo-2_part-phase_MEGRE.nii.gz.bak",
        "sub-01_echo-2_part-phase_MEGRE.nii~",
        "._sub-01_echo-2_part-phase_MEGRE.nii",
        "sub-01_echo-2_echo-3_part-phase_MEGRE.nii",
    ],
)
def test_what_is_no_image_of_the_scan_is_passed_over(tmp_path, name):
    subject = make_subject(tmp_path)
    (subject / "anat" / name).write_bytes(b"")

    assert name not in [path.name for path in find_scan(subject).phase]


def test_an_echo_may_be_written_as_01(tmp_path):
    subject = make_subject(tmp_path)
    for path in sorted(subject.rglob("*part-mag*")):
        path.rename(path.with_name(path.name.replace("echo-", "echo-0")))

    assert 3 == len(find_scan(subject).magnitude)


def test_magnitude_may_come_without_a_part(tmp_path):
    """To BIDS an image without a part is a magnitude; some converters leave it out."""
    subject = make_subject(tmp_path)
    for path in sorted(subject.rglob("*part-mag*")):
        path.rename(path.with_name(path.name.replace("_part-mag", "")))

    raw = find_scan(subject)

    assert ["sub-01_echo-1_MEGRE", "sub-01_echo-2_MEGRE", "sub-01_echo-3_MEGRE"] == [
        path.stem for path in raw.magnitude
    ]


def test_an_image_without_a_part_is_nobodys_beside_a_magnitude_and_without_phase(tmp_path):
    subject = make_subject(tmp_path)
    for name in ("sub-01_echo-1_MEGRE.nii", "sub-01_acq-other_echo-1_MEGRE.nii"):
        (subject / "anat" / name).write_bytes(b"")

    assert {"mag"} == {parse_name(path)[0].get("part") for path in find_scan(subject).magnitude}


def test_one_file_of_all_echoes_has_a_list_of_times(tmp_path):
    subject = make_subject(tmp_path, n_echoes=0)
    for part in ("mag", "phase"):
        stem = subject / f"anat/sub-01_part-{part}_MEGRE"
        stem.with_suffix(".nii.gz").write_bytes(b"")
        said = {"EchoTime": [0.01, 0.02], "MagneticFieldStrength": 3}
        stem.with_suffix(".json").write_text(json.dumps(said))

    raw = find_scan(subject)

    assert ((0.01, 0.02), 1, {"sub": "01"}) == (raw.echo_times_s, len(raw.phase), raw.entities)


@pytest.mark.parametrize("n_echoes", [3, 11])
def test_a_list_of_times_above_one_file_an_echo_is_in_the_order_of_their_numbers(
    tmp_path, n_echoes
):
    times = [0.004 * echo for echo in range(1, n_echoes + 1)]
    subject = make_subject(tmp_path, n_echoes=n_echoes)
    for path in subject.rglob("*.json"):
        path.write_text('{"MagneticFieldStrength": 3}')
    (tmp_path / "MEGRE.json").write_text(json.dumps({"EchoTime": times}))

    raw = find_scan(subject)

    assert tuple(times) == raw.echo_times_s
    for paths in (raw.magnitude, raw.phase):
        assert [*range(1, n_echoes + 1)] == [int(parse_name(path)[0]["echo"]) for path in paths]


def test_a_list_of_times_that_does_not_fit_the_files_is_refused(tmp_path):
    subject = make_subject(tmp_path, said={"EchoTime": [0.01, 0.02]})

    with pytest.raises(InputError, match="or as many as there are files, echo-1 to echo-3, got 2"):
        find_scan(subject)
    for path in sorted(subject.rglob("*echo-3*")):
        path.rename(path.with_name(path.name.replace("echo-3", "echo-4")))
    for path in subject.rglob("*.json"):
        path.write_text('{"MagneticFieldStrength": 3, "EchoTime": [0.01, 0.02, 0.03]}')
    with pytest.raises(InputError, match="or as many as there are files, echo-1 to echo-3, got 3"):
        find_scan(subject)


def test_real_and_imaginary_parts_are_named_with_what_makes_magnitude_and_phase_of_them(tmp_path):
    subject = make_subject(tmp_path)
    for path in sorted(subject.rglob("*part-*")):
        renamed = path.name.replace("part-mag", "part-real").replace("part-phase", "part-imag")
        path.rename(path.with_name(renamed))

    with pytest.raises(InputError) as caught:
        find_scan(subject)
    assert (
        "expected images of part-mag and part-phase, got part-imag and part-real, such as "
        "'sub-01_echo-1_part-imag_MEGRE.nii': convert them: magnitude is hypot(real, imag), phase "
        "atan2(imag, real)"
    ) in str(caught.value)


@pytest.mark.parametrize("other", ["", "_acq-other"])
def test_real_and_imaginary_parts_beside_magnitude_and_phase_are_nobodys(tmp_path, other):
    subject = make_subject(tmp_path)
    for part in ("real", "imag"):
        (subject / f"anat/sub-01{other}_echo-1_part-{part}_MEGRE.nii").write_bytes(b"")

    assert 3 == len(find_scan(subject).phase)


#: Folder of the images, whether the dataset has a description, the folder that is named.
LAYOUTS = [
    ("sub-01/anat", True, "sub-01"),
    ("sub-01/anat", False, "sub-01"),
    ("sub-01/ses-a/anat", True, "sub-01"),
    ("sub-01/ses-a/anat", True, "sub-01/ses-a"),
    ("sub-01/ses-a/anat", False, "sub-01/ses-a"),
    ("sub-01/anat", True, "sub-01/anat"),
    ("sub-01/ses-a/anat", False, "sub-01/ses-a/anat"),
    ("sub-01", True, "sub-01"),
]


@pytest.mark.parametrize("end", [".nii", ".nii.gz"])
@pytest.mark.parametrize(("folder", "is_described", "named"), LAYOUTS)
def test_a_scan_is_found_in_every_layout(tmp_path, folder, is_described, named, end):
    images = tmp_path / folder
    images.mkdir(parents=True)
    if is_described:
        (tmp_path / "dataset_description.json").write_text("{}")
    (images / "MEGRE.json").write_text('{"MagneticFieldStrength": 3}')
    session = "_ses-a" if "ses-a" in folder else ""
    for part in ("mag", "phase"):
        for echo in (1, 2):
            stem = f"sub-01{session}_echo-{echo}_part-{part}_MEGRE"
            (images / f"{stem}{end}").write_bytes(b"")
            (images / f"{stem}.json").write_text(json.dumps({"EchoTime": 0.01 * echo}))

    raw = find_scan(tmp_path / named)

    assert ((0.01, 0.02), 3.0) == (raw.echo_times_s, raw.field_strength_t)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"EchoTime": None}, "expected EchoTime in a sidecar .* got none$"),
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
