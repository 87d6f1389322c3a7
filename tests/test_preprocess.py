# SPDX-License-Identifier: Apache-2.0
"""Crop and normalise, against numbers worked out by hand and against numpy and scipy in float64."""

import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from nigroedge import _core
from nigroedge.errors import DegeneratePatchError, GeometryError, InputError
from nigroedge.grid import PatchGrid
from nigroedge.preprocess import crop_patch, normalize, prepare_patch
from nigroedge.volume import STORED_DTYPES, Volume

ORDERS = [  # the 48 ways to store an image: a permutation of its axes and a direction for each
    (axes, flips)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((False, True), repeat=3)
]


# ------------------------------------------------------------------------------------- by hand


def test_crop_takes_the_window_around_the_centre():
    volume = Volume(np.arange(64, dtype=np.float32).reshape(4, 4, 4), np.eye(4))

    patch = crop_patch(volume, (1, 1, 2), shape=(1, 1, 2), spacing_mm=(1, 1, 1), axes="RAS")

    assert patch.tolist() == [[[21, 22]]]
    assert patch.dtype == np.float32
    assert patch.flags.c_contiguous


def test_each_letter_says_where_its_axis_grows():
    volume = Volume(np.arange(27, dtype=np.int16).reshape(3, 3, 3), np.eye(4))
    x, y, z = 9, 3, 1
    grows = {"R": x, "L": -x, "A": y, "P": -y, "S": z, "I": -z}

    for axes in ("RAS", "ALI", "SPL", "IRA"):
        patch = crop_patch(volume, (1, 1, 1), shape=(3, 3, 3), spacing_mm=(1, 1, 1), axes=axes)
        steps = [patch[2, 1, 1] - 13, patch[1, 2, 1] - 13, patch[1, 1, 2] - 13]
        assert steps == [grows[letter] for letter in axes]


@pytest.mark.parametrize(("axes", "nearest"), [("RAS", 2), ("LAS", 1)])
def test_half_way_the_voxel_farther_along_the_patch_axis_is_taken(axes, nearest):
    volume = Volume(np.arange(4, dtype=np.uint8).reshape(4, 1, 1), np.eye(4))

    patch = crop_patch(volume, (1.5, 0, 0), shape=(1, 1, 1), spacing_mm=(1, 1, 1), axes=axes)

    assert patch.item() == nearest


def test_outside_the_image_its_nearest_voxel_counts_and_coverage_says_so():
    volume = Volume(np.arange(1, 21, dtype=np.uint8).reshape(20, 1, 1), np.eye(4))
    grid = PatchGrid((20, 1, 1), (1, 1, 1), "RAS")

    assert crop_patch(volume, (12, 0, 0), shape=(20, 1, 1), spacing_mm=(1, 1, 1), axes="RAS")[
        :, 0, 0
    ].tolist() == [*range(3, 21), 20, 20]
    assert prepare_patch(volume, (12, 0, 0), grid, "mean").coverage == 0.9
    assert prepare_patch(volume, (8, 0, 0), grid, "mean").coverage == 0.9


def test_edges_extend_along_all_axes_at_once():
    voxels = np.random.default_rng(3).integers(0, 255, (24, 25, 26)).astype(np.uint8)
    volume = Volume(voxels, np.eye(4))

    patch = crop_patch(volume, (11, 13, 12), shape=(24,) * 3, spacing_mm=(1,) * 3, axes="RAS")

    assert np.array_equal(patch, np.pad(voxels, 1, mode="edge")[:24, 2:26, 1:25])


def test_interpolation_follows_a_ramp():
    ramp = np.arange(10, dtype=np.int16).reshape(10, 1, 1)
    volume = Volume(ramp, np.eye(4))

    patch = crop_patch(volume, (4.25, 0, 0), shape=(5, 1, 1), spacing_mm=(0.5, 1, 1), axes="RAS")

    assert patch.ravel().tolist() == [3.25, 3.75, 4.25, 4.75, 5.25]


def test_a_coarser_patch_takes_means():
    spike = np.zeros((9, 1, 1), dtype=np.float32)
    spike[4] = 12
    volume = Volume(spike, np.eye(4))

    two = crop_patch(volume, (4, 0, 0), shape=(3, 1, 1), spacing_mm=(2, 1, 1), axes="RAS")
    three = crop_patch(volume, (4, 0, 0), shape=(3, 1, 1), spacing_mm=(3, 1, 1), axes="RAS")

    assert two.ravel().tolist() == [0, 6, 0]  # samples at 3.5 and 4.5: (6 + 6) / 2
    np.testing.assert_allclose(three.ravel(), [0, 4, 0], rtol=1e-7)  # at 3, 4, 5: (0 + 12 + 0) / 3


