# SPDX-License-Identifier: Apache-2.0
"""The C library gives Python's bits, and takes the model files that Python takes."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nigroedge
from examples.predict_ctypes import TYPES
from nigroedge import _core
from nigroedge.centroid import MAX_APART_MM, MIN_APART_MM
from nigroedge.errors import GeometryError, ModelError, NigroedgeError
from nigroedge.grid import PatchGrid
from nigroedge.io.nifti import load_volume
from nigroedge.model import load_model, selftest_patch
from nigroedge.spec import ModelSpec
from nigroedge.volume import Volume
from tests.c_library import (
    BAD_GEOMETRY,
    BAD_MODEL,
    SIDE_NOT_SERVED,
    CModel,
    NigroModelInfo,
    opened,
    scan,
)
from tests.onnx_files import Net, float_model, oracle, random_net, set_metadata, spec_of


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    return opened(nigroedge.get_library())


@pytest.fixture(scope="module")
def net() -> Net:
    return random_net(seed=5)


@pytest.fixture(scope="module")
def model_path(net, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("capi") / "tiny.onnx"
    path.write_bytes(float_model(net).SerializeToString())
    return path


@pytest.fixture(scope="module")
def c_model(library, model_path):
    model = CModel(library, model_path.read_bytes())
    yield model
    model.close()


# --------------------------------------------------------------------------------- the same answer


def test_the_c_library_gives_the_results_of_python_bit_for_bit(c_model, model_path):
    expected = load_model(model_path, engine="native", threads=1).predict(
        scan(), left=(-4, 0, 0), right=(4.3, 0.4, 0.6)
    )

    sbr, coverage = c_model.predict(scan(), left=(-4, 0, 0), right=(4.3, 0.4, 0.6))

    assert [expected.left.sbr, expected.right.sbr] == sbr
    assert [expected.left.coverage, expected.right.coverage] == coverage


@given(
    dtype=st.sampled_from([order + name for order in "<>" for name in TYPES]),
    order=st.permutations(range(3)),
    reversed_axes=st.tuples(*[st.booleans()] * 3),
    slope=st.sampled_from([1.0, 0.25, 3.5]),
    intercept=st.sampled_from([0.0, 7.0]),
    side=st.sampled_from(["left", "right"]),
    seed=st.integers(0, 100),
)
def test_any_storage_gives_the_results_of_python(
    c_model, model_path, dtype, order, reversed_axes, slope, intercept, side, seed
):
    image = scan(seed)
    voxels = image.voxels.astype(dtype).transpose(order)
    affine = image.affine[:, [*order, 3]]
    for axis in np.flatnonzero(reversed_axes):
        affine[:, 3] += affine[:, axis] * (voxels.shape[axis] - 1)
        affine[:, axis] *= -1
        voxels = np.flip(voxels, axis)
    stored = Volume(voxels, affine, slope, intercept)
    centre = {side: (0.1, -0.2, 0.3)}
    expected = load_model(model_path, engine="native", threads=1).predict(stored, **centre)

    sbr, coverage = c_model.predict(stored, **centre)

    assert getattr(expected, side).sbr == sbr[0]
    assert getattr(expected, side).coverage == coverage[0]


@given(
    shape=st.tuples(*[st.integers(4, 11)] * 3),
    channels=st.lists(st.integers(1, 20), min_size=1, max_size=2),
    normalize=st.sampled_from(["mean", "zscore", "divide 255", "percentile 2 98", "minmax"]),
    axes=st.sampled_from(["ALI", "RAS", "SPL"]),
    mirror_centre=st.sampled_from(["n/2", "n/2-1"]),
    seed=st.integers(0, 100),
)
def test_any_network_gives_the_results_of_python(
    library, tmp_path_factory, shape, channels, normalize, axes, mirror_centre, seed
):
    net = random_net(seed, shape, tuple(channels))
    grid = PatchGrid(shape, (0.4, 0.5, 0.7), axes)
    spec = spec_of(net, grid=grid, normalize=normalize, mirror_centre=mirror_centre)
    native = _with_selftest(net, spec)
    content = float_model(net, native.to_metadata()).SerializeToString()
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    path.write_bytes(content)
    points = {"left": (-4.5, 0.2, 0.1), "right": (3.6, 0.1, -0.3)}
    image = scan(seed, "<f4", (40, 40, 30))
    expected = load_model(path, threads=1).predict(image, **points)
    model = CModel(library, content)

    sbr, _ = model.predict(image, **points)
    model.close()

    assert [expected.left.sbr, expected.right.sbr] == sbr


def _with_selftest(net: Net, spec: ModelSpec) -> ModelSpec:
    """Set the self-test to what the network gives: its spec may ask for other patches."""
    patch = selftest_patch(spec.grid.shape, spec.normalize)
    return replace(spec, selftest_sbr=float(oracle(net, patch[np.newaxis])[0]))


def test_real_data_gives_the_results_of_python(library, shared_data, tmp_path):
    """The ctypes face on a large oblique grid, with a network of the reference's shape."""
    net = random_net(3, (50, 50, 20), (4, 4, 4))
    content = float_model(net).SerializeToString()
    (tmp_path / "net.onnx").write_bytes(content)
    labels = load_volume(next(shared_data.glob("cit168/*.nii*")))
    image = replace(labels, intercept=1.0)  # slices of nothing but 0 are no image
    centre = (image.affine @ [*(n / 2 for n in image.voxels.shape), 1])[:3]
    expected = load_model(tmp_path / "net.onnx", threads=1).predict(image, left=centre)
    model = CModel(library, content)

    sbr, _ = model.predict(image, left=centre)
    model.close()

    assert [expected.left.sbr] == sbr


