# SPDX-License-Identifier: Apache-2.0
"""Kernels: B0 from the affine, the dipole against a sphere's field, balls, differences."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from nigroedge.errors import GeometryError
from nigroedge.smwi.fourier import FourierGrid
from nigroedge.smwi.kernels import (
    dipole_kernel,
    field_direction,
    gradient_kernel,
    sphere_kernel,
    voxel_size,
)
from tests.smwi_phantom import VOXEL_MM, exact_field, tilted_affine

unit_vectors = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1)


def test_upright_slab_has_b0_along_its_third_axis():
    assert (0.0, 0.0, 1.0) == field_direction(np.diag([-0.5, -0.5, 1.0, 1.0]))


def test_sagittal_storage_has_b0_along_the_axis_that_runs_up():
    affine = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 1]], float)

    assert (0.0, 1.0, 0.0) == field_direction(affine)


@given(st.floats(-60, 60))
def test_tilting_the_slab_tilts_b0_in_image_axes_by_as_much(degrees):
    direction = field_direction(tilted_affine(degrees, (8, 8, 8)))

    angle = math.radians(degrees)
    np.testing.assert_allclose((0, math.sin(angle), math.cos(angle)), direction, atol=1e-12)


def test_a_sheared_grid_is_refused():
    affine = np.eye(4)
    affine[0, 1] = 0.2

    with pytest.raises(GeometryError, match="sheared"):
        voxel_size(affine)


def test_voxels_too_long_for_a_round_kernel_are_refused():
    with pytest.raises(GeometryError, match=r"0\.5 × 0\.5 × 6 mm"):
        voxel_size(np.diag([0.5, 0.5, 6.0, 1.0]))


def test_field_of_a_sphere_is_the_textbooks():
    """Outside: χ/3 · (R/r)³ · (3 cos²θ − 1), with 0 inside (Lorentz-corrected)."""
    n, h, radius = 96, 0.5, 5.0
    grid = FourierGrid((n, n, n), (h, h, h), 48.0)
    axis = (np.arange(n) - n / 2) * h
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    r2 = x**2 + y**2 + z**2
    b0 = (0.0, math.sin(0.5), math.cos(0.5))
    along = (y * b0[1] + z * b0[2]) ** 2
    truth = np.where(r2 > radius**2, radius**3 / 3 * (3 * along - r2) / np.maximum(r2, 1) ** 2.5, 0)

    got = grid.convolve((r2 < radius**2).astype(np.float32), dipole_kernel(grid, b0))

    # Voxels on the surface are stairs, which is most of the error near it (the field there is 0.6).
    away = (np.abs(np.sqrt(r2) - radius) > 1.5) & (np.abs(x) < 15) & (np.abs(y) < 15)
    assert np.abs(got - truth)[away].max() < 0.04
    assert np.sqrt(np.mean((got - truth)[away] ** 2)) < 0.002


@given(unit_vectors, st.integers(5, 9), st.integers(5, 9), st.integers(5, 9))
def test_dipole_is_real_even_bounded_and_zero_at_zero(direction, nx, ny, nz):
    b0 = tuple(np.array(direction) / np.linalg.norm(direction))
    grid = FourierGrid((nx, ny, nz), VOXEL_MM, 0.0)
    kernel = dipole_kernel(grid, b0)

    assert kernel[0, 0, 0] == 0
    assert kernel.min() >= -2 / 3 - 1e-5
    assert kernel.max() <= 1 / 3 + 1e-5
    # A real, even kernel is a half-spectrum that survives the way to image space and back.
    np.testing.assert_allclose(kernel, grid.forward(grid.inverse(kernel + 0j)).real, atol=1e-5)


@given(unit_vectors)
def test_convolution_with_the_dipole_agrees_with_a_float64_oracle(direction):
    b0 = tuple(np.array(direction) / np.linalg.norm(direction))
    # Odd sizes: at Nyquist frequencies, which stand for two signs, each may choose its own mean.
    chi = np.random.default_rng(0).normal(size=(9, 15, 5))
    grid = FourierGrid((9, 15, 5), VOXEL_MM, 0.0)
    assert chi.shape == grid.padded
    k = np.meshgrid(
        *(np.fft.fftfreq(n, h) for n, h in zip(grid.padded, VOXEL_MM, strict=True)), indexing="ij"
    )
    k2 = sum(a**2 for a in k)
    k2[0, 0, 0] = np.inf
    oracle = 1 / 3 - sum(a * b for a, b in zip(k, b0, strict=True)) ** 2 / k2
    oracle[0, 0, 0] = 0
    truth = np.fft.ifftn(np.fft.fftn(chi) * oracle).real

    got = grid.convolve(chi.astype(np.float32), dipole_kernel(grid, b0))

    np.testing.assert_allclose(truth, got, atol=2e-6)


def test_our_oracle_agrees_with_qsm_forward():
    qsm_forward = pytest.importorskip("qsm_forward", reason="pip install qsm-forward")
    chi = np.zeros((20, 22, 24))
    chi[6:-6, 6:-6, 6:-6] = np.random.default_rng(1).normal(size=(8, 10, 12))
    chi = gaussian_filter(chi, 1)
    b0 = (0.0, math.sin(0.4), math.cos(0.4))

    theirs = qsm_forward.generate_field(chi, voxel_size=list(VOXEL_MM), B0_dir=list(b0))
    difference = theirs - exact_field(chi, b0)

    # They take another value at frequency zero, which is a constant, and at Nyquist frequencies.
    assert difference.std() < 1e-3 * theirs.std()


@given(st.floats(0.6, 4.0))
def test_a_ball_keeps_constants_and_weighs_by_volume(radius):
    grid = FourierGrid((16, 16, 12), VOXEL_MM, 6.0)
    kernel = sphere_kernel(grid, radius)
    weights = grid.inverse(kernel + 0j)

    assert kernel[0, 0, 0] == pytest.approx(1, abs=1e-5)
    assert weights.min() > -1e-6
    # The centre voxel lies wholly inside, so it weighs its volume over the ball's.
    if radius > 0.62:
        volume = 4 / 3 * math.pi * radius**3
        assert weights[0, 0, 0] == pytest.approx(0.25 / volume, rel=0.15)


def test_the_mean_over_a_ball_is_the_centre_of_a_harmonic_field():
    x, y, z = np.meshgrid(*(np.arange(n) * h for n, h in zip((40, 40, 24), VOXEL_MM, strict=True)),
                          indexing="ij")  # fmt: skip
    harmonic = ((x - 10) ** 2 + (y - 10) ** 2 - 2 * (z - 12) ** 2).astype(np.float32)
    grid = FourierGrid(harmonic.shape, VOXEL_MM, 8.0)

    mean = grid.convolve(harmonic, sphere_kernel(grid, 3.0))

    # It ranges over −288 … 200. Voxels are boxes, with second moments: (2 · 0.5² − 2 · 1²)/12.
    assert mean[20, 20, 12] - harmonic[20, 20, 12] == pytest.approx(-0.125, abs=0.03)


def test_gradient_kernel_is_that_of_forward_differences():
    grid = FourierGrid((8, 10, 12), VOXEL_MM, 0.0)
    values = np.random.default_rng(0).normal(size=grid.padded).astype(np.float32)

    truth = sum(
        (2 * values - np.roll(values, 1, axis) - np.roll(values, -1, axis)) / h**2
        for axis, h in enumerate(VOXEL_MM)
    )
    got = grid.inverse(grid.forward(values) * gradient_kernel(grid))

    np.testing.assert_allclose(truth, got, atol=1e-4)
