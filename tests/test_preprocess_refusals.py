# SPDX-License-Identifier: Apache-2.0
"""Patches that are none: refused by name, with place and voxel; and how far is just near enough."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nigroedge import _core
from nigroedge.errors import GeometryError, InputError
from nigroedge.grid import PatchGrid
from nigroedge.preprocess import crop_patch
from nigroedge.volume import Volume
from tests.patches import oracle, world

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
