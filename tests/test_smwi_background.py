# SPDX-License-Identifier: Apache-2.0
"""Background removal: outer fields go, inner ones stay, and the rim that is lost is said."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nigroedge.errors import GeometryError
from nigroedge.smwi.background import resharp, vsharp
from nigroedge.smwi.fourier import FourierGrid
from nigroedge.smwi.kernels import sphere_kernel
from nigroedge.smwi.mask import distance_mm
from nigroedge.smwi.masked import MaskedMap
from nigroedge.smwi.solvers import Stopping

SHAPE = (48, 44, 30)
VOXEL_MM = (0.5, 0.5, 1.0)
GRID = FourierGrid(SHAPE, VOXEL_MM, 12.0)
RULERS = [(np.arange(n) - n / 2) * h for n, h in zip(SHAPE, VOXEL_MM, strict=True)]
X, Y, Z = np.meshgrid(*RULERS, indexing="ij")
MASK = (X / 11) ** 2 + (Y / 10) ** 2 < 1


def dipole_at(place, moment=300.0):
    """Field of a point far from or near to the slab, B0 along z: harmonic but at the point."""
    x, y, z = X - place[0], Y - place[1], Z - place[2]
    r2 = x**2 + y**2 + z**2
    return (moment * (3 * z**2 - r2) / np.maximum(r2, 1) ** 2.5).astype(np.float32)


REMOVERS = {
    "vsharp": lambda field, mask=MASK: vsharp(MaskedMap(field, mask, GRID)),
    "resharp": lambda field, mask=MASK: resharp(MaskedMap(field, mask, GRID), radius_mm=4.0),
}


@pytest.mark.parametrize("name", REMOVERS)
@settings(max_examples=4)
@given(st.floats(-1, 1), st.floats(-1, 1), st.sampled_from([-1, 1]))
def test_the_field_of_a_source_beyond_the_slab_goes(name, x, y, side):
    field = dipole_at((6 * x, 6 * y, 24.0 * side))

    left = REMOVERS[name](field)

    assert left.values[left.mask].std() < 0.03 * field[left.mask].std()


@pytest.mark.parametrize("name", REMOVERS)
def test_the_field_of_a_source_inside_stays(name):
    inner = dipole_at((0.1, 0.2, 0.3), 3.0)
    inner[X**2 + Y**2 + Z**2 < 4] = 0
    outer = dipole_at((16.0, 0.0, 4.0), 3000.0)

    left = REMOVERS[name](inner + outer)

    kept = np.corrcoef(left.values[left.mask], inner[left.mask])[0, 1]
    assert np.corrcoef((inner + outer)[left.mask], inner[left.mask])[0, 1] < 0.5
    assert kept > 0.95


@pytest.mark.parametrize("name", REMOVERS)
@settings(max_examples=4)
@given(st.floats(-2, 2), st.floats(-50, 50))
def test_removal_is_linear_and_blind_to_a_constant(name, gain, constant):
    field = dipole_at((2.0, -3.0, 1.0))

    plain = REMOVERS[name](field)
    scaled = REMOVERS[name](np.float32(gain) * field + np.float32(constant))

    size = np.abs(field).max() * max(abs(gain), 1) + abs(constant)
    # Conjugate gradients stop at a relative residual of 1 %.
    close = 2e-3 if name == "vsharp" else 2e-2
    np.testing.assert_allclose(gain * plain.values, scaled.values, atol=close * size)


@pytest.mark.parametrize(("name", "rim_mm"), [("vsharp", 2.0), ("resharp", 4.0)])
def test_the_rim_that_is_lost_is_the_smallest_balls_at_the_slabs_faces_too(name, rim_mm):
    left = REMOVERS[name](dipole_at((0, 0, 0)))

    depth = distance_mm(np.pad(MASK, 1), VOXEL_MM)[1:-1, 1:-1, 1:-1]
    # Distances are between centres of voxels, which are boxes.
    assert left.mask[depth > rim_mm + 1].all()
    assert not left.mask[depth < rim_mm].any()
    assert not left.mask[:, :, : int(rim_mm)].any()
    assert (left.values[~left.mask] == 0).all()


@pytest.mark.parametrize("name", REMOVERS)
def test_a_mask_too_thin_for_any_ball_is_refused(name):
    thin = MASK & (np.abs(Z) < 1.5)

    with pytest.raises(GeometryError, match="too thin"):
        REMOVERS[name](dipole_at((0, 0, 0)), thin)


def test_resharp_solves_its_normal_equations():
    """Against a dense solution in double precision, on a volume small enough to write one down."""
    grid = FourierGrid((9, 9, 9), (1.0, 1.0, 1.0), 3.0)
    field = np.random.default_rng(0).normal(size=(9, 9, 9)).astype(np.float32)
    mask = np.ones(field.shape, bool)
    kernel = (1 - sphere_kernel(grid, 2.0)).astype(float)
    n = int(np.prod(grid.padded))
    unit = np.eye(n).reshape(n, *grid.padded)
    spectra = np.fft.rfftn(unit, axes=(1, 2, 3)) * kernel
    highpass = np.fft.irfftn(spectra, s=grid.padded, axes=(1, 2, 3)).reshape(n, n).T
    ball = sphere_kernel(grid, 2.0)
    inside = grid.pad((grid.convolve(mask.astype("f4"), ball) > 0.999).astype("f4")).ravel()
    weighted = inside[:, None] * highpass
    normal = weighted.T @ weighted + 0.01 * np.eye(n)
    truth = np.linalg.solve(normal, weighted.T @ weighted @ grid.pad(field).ravel())

    total = MaskedMap(field, mask, grid)
    got = resharp(total, radius_mm=2.0, regularisation=0.01, stopping=Stopping(1e-6, 300))

    expected = grid.crop(truth.reshape(grid.padded))
    np.testing.assert_allclose(expected[got.mask], got.values[got.mask], atol=1e-3)
