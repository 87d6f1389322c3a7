# SPDX-License-Identifier: Apache-2.0
"""An SBR that no scan can measure is refused by the Python and the C face alike."""

from dataclasses import replace

import numpy as np
import pytest

import nigroedge
from nigroedge.errors import DegeneratePatchError, NigroedgeError
from nigroedge.model import load_model
from nigroedge.volume import Volume
from tests.c_library import CModel, opened, scan
from tests.onnx_files import float_model, oracle, random_net, spec_of

DEGENERATE_PATCH = 6
POINTS = {"left": (-4, 0, 0), "right": (4.3, 0.4, 0.6)}


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Open a network whose answers are moved by a bias or stretched, through either face."""
    library = opened(nigroedge.get_library())
    folder = tmp_path_factory.mktemp("bounds")

    def faces(bias=0.0, gain=1.0):
        net = random_net(seed=5)
        weight, offset = net.head
        net = replace(net, head=(weight * np.float32(gain), offset + np.float32(bias)))
        content = float_model(net).SerializeToString()
        (folder / "net.onnx").write_bytes(content)
        return load_model(folder / "net.onnx", threads=1), CModel(library, content)

    return faces


@pytest.mark.parametrize("bias", [-20.0, 30.0])
def test_both_faces_refuse_what_cannot_be_in_the_same_words(faces, bias):
    python, c = faces(bias)

    with pytest.raises(DegeneratePatchError, match="left side: expected an SBR of -1 to 15") as one:
        python.predict(scan(), **POINTS)
    with pytest.raises(NigroedgeError) as other:
        c.predict(scan(), **POINTS)

    assert (DEGENERATE_PATCH, str(one.value)) == other.value.args


def test_a_spike_of_one_voxel_is_refused_by_both_faces(faces):
    python, c = faces(gain=4)
    good = python.predict(scan(), **POINTS)
    voxels = scan(dtype="<f4").voxels.copy()
    i, j, k = np.linalg.inv(scan().affine)[:3] @ [*POINTS["right"], 1]
    voxels[round(i), round(j), round(k)] = 1e9
    image = Volume(voxels, scan().affine)

    for predict in (python.predict, c.predict):
        with pytest.raises(NigroedgeError, match="expected an SBR of -1 to 15"):
            predict(image, **POINTS)
    assert [good.left.sbr, good.right.sbr] == c.predict(scan(), **POINTS)[0]


def test_the_network_alone_answers_what_it_answers(faces):
    """Benches and parity run networks that were never trained: their patches are nobody's."""
    python, _ = faces(30.0)
    net = random_net(seed=5)
    patch = np.ones((1, *spec_of(net).grid.shape), np.float32)

    assert pytest.approx(oracle(net, patch)[0] + 30, abs=1e-4) == python.predict_patches(patch)[0]
