# SPDX-License-Identifier: Apache-2.0
"""The simulated midbrain: geometry by hand, properties of every seed."""

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import GeometryError
from nigroedge.phantom import (
    SLAB_SHAPE,
    SLAB_SPACING_MM,
    draw_subject,
    expected_sbr,
    patch_grid,
    render,
    simulate,
)
from nigroedge.phantom.anatomy import draw_anatomy
from nigroedge.phantom.canvas import Tissue
from nigroedge.phantom.scan import smwi
from nigroedge.phantom.shapes import (
    Blob,
    Vessel,
    affine_of,
    apply,
    blob_depth,
    joined,
    right_angled,
    segment_distance,
    smooth_step,
)
from nigroedge.phantom.subject import SBR_MINIMUM, generator, iron_load

SEEDS = st.integers(0, 2**32)


@pytest.fixture(scope="module")
def scan():
    return simulate(3)


def points(*xyz):
    return [np.array(values, np.float32) for values in xyz]


# ---- examples, checked by hand ----------------


def test_depth_in_a_ball_is_zero_on_its_surface_and_grows_inwards():
    ball = Blob((1, 2, 3), (4, 4, 4))
    surface, inside, outside, centre = blob_depth(
        points([1, 1, 1, 1], [2, 2, 7, 2], [7, 3 + 3.99, 3, 3]), ball
    )

    assert surface == 0
    assert 0.01 == pytest.approx(inside, abs=2e-5)
    assert -1 == pytest.approx(outside, abs=0.11)  # to first order: −0.9
    assert centre > 100


def test_a_bend_raises_the_ends_of_an_ellipsoid():
    sheet = Blob((0, 0, 0), (5, 5, 1), bend=0.1)

    assert (4.0, 0.0, 1.6) == pytest.approx(sheet.at(4, 0, 0))
    assert blob_depth(points([4], [0], [1.6]), sheet) > 0 > blob_depth(points([4], [0], [0]), sheet)


def test_distance_to_a_segment_beside_it_and_beyond_its_end():
    distance = segment_distance(points([1, 5], [3, 4], [4, 0]), (0, 0, 0), (2, 0, 0))

    assert [5, 5] == distance.tolist()


def test_a_border_is_half_way_on_the_surface():
    share = smooth_step(np.array([-1, -0.5, 0, 0.5, 1], np.float32), 2.0)

    assert [0, 0.15625, 0.5, 0.84375, 1] == share.tolist()


def test_right_angled_axes_keep_the_first_direction():
    p, q, n = right_angled((2, 0, 0), (1, 3, 0))

    assert ((1, 0, 0), (0, 1, 0), (0, 0, 1)) == (p, q, n)


def test_the_union_of_two_shapes_fills_the_corner_only():
    a, b = points([1.0, 0.0, -1.0], [1.0, 4.0, 5.0])

    assert [1 + 2 / 4, 4, 5] == joined(a, b, 2.0).tolist()


def test_smwi_of_four_susceptibilities_by_hand():
    chi_ppm = np.array([-0.2, 0.0, 0.25, 0.6], np.float32)

    assert [2, 2, 0.125, 0] == smwi(np.full(4, 2, np.float32), chi_ppm, 0.5).tolist()


def test_sbr_has_a_floor_where_half_the_nigra_is_gone():
    assert expected_sbr(0.0) == expected_sbr(0.48) == 2.33
    assert 2.33 + 2.41 / 2 == pytest.approx(expected_sbr(0.64))
    assert 4.74 == pytest.approx(expected_sbr(0.8)) == pytest.approx(expected_sbr(1.0))


def test_iron_rises_early():
    assert [0, 0, 0.5, 1, 1] == pytest.approx([iron_load(s) for s in (1, 0.8, 0.7, 0.6, 0)])


def test_iron_adds_to_susceptibility_and_by_the_published_slope_to_decay():
    # 20 % of 100 ppb are 0.02 ppm: 137 Hz/ppm make 2.74 /s of it.
    assert Tissue(120, 32.74, 0.9) == pytest.approx(Tissue(100, 30, 0.9).with_iron(1.2))
    assert Tissue(-20, 30) == Tissue(-20, 30).with_iron(1.2)


def test_the_slab_is_oblique_and_its_axes_run_as_a_scanner_stores_them(scan):
    affine = scan.volume.affine
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    left, posterior, superior = (affine[:3, :3] / lengths).T

    np.testing.assert_allclose(SLAB_SPACING_MM, lengths)
    np.testing.assert_allclose([-1, 0, 0], left, atol=1e-12)
    assert posterior[1] < -0.8
    assert superior[2] > 0.8
    assert 12 < math.degrees(math.asin(superior[1])) < 32


def test_a_slab_is_stored_as_a_scanner_stores_it(scan):
    assert (SLAB_SHAPE, np.int16) == (scan.volume.voxels.shape, scan.volume.voxels.dtype)
    assert scan.volume.voxels.min() == 0
    assert 1500 < scan.volume.voxels.max() <= 4095
    assert (1.0, 0.0) == (scan.volume.slope, scan.volume.intercept)


def test_centroids_lie_on_nigrosome_1_and_left_is_the_patients(scan):
    subject = scan.subject
    for side, marked in (("left", scan.left_mm), ("right", scan.right_mm)):
        centre = getattr(subject, side).anatomy.nigrosome.centre
        np.testing.assert_allclose(marked, apply(subject.to_patient, centre))
    assert 20 < scan.right_mm[0] - scan.left_mm[0] < 32


