# SPDX-License-Identifier: Apache-2.0
"""Dipole inversion: TKD, iLSQR and TV, alone, against the truth of a simulated slab."""

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


@pytest.fixture(scope="module", params=[0.0, 30.0], ids=lambda tilt: f"tilt{tilt:g}")
def solved(request):
    """A head, its local field with noise, the grid, and every solver's map of it."""
    head = make_head((72, 72, 24), tilt_degrees=request.param)
    noise = np.random.default_rng(0).normal(scale=NOISE_PPM, size=head.chi.shape)
    field = np.where(head.mask, local_field(head) + noise, 0).astype(np.float32)
    grid = FourierGrid(head.chi.shape, VOXEL_MM, 12.0)
    b0 = field_direction(head.affine)
    maps = {name: solve(field, head.mask, grid, b0) for name, solve in SOLVERS.items()}
    return head, field, grid, maps


def test_tv_beats_ilsqr_beats_tkd(solved):
    head, _, _, maps = solved
    errors = {name: nrmse(found.chi, head.chi, head.mask) for name, found in maps.items()}

    assert errors["tv"] < errors["ilsqr"] < errors["tkd"], errors
    assert errors["tv"] < 25, errors


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