# ---------------------------------------------------------------------------------------- refusals


def test_both_faces_have_the_same_bounds_of_a_pair():
    assert (_core.MIN_APART_MM, _core.MAX_APART_MM) == (MIN_APART_MM, MAX_APART_MM)


@pytest.mark.parametrize("factor", [0.9, 0.1, 0.001, 13.0])
def test_centroids_that_are_no_pair_are_refused_as_in_python(c_model, model_path, factor):
    """Before, metres and centimetres were taken for millimetres: 2.4 for a healthy 4.8."""
    points = {"left": (-4 * factor, 0, 0), "right": (4 * factor, 0.1, 0)}

    with pytest.raises(GeometryError, match=r"8 to 50 mm apart along x|metres\?"):
        load_model(model_path, threads=1).predict(scan(), **points)
    with pytest.raises(NigroedgeError, match=r"8 to 50 mm apart along x|metres\?") as caught:
        c_model.predict(scan(), **points)
    assert BAD_GEOMETRY == caught.value.args[0]


@pytest.mark.parametrize("centre", [(-0.009, -0.018, -0.014), (0.05, 0, -0.099)])
def test_one_centroid_in_metres_is_refused_as_in_python(c_model, model_path, centre):
    with pytest.raises(GeometryError, match=r"a centroid in millimetres, got .*: metres\?"):
        load_model(model_path, threads=1).predict(scan(), left=centre)
    with pytest.raises(NigroedgeError, match=r"a centroid in millimetres, got .*: metres\?"):
        c_model.predict(scan(), left=centre)
    c_model.predict(scan(), left=(0, 0, 0))  # the middle of an image that was cut out


def test_a_side_that_the_model_does_not_serve_is_refused(library, net):
    metadata = replace(spec_of(net), side="left").to_metadata()
    model = CModel(library, float_model(net, metadata).SerializeToString())

    with pytest.raises(NigroedgeError) as caught:
        model.predict(scan(), right=(0, 0, 0))
    sbr, _ = model.predict(scan(), left=(0, 0, 0))
    model.close()

    assert SIDE_NOT_SERVED == caught.value.args[0]
    assert np.isfinite(sbr).all()


def _accepts(library: ctypes.CDLL, content: bytes) -> NigroModelInfo | None:
    try:
        model = CModel(library, content)
    except NigroedgeError as refused:
        status, text = refused.args
    else:
        info = model.info()
        model.close()
        return info
    assert BAD_MODEL == status, text
    return None


