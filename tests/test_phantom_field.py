# SPDX-License-Identifier: Apache-2.0
"""The field of a scene: a ball's, known exactly; air beside the brain; what a shim leaves."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from nigroedge.phantom import draw_subject
from nigroedge.phantom.field import background_field, ball_field, dipole_field
from nigroedge.phantom.shapes import apply
from tests.smwi_phantom import exact_field, tilted_affine

SEEDS = st.integers(0, 2**32)


def grid_points(affine, shape):
    xyz = np.tensordot(affine[:3, :3], np.indices(shape), 1)
    return [(v + t).astype(np.float32) for v, t in zip(xyz, affine[:3, 3], strict=True)]


def test_a_balls_field_by_hand():
    on_axis, on_equator, inside = ball_field(
        [np.array(values, np.float32) for values in ([0, 4, 0], [0, 0, 0], [4, 0, 1])],
        (0.0, 0.0, 0.0),
        2.0,
        9.0,
    )

    # χ/3 · (2/4)³ · (3 cos² − 1): 3 · 1/8 · 2 on the axis of B0, half of it and negative beside.
    assert 0.75 == pytest.approx(on_axis)
    assert -0.375 == pytest.approx(on_equator)
    assert inside == 0


@pytest.mark.parametrize("tilt_degrees", [0, 20])
def test_a_ball_on_the_grid_makes_the_field_of_a_ball(tilt_degrees):
    shape, radius = (60, 60, 60), 6.0
    affine = tilted_affine(tilt_degrees, shape)
    affine[:3, :3] = affine[:3, :3] @ np.diag([1, 1, 0.5])  # cubes of 0.5 mm
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) / 2)
    points = grid_points(affine, shape)
    distance = np.sqrt(sum(p * p for p in points))
    chi = np.clip((radius - distance) / 0.5 + 0.5, 0, 1).astype(np.float32)
    got = dipole_field(chi, affine)
    expected = ball_field(points, (0.0, 0.0, 0.0), radius, 1.0)
    away = (abs(distance - radius) > 1.0) & (distance < 12)
    got -= np.float32((got - expected)[away].mean())  # the field's zero is anywhere

    # Of the largest field, 2/3: images of the ball beyond the padding, 46 mm away, make (6/38)³ of
    # it in the corner nearest to them; a border of voxels some more just beside it.
    assert abs(got - expected)[away].max() < 0.02
    assert abs(got - expected)[away].std() < 0.004


def test_the_field_equals_that_of_a_transform_in_float64():
    rng = np.random.default_rng(0)
    shape = (24, 20, 12)
    # Smooth: at the Nyquist frequency, which stands for both signs, conventions differ.
    chi = gaussian_filter(rng.normal(0, 0.3, shape), 1.5, mode="constant").astype(np.float32)
    affine = tilted_affine(25, shape)
    t = math.radians(25)
    got = dipole_field(chi, affine)
    expected = exact_field(chi.astype(np.float64) - chi.mean(), (0.0, math.sin(t), math.cos(t)))

    # Both pad, by different margins: what enters from beyond is smooth, and small in the middle.
    inner = (slice(6, -6), slice(6, -6), slice(3, -3))
    difference = (got - expected)[inner]
    assert difference.std() < 0.01 * expected[inner].std()


def test_a_k_space_field_of_qsm_forward_is_the_same():
    qsm_forward = pytest.importorskip("qsm_forward", reason="pip install qsm-forward")
    shape = (32, 28, 24)
    rng = np.random.default_rng(1)
    chi = np.zeros(shape, np.float32)
    chi[10:20, 10:18, 8:16] = rng.normal(0, 0.1, (10, 8, 8))
    t = math.radians(18)
    affine = tilted_affine(18, shape)
    theirs = qsm_forward.generate_field(
        np.pad(chi - chi.mean(), [(0, n) for n in shape], constant_values=0),
        voxel_size=[0.5, 0.5, 1.0],
        B0_dir=[0.0, math.sin(t), math.cos(t)],
    )[: shape[0], : shape[1], : shape[2]]
    ours = dipole_field(chi, affine)

    # As above; theirs also pads once more by itself.
    inner = (slice(8, -8), slice(8, -8), slice(5, -5))
    assert (ours - theirs)[inner].std() < 0.01 * theirs[inner].std()


@given(SEEDS)
def test_the_background_is_harmonic_and_zero_midway_between_the_red_nuclei(seed):
    subject = draw_subject(seed)
    middle = np.array(apply(subject.to_patient, (0, 0, 0)))
    at_middle = background_field(subject, [np.full((1, 1, 1), c, np.float32) for c in middle])
    rulers = np.meshgrid(*[np.linspace(-8, 8, 9)] * 3, indexing="ij")
    points = [(c + r).astype(np.float64) for c, r in zip(middle, rulers, strict=True)]
    field = background_field(subject, points)
    laplacian = sum(np.diff(field, 2, axis=a)[_inner(a)] for a in range(3))
    curved = sum(abs(np.diff(field, 2, axis=a)[_inner(a)]) for a in range(3))

    assert 0 == pytest.approx(float(at_middle[0, 0, 0]), abs=1e-6)
    # Second differences of 2 mm cancel to fourth order: (2 / 40 mm)² and a little.
    assert abs(laplacian).max() < 0.02 * curved.max() + 1e-6


def _inner(axis):
    return tuple(slice(None) if a == axis else slice(1, -1) for a in range(3))


@given(SEEDS)
def test_air_makes_tens_of_hertz_over_the_midbrain_not_hundreds(seed):
    subject = draw_subject(seed)
    corners = np.array([(x, y, z) for x in (-25, 25) for y in (-12, 12) for z in (-12, 12)])
    at = np.array([apply(subject.to_patient, c) for c in corners]).T.astype(np.float32)
    field_hz = 127.7 * background_field(subject, list(at))

    assert np.isfinite(field_hz).all()
    assert 1 < np.ptp(field_hz) < 150
