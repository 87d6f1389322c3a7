# SPDX-License-Identifier: Apache-2.0
"""Normalise, against numbers worked out by hand and against numpy in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import DegeneratePatchError, InputError
from nigroedge.grid import PatchGrid
from nigroedge.preprocess import crop_patch, normalize, prepare_patch
from nigroedge.volume import Volume
from tests.patches import oblique, world


@given(
    shape=st.tuples(*[st.integers(1, 12)] * 3).filter(lambda shape: np.prod(shape) > 1),
    size=st.sampled_from([1e-20, 1.0, 1e4, 1e20]),
    seed=st.integers(0, 1000),
)
def test_normalize_agrees_with_float64(shape, size, seed):
    patch = (np.random.default_rng(seed).uniform(0.1, 3, shape) * size).astype(np.float32)
    x = patch.astype(np.float64)

    # One rounding to float32 on either side of the same value, and the float64 noise before it.
    np.testing.assert_allclose(normalize(patch, "mean"), x / x.mean(), rtol=6.1e-8)
    np.testing.assert_allclose(
        normalize(patch, "zscore"), (x - x.mean()) / x.std(), rtol=6.1e-8, atol=1e-12
    )


@given(
    seed=st.integers(0, 1000),
    gain=st.sampled_from([0.25, 2.0, 1024.0]),
    offset=st.integers(-1000, 1000),
)
def test_zscore_ignores_gain_and_offset(seed, gain, offset):
    patch = np.random.default_rng(seed).integers(0, 1000, (9, 8, 7)).astype(np.float32)

    moved = (gain * patch + np.float32(offset)).astype(np.float32)

    np.testing.assert_allclose(
        normalize(patch, "zscore"), normalize(moved, "zscore"), rtol=2e-7, atol=1e-12
    )


def test_an_outlier_at_the_pivot_costs_no_digits():
    patch = np.random.default_rng(0).normal(1000, 1, 50000).astype(np.float32)
    patch[0] = 3e7
    x = patch.astype(np.float64)

    np.testing.assert_allclose(
        normalize(patch, "zscore"), (x - x.mean()) / x.std(), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("method", ["mean", "zscore"])
@pytest.mark.parametrize("spacing_mm", [(0.5, 0.5, 1.0), (0.7, 0.7, 1.5)], ids=["copy", "mix"])
def test_prepare_is_crop_and_normalize(method, spacing_mm):
    voxels = np.random.default_rng(7).integers(0, 1000, (60, 60, 30)).astype(np.int16)
    volume = Volume(voxels, oblique(spacing_mm, 8))
    grid = PatchGrid((20, 20, 10), (0.5, 0.5, 1.0), "ALI")
    centre = world(volume, [30.2, 29.7, 15.1])

    prepared = prepare_patch(volume, centre, grid, method)

    cropped = crop_patch(volume, centre, shape=grid.shape)
    assert prepared.values.tobytes() == normalize(cropped, method).tobytes()
    assert prepared.coverage == 1.0


@pytest.mark.parametrize("method", ["mean", "zscore"])
@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (np.full((4, 4, 4), 7), "64 voxels of the same value, 7"),
        (np.full((1, 1, 1), 3), "1 voxels of the same value, 3"),
        (np.zeros((2, 2, 2)), "of the same value, 0"),
        (np.array([0.0, -0.0]), "of the same value"),
        (np.array([1, np.nan, 2]), "got NaN or infinity"),
        (np.array([np.inf, 1, 2]), "got NaN or infinity"),
        (np.array([1, 2, -np.inf]), "got NaN or infinity"),
        (np.empty((0, 3, 3)), "at least one voxel"),
    ],
)
def test_a_patch_with_nothing_to_normalise_is_refused(method, patch, message):
    with pytest.raises(DegeneratePatchError, match=message):
        normalize(patch.astype(np.float32), method)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (np.array([-1, 1]), "mean above 0 to divide by, got mean 0"),
        (np.array([-3, 1]), "mean above 0 to divide by, got mean -1"),
        (np.array([1e-30, 1e10, -1e10]), "mean fit to divide by"),
    ],
)
def test_a_patch_without_a_mean_to_divide_by_is_refused(patch, message):
    with pytest.raises(DegeneratePatchError, match=message):
        normalize(patch.astype(np.float32), "mean")


def test_the_least_contrast_is_enough():
    patch = np.array([1, np.nextafter(np.float32(1), np.float32(2))], dtype=np.float32)

    assert normalize(patch, "zscore").tolist() == [-1, 1]


def test_only_float32_in_c_order_is_normalised():
    patch = np.arange(24, dtype=np.float32).reshape(2, 3, 4)

    for other in (patch.astype(np.float64), patch.T, patch[:, :, ::2], patch.astype(">f4")):
        with pytest.raises(InputError, match="expected a float32 patch in C order, got"):
            normalize(other, "mean")
    with pytest.raises(ValueError, match=r"expected normalisation none, mean, .*, got 'Mean'"):
        normalize(patch, "Mean")
