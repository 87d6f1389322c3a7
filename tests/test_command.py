# SPDX-License-Identifier: Apache-2.0
"""Predict, demo, info and verify as they are typed, on an image stored any way."""

import gzip
import itertools
import json

import numpy as np
import pytest

import nigroedge
from nigroedge import command, phantom
from nigroedge import model as model_module
from nigroedge.io.nifti import load_volume
from tests.conftest import BOTH, CENTRE, ROOT
from tests.nifti_files import nifti_bytes
from tests.onnx_files import CARD

RAS_TO_LPS = np.diag([-1.0, -1, 1, 1])

# ----------------------------------------------------------------------------------------- predict


def test_a_prediction_is_one_json_object(answer, models, slab):
    result = answer("predict", slab, *BOTH, "--model", models / "tiny.onnx", "--threads", 1)

    assert [
        *("left", "right", "asymmetry", "model", "engine", "input", "timing_ms", "version"),
        "notice",
    ] == list(result)
    assert [-9.0, -18.0, -14.0] == result["left"]["centre_mm"]
    assert {"name": "native", "isa": nigroedge.active_isa(), "threads": 1} == result["engine"]
    assert str(slab) == result["input"]["path"]
    assert 64 == len(result["model"]["sha256"])
    assert ["read", "crop", "predict"] == list(result["timing_ms"])
    assert nigroedge.__version__ == result["version"]


def test_the_command_line_gives_what_python_gives(answer, models, slab):
    model = model_module.load_model(models / "tiny.onnx")
    expected = model.predict(load_volume(slab), left=(-9, -18, -14), right=(9, -18, -14))
    result = answer("predict", slab, *BOTH, "--model", models / "tiny.onnx")

    assert expected.left.sbr == result["left"]["sbr"]
    assert expected.right.sbr == result["right"]["sbr"]
    assert expected.asymmetry == result["asymmetry"]


def stored_otherwise(voxels, affine):
    """Yield the same image in all 48 orders and directions of its axes."""
    for axes in itertools.permutations(range(3)):
        for flips in itertools.product([1, -1], repeat=3):
            turn = np.eye(4)
            turn[:3, :3] = np.eye(3)[:, axes] * np.array(flips)[list(axes)]
            origin = [n - 1 if flip < 0 else 0 for n, flip in zip(voxels.shape, flips, strict=True)]
            turn[:3, 3] = origin
            turned = voxels[tuple(slice(None, None, flip) for flip in flips)].transpose(axes)
            yield turned, affine @ turn


def test_the_real_patch_stored_in_any_of_48_ways_gives_the_same_sbr(
    answer, models, shared_data, tmp_path
):
    patch = load_volume(shared_data / "mri_dat/left_patch.nii.gz")
    command = ("--left", CENTRE, "--model", models / "tiny.onnx")
    expected = answer("predict", patch.source.path, *command)["left"]["sbr"]
    slope = float(patch.voxels.max()) / 32000
    stored = np.rint(patch.voxels / slope - 100).astype(">i2")
    integer = {"scl_slope": slope, "scl_inter": 100 * slope}
    path, packed = tmp_path / "image.nii", tmp_path / "image.nii.gz"
    as_float, as_integer = set(), set()
    for (floats, affine), (integers, _) in zip(
        stored_otherwise(patch.voxels, patch.affine),
        stored_otherwise(stored, patch.affine),
        strict=True,
    ):
        path.write_bytes(nifti_bytes(floats, affine))
        packed.write_bytes(gzip.compress(nifti_bytes(integers, affine, **integer), 1))
        as_float.add(answer("predict", path, *command)["left"]["sbr"])
        as_integer.add(answer("predict", packed, *command)["left"]["sbr"])

    assert {expected} == as_float
    assert 1 == len(as_integer)
    # Rounded to 1/32000 of the greatest voxel, a patch of mean 1 moves by 1e-4 at most.
    assert pytest.approx(expected, abs=1e-3) == as_integer.pop()


@pytest.fixture(scope="module")
def published_left(shared_data, tmp_path_factory):
    """The published left network of METHOD §2 as a model file, by the documented command."""
    if not (ROOT / "export/__main__.py").is_file():
        pytest.skip("needs the exporter, python -m export")
    from export.__main__ import main

    path = tmp_path_factory.mktemp("published") / "left.onnx"
    folder = shared_data / "mri_dat/net_vgg_left"
    command = ["from-savedmodel", str(folder), "--side", "left", "--normalize", "mean"]
    assert 0 == main([*command, "--axes", "ALI", "--scale", "6.84", "-o", str(path)])
    return path


