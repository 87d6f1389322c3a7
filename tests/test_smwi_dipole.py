# SPDX-License-Identifier: Apache-2.0
"""Dipole inversion: TKD, iLSQR and TV, alone, against the truth of a simulated slab."""

import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nigroedge.smwi.dipole import inverse_dipole, referenced, tkd, tv_admm
from nigroedge.smwi.fourier import FourierGrid
from nigroedge.smwi.ilsqr import MAX_ITERATIONS, TOLERANCE, ilsqr
from nigroedge.smwi.kernels import dipole_kernel, field_direction
from tests.smwi_phantom import VOXEL_MM, local_field, make_head

SOLVERS = {"tkd": tkd, "ilsqr": ilsqr, "tv": tv_admm}
#: Noise of the frequency at SNR 50 and five echoes: about 1 ppb.
NOISE_PPM = 1e-3


def nrmse(found, truth, mask):
    """In per cent, both without their means over the mask."""
    a, b = (v[mask] - v[mask].mean() for v in (found, truth))
    return 100 * np.linalg.norm(a - b) / np.linalg.norm(b)


@functools.cache
def solved_at(tilt, seed=0):
    """A head, its local field with noise, the grid, and every solver's map of it."""
    head = make_head((72, 72, 24), tilt_degrees=tilt, seed=seed)
    noise = np.random.default_rng(0).normal(scale=NOISE_PPM, size=head.chi.shape)
    field = np.where(head.mask, local_field(head) + noise, 0).astype(np.float32)
    grid = FourierGrid(head.chi.shape, VOXEL_MM, 12.0)
    b0 = field_direction(head.affine)
    maps = {name: solve(field, head.mask, grid, b0) for name, solve in SOLVERS.items()}
    return head, field, grid, maps


@pytest.fixture(params=[0.0, 30.0], ids=lambda tilt: f"tilt{tilt:g}")
def solved(request):
    return solved_at(request.param)


@pytest.mark.parametrize(("tilt", "seed"), [(0.0, 0), (30.0, 0), (0.0, 3), (15.0, 3), (30.0, 3)])
def test_tv_beats_ilsqr_beats_tkd(tilt, seed):
    """On heads on which nothing was chosen."""
    head, _, _, maps = solved_at(tilt, seed)
    errors = {name: nrmse(found.chi, head.chi, head.mask) for name, found in maps.items()}

    assert errors["tv"] < errors["ilsqr"] < errors["tkd"], errors
    # The docs' slab, which is larger, has 11 %; this one is nearly all rim.
    assert errors["tv"] < 15, errors


def test_a_tilt_of_30_degrees_costs_tv_at_most_a_tenth():
    upright, tilted = (
        nrmse(maps["tv"].chi, head.chi, head.mask)
        for head, _, _, maps in map(solved_at, (0.0, 30.0))
    )

    assert tilted < 1.1 * upright


def test_ilsqr_stops_by_its_rule_and_no_other(solved):
    solver = solved[3]["ilsqr"].solver

    for step in ("lsqr", "lsmr"):
        n, residual = solver[f"{step}_iterations"], solver[f"{step}_residual"]
        assert n <= MAX_ITERATIONS == 50
        reason = "residual" if residual <= TOLERANCE == 0.01 else "iterations"
        assert reason == solver[f"{step}_stopped_by"]
        assert n == MAX_ITERATIONS or residual <= TOLERANCE


def test_maps_are_zero_outside_and_in_the_mean_inside(solved):
    head, _, _, maps = solved
    for found in maps.values():
        assert (found.chi[~head.mask] == 0).all()
        assert abs(found.chi[head.mask].mean(dtype=float)) < 1e-6


def test_ignoring_the_tilt_fails(solved):
    head, field, grid, maps = solved
    if head.b0[1] < 0.4:
        pytest.skip("nothing to ignore")

    upright = tv_admm(field, head.mask, grid, (0.0, 0.0, 1.0))

    right, wrong = (nrmse(s.chi, head.chi, head.mask) for s in (maps["tv"], upright))
    assert wrong > 2 * right


