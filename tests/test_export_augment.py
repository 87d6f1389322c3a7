# SPDX-License-Identifier: Apache-2.0
"""Augmentation: none at strength 0, the same from the same state, and never beyond its strength."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from export.augment import Augmentation, augment, rotation
from export.windows import MARGIN
from nigroedge.errors import InputError
from nigroedge.grid import PatchGrid

GRID = PatchGrid((12, 10, 6), (0.5, 0.5, 1.0), "ALI")
SHAPE, SPACING = GRID.shape, GRID.spacing_mm
OFF = dict.fromkeys(("jitter", "rotation_deg", "contrast", "blur", "noise"), 0)
NONE = Augmentation(**OFF)
WINDOW = np.random.default_rng(0).uniform(100, 900, np.array(SHAPE) + 2 * np.array(MARGIN))
WINDOW = WINDOW.astype(np.float32)
MIDDLE = WINDOW[tuple(slice(m, -m) for m in MARGIN)]

STRENGTHS = st.builds(
    Augmentation,
    jitter=st.integers(0, 3),
    rotation_deg=st.floats(0, 8),
    contrast=st.floats(0, 1),
    blur=st.floats(0, 0.5),
    noise=st.floats(0, 1),
)


def changed(augmentation, seed, window=WINDOW):
    return augment(window, GRID, augmentation, np.random.default_rng(seed))


@given(seed=st.integers(0, 1 << 32))
def test_strength_zero_gives_the_patch_itself(seed):
    np.testing.assert_array_equal(MIDDLE, changed(NONE, seed))


@given(augmentation=STRENGTHS, seed=st.integers(0, 1 << 32))
def test_a_state_gives_one_patch_which_is_a_possible_smwi(augmentation, seed):
    patch = changed(augmentation, seed)

    np.testing.assert_array_equal(patch, changed(augmentation, seed))
    assert (SHAPE, np.float32, True) == (patch.shape, patch.dtype, patch.flags.c_contiguous)
    assert np.isfinite(patch).all()
    assert patch.min() >= 0


@given(jitter=st.integers(1, 3), seed=st.integers(0, 1 << 32))
def test_jitter_moves_the_patch_by_whole_voxels(jitter, seed):
    patch = changed(Augmentation(**{**OFF, "jitter": jitter}), seed)
    places = np.lib.stride_tricks.sliding_window_view(WINDOW, SHAPE)
    near = tuple(slice(m - jitter, m + jitter + 1) for m in MARGIN)

    assert 1 == (places[near] == patch).all((3, 4, 5)).sum()


def test_jitter_reaches_every_voxel_within_its_strength():
    shifts = {
        tuple(np.argwhere(changed(Augmentation(**{**OFF, "jitter": 1}), s, marked()) == 1)[0])
        for s in range(400)
    }

    middle = np.array(SHAPE) // 2
    assert 27 == len(shifts)
    assert 1 == np.abs(np.array(list(shifts)) - middle).max()


def marked():
    """Give a window of zeros with a 1 at the centroid, voxel n/2 of the patch."""
    window = np.zeros_like(WINDOW)
    window[tuple(np.array(SHAPE) // 2 + np.array(MARGIN))] = 1
    return window


@given(seed=st.integers(0, 1 << 32))
def test_a_turn_keeps_the_centroid(seed):
    patch = changed(Augmentation(**{**OFF, "rotation_deg": 8}), seed, marked())

    # The middle lands on itself, so that trilinear interpolation gives it back whole.
    assert pytest.approx(1) == patch[tuple(np.array(SHAPE) // 2)]


def test_a_turned_ramp_is_the_ramp_along_the_turned_axis():
    # Linear interpolation is exact on a linear image: r · (R d) at each offset d, in mm.
    mm = np.array(SPACING)
    offsets = [
        (np.arange(n + 2 * m) - n // 2 - m) * s
        for n, m, s in zip(SHAPE, MARGIN, SPACING, strict=True)
    ]
    ramp = 100 + sum(
        k * grid for k, grid in zip((1, 2, 3), np.meshgrid(*offsets, indexing="ij"), strict=True)
    )
    found = set()
    for seed in range(20):
        patch = changed(Augmentation(**{**OFF, "rotation_deg": 5}), seed, ramp.astype(np.float32))
        gradient = [np.diff(patch, axis=i).mean() / mm[i] for i in range(3)]
        found.add(pytest.approx(gradient, abs=1e-4) == [1, 2, 3])
        # A rotation keeps the gradient's length; float32 of values near 100 leaves 1e-5 a step.
        assert np.linalg.norm(gradient) == pytest.approx(np.sqrt(14), abs=1e-3)
    assert {True, False} == found  # half of the patches are not turned


@given(st.lists(st.floats(-0.2, 0.2), min_size=3, max_size=3))
def test_rotation_is_scipys(angles):
    np.testing.assert_allclose(
        rotation(np.array(angles)), Rotation.from_euler("xyz", angles).as_matrix(), atol=1e-12
    )


@given(contrast=st.floats(0.01, 1), seed=st.integers(0, 1 << 32))
def test_contrast_is_a_power_within_its_strength(contrast, seed):
    patch = changed(Augmentation(**{**OFF, "contrast": contrast}), seed)
    mean = MIDDLE.mean(dtype=np.float64)
    exponents = np.log(patch / mean) / np.log(MIDDLE / mean)
    far = np.abs(MIDDLE / mean - 1) > 0.2  # nearer the mean the quotient is 0 / 0

    # float32 keeps 6e-8, over a logarithm of at least 0.18.
    assert np.ptp(exponents[far]) < 1e-4
    assert np.abs(np.log(exponents[far])).max() <= contrast + 1e-4


@given(blur=st.floats(0.01, 0.5), seed=st.integers(0, 1 << 32))
def test_blur_keeps_the_sum_and_smooths(blur, seed):
    patch = changed(Augmentation(**{**OFF, "blur": blur}), seed)

    # What a voxel gives away its neighbours get; at the edge it is kept.
    assert MIDDLE.sum(dtype=np.float64) == pytest.approx(patch.sum(dtype=np.float64), rel=1e-5)
    assert patch.std() < MIDDLE.std()


def test_noise_has_the_strength_that_was_asked_for():
    flat = np.full_like(WINDOW, 200)
    patches = [changed(Augmentation(**{**OFF, "noise": 0.1}), s, flat) for s in range(200)]
    sds = np.array([patch.std() for patch in patches]) / 200

    # SD is uniform below 0.1; that of 720 voxels is known to 1/√1440 = 2.6 %, four times over.
    assert sds.max() <= 0.1 * 1.11
    assert sds.mean() == pytest.approx(0.05, abs=4 * 0.1 / np.sqrt(12 * 200))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jitter", 4),
        ("jitter", -1),
        ("rotation_deg", 8.5),
        ("contrast", 2),
        ("blur", 0.6),
        ("noise", -0.1),
        ("noise", float("nan")),
    ],
)
def test_a_strength_that_the_window_has_no_room_for_is_refused(name, value):
    with pytest.raises(InputError, match=f"expected {name} within 0 and"):
        Augmentation(**{name: value})
