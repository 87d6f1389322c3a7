# SPDX-License-Identifier: Apache-2.0
"""Every bad input gets its own clear line on standard error, exit code 1, and no traceback."""

import gzip
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from nigroedge import cli
from tests.model_family import NET, write_model
from tests.nifti_files import LPS_AFFINE, nifti_bytes, qform_fields
from tests.onnx_files import float_model, spec_of

#: 60 × 60 × 30 voxels; LPS_AFFINE puts the middle here.
VOXELS = np.random.default_rng(0).integers(100, 1000, (60, 60, 30)).astype("<i2")
LEFT = "-5,5,-15"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("input")
    write_model(folder / "model.onnx", mirror="none")
    write_model(folder / "left.onnx", side="left", mirror="none")
    (folder / "good.nii").write_bytes(nifti_bytes(VOXELS))
    return folder


@pytest.fixture
def refused(folder, capsys):
    """Run a command that must be refused; give the one line that says why."""

    def refused(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert (1, "") == (code, out)
        assert err.startswith("nigroedge: ")
        assert err.endswith("\n")
        assert 1 == err.count("\n")
        assert "Traceback" not in err
        return err

    return refused


@pytest.fixture
def predict(folder, refused):
    """Refuse the prediction of an image, given as bytes or left as it should be."""

    def predict(content=None, *arguments, left=LEFT, model="model.onnx", name="bad.nii"):
        path = folder / "good.nii"
        if content is not None:
            path = folder / name
            path.write_bytes(content)
        centre = () if left is None else ("--left", left)
        return refused("predict", path, *centre, "--model", folder / model, *arguments)

    return predict


def test_the_input_that_the_others_spoil_is_good(folder, capsys):
    arguments = ("predict", folder / "good.nii", "--left", LEFT, "--model", folder / "model.onnx")

    assert 0 == cli.main([str(argument) for argument in arguments])
    assert "left" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------- images


def filled(value):
    return nifti_bytes(np.full(VOXELS.shape, value, "<f4"))


def with_one(value):
    voxels = VOXELS.astype("<f4")
    voxels[30, 30, 15] = value
    return nifti_bytes(voxels)


SHIFT = np.array([[0, 0, 0, 2.0]] * 3 + [[0] * 4])
SHEAR = np.array([[0, 0.1, 0, -3], *[[0] * 4] * 3])
STEP = 0.5 * 0.5**0.5
TURNED = np.array([[-STEP, -STEP, 0, 15], [STEP, -STEP, 0, 5], [0, 0, 1, -30], [0, 0, 0, 1]])
GZIP = gzip.compress(nifti_bytes(VOXELS))
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 1\n"

IMAGES = {
    "git-lfs": (LFS, "got a git-lfs pointer in place of the file that it stands for: run `git lfs"),
    "git-lfs, gzip": (gzip.compress(LFS), "got a git-lfs pointer"),
    "web page": (b"\n<!DOCTYPE html><html>", "got a web page, perhaps one to log in"),
    "zip": (b"PK\x03\x04" + bytes(600), "got a zip archive"),
    "gzipped twice": (gzip.compress(GZIP), "got gzip: unpack it with gunzip"),
    "nothing but zeros": (bytes(99999), "got nothing but zeros where it begins: it was cut short"),
    "not a NIfTI": (b"Patient^Name" * 100, "expected a NIfTI-1 or NIfTI-2 file"),
    "empty file": (
        b"",
        "expected a NIfTI-1 or NIfTI-2 file, got an empty file: write or download it",
    ),
    "DICOM": (bytes(128) + b"DICM" + bytes(400), "got DICOM: convert the series"),
    "ANALYZE 7.5": (nifti_bytes(VOXELS, magic=b""), "ANALYZE 7.5, which cannot tell left from"),
    "truncated gzip": (GZIP[: len(GZIP) // 2], "expected a whole gzip stream, got one that is cut"),
    "damaged gzip": (GZIP[:5000] + bytes(9) + GZIP[5009:], "expected a valid gzip stream, got in"),
    "truncated image": (nifti_bytes(VOXELS)[:9000], "but the file holds 9000 bytes: cut short"),
    "dimensions too small": (
        nifti_bytes(VOXELS, dim=[3, 60, 60, 20, 1, 1, 1, 1]),
        "bytes beyond them: the header is wrong",
    ),
    "dimensions too large": (
        nifti_bytes(VOXELS, dim=[3, 60, 60, 40, 1, 1, 1, 1]),
        "header says (60, 60, 40) voxels",
    ),
    "negative dimensions": (
        nifti_bytes(VOXELS, dim=[3, -60, 60, 30, 1, 1, 1, 1]),
        "expected dimensions of at least 1, got [-60, 60, 30]",
    ),
    "10^12 voxels": (
        nifti_bytes(VOXELS, dim=[3, 10**4, 10**4, 10**4, 1, 1, 1, 1]),
        "header says (10000, 10000, 10000) voxels (2000000000352 bytes), but the file holds",
    ),
    "10^12 voxels, gzip": (
        gzip.compress(nifti_bytes(VOXELS, dim=[3, 10**4, 10**4, 10**4, 1, 1, 1, 1])),
        "bytes of the file can hold",
    ),
    "zip bomb": (
        gzip.compress(nifti_bytes(VOXELS) + bytes(64 << 20)),
        "bytes beyond them: the header is wrong",
    ),
    "two volumes": (
        nifti_bytes(np.stack([VOXELS, VOXELS], axis=3)),
        "expected one volume, got 2 (dimensions [60, 60, 30, 2])",
    ),
    "colours": (nifti_bytes(VOXELS, datatype=128, bitpix=24), "got RGB (NIfTI datatype 128)"),
    "complex": (nifti_bytes(VOXELS.astype("c8")), "got complex64 (NIfTI datatype 32)"),
    "64 bit integers": (
        nifti_bytes(VOXELS.astype("u8") + (1 << 60)),
        "expected 64 bit integers within 2^53, which a float64 holds exactly, got 1152921504606847",
    ),
    "all zero": (filled(0), "left side: expected a patch with contrast, got"),
    "constant": (filled(7), "left side: expected a patch with contrast, got"),
    "all NaN": (filled(np.nan), "left side: expected finite values in the patch, got NaN"),
    "one NaN": (with_one(np.nan), "left side: expected finite values in the patch, got NaN"),
    "one infinity": (with_one(-np.inf), "left side: expected finite values in the patch"),
    "phase": (with_one(-3.14), "left side: expected SMWI, which is never negative, got negative"),
    "no transform": (
        nifti_bytes(VOXELS, None),
        "expected a transform to the patient, got none: sform_code and qform_code are 0",
    ),
    "qform against sform": (
        nifti_bytes(VOXELS, **qform_fields(np.diag([-1, 1, 1, 1]) @ LPS_AFFINE)),
        "they disagree on handedness; say which one is right: transform 'sform' or 'qform'",
    ),
    "qform beside sform": (
        nifti_bytes(VOXELS, **qform_fields(LPS_AFFINE + SHIFT)),
        "they disagree by 3.5 mm at a corner",
    ),
    "pixdim against sform": (
        nifti_bytes(VOXELS, np.diag([1, 1, 1, 1]), pixdim=[1, 0.5, 0.5, 1, 0, 0, 0, 0]),
        "pixdim says 0.5 0.5 1 mm and the columns of the sform are 1 1 1 mm long; if the sform is "
        "right: transform 'sform'",
    ),
    "sheared": (nifti_bytes(VOXELS, LPS_AFFINE + SHEAR), "shear"),
    "turned by 45 degrees": (nifti_bytes(VOXELS, TURNED), "so that two assignments"),
    "flattened": (nifti_bytes(VOXELS, LPS_AFFINE * [1, 1, 0, 1]), "invertible affine"),
    "micrometres": (nifti_bytes(VOXELS, xyzt_units=3), "lengths in millimetres, got micrometres"),
    "infinite slope": (nifti_bytes(VOXELS, scl_slope=np.inf), "finite scl_slope and scl_inter"),
    "intercept of 1e9": (
        nifti_bytes(VOXELS, scl_slope=1, scl_inter=1e9),
        "left side: expected a patch whose SD is at least 0.1 of its mean, as that of any SMWI",
    ),
    "values around 1e6": (
        nifti_bytes(VOXELS.astype("<f8") + 1e6),
        "left side: expected a patch whose SD is at least 0.1 of its mean, as that of any SMWI",
    ),
    "odd offset": (nifti_bytes(VOXELS, vox_offset=-1), "expected a vox_offset of at least 352"),
}


@pytest.mark.parametrize(("content", "words"), IMAGES.values(), ids=IMAGES)
def test_bad_images(predict, folder, content, words):
    line = predict(content)

    assert words in line
    assert "left side" in line or repr(str(folder / "bad.nii")) in line
    assert "Patient^Name" not in line


def test_a_pair_without_its_other_file(predict):
    content = nifti_bytes(VOXELS, single=False)

    assert "found no 'lone.img'" in predict(content[:352], name="lone.hdr")
    assert "found no 'other.hdr'" in predict(content[352:], name="other.img")


def test_images_that_are_no_files(refused, folder):
    os.mkfifo(folder / "pipe")
    for name, words in (
        ("absent.nii", "No such file or directory"),
        ("", "expected a regular file"),
        ("pipe", "expected a regular file"),
        ("good.nii/x", "Not a directory"),
        ("x" * 300, "File name too long"),
    ):
        arguments = ("--left", LEFT, "--model", folder / "model.onnx")
        assert words in refused("predict", folder / name, *arguments)


# ---------------------------------------------------------------------------------------- landmarks


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--left", "40,5,-15"], "left side: expected a centroid inside the image"),
        (["--left", "9.9,5,-15"], "left side: expected at least 0.9 of the patch inside the image"),
        (["--left=5,5,-15", "--right=-5,5,-15"], "left centroid to have a smaller x"),
        (["--left=-5,5,-15", "--right=-5,5,-15"], "left centroid to have a smaller x"),
        (["--left", "1e300,5,-15"], "left side: expected a centroid inside the image"),
    ],
)
def test_centroids_where_no_patch_can_be(predict, arguments, words):
    assert words in predict(None, *arguments, left=None)


def test_coverage_of_one_half(predict):
    assert "got 0.5" in predict(None, left="9.9,5,-15")


LANDMARKS = {
    "absent.csv": (None, "No such file or directory"),
    "points.xlsx": (b"PK\3\4", "named .mrk.json, .json, .fcsv, .csv, .tsv or .txt"),
    "binary.csv": (b"\x08\x1f\x8b\xff", "line 1: expected UTF-8 text"),
    "points.xlsx.csv": (b"PK\x03\x04" + bytes(99), "expected a landmark file, got a zip archive"),
    "empty.csv": (b"", "line 1: expected the columns side,x,y,z (RAS mm)"),
    "twice.csv": (b"side,x,y,z\nL,1,2,3\nleft,1,2,3\n", "line 3: expected one left point"),
    "nan.csv": (
        b"side,x,y,z\nleft,nan,2,3\n",
        "line 2: expected a position of three numbers in mm",
    ),
    "slip.csv": (b"side,x,y,z\nleft,1,2,3\nrigth,9,2,3\n", "line 3: expected the side left or"),
    "signs.csv": (b"side;x;y;z\nleft;-5,5;5;-15.5\n", "a comma on line 2 and a point on line 2"),
    "swapped.csv": (
        b"side,x,y,z\nleft,5,5,-15\nright,-5,5,-15\n",
        "left centroid to have a smaller",
    ),
    "near.mrk.json": (
        b'{"markups": [{"coordinateSystem": "RAS", "controlPoints": [{"label": "F-1", "position":'
        b' [0, 5, -15]}, {"label": "F-2", "position": [7, 5, -15]}]}]}',
        "at least 8 mm apart along x, got 'F-1' and 'F-2', 7.0 mm apart",
    ),
    "two.mrk.json": (b'{"markups": [{}, {}]}', "expected one list of points"),
    "cut.mrk.json": (b'{"markups": [', "line 1: expected JSON"),
    "other.mrk.json": (b"{}", "expected a list called 'markups'"),
    "nosystem.fcsv": (b"# columns = id,x,y,z,label\n1,1,2,3,L\n", "'# CoordinateSystem = LPS'"),
    "huge.csv": (b"#" * (2 << 20), "at most 1048576 bytes"),
}


@pytest.mark.parametrize("name", LANDMARKS)
def test_bad_landmarks(predict, folder, name):
    content, words = LANDMARKS[name]
    if content is not None:
        (folder / name).write_bytes(content)
    line = predict(None, "--landmarks", folder / name, left=None)

    assert words in line
    assert repr(str(folder / name)) in line


def test_a_right_sided_landmark_on_a_left_only_model(predict):
    line = predict(None, "--right", "-4,5,-15", model="left.onnx", left=None)

    assert "a model that serves the right side, but 'tiny' serves the left side only" in line


def test_models_for_the_same_side(predict, folder):
    line = predict(None, "--model", folder / "left.onnx", model="left.onnx")

    assert "one for the left and one for the right side, got models for left and left" in line


# ------------------------------------------------------------------------------------------- models


def external(model):
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../etc/passwd")


def unknown_op(model):
    model.graph.node[1].op_type = "Frobnicate"


def custom_op(model):
    model.graph.node[1].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))


