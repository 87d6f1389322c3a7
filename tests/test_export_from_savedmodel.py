# SPDX-License-Identifier: Apache-2.0
"""SavedModels of this shape are rebuilt exactly; any other graph is refused by what differs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from export.conventions import Conventions
from export.from_savedmodel import convert, read_savedmodel, rebuild
from nigroedge.engine.openvino import import_openvino
from nigroedge.errors import ModelError
from nigroedge.io.nifti import load_volume
from nigroedge.model import load_model
from nigroedge.preprocess import normalize
from nigroedge.volume import Volume

HERE = Path("graph")

#: Of the released left network on the left patch of its one example patient.
PUBLISHED_SBR = 1.0205


class Graph:
    """Builds what OpenVINO's front end makes of a channels-last TensorFlow graph."""

    def __init__(self, shape, seed=0):
        self.op = import_openvino().opset13
        self.random = np.random.default_rng(seed)
        self.shape, self.channels = list(shape), 1
        self.input = self.op.parameter([-1, *shape, 1], np.float32, name="patch")
        self.tensor = self.op.transpose(self.input, np.array([0, 4, 1, 2, 3]))

    def weights(self, *shape):
        return self.random.normal(0, 0.3, shape).astype(np.float32)

    def conv(self, channels, kernel=3, strides=(1, 1, 1), pad=1):
        weight = self.weights(channels, self.channels, *[kernel] * 3)
        pads = [pad] * 3
        values = self.op.convolution(self.tensor, weight, strides, pads, pads, [1, 1, 1])
        values = self.op.add(values, self.weights(1, channels, 1, 1, 1))
        self.tensor, self.channels = self.op.relu(values), channels
        return self

    def pool(self, kernel=2, rounding="floor"):
        size = [kernel] * 3
        pooled = self.op.max_pool(
            self.tensor, size, [1] * 3, [0] * 3, [0] * 3, size, rounding_type=rounding
        )
        self.tensor, self.shape = pooled.output(0), [n // kernel for n in self.shape]
        return self

    def flatten(self, order=(0, 2, 3, 4, 1)):
        last = self.op.transpose(self.tensor, np.array(order))
        self.channels *= int(np.prod(self.shape))
        self.tensor = self.op.reshape(last, np.array([-1, self.channels]), special_zero=False)
        return self

    def linear(self, n_out, transposed=False):
        shape = (n_out, self.channels) if transposed else (self.channels, n_out)
        values = self.op.matmul(self.tensor, self.weights(*shape), False, transposed)
        self.tensor, self.channels = self.op.add(values, self.weights(1, n_out)), n_out
        return self

    def relu(self):
        self.tensor = self.op.relu(self.tensor)
        return self

    def tanh(self):
        self.tensor = self.op.tanh(self.tensor)
        return self

    def model(self):
        return import_openvino().Model([self.tensor], [self.input])


@settings(max_examples=15)
@given(
    shape=st.tuples(*[st.integers(4, 7)] * 3),
    channels=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    hidden=st.lists(st.integers(1, 5), max_size=2),
    transposed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_network_of_this_shape_is_rebuilt(shape, channels, hidden, transposed, seed):
    graph = Graph(shape, seed)
    for width in channels:
        graph.conv(width)
    graph.pool().flatten()
    for width in hidden:
        graph.linear(width, transposed).relu()
    model = graph.linear(1, transposed).model()
    network, patch_shape = rebuild(model, where=HERE)  # which compares them, too
    patch = np.random.default_rng(seed).normal(1, 0.3, shape).astype(np.float32)

    got = network(torch.from_numpy(patch[None, None])).item()
    expected = (
        import_openvino()
        .compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(patch[None, ..., None])[0]
        .item()
    )
    assert shape == patch_shape
    assert pytest.approx(expected, rel=1e-4, abs=1e-4) == got


def small():
    return Graph((6, 6, 4))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (lambda: small().conv(2, kernel=5), "expected a kernel of 3³"),
        (lambda: small().conv(2, strides=(2, 2, 2)).flatten().linear(1), "expected .*strides"),
        (lambda: small().conv(2, pad=0).flatten().linear(1), "expected .*pads_begin"),
        (lambda: small().conv(2).pool(3).flatten().linear(1), "expected .*kernel"),
        (lambda: small().conv(2).pool(rounding="ceil").flatten().linear(1), "rounding to floor"),
        (lambda: small().conv(2).tanh().flatten().linear(1), "expected Transpose at Tanh"),
        (lambda: small().conv(2).flatten(order=(0, 1, 2, 3, 4)).linear(1), "at Transpose"),
        (lambda: small().conv(2).flatten().linear(3).tanh().linear(1), "expected Relu at Tanh"),
        (lambda: small().conv(2).flatten().linear(2), "ends in a linear layer to one output"),
    ],
)
def test_another_graph_is_refused_by_what_differs(graph, message):
    with pytest.raises(ModelError, match=message):
        rebuild(graph().model(), where=HERE)