def test_a_seed_gives_the_same_voxels_on_every_machine():
    subject = draw_subject(3)
    volume = render(subject, *patch_grid(subject, "left", (20, 20, 12)))
    stored = np.rint(volume.voxels).astype("<i2")

    assert "a43c521b0ab49c27" == hashlib.sha256(stored.tobytes()).hexdigest()[:16]


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"seed": 0, "prevalence": 1.1}, {"seed": 0, "reader_jitter_mm": -1}]
)
def test_what_cannot_be_drawn_is_refused(wrong):
    with pytest.raises(ValueError, match="expected seed >= 0"):
        draw_subject(**wrong)


def test_a_flat_grid_is_refused():
    with pytest.raises(GeometryError, match="invertible"):
        render(draw_subject(0), np.diag([1.0, 1, 0, 1]), (4, 4, 4))


# ---- properties of every seed ----------------------------------------------------------------


@given(SEEDS)
def test_labels_keep_their_ranges(seed):
    subject = draw_subject(seed)
    for side in (subject.left, subject.right):
        assert 0 <= side.state <= 1
        assert 0 <= side.visibility <= 1
        assert SBR_MINIMUM <= side.sbr < 10
        assert expected_sbr(side.state) == side.expected_sbr
        assert np.isfinite(side.centroid_mm).all()
    assert subject.left.centroid_mm[0] < subject.right.centroid_mm[0]


@given(SEEDS)
def test_a_patch_around_either_centroid_lies_in_the_slab(seed):
    subject = draw_subject(seed)
    to_index = np.linalg.inv(subject.slab_affine)
    for side in (subject.left, subject.right):
        index = np.array(apply(to_index, side.centroid_mm))
        assert (index >= (25, 25, 8)).all()
        assert (index <= np.array(SLAB_SHAPE) - (25, 25, 8)).all()


@given(SEEDS, st.integers(0, 5))
def test_voxels_are_finite_not_negative_and_the_same_again(seed, repeat):
    subject = draw_subject(seed)
    affine, shape = patch_grid(subject, "right", (24, 24, 10))
    first = render(subject, affine, shape, repeat=repeat).voxels
    again = render(draw_subject(seed), affine, shape, repeat=repeat).voxels

    assert (np.float32, shape) == (first.dtype, first.shape)
    assert np.isfinite(first).all()
    assert first.min() >= 0
    np.testing.assert_array_equal(first, again)


@given(SEEDS, SEEDS)
def test_another_repeat_changes_the_noise_alone(seed, repeat):
    subject = draw_subject(seed)
    grid = patch_grid(subject, "left", (16, 16, 8))
    clean = render(subject, *grid, noise=False).voxels
    first, second = (render(subject, *grid, repeat=r).voxels for r in (repeat, repeat + 1))

    assert (first != second).any()
    assert abs(first - clean).mean() < 0.2 * clean.mean()


@given(
    SEEDS,
    st.permutations(range(3)),
    st.tuples(*[st.booleans()] * 3),
    st.tuples(*[st.integers(0, 6)] * 3),
)
def test_the_anatomy_does_not_depend_on_the_grid(seed, order, flips, corner):
    subject = draw_subject(seed)
    affine, shape = patch_grid(subject, "left", (20, 20, 10))
    whole = render(subject, affine, shape, noise=False).voxels
    # The same voxels in another axis order, flipped, and without the first few.
    start = np.where(flips, np.array(shape) - 1, corner)
    signs = np.where(flips, -1.0, 1.0)
    linear = (affine[:3, :3] * signs)[:, order]
    part = np.array(shape) - corner
    turned = affine_of(linear, apply(affine, start))
    got = render(subject, turned, tuple(part[order].tolist()), noise=False).voxels
    same = whole[tuple(slice(c, None) for c in corner)]
    same = np.flip(same, [axis for axis in range(3) if flips[axis]]).transpose(order)

    # Points are reckoned from another corner in float32: 1e-5 mm, where χ falls 0.1 ppm a mm.
    np.testing.assert_allclose(same, got, rtol=2e-3, atol=0.5)


@given(SEEDS)
def test_the_left_side_is_drawn_as_the_mirror_image_of_a_right_side(seed):
    right, left = (draw_anatomy(generator(seed), sign) for sign in (1.0, -1.0))
    rng = np.random.default_rng(seed)
    x, y, z = rng.uniform(-20, 20, (3, 50)).astype(np.float32)
    for name in ("nigra", "nigrosome", "red_nucleus", "subthalamic"):
        here, there = getattr(right, name), getattr(left, name)
        assert here.volume_mm3 == there.volume_mm3
        np.testing.assert_array_equal(blob_depth([x, y, z], here), blob_depth([-x, y, z], there))
    for here, there in zip(right.vessels, left.vessels, strict=True):
        assert Vessel(tuple((-a, b, c) for a, b, c in here.points), here.radius) == there


@given(SEEDS, st.floats(0.1, 3))
def test_a_reader_who_slips_changes_the_centroid_alone(seed, jitter):
    sure, unsure = draw_subject(seed), draw_subject(seed, reader_jitter_mm=jitter)

    assert sure.left.centroid_mm != unsure.left.centroid_mm
    assert sure.left == replace(unsure.left, centroid_mm=sure.left.centroid_mm)
    assert sure.contrast == unsure.contrast
    np.testing.assert_array_equal(sure.slab_affine, unsure.slab_affine)


@given(SEEDS)
def test_prevalence_decides_at_its_ends(seed):
    assert not draw_subject(seed, prevalence=0).diseased
    assert draw_subject(seed, prevalence=1).diseased
