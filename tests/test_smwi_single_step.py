# SPDX-License-Identifier: Apache-2.0
"""χ from the total field in one step: blind to what lies outside, exact on what lies inside."""

import functools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nigroedge.errors import GeometryError, InputError
from nigroedge.smwi import METHODS
from nigroedge.smwi.background import vsharp
from nigroedge.smwi.dipole import tkd
from nigroedge.smwi.fourier import FourierGrid
from nigroedge.smwi.kernels import dipole_kernel, field_direction
from nigroedge.smwi.masked import MaskedMap
from nigroedge.smwi.single_step import single_step_tv
from nigroedge.smwi.solvers import Stopping
from nigroedge.smwi.tv import tv_admm
from tests.smwi_phantom import VOXEL_MM, local_field, make_head, total_field
from tests.test_smwi_background import GRID, MASK, SHAPE, X, Y, Z, dipole_at
from tests.test_smwi_dipole import NOISE_PPM, nrmse

UPRIGHT = (0.0, 0.0, 1.0)
FEW = Stopping(tolerance=0, iterations=15)


@functools.cache
def solved(tilt=20.0, seed=5):
    """A head of 52 mm, on which nothing was chosen, its field with noise, and χ in one step."""
    head = make_head((104, 104, 30), tilt_degrees=tilt, seed=seed)
    noise = np.random.default_rng(0).normal(scale=NOISE_PPM, size=head.chi.shape)
    grid = FourierGrid(head.chi.shape, VOXEL_MM, 12.0)
    field = MaskedMap((total_field(head) + noise).astype(np.float32), head.mask, grid)
    b0 = field_direction(head.affine)
    return head, field, b0, single_step_tv(field, b0)


def test_one_step_halves_the_error_of_two():
    head, field, b0, (local, found) = solved()
    removed = vsharp(field)
    twofold = tv_admm(removed, b0, support=head.mask)

    one, two = (nrmse(s.chi, head.chi, local.mask) for s in (found, twofold))

    np.testing.assert_array_equal(local.mask, removed.mask)  # nothing of the mask is given away
    assert one < 0.6 * two, (one, two)
    assert one < nrmse(tkd(removed, b0).chi, head.chi, local.mask) / 2


def test_the_local_field_is_that_of_the_brain():
    """A third nearer than V-SHARP's at least: 0.18 of its SD for 0.34 is measured."""
    head, field, _, (local, _) = solved()
    truth = local_field(head)[local.mask]

    def error(values):
        return (values - truth - (values - truth).mean()).std() / truth.std()

    assert error(local.values[local.mask]) < 2 / 3 * error(vsharp(field).values[local.mask])


def test_small_structures_keep_their_height():
    """1.01 of it is measured; in one pass, with edges at the full price, it is less."""
    head, _, _, (local, found) = solved()

    def contrast(chi):
        nigra, nigrosome = (
            chi[local.mask & head.where(name)].mean() for name in ("nigra", "nigrosome")
        )
        return nigra - nigrosome

    assert contrast(found.chi) == pytest.approx(contrast(head.chi), rel=0.04)


@pytest.mark.parametrize("side", [-1, 1])
def test_the_field_of_a_source_beyond_the_slab_makes_next_to_no_susceptibility(side):
    """The same source inside the mask makes a hundred times as much."""
    outer = dipole_at((3.0, -2.0, 24.0 * side))
    chi = np.zeros(SHAPE, np.float32)
    chi[20:26, 20:24, 13:17] = 1.0
    inner = GRID.convolve(chi, dipole_kernel(GRID, UPRIGHT))
    inner *= np.float32(outer[MASK].std() / inner[MASK].std())

    made = [
        single_step_tv(MaskedMap(field, MASK, GRID), UPRIGHT, stopping=FEW)[1].chi
        for field in (outer, inner)
    ]

    assert made[0][MASK].std() < 0.1 * made[1][MASK].std()


@settings(max_examples=3, deadline=None)
@given(st.floats(-50, 50), st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1))
def test_a_constant_and_a_slope_of_the_field_change_nothing(constant, x, y, z):
    """What a scanner's centre frequency and its shim leave is no susceptibility."""
    field = dipole_at((0.0, 0.0, 0.0))
    field[X**2 + Y**2 + Z**2 < 4] = 0
    shifted = (field + constant + x * X + y * Y + z * Z).astype(np.float32)

    plain, moved = (
        single_step_tv(MaskedMap(f, MASK, GRID), UPRIGHT, stopping=FEW)[1].chi
        for f in (field, shifted)
    )

    # Rounding of a field up to 80 in float32, against a map of SD 1 and more.
    np.testing.assert_allclose(moved, plain, atol=0.02 * plain.std() + 1e-3)


def test_voxels_of_no_weight_are_not_believed():
    """A turn of phase that is off in a corner, with no weight there."""
    head, field, b0, _ = solved()
    weight = np.ones(head.mask.shape, np.float32)
    spoilt = field.values.copy()
    corner = (slice(20, 26), slice(60, 66), slice(10, 14))
    assert head.mask[corner].all()
    spoilt[corner] += 0.8
    weight[14:32, 54:72, 3:21] = 0  # as far as its ball reaches

    bad = MaskedMap(spoilt, head.mask, field.grid)
    (local, trusting), (_, wary) = (
        single_step_tv(bad, b0, weight=w, stopping=FEW) for w in (None, weight)
    )

    far = local.mask & (weight > 0)
    errors = [nrmse(s.chi, head.chi, far) for s in (wary, trusting)]
    assert errors[0] < 0.8 * errors[1], errors


def test_a_mask_too_thin_for_any_ball_is_refused():
    thin = MASK & (np.abs(Z) < 1.5)

    with pytest.raises(GeometryError, match="too thin"):
        single_step_tv(MaskedMap(dipole_at((0, 0, 0)), thin, GRID), UPRIGHT)


@pytest.mark.parametrize("dipole", ["tkd", "ilsqr"])
def test_a_single_step_with_another_inversion_is_refused(dipole):
    with pytest.raises(InputError, match=f"expected dipole='tv'.*got dipole='{dipole}'"):
        replace(METHODS["best"], dipole=dipole)