def test_a_branch_is_refused():
    graph = small().conv(2)
    graph.tensor = graph.op.add(graph.tensor, graph.tensor)

    with pytest.raises(ModelError, match=r"expected one at Add .*, got 2 inputs"):
        rebuild(graph.flatten().linear(1).model(), where=HERE)


def test_a_folder_without_a_savedmodel_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"expected a folder with saved_model\.pb"):
        read_savedmodel(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"not a graph")
    with pytest.raises(ModelError, match="OpenVINO cannot read"):
        read_savedmodel(tmp_path)


def convert_released(shared_data, path, **conventions):
    """Write the released network of left sides as a model file."""
    convert(
        shared_data / "mri_dat/net_vgg_left",
        path,
        Conventions(normalize="mean", axes="ALI", scale=6.84, **conventions),
        name="released",
        licence="test data",
    )


def test_the_released_network_gives_the_published_sbr(shared_data, tmp_path):
    convert_released(shared_data, tmp_path / "left.onnx", side="left")
    patch = load_volume(shared_data / "mri_dat/left_patch.nii.gz").voxels.astype(np.float32)
    model = load_model(tmp_path / "left.onnx")

    assert 879_889 == model.artefact.n_parameters
    got = model.predict_patches(normalize(np.ascontiguousarray(patch), "mean")[np.newaxis])
    assert pytest.approx(PUBLISHED_SBR, abs=1e-4) == got[0]


def test_taken_for_a_right_sided_network_it_wants_the_flipped_array(shared_data, tmp_path):
    """The left patch, flipped as an array and lying on the right, suits a right-sided network.

    Cropped and flipped back it is the published patch. Mirrored about the centroid it is that
    patch moved by one voxel: half a millimetre, for which the network answers 0.137 SBR less.
    """
    left = load_volume(shared_data / "mri_dat/left_patch.nii.gz").voxels.astype(np.float32, "C")
    moved = np.concatenate([left[:, :1], left[:, :-1]], axis=1)
    # Axes grow to A, L, I as the network's do; voxel (25, 25, 10) lies 10 mm to the right.
    affine = np.array(
        [[0, -0.5, 0, 22.5], [0.5, 0, 0, -12.5], [0, 0, -1, 10], [0, 0, 0, 1]], np.float64
    )
    right = Volume(np.flip(left, 1), affine)
    sbr = {}
    for number, mirror_centre in enumerate(("n/2", "n/2-1")):
        path = tmp_path / f"{number}.onnx"
        convert_released(
            shared_data, path, side="right", mirror="right", mirror_centre=mirror_centre
        )
        model = load_model(path)
        sbr[mirror_centre] = model.predict(right, right=(10, 0, 0)).right.sbr

    # Float32 engines agree within 1e-4 SBR.
    assert pytest.approx(PUBLISHED_SBR, abs=1e-4) == sbr["n/2-1"]
    assert pytest.approx(0.8834, abs=1e-4) == sbr["n/2"]
    assert model.predict_patches(normalize(moved, "mean")[np.newaxis])[0] == sbr["n/2"]