def test_spacings_within_one_per_cent_are_copied():
    voxels = np.random.default_rng(0).normal(size=(40, 40, 30))
    nearly = Volume(voxels, np.diag([0.5045, 0.4955, 1.0099, 1]))
    beyond = Volume(voxels, np.diag([0.5055, 0.5, 1, 1]))
    grid = {"shape": (9, 9, 9), "spacing_mm": (0.5, 0.5, 1), "axes": "RAS"}

    copied = crop_patch(nearly, nearly.affine[:3, :3] @ [20.2, 20.1, 14.8], **grid)
    mixed = crop_patch(beyond, beyond.affine[:3, :3] @ [20.2, 20.1, 14.8], **grid)

    assert np.array_equal(copied, voxels[16:25, 16:25, 11:20].astype(np.float32))
    assert not (mixed == copied).any()


def test_normalize_by_hand():
    patch = np.array([1, 3, 5, 7], dtype=np.float32)

    assert normalize(patch, "mean").tolist() == [0.25, 0.75, 1.25, 1.75]
    assert np.array_equal(
        normalize(patch, "zscore"), (np.array([-3, -1, 1, 3]) / 5**0.5).astype(np.float32)
    )


# -------------------------------------------------------------------------------------- oracles


def oriented(volume, axes):
    """Image values in float64 with axes as a patch has them, and voxel → world for that array."""
    start = nib.orientations.io_orientation(volume.affine)
    end = nib.orientations.axcodes2ornt(tuple(axes))
    change = nib.orientations.ornt_transform(start, end)
    values = volume.slope * volume.voxels.astype(np.float64) + volume.intercept
    back = nib.orientations.inv_ornt_aff(change, values.shape)
    return nib.orientations.apply_orientation(values, change), volume.affine @ back