@settings(max_examples=3, deadline=None)
@given(st.floats(-0.05, 0.05))
def test_where_the_field_has_its_zero_does_not_change_the_map_of_tv(constant):
    """Fifty times the noise at most. Unfitted, a tenth of that made the error tenfold.

    After 60 iterations the two ways to one minimum are not quite there: 1 point of about 8.
    """
    head, field, grid, maps = solved_at(30.0)
    shifted = np.where(head.mask, field + np.float32(constant), 0).astype(np.float32)

    found = tv_admm(shifted, head.mask, grid, head.b0, iterations=60)

    error = nrmse(found.chi, head.chi, head.mask)
    assert error == pytest.approx(nrmse(maps["tv"].chi, head.chi, head.mask), abs=1.0)


def test_tv_puts_no_sources_outside_the_support():
    """One voxel's field, seen all around it, but with no source allowed there: χ stays away."""
    grid = FourierGrid((16, 16, 12), VOXEL_MM, 8.0)
    chi = np.zeros(grid.shape, np.float32)
    chi[8, 8, 6] = 1.0
    b0 = (0.0, 0.0, 1.0)
    field = grid.convolve(chi, dipole_kernel(grid, b0))
    whole = np.ones(grid.shape, bool)
    without = whole.copy()
    without[7:10, 7:10, 5:8] = False

    free, bound = (
        tv_admm(
            field, whole, grid, b0, support=s, regularisation=1e-5, iterations=300, tolerance=0
        ).chi
        for s in (whole, without)
    )

    assert free[8, 8, 6] - free.mean() > 0.5
    assert np.ptp(bound[~without]) < 0.02


def test_inverse_dipole_by_hand():
    kernel = np.array([0, 0.1, -0.1, 0.2, -0.5], np.float32)

    np.testing.assert_allclose([0, 8, -8, 5, -2], inverse_dipole(kernel, 0.125))


def test_reference_by_hand():
    chi = np.array([[[1.0, 3.0, 8.0]]], np.float32)

    assert [[[-1, 1, 0]]] == referenced(chi, np.array([[[True, True, False]]])).tolist()


@pytest.mark.parametrize("name", ["tkd", "tv"])
@settings(max_examples=5)
@given(st.integers(0, 100))
def test_a_field_turned_round_turns_the_map_round(name, seed):
    grid = FourierGrid((16, 16, 12), VOXEL_MM, 4.0)
    field = np.random.default_rng(seed).normal(scale=0.01, size=grid.shape).astype(np.float32)
    mask = np.ones(grid.shape, bool)
    b0 = (0.0, math.sin(0.3), math.cos(0.3))

    plain, turned = (SOLVERS[name](sign * field, mask, grid, b0) for sign in (1, -1))

    np.testing.assert_allclose(plain.chi, -turned.chi, atol=1e-5)


def test_without_regularisation_to_speak_of_tv_solves_the_plain_problem():
    """On a full box with no noise and hardly any λ, D χ̂ gives the field back."""
    grid = FourierGrid((16, 18, 12), (1.0, 1.0, 1.0), 0.0)
    chi = np.random.default_rng(0).normal(size=grid.padded).astype(np.float32)
    b0 = (0.0, 0.0, 1.0)
    kernel = dipole_kernel(grid, b0)
    whole = FourierGrid(grid.padded, (1.0, 1.0, 1.0), 0.0)
    field = whole.convolve(chi, kernel)

    found = tv_admm(
        field,
        np.ones(field.shape, bool),
        whole,
        b0,
        regularisation=1e-7,
        iterations=200,
        tolerance=0,
    )

    assert nrmse(whole.convolve(found.chi, kernel), field, np.ones(field.shape, bool)) < 1
