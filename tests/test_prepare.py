# SPDX-License-Identifier: Apache-2.0
"""A patch with slices of nothing but 0 is no image: refused by the Python and the C face alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nigroedge
from nigroedge.errors import DegeneratePatchError, NigroedgeError
from nigroedge.grid import PatchGrid
from nigroedge.model import load_model
from nigroedge.preprocess import crop_patch, normalize, prepare_patch
from nigroedge.volume import Volume
from tests.onnx_files import float_model, random_net
from tests.test_capi import CModel, opened, scan

GRID = PatchGrid((4, 6, 2), (1.0, 1.0, 1.0), "ALI")
SHAPE = (9, 8, 7)
CENTRE = (4.0, 4.0, 3.0)
#: Where the patch lies: A runs along y, L back along x, I back along z.
FIRST = {"A": (1, 2, 4), "L": (0, 2, 6), "I": (2, 3, 2)}


def noise(seed=0):
    return np.random.default_rng(seed).uniform(1, 2, SHAPE).astype(np.float32)


def prepared(voxels, method="mean"):
    return prepare_patch(Volume(voxels, np.eye(4)), CENTRE, GRID, method).values


@given(st.sampled_from(sorted(FIRST)), st.integers(0, 5), st.integers(1, 3))
def test_slices_of_0_are_refused_with_their_number_and_axis(letter, k, n):
    axis, first, length = FIRST[letter]
    k = first + k % length
    voxels = noise()
    np.moveaxis(voxels, axis, 0)[k : k + n] = 0
    n = min(n, first + length - k)
    if n == length:
        return  # nothing is left, which is refused as constant
    with pytest.raises(
        DegeneratePatchError, match=f"in {n} of {length} slices along its axis {letter}"
    ):
        prepared(voxels)


@given(st.integers(0, 1000), st.sampled_from(["none", "mean", "divide 3", "zscore", "minmax"]))
def test_all_else_is_cut_and_normalised_as_before(seed, method):
    """Scattered zeros, rows of them and slices outside the patch do no harm."""
    voxels = noise(seed)
    voxels[np.random.default_rng(seed).random(SHAPE) < 0.5] = 0
    voxels[:, 3, 3] = 0
    voxels[0], voxels[:, 0], voxels[..., 0] = 0, 0, 0
    for x in range(2, 8):  # one voxel at least in every slice
        voxels[x, 2 + x % 4, 3 + x % 2] = 5

    crop = crop_patch(
        Volume(voxels, np.eye(4)), CENTRE, shape=GRID.shape, spacing_mm=GRID.spacing_mm
    )

    assert np.array_equal(normalize(crop, method), prepared(voxels, method))


def test_zeros_are_no_values_where_the_background_was_cut_out():
    voxels = noise()
    voxels[..., 3] = 0

    assert (prepared(voxels, "zscore-nonzero")[..., 1] == 0).all()
    with pytest.raises(DegeneratePatchError, match="in 1 of 2 slices along its axis I"):
        prepared(voxels, "zscore")


def test_both_faces_refuse_a_lost_slice_in_the_same_words(tmp_path):
    content = float_model(random_net(seed=5)).SerializeToString()
    (tmp_path / "net.onnx").write_bytes(content)
    voxels = scan().voxels.copy()
    voxels[:, :, 8] = 0
    lost = Volume(voxels, scan().affine)

    with pytest.raises(DegeneratePatchError, match=r"left side: .* in 1 of 4 slices") as one:
        load_model(tmp_path / "net.onnx", threads=1).predict(lost, left=(-1, 0, 0))
    with pytest.raises(NigroedgeError) as other:
        CModel(opened(nigroedge.get_library()), content).predict(lost, left=(-1, 0, 0))

    assert (6, str(one.value)) == other.value.args
