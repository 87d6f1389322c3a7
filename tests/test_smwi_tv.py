# SPDX-License-Identifier: Apache-2.0
"""Total variation: what it assumes of sources, tilt and the field's 0 holds on a simulated slab."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nigroedge.smwi.fourier import FourierGrid
from nigroedge.smwi.kernels import dipole_kernel
from nigroedge.smwi.masked import MaskedMap
from nigroedge.smwi.solvers import Stopping
from nigroedge.smwi.tv import TvOptions, tv_admm
from tests.smwi_phantom import VOXEL_MM
from tests.test_smwi_dipole import nrmse, solved_at


def test_a_tilt_of_30_degrees_costs_tv_at_most_a_tenth():
    upright, tilted = (
        nrmse(maps["tv"].chi, head.chi, head.mask)
        for head, _, maps in (solved_at(tilt, 0) for tilt in (0.0, 30.0))
    )

    assert tilted < 1.1 * upright


def test_ignoring_the_tilt_fails():
    head, field, maps = solved_at(30.0, 0)

    upright = tv_admm(field, (0.0, 0.0, 1.0))

    right, wrong = (nrmse(s.chi, head.chi, head.mask) for s in (maps["tv"], upright))
    assert wrong > 2 * right


@settings(max_examples=3, deadline=None)
@given(st.floats(-0.05, 0.05))
def test_where_the_field_has_its_zero_does_not_change_the_map_of_tv(constant):
    """Fifty times the noise at most. Unfitted, a tenth of that made the error tenfold.

    After 60 iterations the two ways to one minimum are not quite there: 1 point of about 8.
    """
    head, field, maps = solved_at(30.0, 0)
    shifted = MaskedMap(field.values + np.float32(constant), head.mask, field.grid)

    found = tv_admm(shifted, head.b0)

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

    options = TvOptions(1e-5, Stopping(0, 300))
    free, bound = (
        tv_admm(MaskedMap(field, whole, grid), b0, support=s, options=options).chi
        for s in (whole, without)
    )

    assert free[8, 8, 6] - free.mean() > 0.5
    assert np.ptp(bound[~without]) < 0.02


def test_tv_stops_at_the_first_change_that_is_small_enough_or_by_their_number():
    """The change is that of χ against itself, seen here by stopping after every one of nine."""
    grid = FourierGrid((16, 16, 12), VOXEL_MM, 0.0)
    assert grid.shape == grid.padded  # so that nothing of χ is cut off
    field = np.random.default_rng(0).normal(scale=0.01, size=grid.shape).astype(np.float32)
    everywhere = MaskedMap(field, np.ones(grid.shape, bool), grid)

    def run(tolerance, iterations):
        options = TvOptions(stopping=Stopping(tolerance, iterations))
        return tv_admm(everywhere, (0.0, 0.0, 1.0), options=options)

    each = [run(0, n) for n in range(1, 10)]

    changes = [found.solver["relative_change"] for found in each]
    assert list(range(1, 10)) == [found.solver["iterations"] for found in each]
    for now, before, change in zip(each[1:], each, changes[1:], strict=False):
        step = np.linalg.norm(now.chi - before.chi) / np.linalg.norm(now.chi)
        assert change == pytest.approx(step, rel=1e-3)  # float32 takes the mean off both
    for tolerance in (changes[4], 0.999 * changes[4]):
        first = next(n for n, change in enumerate(changes, 1) if change <= tolerance)
        assert first == run(tolerance, 50).solver["iterations"]


def test_without_regularisation_to_speak_of_tv_solves_the_plain_problem():
    """On a full box with no noise and hardly any λ, D χ̂ gives the field back."""
    grid = FourierGrid((16, 18, 12), (1.0, 1.0, 1.0), 0.0)
    chi = np.random.default_rng(0).normal(size=grid.padded).astype(np.float32)
    b0 = (0.0, 0.0, 1.0)
    kernel = dipole_kernel(grid, b0)
    whole = FourierGrid(grid.padded, (1.0, 1.0, 1.0), 0.0)
    field = whole.convolve(chi, kernel)

    everywhere = np.ones(field.shape, bool)

    options = TvOptions(1e-7, Stopping(0, 200))
    found = tv_admm(MaskedMap(field, everywhere, whole), b0, options=options)

    assert nrmse(whole.convolve(found.chi, kernel), field, everywhere) < 1