def _compare_with_python(library: ctypes.CDLL, net: Net, metadata: dict[str, str]) -> bool:
    """Check that C and Python agree on a model file; give whether they took it."""
    content = float_model(net, metadata).SerializeToString()
    info = _accepts(library, content)
    try:
        spec = ModelSpec.from_metadata(metadata)
    except ModelError:
        assert info is None, f"C takes what Python refuses: {metadata}"
        return False
    if spec.grid.shape != net.shape or abs(spec.selftest_sbr - spec_of(net).selftest_sbr) > 5e-5:
        return False  # another rule than those of the metadata
    if spec.normalize != "mean":
        return False
    assert info is not None, f"C refuses what Python takes: {metadata}"
    assert list(spec.grid.shape) == list(info.patch_shape)
    assert list(spec.grid.spacing_mm) == list(info.spacing_mm)
    assert spec.grid.axes == info.axes.decode()
    assert {"left": 1, "right": 2, "both": 3}[spec.side] == info.sides
    assert {"none": 0, "left": 1, "right": 2}[spec.mirror] == info.mirrored
    return True


#: Values for each key, most of them nearly right.
HOSTILE = {
    "format": ["1", "2", "3", "", "1 ", "01", "١"],
    "patch_shape": [
        *("7 6 4", "07 6 4", "7 6 4 ", " 7 6 4", "7  6 4", "7 6", "7 6 4 1", "7,6,4", "+7 6 4"),
        *("-7 6 4", "7.0 6 4", "7e0 6 4", "7_0 6 4", "0 6 4", "99999 99999 99999", "100000 1 1"),
        *("4096 4096 1", "4096 4097 1", "18446744073709551617 6 4", "７ 6 4", "7\t6 4", "7 6 4\n"),
        *("", "a b c", "7 6 4" + " " * 300),
    ],
    "spacing_mm": [
        *("0.5 0.5 1", "0.50 0.5 1.0", "0.01 100 1", "0.009 1 1", "100.0001 1 1", "0 1 1"),
        *("-0.5 0.5 1", ".5 0.5 1", "0.5 0.5 1.", "5e-1 0.5 1", "0x1 1 1", "nan 1 1", "inf 1 1"),
        *("0,5 0,5 1", "00.5 1 1", "0.5 0.5", "0.5  0.5 1", "0.123456789012345678901 1 1"),
        *("0.12345678901234567890 1 1", "1000000 1 1", "1_0 1 1", "", "0.3 0.1 0.7"),
    ],
    "axes": [
        "ALI",
        "RAS",
        "LPS",
        "ali",
        "ALA",
        "AL",
        "ALIS",
        "A L I",
        "XYZ",
        "",
        "ALL",
        "AL\u0130",
    ],
    "normalize": ["mean", "zscore", "Mean", "", "mean ", "none"],
    "side": ["both", "left", "right", "BOTH", "", "none", "left "],
    "mirror": ["none", "left", "right", "both", "", "None"],
}
#: Of the keys that format 2 adds.
HOSTILE_OF_FORMAT_2 = {
    "mirror_centre": [
        *("n/2", "n/2-1", "n/2+1", "", "n/2 ", " n/2", "N/2", "n/2 - 1", "n/2−1", "24", "n/2-1 "),
        "n/2-1" * 50,
    ],
    "normalize": [
        *("none", "divide 255", "divide 0", "zscore-nonzero", "minmax", "minmax "),
        *("percentile 1 99", "percentile 1 99 clip", "percentile 99 1", "percentile 1 99 clip 2"),
        *("Mean", "", "divide 1e3", "divide  2", "percentile 0 100.0", "percentile 0 100.1"),
    ],
    "task": ["sbr", "find", "gate", "", "SBR", "sbr ", "sbr" * 80],
    "interval": ["{}", '{"level": 0.9}'],
    "domain": ["{}", '{"a": "' + "A" * 1000 + '"}'],
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in HOSTILE.items() for value in values]
)
def test_metadata_are_read_by_the_rules_of_python(library, net, key, value):
    metadata = spec_of(net).to_metadata() | {f"nigroedge.{key}": value}

    _compare_with_python(library, net, metadata)