def oracle(volume, centre_mm, grid):
    """The patch and its coverage, with nibabel and scipy instead of our geometry and kernels."""
    values, affine = oriented(volume, grid.axes)
    position = (np.linalg.inv(affine) @ [*centre_mm, 1])[:3]
    position = np.round(position * 65536) / 65536
    step = np.array(grid.spacing_mm) / np.linalg.norm(affine[:3, :3], axis=0)
    step = np.round(step * 2.0**32) / 2.0**32
    is_copy = np.all(np.abs(1 / step - 1) <= 0.01 + 1e-9)
    if is_copy:
        position, step = np.floor(position + 0.5), np.ones(3)
    centres = [position[i] + (np.arange(n) - n // 2) * step[i] for i, n in enumerate(grid.shape)]
    coverage = np.prod(
        [np.mean((c >= -0.5) & (c < n - 0.5)) for c, n in zip(centres, values.shape, strict=True)]
    )
    if is_copy:
        index = [c.clip(0, n - 1).astype(int) for c, n in zip(centres, values.shape, strict=True)]
        return values[np.ix_(*index)], coverage
    samples = [int(np.ceil(s - 1e-6)) if s > 1.5 else 1 for s in step]
    fine = [
        np.add.outer(centres[i], ((np.arange(s) + 0.5) / s - 0.5) * step[i]).ravel()
        for i, s in enumerate(samples)
    ]
    where = np.stack(np.meshgrid(*fine, indexing="ij"))
    interpolated = ndimage.map_coordinates(values, where, order=1, mode="nearest")
    split = [size for n, s in zip(grid.shape, samples, strict=True) for size in (n, s)]
    return interpolated.reshape(split).mean(axis=(1, 3, 5)), coverage


def oblique(spacing_mm, degrees, axis=(1, 0, 0)):
    """Voxel → world of an image turned about an axis, with its origin off the grid of anything."""
    affine = np.eye(4)
    turn = Rotation.from_rotvec(np.deg2rad(degrees) * np.array(axis) / np.linalg.norm(axis))
    affine[:3, :3] = turn.as_matrix() * spacing_mm
    affine[:3, 3] = (-17.3, 8.9, -41.7)
    return affine


def world(volume, index):
    return volume.affine[:3, :3] @ index + volume.affine[:3, 3]


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", STORED_DTYPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_stored_type_in_either_byte_order(dtype, byteorder, order):
    wide = np.random.default_rng(0).normal(0, 2.0 ** (8 * int(dtype[1]) - 3), (30, 28, 26))
    info = np.iinfo(dtype) if dtype[0] in "iu" else np.finfo("f4")
    voxels = wide.clip(float(info.min), float(info.max) * (1 - 1e-9)).astype(dtype)
    volume = Volume(voxels.astype(byteorder + dtype, order=order), oblique((0.5, 0.5, 1.0), 20))
    grid = PatchGrid((13, 12, 11), (0.5, 0.5, 1.0), "ALI")
    centre = world(volume, [14.2, 13.7, 12.1])

    got = crop_patch(volume, centre, shape=grid.shape)

    assert volume.voxels.dtype.str[1:] == dtype
    assert np.array_equal(got, oracle(volume, centre, grid)[0].astype(np.float32))


@pytest.mark.parametrize("dtype", STORED_DTYPES)
def test_slope_and_intercept_round_twice_and_no_more(dtype):
    rng = np.random.default_rng(5)
    if dtype[0] == "f":
        voxels = (rng.normal(size=(8, 8, 8)) * 1000).astype(dtype)
    else:
        voxels = np.frombuffer(rng.bytes(512 * int(dtype[1])), dtype=dtype).reshape(8, 8, 8)
    slope, intercept = 0.012345678912345, -17.77777777
    volume = Volume(voxels, np.eye(4), slope=slope, intercept=intercept)

    got = crop_patch(volume, (4, 4, 4), shape=(8, 8, 8), spacing_mm=(1, 1, 1), axes="RAS")

    exact = (
        Fraction(slope) * Fraction(float(stored)) + Fraction(intercept) for stored in voxels.ravel()
    )
    assert got.ravel().tolist() == [float(np.float32(float(value))) for value in exact]


def test_slope_one_and_intercept_zero_are_nothing_special():
    voxels = np.random.default_rng(6).integers(-30000, 30000, (9, 9, 9)).astype(np.int16)
    voxels[0, 0, 0] = 0
    plain = Volume(voxels, np.eye(4))
    scaled = Volume((voxels / 4).astype(np.float64), np.eye(4), slope=4)
    grid = {"shape": (9, 9, 9), "spacing_mm": (1, 1, 1), "axes": "RAS"}

    one = crop_patch(plain, (4, 4, 4), **grid)

    assert one.tobytes() == crop_patch(scaled, (4, 4, 4), **grid).tobytes()
    negative_zero = Volume(np.full((1, 1, 1), -0.0, dtype=np.float32), np.eye(4))
    assert not np.signbit(crop_patch(negative_zero, (0, 0, 0), **grid | {"shape": (1, 1, 1)}))


@pytest.mark.parametrize(
    "spacing_mm", [(0.5, 0.5, 1.0), (0.7, 0.62, 1.5), (0.25, 0.5, 0.3)], ids=["copy", "mix", "mean"]
)
@pytest.mark.parametrize("degrees", [0, 12, -31])
def test_crop_agrees_with_scipy(spacing_mm, degrees):
    rng = np.random.default_rng(abs(degrees))
    voxels = rng.integers(0, 1000, (70, 50, 45)).astype(np.int16)
    volume = Volume(voxels, oblique(spacing_mm, degrees, (1, 0.2, 0.1)), slope=0.5, intercept=3)
    grid = PatchGrid((14, 15, 12), (0.5, 0.5, 1.0), "ALI")
    centre = world(volume, [35.3, 24.6, 20.9])

    got = crop_patch(volume, centre, shape=grid.shape)

    # Three passes in float32 of values up to 500, each with an error of a few 2⁻²⁴ of that.
    np.testing.assert_allclose(got, oracle(volume, centre, grid)[0], rtol=0, atol=2e-4)


@given(data=st.data())
def test_crop_agrees_with_scipy_wherever_the_image_lies(data):
    spacing = st.sampled_from([0.25, 0.4, 0.5, 0.504, 0.75, 1.0, 1.3])
    spacing_mm = [data.draw(spacing) for _ in range(3)]
    degrees = data.draw(st.floats(-40, 40))
    axis = data.draw(st.sampled_from([(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    voxels = rng.normal(100, 20, (26, 25, 24)).astype(np.float32)
    volume = stored_again(
        Volume(voxels, oblique(spacing_mm, degrees, axis)), *data.draw(st.sampled_from(ORDERS))
    )
    axes = data.draw(st.sampled_from(["ALI", "RAS", "LPS", "SRP", "IAL"]))
    shape = tuple(data.draw(st.integers(1, 6)) for _ in range(3))
    grid = PatchGrid(shape, (0.5, 0.5, 1.0), axes)
    centre = world(volume, [data.draw(st.floats(-0.49, n - 0.51)) for n in volume.voxels.shape])
    want, coverage = oracle(volume, centre, grid)
    if coverage < 0.9:
        with pytest.raises(GeometryError, match="of the patch inside the image"):
            crop_patch(volume, centre, shape=shape, axes=axes)
        return

    got = crop_patch(volume, centre, shape=shape, axes=axes)

    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4)
    if got.size > 1 and want.std() > 0:
        assert prepare_patch(volume, centre, grid, "zscore").coverage == coverage


# ------------------------------------------------------------- what must not change a single bit


def stored_again(volume, axes, flips):
    """The same image with its voxels stored in another order and direction."""
    voxels = volume.voxels
    affine = volume.affine.copy()
    for axis, flip in enumerate(flips):
        if flip:
            affine[:3, 3] += affine[:3, axis] * (voxels.shape[axis] - 1)
            affine[:3, axis] *= -1
            voxels = np.flip(voxels, axis)
    return Volume(
        np.transpose(voxels, axes),
        np.column_stack([affine[:, list(axes)], affine[:, 3]]),
        volume.slope,
        volume.intercept,
    )


@pytest.mark.parametrize(
    "spacing_mm", [(0.5, 0.5, 1.0), (0.7, 0.7, 1.5), (0.3, 0.5, 0.5)], ids=["copy", "mix", "mean"]
)
@pytest.mark.parametrize("dtype", ["<f4", ">i2"])
def test_the_48_storage_orders_give_the_same_bits(spacing_mm, dtype):
    rng = np.random.default_rng(2)
    voxels = rng.integers(0, 2000, (64, 44, 40)).astype(dtype)
    volume = Volume(voxels, oblique(spacing_mm, 17.3, (1, 0.1, 0)), slope=0.37, intercept=-5)
    centre = world(volume, [31.5, 21.25, 19.123])

    patches = set()
    for axes, flips in ORDERS:
        again = stored_again(volume, axes, flips)
        for copied in (again.voxels, np.ascontiguousarray(again.voxels)):
            patch = crop_patch(
                Volume(copied, again.affine, again.slope, again.intercept),
                centre,
                shape=(15, 14, 13),
            )
            patches.add(patch.tobytes())

    assert len(ORDERS) == 48
    assert len(patches) == 1


@pytest.mark.parametrize("spacing_mm", [(0.5, 0.5, 1.0), (0.61, 0.5, 1.2)], ids=["copy", "mix"])
def test_mirroring_the_world_swaps_the_sides_to_the_bit(spacing_mm):
    voxels = np.random.default_rng(4).integers(0, 900, (60, 50, 30)).astype(np.uint16)
    volume = Volume(voxels, oblique(spacing_mm, -14.0, (1, 0, 0.2)))
    mirrored = Volume(voxels, np.diag([-1, 1, 1, 1]) @ volume.affine)
    grid = PatchGrid((20, 18, 10), (0.5, 0.5, 1.0), "ALI")
    centre = world(volume, [30.5, 24.5, 14.5])

    patch = prepare_patch(volume, centre, grid, "zscore").values
    swapped = prepare_patch(mirrored, centre * [-1, 1, 1], grid.mirrored(), "zscore").values

    assert patch.tobytes() == swapped.tobytes()


def test_views_of_any_strides_are_read_in_place():
    rng = np.random.default_rng(8)
    large = rng.integers(0, 250, (60, 61, 40, 2)).astype(np.uint8)
    view = large[50:4:-2, 3:59:3, ::2, 1]
    grid = {"shape": (9, 8, 7), "spacing_mm": (1, 1, 1), "axes": "PRS"}

    patch = crop_patch(Volume(view, np.eye(4)), (11, 9, 10), **grid)

    copy = Volume(np.ascontiguousarray(view), np.eye(4))
    assert patch.tobytes() == crop_patch(copy, (11, 9, 10), **grid).tobytes()


def test_voxels_need_no_alignment():
    voxels = np.random.default_rng(9).normal(size=(12, 12, 12)).astype(np.float32)
    crooked = np.frombuffer(b"x" + voxels.tobytes(), dtype=np.uint8)[1:].view("<f4")
    grid = {"shape": (5, 5, 5), "spacing_mm": (1, 1, 1), "axes": "RAS"}

    patch = crop_patch(Volume(crooked.reshape(12, 12, 12), np.eye(4)), (6, 6, 6), **grid)

    assert not crooked.flags.aligned
    assert np.array_equal(patch, voxels[4:9, 4:9, 4:9])


@given(
    value=st.floats(-1000, 1000, width=32),
    spacing_mm=st.tuples(*[st.floats(0.2, 0.9)] * 3),
)
def test_an_image_of_one_value_gives_that_value(value, spacing_mm):
    voxels = np.broadcast_to(np.float32(value), (80, 80, 80))
    volume = Volume(voxels, oblique(spacing_mm, 11))

    patch = crop_patch(volume, world(volume, [40, 40, 40]), shape=(8, 8, 4))

    assert (patch == np.float32(value)).all()


@given(shift=st.tuples(*[st.integers(-5, 5)] * 3), spacing=st.sampled_from([0.5, 0.625]))
def test_moving_image_and_centre_together_changes_nothing(shift, spacing):
    voxels = np.random.default_rng(1).integers(0, 1000, (40, 40, 30)).astype(np.int32)
    affine = np.diag([spacing, spacing, 1.0, 1])
    moved = affine.copy()
    moved[:3, 3] = shift
    centre = np.array([10.125, 9.25, 14.5])

    here = crop_patch(Volume(voxels, affine), centre, shape=(7, 8, 9))
    there = crop_patch(Volume(voxels, moved), centre + shift, shape=(7, 8, 9))

    assert here.tobytes() == there.tobytes()


def test_threads_may_share_a_volume():
    voxels = np.random.default_rng(11).integers(0, 1000, (90, 90, 40)).astype(np.int16)
    volume = Volume(voxels, np.diag([0.5, 0.5, 1, 1]))
    grid = PatchGrid((50, 50, 20), (0.5, 0.5, 1.0), "ALI")

    def prepare(_):
        return prepare_patch(volume, (22, 22, 20), grid, "zscore").values.tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(prepare, range(40)))) == 1


# ------------------------------------------------------------------------------------- normalise


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


# -------------------------------------------------------------------------------------- refusals

UNIT = Volume(np.zeros((50, 50, 20), dtype=np.uint8), np.diag([0.5, 0.5, 1, 1]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_centre_that_is_not_finite(bad):
    with pytest.raises(GeometryError, match=r"expected a finite centroid, got \("):
        crop_patch(UNIT, (1, bad, 2))


@pytest.mark.parametrize("far", [1e300, -1e300, 1e19, 25.0, -0.3])
def test_a_centre_outside_the_image(far):
    with pytest.raises(GeometryError, match="centroid inside the image of 50 x 50 x 20 voxels"):
        crop_patch(UNIT, (12, far, 10))


def test_the_message_names_place_and_voxel():
    with pytest.raises(GeometryError, match=r"\(100, 12, 10\) mm, which is voxel \(200, 24, 10\)"):
        crop_patch(UNIT, (100, 12, 10))


def test_too_little_coverage_says_where_it_is_missing():
    with pytest.raises(GeometryError) as caught:
        crop_patch(UNIT, (12.5, 3, 10))

    assert str(caught.value) == (
        "expected at least 0.9 of the patch inside the image, got 0.57722 "
        "(A 31/50, L 49/50, I 19/20 voxels) around the centroid (12.5, 3, 10) mm"
    )


def turned(*degrees_about_z):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("z", degrees_about_z, degrees=True).as_matrix().squeeze()
    return affine


@pytest.mark.parametrize("degrees", [45, 135, -45])
def test_an_image_turned_half_way_between_two_axes(degrees):
    volume = Volume(np.zeros((20, 20, 20), np.uint8), turned(degrees))

    with pytest.raises(GeometryError, match="two assignments to the patch axes 'ALI'"):
        crop_patch(volume, world(volume, [10, 10, 10]), shape=(4, 4, 4), spacing_mm=(1, 1, 1))


@pytest.mark.parametrize("degrees", [44.9, 45.1])
def test_an_image_turned_nearly_so_far_is_fine(degrees):
    voxels = np.random.default_rng(0).integers(0, 9, (20, 20, 20)).astype(np.uint8)
    volume = Volume(voxels, turned(degrees))
    grid = PatchGrid((4, 4, 4), (1, 1, 1), "ALI")
    centre = world(volume, [10, 10, 10])

    patch = crop_patch(volume, centre, shape=(4, 4, 4), spacing_mm=(1, 1, 1))

    assert np.array_equal(patch, oracle(volume, centre, grid)[0])


def test_a_sheared_image():
    sheared = np.diag([0.5, 0.5, 1, 1])
    sheared[0, 1] = 0.5 * np.tan(np.deg2rad(1.1))
    bearable = np.diag([0.5, 0.5, 1, 1])
    bearable[0, 1] = 0.5 * np.tan(np.deg2rad(0.9))

    with pytest.raises(GeometryError, match="right angles within 1 degree, got axes 0 and 1"):
        crop_patch(Volume(UNIT.voxels, sheared), (12, 12, 10), shape=(4, 4, 4))
    assert crop_patch(Volume(UNIT.voxels, bearable), (12, 12, 10), shape=(4, 4, 4)).size == 64


def test_an_affine_in_metres():
    volume = Volume(UNIT.voxels, np.diag([0.0005, 0.0005, 0.001, 1]))

    with pytest.raises(GeometryError, match="not in millimetres"):
        crop_patch(volume, (0.012, 0.012, 0.01))


def test_one_voxel_is_an_image():
    volume = Volume(np.array([[[42]]], dtype=np.int8), np.eye(4))
    grid = {"shape": (1, 1, 1), "axes": "RAS"}

    for spacing_mm in ((1, 1, 1), (0.3, 0.3, 0.3), (3, 3, 3)):
        patch = crop_patch(volume, (0.4, -0.5, 0), spacing_mm=spacing_mm, **grid)
        assert patch.tolist() == [[[42]]]


def test_an_image_larger_than_any_memory():
    voxels = np.broadcast_to(np.uint8(3), (1 << 20, 1 << 20, 1 << 20))
    volume = Volume(voxels, np.diag([0.5, 0.5, 1, 1]))

    patch = crop_patch(volume, world(volume, [1e6, 1e6, 1e6]))

    assert (patch == 3).all()


def test_the_core_takes_no_other_type_or_layout():
    def crop(voxels, affine):
        where = ((0.0, 0.0, 0.0), (1, 1, 1), (1.0, 1.0, 1.0), "RAS", False)
        return _core.crop_patch(voxels, (0, 0, 0), (2, 2, 2), affine, 1.0, 0.0, *where)

    voxels = np.zeros((2, 2, 2), dtype=np.int16)
    assert crop(voxels, np.eye(4))[1] == 1.0
    for other in ("c8", "?", "i8", "f2", "U3", "O"):
        with pytest.raises(TypeError):
            crop(voxels.astype(other), np.eye(4))
    for other in (voxels[0], voxels.tolist(), None):
        with pytest.raises(TypeError):
            crop(other, np.eye(4))
    for other in (
        np.eye(3),
        np.eye(4, dtype=np.float32),
        np.eye(4, dtype=">f8"),
        np.eye(4).tolist(),
    ):
        with pytest.raises(TypeError):
            crop(voxels, other)


@pytest.mark.parametrize("centre", [(1, 2), (1, 2, 3, 4), ()])
def test_a_centre_has_three_coordinates(centre):
    with pytest.raises(InputError, match="three coordinates in mm"):
        crop_patch(UNIT, centre)


# ---------------------------------------------------------------------------------------- memory

PEAK = """
import sys
from pathlib import Path
import numpy as np
from nigroedge.grid import PatchGrid
from nigroedge.preprocess import prepare_patch
from nigroedge.volume import Volume

def peak_kib():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])

voxels = np.random.default_rng(0).integers(0, 2000, (384, 384, 30)).astype(np.int16, order="F")
grid = PatchGrid((50, 50, 20), (0.5, 0.5, 1.0), "ALI")
spacing_mm = [float(s) for s in sys.argv[1:]]
volume = Volume(voxels, np.diag([*spacing_mm, 1]))
cube = PatchGrid((2, 2, 2), (1, 1, 1), "RAS")
prepare_patch(Volume(voxels[:9, :9, :9], np.eye(4)), (4, 4, 4), cube, "mean")  # load the code
Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
before = peak_kib()
patch = prepare_patch(volume, np.array(spacing_mm) * (192, 192, 15), grid, "zscore")
print(peak_kib() - before)
"""


@pytest.mark.parametrize("spacing_mm", [("0.5", "0.5", "1"), ("0.7", "0.7", "1.5")])
def test_no_copy_of_the_volume(spacing_mm):
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("this system does not let a process reset its peak memory")

    done = subprocess.run(
        [sys.executable, "-c", PEAK, *spacing_mm],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )

    # The volume has 8.4 MiB; the patch itself 0.2.
    assert int(done.stdout) < 2048
