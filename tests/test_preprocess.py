# SPDX-License-Identifier: Apache-2.0
"""Crop, against numbers worked out by hand and against numpy and scipy in float64."""

import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import GeometryError
from nigroedge.grid import PatchGrid
from nigroedge.preprocess import crop_patch, normalize, prepare_patch
from nigroedge.volume import STORED_DTYPES, Volume
from tests.patches import oblique, oracle, world

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
    "spacing_mm",
    [(0.5, 0.5, 1.0), (0.7, 0.62, 1.5), (0.25, 0.5, 0.3), (0.11, 0.7, 1.5)],
    ids=["copy", "mix", "mean", "rows beyond one block of 64"],
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