def _selftests() -> list[str]:
    bits, decimal = spec_of(random_net(seed=5)).to_metadata()["nigroedge.selftest_sbr"].split()
    return [
        *(f"{bits} {decimal}", f"{bits.upper()} {decimal}", f"{bits}  {decimal}", f"{bits}"),
        *(f"{bits[2:]} {decimal}", f"0x0{bits[3:]} {decimal}", f"{bits} {decimal}0"),
        *(f"{bits} {decimal}1", f"{bits} +{decimal}", f"{bits} {decimal}e0", f"{bits} {decimal}E0"),
        *(
            f"{bits} {decimal}e",
            f"{bits} {decimal}e000",
            f"{bits} 0{decimal}",
            f" {bits} {decimal}",
        ),
        *("0x7f800000 1e99", "0x7fc00000 nan", "0x7f800000 inf", "0x7f7fffff 3.4028235e38"),
        *("0x80000000 0", "0x00000000 -0", "0x00000001 1e-45", "0x0000000g 0", "0x 0", ""),
    ]


@pytest.mark.parametrize("value", _selftests())
def test_the_selftest_is_read_by_the_rules_of_python(library, net, value):
    metadata = spec_of(net).to_metadata() | {"nigroedge.selftest_sbr": value}

    with np.errstate(over="ignore"):
        _compare_with_python(library, net, metadata)


@given(
    key=st.sampled_from([*sorted(HOSTILE), "mirror_centre", "task"]),
    at=st.integers(0, 20),
    text=st.text(st.sampled_from("0123456789.eE-+/ x_ALIRSPmeanbothlfrg\u00e9"), max_size=2),
    cut=st.integers(0, 2),
)
def test_spoiled_metadata_are_read_by_the_rules_of_python(library, net, key, at, text, cut):
    metadata = spec_of(net, mirror_centre="n/2-1").to_metadata() | {"nigroedge.task": "sbr"}
    value = metadata[f"nigroedge.{key}"]
    metadata[f"nigroedge.{key}"] = value[:at] + text + value[at + cut :]

    _compare_with_python(library, net, metadata)


def test_good_metadata_are_taken(library, net):
    assert _compare_with_python(library, net, spec_of(net).to_metadata())
    assert _compare_with_python(library, net, spec_of(net, mirror_centre="n/2-1").to_metadata())


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, value) for key, values in HOSTILE_OF_FORMAT_2.items() for value in values],
)
def test_what_format_2_adds_is_read_by_the_rules_of_python(library, net, key, value):
    for mirror in ("none", "left", "right"):
        metadata = spec_of(net, mirror=mirror).to_metadata() | {f"nigroedge.{key}": value}

        _compare_with_python(library, net, metadata | {"nigroedge.format": "2"})
        assert not _compare_with_python(library, net, metadata | {"nigroedge.format": "1"})


@pytest.mark.parametrize("key", [*HOSTILE, "selftest_sbr", "card"])
def test_a_missing_key_is_refused(library, net, key):
    metadata = spec_of(net).to_metadata()
    del metadata[f"nigroedge.{key}"]

    assert not _compare_with_python(library, net, metadata)


def test_an_unknown_key_is_refused_and_others_are_not_our_affair(library, net):
    metadata = spec_of(net).to_metadata()

    assert not _compare_with_python(library, net, metadata | {"nigroedge.colour": "red"})
    assert _compare_with_python(library, net, metadata | {"colour": "red", "nigroedgex": "1"})


def test_a_graph_with_other_ports_is_refused(library, net):
    for old, new in (("patch", "image"), ("sbr", "score")):
        model = float_model(net)
        for node in model.graph.node:
            node.input[:] = [new if name == old else name for name in node.input]
            node.output[:] = [new if name == old else name for name in node.output]
        (model.graph.input if old == "patch" else model.graph.output)[0].name = new
        set_metadata(model, spec_of(net).to_metadata())

        assert _accepts(library, model.SerializeToString()) is None


def test_a_damaged_model_file_is_refused(library, model_path):
    content = model_path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(content)
        damaged[random.integers(len(content))] ^= 1 << int(random.integers(8))
        _accepts(library, bytes(damaged))


# ----------------------------------------------------------------------------------------- threads


def test_eight_threads_run_eight_models_at_once(library):
    nets = [random_net(seed) for seed in range(8)]
    models = [CModel(library, float_model(net).SerializeToString()) for net in nets]
    points = {"left": (-4, 0, 0), "right": (4, 0, 0)}
    expected = [model.predict(scan(), **points) for model in models]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: models[i % 8].predict(scan(), **points), range(400)))
    for model in models:
        model.close()

    assert expected * 50 == answers