def no_metadata(model):
    del model.metadata_props[:]


def other_answer(model):
    (entry,) = [p for p in model.metadata_props if p.key == "nigroedge.selftest_sbr"]
    entry.value = "0x3f800000 1.0"


def other_shape(model):
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 51


MODELS = {
    "external data": (external, "external data"),
    "unknown op": (unknown_op, "Frobnicate"),
    "custom op": (custom_op, "com.example"),
    "no metadata": (no_metadata, "expected metadata nigroedge.format '1' or '2', got none"),
    "wrong self-test": (other_answer, "self-test on engine"),
    "wrong shape": (other_shape, "expected one input 'patch' float (n, 1, 50, 50, 20)"),
}


@pytest.mark.parametrize("command", ["predict", "info", "verify"])
@pytest.mark.parametrize(("spoil", "words"), MODELS.values(), ids=MODELS)
def test_bad_models(predict, refused, folder, spoil, words, command):
    model = float_model(NET, spec_of(NET, mirror="none").to_metadata())
    spoil(model)
    path = folder / "bad.onnx"
    path.write_bytes(model.SerializeToString())
    if command == "info" and spoil is other_answer:
        return  # info runs nothing
    line = predict(model="bad.onnx") if command == "predict" else refused(command, path)

    assert words in line
    assert "bad.onnx" in line


