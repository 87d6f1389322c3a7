# SPDX-License-Identifier: Apache-2.0
"""INT8 siblings: safe weights, the same metadata, the float model's mean; no telemetry."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper
from torch import nn

from export.calibration import line
from export.conventions import Conventions
from export.from_torch import export
from export.imported import convert
from export.network import he_initialise
from export.quantize import quantize
from export.samples import Samples, simulated_samples
from export.siblings import sibling_paths
from export.to_onnx import write_model
from nigroedge.artefact import read_artefact
from nigroedge.engine.openvino import import_openvino
from nigroedge.errors import InputError, ModelError
from nigroedge.grid import PatchGrid
from nigroedge.model import load_model, read_spec
from nigroedge.spec import ModelSpec
from tests import strangers
from tests.conftest import ROOT
from tests.onnx_files import CARD

SHAPE = (12, 12, 8)


def patches(n, seed):
    """Smooth bright patches with a dark spot, as those of the method are."""
    random = np.random.default_rng(seed)
    values = random.normal(1, 0.1, (n, *SHAPE))
    values[:, 4:8, 4:8, 2:6] *= random.uniform(0.2, 0.9, (n, 1, 1, 1))
    return (values / values.mean((1, 2, 3), keepdims=True)).astype(np.float32)


def samples(n, seed):
    return Samples(patches(n, seed), np.full(n, np.nan), "made up")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small float model with both siblings beside it."""
    path = tmp_path_factory.mktemp("int8") / "small.onnx"
    network = nn.Sequential(
        *(nn.Conv3d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv3d(6, 6, 3, padding=1), nn.ReLU()),
        *(nn.MaxPool3d(2), nn.Flatten(), nn.Linear(6 * 6 * 6 * 4, 8), nn.ReLU(), nn.Linear(8, 1)),
    )
    he_initialise(network, seed=0, bias_sd=0.05)
    grid = PatchGrid(SHAPE, (0.5, 0.5, 1.0), "ALI")
    write_model(path, network, ModelSpec(grid, "mean", "both", "right", 0.0, CARD))
    assert list(sibling_paths(path).values()) == quantize(path, samples(24, seed=1))
    return path


def test_siblings_lie_beside_the_model_and_say_the_same(model):
    spec = read_spec(read_artefact(model))
    siblings = sibling_paths(model)

    assert ["small.int8.onnx", "small.int8.xml"] == [p.name for p in siblings.values()]
    assert {p.name for p in model.parent.iterdir()} == {
        *("small.onnx", "small.int8.onnx", "small.int8.xml", "small.int8.bin"),
    }
    for path in siblings.values():
        assert spec == read_spec(read_artefact(path))


def test_siblings_run_on_their_engines_and_keep_the_promise(model):
    unseen = patches(32, seed=2)
    expected = load_model(model).predict_patches(unseen)

    for engine, path in sibling_paths(model).items():
        sibling = load_model(path)  # self-test included
        assert engine == sibling.engine.name
        error = np.abs(sibling.predict_patches(unseen) - expected)
        assert 0 < error.mean() <= 0.05
        assert error.max() <= 0.15


def test_the_mean_error_on_calibration_patches_is_taken_out(model):
    seen = patches(24, seed=1)
    expected = load_model(model).predict_patches(seen)

    for path in sibling_paths(model).values():
        error = load_model(path).predict_patches(seen) - expected
        assert abs(error.mean()) < 1e-4


def test_siblings_that_break_the_promise_are_refused_and_not_left(model, tmp_path, monkeypatch):
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(model.read_bytes())
    older = sibling_paths(alone)["onnx"]
    older.write_bytes(b"older")
    monkeypatch.setattr("export.quantize.line", lambda got, wanted: (1.0, 0.5))

    with pytest.raises(ModelError) as refused:
        quantize(alone, samples(8, seed=1))
    first, second = str(refused.value).split("; the one before, which breaks it too, is removed; ")
    for said, name in ((first, "alone.int8.onnx"), (second, "alone.int8.xml")):
        assert re.search(rf"{name} is not written: (self-test|worst 0\.\d+ > 0\.15 SBR)", said)
        assert said.endswith("on made up")
    assert [alone] == list(tmp_path.iterdir())


