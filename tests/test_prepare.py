# SPDX-License-Identifier: Apache-2.0
"""A patch with slices of nothing but 0, or next to no contrast, is no image.

Refused by the Python and the C face alike.
"""

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


# ---------------------------------------------------------------------------------------- contrast

#: Whether the SD of a patch has to be a hundredth of its mean, or 512 steps of float32.
KEEPS_OFFSET = ("none", "mean", "divide 3")
IGNORES_OFFSET = ("zscore", "zscore-nonzero", "minmax", "percentile 1 99 clip")


def with_ratio(ratio, seed=0):
    """Give noise and what is added to it so that its SD is that part of its mean, in a patch."""
    crop = crop_patch(
        Volume(noise(seed), np.eye(4)), CENTRE, shape=GRID.shape, spacing_mm=GRID.spacing_mm
    )
    return noise(seed), float(crop.std(dtype=np.float64) / ratio - crop.mean(dtype=np.float64))


@pytest.mark.parametrize("method", KEEPS_OFFSET)
def test_an_offset_that_leaves_next_to_no_contrast_is_refused(method):
    for ratio in (0.0099, 1e-7):
        voxels, offset = with_ratio(ratio)
        volume = Volume(voxels, np.eye(4), intercept=offset)
        with pytest.raises(DegeneratePatchError, match=r"at least 0\.01 of its mean, .* got SD "):
            prepare_patch(volume, CENTRE, GRID, method)
    voxels, offset = with_ratio(0.0101)
    prepare_patch(Volume(voxels, np.eye(4), intercept=offset), CENTRE, GRID, method)


@pytest.mark.parametrize("method", KEEPS_OFFSET)
@pytest.mark.parametrize(
    ("shape", "least"), [((40, 40, 20), 0.1), ((39, 40, 20), 0.01), ((40, 40, 19), 0.01)]
)
def test_a_patch_that_holds_a_midbrain_has_more_contrast(method, shape, least):
    """Before, the logarithm of an image, or one with an offset, was 5.1 for 4.8."""
    grid = PatchGrid(shape, (0.5, 0.5, 1.0), "RAS")
    voxels = np.random.default_rng(0).uniform(100, 900, (60, 60, 30)).astype(np.float32)
    affine = np.diag([0.5, 0.5, 1.0, 1.0])
    for ratio, is_refused in ((1.05 * least, False), (0.95 * least, True)):
        offset = float(voxels.std() / ratio - voxels.mean())
        volume = Volume(voxels, affine, intercept=offset)
        if not is_refused:
            prepare_patch(volume, (15, 15, 15), grid, method)
            continue
        with pytest.raises(DegeneratePatchError, match=rf"at least {least} of its mean"):
            prepare_patch(volume, (15, 15, 15), grid, method)


@pytest.mark.parametrize("method", IGNORES_OFFSET)
def test_an_offset_that_leaves_few_steps_of_float32_is_refused(method):
    # 512 steps of 2^-23 of the mean: 6.1e-5 of it.
    voxels, offset = with_ratio(6.0e-5)
    with pytest.raises(DegeneratePatchError, match=r"at least 6\.10352e-05 of its mean"):
        prepare_patch(Volume(voxels, np.eye(4), intercept=offset), CENTRE, GRID, method)
    voxels, offset = with_ratio(6.2e-5)
    prepare_patch(Volume(voxels, np.eye(4), intercept=offset), CENTRE, GRID, method)


@given(st.integers(0, 1000), st.floats(1e-6, 0.1), st.sampled_from(KEEPS_OFFSET + IGNORES_OFFSET))
def test_contrast_decides_whether_slope_intercept_or_values_have_it(seed, ratio, method):
    voxels, offset = with_ratio(ratio, seed)
    least = 0.01 if method in KEEPS_OFFSET else 512 * 2.0**-23
    if 0.99 < ratio / least < 1.01:  # what rounding decides
        return
    given_so = (
        Volume(voxels, np.eye(4), intercept=offset),
        Volume(voxels, np.eye(4), 1e-3, 1e-3 * offset),
        Volume(voxels.astype(np.float64) + offset, np.eye(4)),
    )
    refused = []
    for volume in given_so:
        try:
            prepare_patch(volume, CENTRE, GRID, method)
        except DegeneratePatchError:
            refused.append(volume)

    assert len(refused) == (3 if ratio < least else 0)


def test_both_faces_refuse_next_to_no_contrast_in_the_same_words(tmp_path):
    content = float_model(random_net(seed=5)).SerializeToString()
    (tmp_path / "net.onnx").write_bytes(content)
    flat = Volume(scan().voxels, scan().affine, intercept=1e9)

    with pytest.raises(DegeneratePatchError, match=r"left side: expected a patch whose SD") as one:
        load_model(tmp_path / "net.onnx", threads=1).predict(flat, left=(-1, 0, 0))
    with pytest.raises(NigroedgeError) as other:
        CModel(opened(nigroedge.get_library()), content).predict(flat, left=(-1, 0, 0))

    assert (6, str(one.value)) == other.value.args
