# SPDX-License-Identifier: Apache-2.0
"""`nigroedge smwi`: files in, derivatives out, refusals by exit code and one line."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from nigroedge.cli import main
from nigroedge.io.nifti import load_volume, save_volume
from nigroedge.smwi.command import METHOD_NAMES
from nigroedge.smwi.method import METHODS
from nigroedge.volume import Volume
from tests.smwi_phantom import ECHO_TIMES_S, make_head, simulate_echoes, total_field
from tests.test_smwi_orientation import stored

TIMES = [str(time) for time in ECHO_TIMES_S]


@pytest.fixture(scope="module")
def head():
    return make_head((72, 72, 20), tilt_degrees=10.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, head):
    """Five echoes of magnitude and phase, as files of a BIDS subject."""
    root = tmp_path_factory.mktemp("study")
    anat = root / "sub-07" / "anat"
    anat.mkdir(parents=True)
    (root / "dataset_description.json").write_text("{}")
    magnitude, phase = simulate_echoes(head, total_field(head), 50)
    for n, time in enumerate(ECHO_TIMES_S):
        for part, values in (("mag", magnitude), ("phase", phase)):
            stem = anat / f"sub-07_echo-{n + 1}_part-{part}_MEGRE"
            save_volume(Volume(values[..., n], head.affine), stem.with_suffix(".nii"))
            said = {"EchoTime": time, "MagneticFieldStrength": 3.0}
            stem.with_suffix(".json").write_text(json.dumps(said))
    save_volume(Volume(head.mask.astype(np.uint8), head.affine), root / "mask.nii")
    return root


def echoes(folder, part):
    return [str(path) for path in sorted(folder.rglob(f"*part-{part}*.nii"))]


def from_files(folder, *more):
    return [
        *("smwi", "--magnitude", *echoes(folder, "mag"), "--phase", *echoes(folder, "phase")),
        *("--method", "fast", "--threads", "1", *more),
    ]


def test_the_names_that_need_no_import_are_the_true_ones():
    assert tuple(METHODS) == METHOD_NAMES


def test_a_bids_subject_becomes_derivatives_that_predict_reads(folder, head, tmp_path, capsys):
    out = tmp_path / "derivatives"
    arguments = ["smwi", "--bids", str(folder / "sub-07"), "--out", str(out), "--method", "fast"]

    assert main([*arguments, "--threads", "1", "--json", "--figure"]) == 0

    printed = json.loads(capsys.readouterr().out)
    anat = out / "sub-07" / "anat"
    assert str(anat / "sub-07_SMWI.nii") == printed["written"][0]
    assert {"sub-07_Chimap.nii", "sub-07_desc-brain_mask.nii", "sub-07_desc-stages_figure.png"} <= {
        path.name for path in anat.iterdir()
    }
    volume = load_volume(printed["written"][0])
    np.testing.assert_allclose(head.affine, volume.affine, atol=1e-5)
    said = json.loads((anat / "sub-07_SMWI.json").read_text())
    assert 10 == len(said["Sources"])
    assert all(len(source["SHA256"]) == 64 for source in said["Sources"])
    assert list(ECHO_TIMES_S) == said["EchoTime"]
    assert "derivative" == json.loads((out / "dataset_description.json").read_text())["DatasetType"]
    png = (anat / "sub-07_desc-stages_figure.png").read_bytes()
    assert png.startswith(b"\x89PNG")


def test_files_and_a_mask_give_what_bids_gives(folder, tmp_path, capsys):
    mask = str(folder / "mask.nii")
    more = ("--echo-times", *TIMES, "--field-strength", "3", "--out", str(tmp_path))

    assert main([*from_files(folder, *more), "--mask", mask, "--subject", "A1"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("5 echoes at 3 T, phase in rad (detected); susceptibility in")
    assert str(tmp_path / "sub-A1/anat/sub-A1_SMWI.nii") == lines[1]
    said = json.loads((tmp_path / "sub-A1/anat/sub-A1_SMWI.json").read_text())
    assert "given" == said["Mask"]


def test_nothing_is_overwritten(folder, tmp_path, capsys):
    more = ("--echo-times", *TIMES, "--field-strength", "3", "--out", str(tmp_path))
    anat = tmp_path / "sub-unknown" / "anat"
    anat.mkdir(parents=True)
    (anat / "sub-unknown_SMWI.nii").write_bytes(b"mine")

    assert main(from_files(folder, *more)) == 1

    assert "exist" in capsys.readouterr().err.lower()
    assert b"mine" == (anat / "sub-unknown_SMWI.nii").read_bytes()


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--field-strength", "3"], 1, "expected 5 echo times"),
        (["--echo-times", *TIMES], 1, "expected the field strength in tesla"),
        (
            ["--echo-times", "10", "20", "30", "40", "50", "--field-strength", "3"],
            1,
            "milliseconds",
        ),
        (["--bids", "somewhere"], 2, "expected --bids alone"),
    ],
    ids=["no-times", "no-field", "milliseconds", "both-ways"],
)
def test_what_is_missing_is_said_in_one_line(folder, tmp_path, capsys, more, code, message):
    assert main([*from_files(folder, *more), "--out", str(tmp_path)]) == code

    error = capsys.readouterr().err
    assert message in error
    assert 1 == error.count("\n")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("times", "tesla", "message"),
    [
        ([*TIMES[:4], "0.06"], "3", "times that are given, 0.06 s, in every sidecar, got 0.05"),
        (TIMES, "1.5", "the field strength that is given, 1.5 T, in every sidecar, got 3"),
    ],
)
def test_json_beside_files_must_not_contradict_what_is_given(
    folder, tmp_path, capsys, times, tesla, message
):
    more = ("--echo-times", *times, "--field-strength", tesla, "--out", str(tmp_path))

    assert main(from_files(folder, *more)) == 1

    assert message in capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())


def test_magnitude_listed_backwards_is_refused_by_the_json_beside_it(folder, tmp_path, capsys):
    arguments = from_files(folder, "--echo-times", *TIMES, "--field-strength", "3")
    arguments[2:7] = arguments[2:7][::-1]

    assert main([*arguments, "--out", str(tmp_path)]) == 1

    assert "got 0.05 s in that of 'sub-07_echo-5_part-mag_MEGRE.nii'" in capsys.readouterr().err


def test_a_unit_that_begins_with_a_minus_sign_can_be_named(folder, tmp_path, capsys):
    """An option by its looks; the phase here is in radians."""
    more = ("--echo-times", *TIMES, "--field-strength", "3", "--out", str(tmp_path))

    assert 1 == main([*from_files(folder, *more), "--phase-unit", "-4096..4096"])

    assert "expected phase in '-4096..4096'" in capsys.readouterr().err


def test_neither_files_nor_bids_is_a_usage_error(tmp_path, capsys):
    assert main(["smwi", "--out", str(tmp_path)]) == 2
    assert "--magnitude and --phase, or --bids" in capsys.readouterr().err


def test_images_in_two_places_are_refused(folder, head, tmp_path, capsys):
    moved = head.affine.copy()
    moved[0, 3] += 5
    path = tmp_path / "moved.nii"
    save_volume(Volume(head.chi.astype("f4"), moved), path)
    magnitude, phase = echoes(folder, "mag")[:2], echoes(folder, "phase")[:1]

    code = main(
        [
            *("smwi", "--magnitude", *magnitude, "--phase", *phase, str(path)),
            *(
                "--echo-times",
                "0.01",
                "0.02",
                "--field-strength",
                "3",
                "--out",
                str(tmp_path / "o"),
            ),
        ]
    )

    assert 1 == code
    assert "image 4 lies 5.00 mm from the first" in capsys.readouterr().err


def test_a_mask_in_another_place_is_refused_as_such(folder, head, tmp_path, capsys):
    affine = head.affine.copy()
    affine[0, 3] += 5
    save_volume(Volume(head.mask.astype(np.uint8), affine), tmp_path / "mask.nii")
    arguments = from_files(folder, "--echo-times", *TIMES, "--field-strength", "3")

    assert main([*arguments, "--mask", str(tmp_path / "mask.nii"), "--out", str(tmp_path)]) == 1

    assert "the scan and its mask in one place" in capsys.readouterr().err


def test_masks_and_phases_in_other_orders_of_axes_give_the_same(folder, head, tmp_path):
    """Bit for bit: turned, not interpolated."""
    turned = []
    for n, path in enumerate(echoes(folder, "phase")):
        values, affine = stored((1, 2, 0), (-1, 1, -1), load_volume(path).voxels[...], head.affine)
        turned.append(str(tmp_path / f"phase{n}.nii"))
        save_volume(Volume(values, affine), turned[-1])
    values, affine = stored((2, 0, 1), (1, -1, 1), head.mask.astype(np.int16), head.affine)
    save_volume(Volume(values + 5, affine, 0.5, -2.5), tmp_path / "mask.nii")
    common = ["--echo-times", *TIMES, "--field-strength", "3", "--method", "fast", "--threads", "1"]
    start = ["smwi", "--magnitude", *echoes(folder, "mag"), *common]

    straight = ["--phase", *echoes(folder, "phase"), "--mask", str(folder / "mask.nii")]
    assert 0 == main([*start, *straight, "--out", str(tmp_path / "a")])
    assert 0 == main(
        [
            *(*start, "--phase", *turned, "--mask", str(tmp_path / "mask.nii")),
            *("--out", str(tmp_path / "b")),
        ]
    )

    one, other = (
        load_volume(tmp_path / out / "sub-unknown/anat/sub-unknown_SMWI.nii") for out in "ab"
    )
    assert np.array_equal(one.voxels[...], other.voxels[...])


def test_b0_of_a_standard_space_is_asked_for(folder, head, tmp_path, capsys):
    """Turned to a standard space, z is no longer the direction of B0."""
    turn = np.array([[1, 0, 0, 0], [0, 0.8, -0.6, 0], [0, 0.6, 0.8, 0], [0, 0, 0, 1]])
    parts = {}
    for part in ("mag", "phase"):
        values = [load_volume(path).voxels[...] for path in echoes(folder, part)]
        image = nibabel.Nifti1Image(np.stack(values, axis=3), turn @ head.affine)
        image.set_sform(turn @ head.affine, code="mni")
        parts[part] = str(tmp_path / f"{part}.nii")
        nibabel.save(image, parts[part])
    common = ["--echo-times", *TIMES, "--field-strength", "3", "--method", "fast", "--threads", "1"]
    start = ["smwi", "--magnitude", parts["mag"], "--phase", parts["phase"], *common]

    assert 1 == main([*start, "--out", str(tmp_path / "out")])
    assert "one to a standard space (sform_code or qform_code 3 to 5): give --b0" in (
        capsys.readouterr().err
    )
    assert 0 == main([*start, "--b0", "-0,-0.6,0.8", "--out", str(tmp_path / "out")])
    anat = tmp_path / "out/sub-unknown/anat"
    said = json.loads((anat / "sub-unknown_SMWI.json").read_text())
    assert pytest.approx(head.b0, abs=1e-5) == said["B0Direction"]


@pytest.mark.parametrize(
    ("code", "b0", "taken"),
    [("scanner", (), "scanner"), ("aligned", (), "aligned"), ("mni", ("--b0", "0,0,1"), "given")],
)
def test_what_the_direction_of_b0_rests_on_is_said(folder, tmp_path, capsys, code, b0, taken):
    """Another image's coordinates (code 2, nibabel's default) may be turned: no silence there."""
    start = ["smwi", "--echo-times", *TIMES, "--field-strength", "3", "--method", "fast"]
    for option, part in (("--magnitude", "mag"), ("--phase", "phase")):
        paths = []
        for n, path in enumerate(echoes(folder, part)):
            image = nibabel.load(path)
            image.set_sform(image.affine, code=code)
            image.set_qform(None, code=0)
            paths.append(str(tmp_path / f"{part}{n}.nii"))
            nibabel.save(image, paths[-1])
        start += [option, *paths]

    assert 0 == main([*start, "--threads", "1", *b0, "--out", str(tmp_path / "out")])
    out = capsys.readouterr().out
    said = json.loads((tmp_path / "out/sub-unknown/anat/sub-unknown_SMWI.json").read_text())
    assert taken == said["B0From"]
    assert ("B0 along z of coordinates aligned to another image (code 2)" in out) == (
        taken == "aligned"
    )


@pytest.mark.parametrize("words", ["0,0,0", "1,2", "up", "0,0,nan"])
def test_what_is_no_direction_of_b0_is_a_usage_error(words, capsys):
    assert 2 == main(["smwi", "--bids", "x", "--out", "y", "--b0", words])
    assert "a direction X,Y,Z such as 0,0.2,0.98" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{}.nii", "are the echoes in the order of their times?"),
        ("echo-{}.nii", "a number behind 'echo-' in its name to rise"),
    ],
)
def test_magnitude_listed_backwards_is_seen_without_any_sidecar(
    folder, tmp_path, capsys, name, message
):
    copies = []
    for n, path in enumerate(echoes(folder, "mag")):
        copies.insert(0, str(tmp_path / name.format(n)))
        Path(copies[0]).write_bytes(Path(path).read_bytes())
    arguments = ["smwi", "--magnitude", *copies, "--phase", *echoes(folder, "phase")]

    code = main([*arguments, "--echo-times", *TIMES, "--field-strength", "3", "--out", "o"])

    assert 1 == code
    assert message in capsys.readouterr().err


def test_a_field_map_scan_with_one_phase_difference_is_refused(shared_data, tmp_path, capsys):
    """Two magnitudes and one phase difference in −4096 … 4094: readable, but no two echoes."""
    reference = shared_data / "siemens_fmap" / "reference"
    phase = reference / "Si_3_gre_field_magph_e2_ph.nii"
    both = [reference / f"Si_2_gre_field_magph_e{n}.nii" for n in (1, 2)]
    rest = ["--field-strength", "3", "--out", str(tmp_path / "o")]

    one = ["smwi", "--magnitude", str(both[1]), "--phase", str(phase), "--echo-times", "0.00765"]
    assert 1 == main([*one, *rest])
    assert "at least two echoes, got one" in capsys.readouterr().err

    two = ["smwi", "--magnitude", *map(str, both), "--phase", str(phase)]
    assert 1 == main([*two, "--echo-times", "0.00519", "0.00765", *rest])
    assert "magnitude and phase of one shape" in capsys.readouterr().err