def test_a_sibling_from_before_that_keeps_the_promise_stays(model, tmp_path, monkeypatch):
    for path in model.parent.iterdir():
        shutil.copyfile(path, tmp_path / path.name)
    alone = tmp_path / model.name
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("export.quantize.line", lambda got, wanted: (1.0, 0.5))

    with pytest.raises(ModelError, match=r"int8\.xml is not written: ") as refused:
        quantize(alone, samples(24, seed=1))
    assert "removed" not in str(refused.value)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_the_promise_is_checked_on_patches_that_are_held_out(model, tmp_path):
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(model.read_bytes())
    # Far brighter than any that the ranges were taken from: they are cut off.
    far = Samples(50 * patches(4, seed=3), np.full(4, np.nan), "far away")

    with pytest.raises(ModelError, match=r"alone.int8.onnx is not written: worst .* on far away"):
        quantize(alone, samples(8, seed=1), held_out=far)
    assert [alone] == list(tmp_path.iterdir())


def test_ranges_cover_the_self_test_patch_where_it_would_be_cut_off(model, tmp_path, monkeypatch):
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(model.read_bytes())
    dim = Samples(patches(8, seed=1) / 10, np.full(8, np.nan), "made up")

    assert list(sibling_paths(alone).values()) == quantize(alone, dim)
    for path in sibling_paths(alone).values():
        load_model(path)  # self-test included
        path.unlink()
    monkeypatch.setattr("export.quantize.opens", lambda path: True)
    with pytest.raises(ModelError, match=r"int8\.onnx is not written: self-test on engine 'onnx'"):
        quantize(alone, dim)


@pytest.mark.filterwarnings("ignore")  # of torch's exporter, about itself
def test_what_correcting_biases_spoils_is_made_without_it(tmp_path, monkeypatch):
    model, shape = tmp_path / "scaled.onnx", strangers.shape_of(strangers.Scaled)
    content = export(strangers.build(strangers.Scaled), shape, "torchscript")
    said = Conventions(side="both", normalize="minmax", axes="ALI", scale=2.0)
    spec = convert(content, model, said, CARD, shape=shape)
    seen = simulated_samples(spec, purpose="calibrate", n_patches=16, seed=0)

    assert list(sibling_paths(model).values()) == quantize(model, seen)
    unseen = simulated_samples(spec, purpose="check", n_patches=16, seed=0).patches
    wanted = load_model(model).predict_patches(unseen)
    for path in sibling_paths(model).values():
        assert np.abs(load_model(path).predict_patches(unseen) - wanted).max() <= 0.15
    monkeypatch.setattr("export.calibration.Seen.uncorrected", lambda seen: seen)
    with pytest.raises(ModelError, match=r"scaled\.int8\.xml is not written: worst .*, mean"):
        quantize(model, seen)


def test_what_one_package_cannot_read_is_said_and_the_other_sibling_is_left(
    model, tmp_path, monkeypatch
):
    class ReadingError(Exception):
        """OpenVINO's own are no RuntimeError either."""

    def fail(graph):
        raise ReadingError("no\nPad")

    alone = tmp_path / "alone.onnx"
    alone.write_bytes(model.read_bytes())
    monkeypatch.setattr(import_openvino(), "convert_model", fail)

    said = r"alone\.int8\.xml is not written: OpenVINO cannot read the graph: no Pad, on made up$"
    with pytest.raises(ModelError, match=said):
        quantize(alone, samples(24, seed=1))
    assert {"alone.onnx", "alone.int8.onnx"} == {path.name for path in tmp_path.iterdir()}


def test_a_handful_of_patches_is_too_few_to_calibrate_with(model):
    said = r"at least 8 patches to calibrate with, got 7 \(made up\): .* as one in 8 that follow"

    with pytest.raises(InputError, match=said):
        quantize(model, samples(7, seed=1))


