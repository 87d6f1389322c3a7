# SPDX-License-Identifier: Apache-2.0
"""Solvers: against scipy's in double precision, and what they say of why they stopped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import linalg

from nigroedge.smwi.lsqr import lsmr, lsqr, norm

SOLVERS = {"lsqr": (lsqr, linalg.lsqr), "lsmr": (lsmr, linalg.lsmr)}


def problem(seed, complex_values=False):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(30, 12)) + (1j * rng.normal(size=(30, 12)) if complex_values else 0)
    right = rng.normal(size=(30, 1)) + (1j * rng.normal(size=(30, 1)) if complex_values else 0)
    kind = np.complex64 if complex_values else np.float32
    return matrix.astype(kind), right.astype(kind)


@pytest.mark.parametrize("name", SOLVERS)
@given(st.integers(0, 1000), st.booleans())
def test_the_solution_is_that_of_least_squares(name, seed, complex_values):
    matrix, right = problem(seed, complex_values)
    truth = np.linalg.lstsq(matrix.astype(complex), right.astype(complex), rcond=None)[0]

    solver = SOLVERS[name][0]
    found = solver(
        lambda x: matrix @ x, lambda y: matrix.conj().T @ y, right, tolerance=0, iterations=30
    )

    np.testing.assert_allclose(truth, found.values, atol=2e-3)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("n", [1, 3, 6])
def test_every_iterate_and_residual_is_scipys(name, n):
    matrix, right = problem(5)
    ours, theirs = SOLVERS[name]

    found = ours(lambda x: matrix @ x, lambda y: matrix.T @ y, right, tolerance=0, iterations=n)
    limit = {"iter_lim": n} if name == "lsqr" else {"maxiter": n}
    there = theirs(matrix.astype(float), right[:, 0].astype(float), atol=0, btol=0, **limit)

    np.testing.assert_allclose(there[0], found.values[:, 0], atol=1e-4)
    residual = np.linalg.norm(right - matrix @ found.values) / np.linalg.norm(right)
    assert found.residual == pytest.approx(residual, rel=1e-4)
    assert (n, "iterations") == (found.iterations, found.stopped_by)


@pytest.mark.parametrize("name", SOLVERS)
def test_the_residual_rule_stops_at_its_first_chance(name):
    matrix = np.diag(np.linspace(1, 3, 20)).astype(np.float32)
    right = np.ones((20, 1), np.float32)
    solver = SOLVERS[name][0]

    found = solver(lambda x: matrix @ x, lambda y: matrix @ y, right, tolerance=0.01, iterations=50)
    before = solver(
        lambda x: matrix @ x,
        lambda y: matrix @ y,
        right,
        tolerance=0,
        iterations=found.iterations - 1,
    )

    assert found.stopped_by == "residual"
    assert found.residual <= 0.01 < before.residual


def test_nothing_to_explain_needs_no_iteration():
    zero = np.zeros((4, 1), np.float32)

    found = lsqr(lambda x: x, lambda y: y, zero, tolerance=0.01, iterations=50)

    assert (0, 0.0) == (found.iterations, norm(found.values))


def test_norm_by_hand():
    assert norm(np.array([[3.0], [4.0]], np.float32)) == 5
    assert norm(np.array([[3j], [4]], np.complex64)) == 5