@pytest.mark.parametrize("engine", ["native", "onnx", "openvino"])
def test_the_published_network_gives_the_published_sbr(
    answer, published_left, shared_data, tmp_path, engine
):
    patch = load_volume(shared_data / "mri_dat/left_patch.nii.gz")
    slope = float(patch.voxels.max()) / 32000
    stored = np.rint(patch.voxels / slope - 100).astype(">i2")
    turned, affine = list(stored_otherwise(stored, patch.affine))[37]
    content = nifti_bytes(turned, affine, scl_slope=slope, scl_inter=100 * slope)
    (tmp_path / "turned.nii.gz").write_bytes(gzip.compress(content, 1))
    command = ("--left", CENTRE, "--model", published_left, "--engine", engine)

    sbr = answer("predict", patch.source.path, *command)["left"]["sbr"]
    assert pytest.approx(1.0205, abs=1e-4) == sbr
    again = answer("predict", tmp_path / "turned.nii.gz", *command)["left"]["sbr"]
    assert pytest.approx(sbr, abs=1e-3) == again  # rounding to int16


def test_a_right_sided_landmark_on_the_left_network_is_refused(run, published_left, shared_data):
    image = shared_data / "mri_dat/left_patch.nii.gz"
    code, out, err = run("predict", image, "--right", CENTRE, "--model", published_left)

    assert (1, "") == (code, out)
    assert "serves the left side only" in err


def test_the_same_image_in_every_container_gives_the_same_sbr(answer, models, slab, tmp_path):
    volume = load_volume(slab)
    command = (*BOTH, "--model", models / "tiny.onnx")
    expected = answer("predict", slab, *command)
    big = volume.voxels.astype(">i2")
    (tmp_path / "a.nii").write_bytes(nifti_bytes(big, volume.affine))
    (tmp_path / "b.nii").write_bytes(nifti_bytes(big, volume.affine, version=2))
    (tmp_path / "c.nii.gz").write_bytes(gzip.compress(nifti_bytes(big, volume.affine)))
    (tmp_path / "d.nii").write_bytes(nifti_bytes(big[..., None], volume.affine))
    (tmp_path / "e.nii").write_bytes(nifti_bytes(big.astype("<f8"), volume.affine))
    pair = nifti_bytes(big, volume.affine, single=False)
    (tmp_path / "g.nii").write_bytes(nifti_bytes(big.astype("<i8"), volume.affine))
    (tmp_path / "f.hdr").write_bytes(pair[:352])
    (tmp_path / "f.img").write_bytes(pair[352:])

    for name in ("a.nii", "b.nii", "c.nii.gz", "d.nii", "e.nii", "f.hdr", "f.img", "g.nii"):
        result = answer("predict", tmp_path / name, *command)
        assert (expected["left"], expected["right"]) == (result["left"], result["right"]), name


