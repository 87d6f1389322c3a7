# SPDX-License-Identifier: Apache-2.0
"""The command line does the main job, on an image stored any way, and ends as it says it does."""

import gzip
import itertools
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nigroedge
from nigroedge import cli, command, phantom
from nigroedge import model as model_module
from nigroedge.errors import InternalError
from nigroedge.io.nifti import load_volume
from nigroedge.subcommand import Subcommand
from tests.conftest import ROOT
from tests.model_family import write_family, write_model
from tests.nifti_files import nifti_bytes
from tests.onnx_files import CARD

#: Where the real patch lies in the patient.
CENTRE = "-9,-18,-14"
RAS_TO_LPS = np.diag([-1.0, -1, 1, 1])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_family(folder)
    write_model(folder / "left.onnx", side="left", mirror="none")
    write_model(folder / "right.onnx", side="right", mirror="none", bias=1)
    return folder


@pytest.fixture
def bundled(models, monkeypatch):
    """Let the tiny model stand for the bundled one."""
    from nigroedge import verify

    monkeypatch.setattr(model_module, "REFERENCE", models / "tiny.onnx")
    monkeypatch.setattr(verify, "REFERENCE", models / "tiny.onnx")
    monkeypatch.setattr(verify, "N_TIMED", 2)


@pytest.fixture
def run(capsys):
    """Run the command line in this process; give exit code, output and complaint."""

    def run(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def answer(run):
    """Run a command that must succeed quietly, and give its JSON."""

    def answer(*arguments):
        code, out, err = run(*arguments, "--json")
        assert (0, "") == (code, err)
        return json.loads(out)

    return answer


@pytest.fixture(scope="module")
def slab(tmp_path_factory):
    """A midbrain of 80 × 80 × 24 voxels with both sides inside, int16."""
    voxels = np.random.default_rng(0).integers(200, 1200, (110, 80, 24)).astype("<i2")
    affine = np.array([[-0.5, 0, 0, 27], [0, -0.5, 0, 2], [0, 0, 1, -26], [0, 0, 0, 1.0]])
    path = tmp_path_factory.mktemp("slab") / "smwi.nii"
    path.write_bytes(nifti_bytes(voxels, affine))
    return path


BOTH = ("--left", CENTRE, "--right", "9,-18,-14")


# ----------------------------------------------------------------------------------------- main job


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
    path = tmp_path_factory.mktemp("published") / "left.onnx"
    folder = shared_data / "mri_dat/net_vgg_left"
    subprocess.run(
        [
            *(sys.executable, "-m", "export", "from-savedmodel", folder, "--side", "left"),
            *("--normalize", "mean", "--axes", "ALI", "--scale", "6.84", "-o", path),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
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
    (tmp_path / "f.hdr").write_bytes(pair[:352])
    (tmp_path / "f.img").write_bytes(pair[352:])

    for name in ("a.nii", "b.nii", "c.nii.gz", "d.nii", "e.nii", "f.hdr", "f.img"):
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


# -------------------------------------------------------------------------------------------- usage


coordinates = st.tuples(*[st.floats(-200, 200)] * 3)


@given(coordinates, st.sampled_from(["{:.3f},{:.3f},{:.3f}", "{},{},{}", "{:.1e},{:g}, {:.0f}"]))
def test_coordinates_are_taken_as_typed(xyz, form):
    text = form.format(*xyz)
    expected = tuple(float(part) for part in text.split(","))
    parser = cli.parser()
    for arguments in (
        ["predict", "image", "--left", text],
        ["predict", "image", f"--left={text}"],
        ["predict", "--left", text, "image"],
        ["predict", "--left", text, "--right", text, "--", "image"],
    ):
        options = parser.parse_args(cli._joined(arguments))
        assert (expected, "image") == (options.left, options.image)


def test_words_after_two_dashes_are_left_alone():
    arguments = ["predict", "--left=1,2,3", "--", "--left", "-9"]

    assert arguments == cli._joined(arguments)
    assert ["--left=-.5,0,0"] == cli._joined(["--left", "-.5,0,0"])
    assert ["--left", "--right"] == cli._joined(["--left", "--right"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: COMMAND"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["predict"], "required: IMAGE"),
        (["predict", "image"], "expected either --landmarks, or --left, --right or both"),
        (["predict", "image", "--left", "1,2,3", "--landmarks", "x"], "expected either"),
        (["predict", "image", "--left", "1,2"], "expected X,Y,Z in mm such as -9,-18,-14"),
        (["predict", "image", "--left", "-1,2"], "expected X,Y,Z in mm such as -9,-18,-14"),
        (["predict", "image", "--left", "1,2,nan"], "expected X,Y,Z in mm"),
        (["predict", "image", "--left", "1,2,inf"], "expected X,Y,Z in mm"),
        (["predict", "image", "--left"], "--left: expected one argument"),
        (["predict", "image", "--left", "--right", "1,2,3"], "--left: expected one argument"),
        (["predict", "image", "--left=1,2,3", "--left=1,2,3"], "--left is given twice"),
        (["predict", "image", "--lef=1,2,3"], "--lef=1,2,3"),
        (["predict", "image", "--left=1,2,3", "--threads", "x"], "invalid int value: 'x'"),
        (["predict", "image", "--left=1,2,3", "--transform", "x"], "invalid choice: 'x'"),
        (["predict", "image", "--left=1,2,3", "a\nb"], r"unrecognized arguments: a\nb"),
        (["demo", "--seed", "-1"], "expected --seed from 0"),
        (["info", "a", "b"], "unrecognized arguments: b"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run, arguments, words):
    code, out, err = run(*arguments)

    assert (2, "", 1) == (code, out, err.count("\n"))
    assert err.startswith("nigroedge: ")
    assert words in err
    assert err.endswith(" --help)\n")


@pytest.mark.parametrize("command", [[], ["predict"], ["demo"], ["info"], ["verify"]])
def test_help_says_what_where_and_what_not(run, command):
    code, out, err = run(*command, "--help")

    assert (0, "") == (code, err)
    assert "Research use only. Not for diagnosis." in out
    assert "exit codes: 0 done, 1 refused input, 2 usage, 3 internal error" in out


def test_version(run):
    assert (0, f"nigroedge {nigroedge.__version__}\n", "") == run("--version")


# ----------------------------------------------------------------------------------- other commands


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
    assert "File exists" in run("demo", "--seed", 3, "--out", path)[2]


# --------------------------------------------------------------------------------------------- ends


def python(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "nigroedge.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


@pytest.fixture
def info_does(monkeypatch):
    """Let the command info do something else."""

    def info_does(work):
        info = Subcommand("info", "info", lambda parser: None, lambda options, progress: work())
        monkeypatch.setattr(cli, "COMMANDS", (info,))

    return info_does


def raise_(error):
    raise error


def test_a_bug_is_one_line_and_exit_code_3(run, info_does):
    for error in (InternalError("of ours"), ZeroDivisionError("a\nb"), MemoryError()):
        info_does(partial(raise_, error))
        code, out, err = run("info")
        assert (3, "", 1) == (code, out, err.count("\n"))
        assert f"internal error: {type(error).__name__}" in err
        assert "NIGROEDGE_DEBUG=1" in err


def test_the_traceback_of_a_bug_is_shown_on_request(run, info_does, monkeypatch):
    monkeypatch.setenv("NIGROEDGE_DEBUG", "1")
    info_does(lambda: 1 / 0)
    code, _, err = run("info")

    assert 3 == code
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("nigroedge: internal error: ZeroDivisionError")


def test_ctrl_c_is_one_line(run, info_does):
    info_does(partial(raise_, KeyboardInterrupt()))

    assert (130, "", "nigroedge: interrupted\n") == run("info")


def test_a_reader_that_leaves_is_no_bug(models):
    process = python("info", models / "tiny.onnx")
    process.stdout.close()

    assert (1, b"") == (process.wait(60), process.stderr.read())
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_cannot_be_written_is_one_line(models):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "nigroedge.cli", "info", models / "tiny.onnx"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert 1 == done.returncode
    assert "nigroedge: cannot read or write: [Errno 28] No space left on device\n" == done.stderr


def test_a_terminal_that_knows_no_unicode_is_no_bug(models, slab, tmp_path):
    path = tmp_path / os.fsdecode("smwi-é\n\xff.nii".encode() + b"\xfe")
    path.write_bytes(slab.read_bytes())
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = ("predict", os.fsencode(path).decode("utf-8", "surrogateescape"))
    process = python(*command, *BOTH, "--model", models / "tiny.onnx", env=environment)
    out, err = process.communicate(timeout=60)

    assert (0, b"") == (process.returncode, err)
    assert rb"smwi-\xe9\n\xff.nii\udcfe" in out