def test_one_bar_says_how_far_it_is_and_nothing_else_is_said(model, tmp_path, capfd):
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(model.read_bytes())
    quantize(alone, samples(8, seed=1), held_out=samples(3, seed=2))
    out, err = capfd.readouterr()  # of C++ too
    lines = [line for line in re.split(r"[\r\n]+", err) if line]

    assert "" == out
    assert {"quantising"} == {line.partition(":")[0] for line in lines}
    # The float model once on each, and either sibling's ranges and line: 8 + 3 + 2 · 2 · 8.
    assert " 43/43 " in lines[-1]


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_no_sibling_is_made_of_a_sibling(model, engine):
    path = sibling_paths(model)[engine]

    with pytest.raises(ModelError, match=r"small\.int8\.\w+: expected a float32 \.onnx"):
        quantize(path, samples(1, seed=1))


def test_a_full_disk_leaves_neither_sibling(model, tmp_path, monkeypatch):
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(model.read_bytes())

    def full(descriptor):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"alone\.int8\.onnx'?: No space left on device"):
        quantize(alone, samples(24, seed=1))
    assert [alone] == list(tmp_path.iterdir())


def test_weights_use_half_of_their_range_in_onnx(model):
    graph = onnx.load(sibling_paths(model)["onnx"]).graph
    weights = [t for t in graph.initializer if t.data_type == onnx.TensorProto.INT8 and t.dims]
    largest = [np.abs(numpy_helper.to_array(t).astype(int)).max() for t in weights if t.dims[1:]]

    assert 2 == len(largest)
    assert max(largest) <= 64
    floats = {t.name for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    linear = [n for n in graph.node if n.op_type == "Gemm"]
    assert all({n.input[1], n.input[2]} <= floats for n in linear)


def test_weights_use_half_of_their_range_in_openvino(model):
    network = import_openvino().Core().read_model(sibling_paths(model)["openvino"])
    constants = [op for op in network.get_ops() if op.get_type_name() == "Constant"]
    weights = [op.data for op in constants if op.get_element_type().get_type_name() == "i8"]

    assert 2 == len(weights)
    assert max(np.abs(w.astype(int)).max() for w in weights) <= 64


def test_the_openvino_sibling_gives_the_same_without_vnni(model, tmp_path):
    """AVX2 alone adds pairs of products in 16 bits; full-range weights would saturate there."""
    np.save(tmp_path / "patches.npy", patches(16, seed=2))
    code = f"""
import numpy as np
from nigroedge.model import load_model
patches = np.load({str(tmp_path)!r} + "/patches.npy")
sbr = load_model({str(sibling_paths(model)["openvino"])!r}).predict_patches(patches)
np.save({str(tmp_path)!r} + "/sbr.npy", sbr)
"""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
    here = load_model(sibling_paths(model)["openvino"]).predict_patches(patches(16, seed=2))

    np.testing.assert_allclose(np.load(tmp_path / "sbr.npy"), here, rtol=0, atol=1e-4)


def test_the_line_by_hand():
    # 1, 2, 3 → 1.55, 2.6, 3.65 is 1.05 · x + 0.5; where answers hardly differ, the slope stays 1.
    assert pytest.approx((1.05, 0.5)) == line(np.array([1.0, 2, 3]), np.array([1.55, 2.6, 3.65]))
    assert pytest.approx((1, 0.5)) == line(np.array([1.0, 1.0]), np.array([1.0, 2.0]))


@given(slope=st.floats(0.95, 1.05), offset=st.floats(-1, 1), seed=st.integers(0, 99))
def test_the_line_undoes_what_drew_the_answers_in(slope, offset, seed):
    got = np.random.default_rng(seed).normal(2, 1, 20)

    assert pytest.approx((slope, offset), abs=1e-9) == line(got, slope * got + offset)


def test_quantising_reports_to_nobody(model, tmp_path):
    """In a process of its own: what another test imported must not count."""
    code = f"""
import socket, sys
def refuse(*args, **more): raise AssertionError("a socket was opened")
socket.socket.connect = socket.create_connection = refuse
from pathlib import Path
from tests.test_export_quantize import quantize, samples
quantize(Path({str(tmp_path / "small.onnx")!r}), samples(8, seed=0))
assert sys.modules["openvino_telemetry"] is None
"""
    (tmp_path / "small.onnx").write_bytes(model.read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (0, "") == (done.returncode, done.stdout), done.stderr