def test_swapping_the_image_left_to_right_swaps_the_sides_exactly(answer, models, slab, tmp_path):
    volume = load_volume(slab)
    swapped = tmp_path / "swapped.nii"
    swapped.write_bytes(nifti_bytes(volume.voxels, np.diag([-1.0, 1, 1, 1]) @ volume.affine))
    command = ("--left=-9,-18,-14", "--right=9.5,-17,-14", "--model", models / "tiny.onnx")
    other = ("--left=-9.5,-17,-14", "--right=9,-18,-14", "--model", models / "tiny.onnx")
    original, mirrored = answer("predict", slab, *command), answer("predict", swapped, *other)

    assert original["left"]["sbr"] == mirrored["right"]["sbr"]
    assert original["right"]["sbr"] == mirrored["left"]["sbr"]
    assert original["left"]["sbr"] != original["right"]["sbr"]
    assert original["asymmetry"] == -mirrored["asymmetry"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("points.csv", "side,x,y,z\nleft,-9,-18,-14\nright,9,-18,-14\n"),
        (
            "points.fcsv",
            "# CoordinateSystem = LPS\n# columns = id,x,y,z,label\n1,9,18,-14,L\n2,-9,18,-14,R\n",
        ),
    ],
)
def test_landmark_files_say_the_same_as_coordinates(answer, models, slab, tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    model = ("--model", models / "tiny.onnx")
    typed, read = (
        answer("predict", slab, *where, *model) for where in (BOTH, ("--landmarks", path))
    )

    assert (typed["left"], typed["right"]) == (read["left"], read["right"])
    assert {"source": "given"} == read["left"]["centroid"] == read["right"]["centroid"]


def test_sides_by_position_are_said_in_json_and_in_words(answer, run, models, slab, tmp_path):
    path = tmp_path / "F.csv"
    path.write_text("label,l,p,s\nF-1,-9,18,-14\nF-2,9,18,-14\n")
    model = ("--model", models / "tiny.onnx")
    typed, read = (
        answer("predict", slab, *where, *model) for where in (BOTH, ("--landmarks", path))
    )
    _, text, _ = run("predict", slab, "--landmarks", path, *model)

    for side in ("left", "right"):
        assert {"source": "given, side by position"} == read[side].pop("centroid")
        assert {"source": "given"} == typed[side].pop("centroid")
        assert typed[side] == read[side]
    assert "\nsides           by position: the points were not labelled left and right\n" in text


def test_two_models_serve_a_side_each(answer, models, slab):
    left, right = models / "left.onnx", models / "right.onnx"
    one = answer("predict", slab, "--left", CENTRE, "--model", left)
    both = answer("predict", slab, *BOTH, "--model", right, "--model", left)

    assert one["left"] == both["left"]
    assert {"left": one["model"], "right": both["model"]["right"]} == both["model"]
    assert one["model"]["sha256"] != both["model"]["right"]["sha256"]


def test_engines_are_named_and_agree(answer, models, slab):
    results = [
        answer("predict", slab, *BOTH, "--model", models / name, *engine)
        for name, *engine in (
            ("tiny.onnx",),
            ("tiny.onnx", "--engine", "openvino"),
            ("tiny.int8.xml",),
        )
    ]

    assert ["native", "openvino", "openvino"] == [result["engine"]["name"] for result in results]
    for result in results[1:]:
        assert pytest.approx(results[0]["left"]["sbr"], abs=1e-4) == result["left"]["sbr"]


def test_people_get_a_table(run, models, slab):
    code, out, err = run("predict", slab, *BOTH, "--model", models / "tiny.onnx")
    lines = out.splitlines()

    assert (0, "") == (code, err)
    assert ["side", "SBR", "centre,", "RAS", "mm", "coverage"] == lines[0].split()
    assert lines[1].startswith("left")
    assert lines[1].endswith("-9.0, -18.0, -14.0     100.0 %")
    assert lines[2].startswith("right")
    assert out.isascii()
    for word in (
        "asymmetry",
        "tiny, sha256 ",
        f"native, {nigroedge.active_isa()}, ",
        "read ",
        str(slab),
    ):
        assert word in out
    assert "Research use only. Not for diagnosis." == lines[-1]


def test_a_transform_may_be_named(run, answer, models, slab, tmp_path):
    voxels, affine = load_volume(slab).voxels, load_volume(slab).affine
    path = tmp_path / "both.nii"
    fields = {"qform_code": 1, "quatern_d": 1, "pixdim": [1, 0.5, 0.5, 1, 1, 1, 1, 1]}
    path.write_bytes(nifti_bytes(voxels, affine, **fields))
    command = ("predict", path, *BOTH, "--model", models / "tiny.onnx")

    assert 1 == run(*command)[0]
    assert (
        answer("predict", slab, *command[2:])["left"]
        == (answer(*command, "--transform", "sform")["left"])
    )


# ------------------------------------------------------------------------------ info, verify, demo


def test_info_shows_card_hash_metadata_and_graph(run, answer, models):
    code, out, err = run("info", models / "tiny.onnx")
    plain = answer("info", models / "tiny.onnx")

    assert (0, "") == (code, err)
    assert plain["sha256"] in out
    assert CARD.intended_use in out
    assert CARD.name == plain["card"]["name"]
    assert "ALI" == plain["metadata"]["nigroedge.axes"]
    assert {"Conv": 1, "Flatten": 1, "Gemm": 1, "MaxPool": 1, "Relu": 1} == (
        plain["graph"]["operators"]
    )
    assert ["'patch' float (n, 1, 50, 50, 20)"] == plain["graph"]["inputs"]


@pytest.mark.parametrize(
    ("name", "kind"), [("tiny.int8.onnx", "onnx-qdq"), ("tiny.int8.xml", "openvino")]
)
def test_info_knows_every_kind_of_model_file(answer, models, name, kind):
    assert kind == answer("info", models / name)["kind"]


def test_info_is_of_the_bundled_model_unless_told(answer, bundled):
    assert CARD.name == answer("info")["card"]["name"]


def test_verify_lists_every_engine_for_every_sibling(run, answer, bundled):
    code, out, err = run("verify", "--threads", 1)
    checks = answer("verify", "--threads", 1)["checks"]

    assert (0, "") == (code, err)
    assert {
        ("tiny.onnx", "native"),
        *(("tiny.onnx", "onnx"), ("tiny.onnx", "openvino"), ("tiny.int8.onnx", "onnx")),
        *(("tiny.int8.onnx", "openvino"), ("tiny.int8.xml", "openvino")),
    } <= {(check["file"], check["engine"]) for check in checks}
    assert {"pass"} == {check["status"] for check in checks}
    assert len(checks) == out.count(" PASS")
    assert out.splitlines()[0].split()[:3] == ["file", "engine", "isa"]


def test_demo_predicts_a_simulated_patient(run, bundled, monkeypatch, tmp_path):
    small = phantom.scan.simulate
    seeds = []

    def simulate(seed, **options):
        seeds.append(seed)
        return small(seed, **options)

    monkeypatch.setattr(phantom, "simulate", simulate)
    path = tmp_path / "patient.nii"
    code, out, err = run("demo", "--seed", 3, "--out", path)

    assert (0, "") == (code, err)
    assert "Simulated patient 3: not a person" in out
    assert "simulated SBR   left " in out
    assert "Research use only. Not for diagnosis." in out
    predict, *again = out.splitlines()[-1].split()[1:]
    code, plain, err = run(predict, "--json", *again)
    assert (0, "") == (code, err)
    assert f"\nleft      {json.loads(plain)['left']['sbr']:.2f} " in out
    assert [command._DEMO_FIRST_SUBJECT + 3] == seeds
    assert "expected a new file" in run("demo", "--seed", 3, "--out", path)[2]
