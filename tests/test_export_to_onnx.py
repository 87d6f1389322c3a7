# SPDX-License-Identifier: Apache-2.0
"""From torch to a model file and back: the same numbers, and a file that keeps the contract."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from export.init import MIDDLE_SBR, random_model
from export.network import PRESETS, Residual, he_initialise
from export.onnx_network import read_network
from export.to_onnx import selftest_sbr, write_model
from nigroedge.artefact import read_artefact
from nigroedge.grid import PatchGrid
from nigroedge.model import load_model, read_spec, selftest_patch
from nigroedge.spec import ModelSpec
from tests.onnx_files import CARD


def spec_of(shape):
    grid = PatchGrid(shape, (0.5, 0.5, 1.0), "ALI")
    return ModelSpec(grid, "mean", "both", "right", 0.0, CARD)


def hand_made():
    """Relu(2 · voxel + 1), the largest of eight, 3 · that − 1."""
    conv, linear = nn.Conv3d(1, 1, 3, padding=1), nn.Linear(1, 1)
    with torch.no_grad():
        conv.weight.zero_()[0, 0, 1, 1, 1] = 2
        conv.bias.fill_(1)
        linear.weight.fill_(3)
        linear.bias.fill_(-1)
    return nn.Sequential(conv, nn.ReLU(), nn.MaxPool3d(2), nn.Flatten(), linear)


@st.composite
def networks(draw):
    """Draw a small network of every kind of module, and a patch shape for it."""
    shape = draw(st.tuples(*[st.integers(4, 7)] * 3))
    a, b, hidden = (draw(st.integers(1, 4)) for _ in range(3))
    pair = nn.Sequential(nn.Conv3d(a, a, 3, padding=1), nn.ReLU(), nn.Conv3d(a, a, 3, padding=1))
    features = b * int(np.prod([n // 4 for n in shape]))
    network = nn.Sequential(
        *(nn.Conv3d(1, a, 3, padding=1), nn.ReLU(), Residual(pair), nn.ReLU(), nn.MaxPool3d(2)),
        *(nn.Conv3d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Flatten()),
        *(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 1)),
    )
    he_initialise(network, seed=draw(st.integers(0, 99)), bias_sd=0.1)
    return network, shape


def run_runtime(path, patches):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["sbr"], {"patch": patches[:, None]})[0][:, 0]


def test_a_network_that_can_be_checked_by_hand(tmp_path):
    write_model(tmp_path / "m.onnx", hand_made(), spec_of((2, 2, 2)))
    patch = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)

    assert [3 * (2 * 7 + 1) - 1] == run_runtime(tmp_path / "m.onnx", patch).tolist()


@settings(max_examples=15)
@given(drawn=networks(), n=st.integers(1, 3))
def test_a_model_file_computes_what_torch_does(tmp_path_factory, drawn, n):
    network, shape = drawn
    path = tmp_path_factory.mktemp("drawn") / "m.onnx"
    write_model(path, network, spec_of(shape))
    patches = np.random.default_rng(0).normal(1, 0.3, (n, *shape)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(patches[:, None]))[:, 0]
        again = read_network(path)(torch.from_numpy(patches[:, None]))[:, 0]

    np.testing.assert_allclose(run_runtime(path, patches), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(expected, again)


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_every_engine_passes_the_self_test_that_was_written(tmp_path, engine):
    network, shape = nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), (4, 4, 4)
    spec = write_model(tmp_path / "m.onnx", network, spec_of(shape))
    patch = torch.from_numpy(selftest_patch(shape, "mean")).double()
    weight, bias = (p.detach().double() for p in network.parameters())

    assert np.float32((weight @ patch.ravel() + bias).item()) == np.float32(spec.selftest_sbr)
    assert spec == load_model(tmp_path / "m.onnx", engine).spec


def test_a_file_is_plain(tmp_path):
    path = tmp_path / "m.onnx"
    write_model(path, hand_made(), spec_of((2, 2, 2)))
    model = onnx.load(path)

    assert [("", 17)] == [(o.domain, o.version) for o in model.opset_import]
    assert {"m.onnx"} == {p.name for p in tmp_path.iterdir()}
    assert all(t.HasField("raw_data") for t in model.graph.initializer)
    assert "patch" == model.graph.input[0].name
    assert ("n", "sbr") == (
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_param,
        model.graph.output[0].name,
    )


def test_the_same_weights_give_the_same_bytes(tmp_path):
    for name in ("a.onnx", "b.onnx"):
        write_model(tmp_path / name, hand_made(), spec_of((2, 2, 2)))

    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_a_module_without_an_operation_is_refused(tmp_path):
    with pytest.raises(TypeError, match="no ONNX operation is written for Tanh"):
        write_model(tmp_path / "m.onnx", nn.Sequential(*hand_made(), nn.Tanh()), spec_of((2, 2, 2)))


@pytest.mark.parametrize("preset", PRESETS)
def test_random_presets_keep_the_contract(tmp_path, preset):
    shape = (24, 24, 16)  # bae2023 takes seconds for the paper's
    network, spec = random_model(preset, seed=3, shape=shape)
    written = write_model(tmp_path / "m.onnx", network, spec)
    artefact = read_artefact(tmp_path / "m.onnx")
    ops = Counter(artefact.ops)

    assert pytest.approx(MIDDLE_SBR, abs=1e-5) == selftest_sbr(network, spec)
    assert written == read_spec(artefact)
    assert {"Conv", "Relu", "MaxPool", "Flatten", "Gemm"} == set(ops) - {"Add"}
    assert ("Add" in ops) == PRESETS[preset].residual
    assert len(PRESETS[preset].channels) == ops["MaxPool"]