NO_MODELS = {
    "absent.onnx": (None, "No such file or directory"),
    "text.onnx": (b"hello", "not a usable ONNX model"),
    "empty.onnx": (b"", "expected an ONNX model, got an empty file"),
    "image.onnx": (nifti_bytes(VOXELS), "expected an ONNX model, got a NIfTI image"),
    "text.xml": (b"hello", "text.bin"),
}


@pytest.mark.parametrize("name", NO_MODELS)
def test_files_that_are_no_models(predict, refused, folder, name):
    content, words = NO_MODELS[name]
    if content is not None:
        (folder / name).write_bytes(content)

    assert words in predict(model=name)
    assert words in refused("info", folder / name)


def test_engines_that_there_are_not(predict):
    assert "expected an engine among" in predict(None, "--engine", "abacus")
    assert "threads" in predict(None, "--threads", "0")


# -------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name", [b"two\nlines", b"not-\xff-utf8", "é".encode(), b"\x1b[31mred", b"-dash", b"a b"]
)
def test_odd_names_stay_on_one_line(refused, folder, name):
    for suffix in (b".nii", b".onnx", b".csv"):
        path = folder / os.fsdecode(name + suffix)
        path.write_bytes(b"hello")
        for line in (
            refused("predict", "--left", LEFT, "--", path),
            refused("predict", "--landmarks", path, "--", folder / "good.nii"),
            refused("info", "--", path),
        ):
            assert line.rstrip("\n").isprintable()


def test_as_a_program_it_says_the_same(folder):
    (folder / "text.nii").write_bytes(b"Patient^Name")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "nigroedge.cli", "predict", folder / "text.nii"),
            *("--left", LEFT, "--model", folder / "model.onnx"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (1, "") == (done.returncode, done.stdout)
    path = repr(str(folder / "text.nii"))
    assert (
        f"nigroedge: {path}: expected a NIfTI-1 or NIfTI-2 file, found no such header\n"
        == done.stderr
    )


@given(st.data())
def test_a_good_image_with_any_bytes_changed_is_read_or_refused(folder, data):
    content = bytearray(nifti_bytes(VOXELS))
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), min_size=1, max_size=8)
    ):
        content[place] = value
    path = folder / "changed.nii"
    path.write_bytes(content)

    assert cli.main(["info", str(path)]) == 1
    assert cli.main(
        ["predict", str(path), "--left", LEFT, "--model", str(folder / "model.onnx")]
    ) in (0, 1)
