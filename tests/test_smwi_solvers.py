# SPDX-License-Identifier: Apache-2.0
"""Solvers: against scipy's in double precision, and what they say of why they stopped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import linalg

from nigroedge.smwi.solvers import (
    Operator,
    Stopping,
    conjugate_gradients,
    dot,
    lsmr,
    lsqr,
    norm,
)

SOLVERS = {"lsqr": (lsqr, linalg.lsqr), "lsmr": (lsmr, linalg.lsmr)}


def problem(seed, complex_values=False):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(30, 12)) + (1j * rng.normal(size=(30, 12)) if complex_values else 0)
    right = rng.normal(size=(30, 1)) + (1j * rng.normal(size=(30, 1)) if complex_values else 0)
    kind = np.complex64 if complex_values else np.float32
    return matrix.astype(kind), right.astype(kind)


def operator_of(matrix):
    return Operator(lambda x: matrix @ x, lambda y: matrix.conj().T @ y)


@pytest.mark.parametrize("name", SOLVERS)
@given(st.integers(0, 1000), st.booleans())
def test_the_solution_is_that_of_least_squares(name, seed, complex_values):
    matrix, right = problem(seed, complex_values)
    truth = np.linalg.lstsq(matrix.astype(complex), right.astype(complex), rcond=None)[0]

    solver = SOLVERS[name][0]
    found = solver(operator_of(matrix), right, Stopping(0, 30))

    np.testing.assert_allclose(truth, found.values, atol=2e-3)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("n", [1, 3, 6])
def test_every_iterate_and_residual_is_scipys(name, n):
    matrix, right = problem(5)
    ours, theirs = SOLVERS[name]

    found = ours(operator_of(matrix), right, Stopping(0, n))
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

    found = solver(operator_of(matrix), right, Stopping(0.01, 50))
    before = solver(operator_of(matrix), right, Stopping(0, found.iterations - 1))

    assert found.stopped_by == "residual"
    assert found.residual <= 0.01 < before.residual


@pytest.mark.parametrize("name", SOLVERS)
def test_the_normal_rule_stops_where_no_residual_rule_can(name):
    """What is left of the right side lies across the range of A, however long one goes on."""
    matrix, right = problem(2)

    found = SOLVERS[name][0](operator_of(matrix), right, Stopping(0.01, 50, 1e-4))

    assert "normal" == found.stopped_by
    assert found.normal_residual <= 1e-4
    assert found.residual > 0.01
    left = right - matrix @ found.values
    # ‖A‖ of the recurrence is Frobenius', of the part that was seen: larger than the spectral norm.
    size = norm(matrix.T @ left) / (np.linalg.norm(matrix, 2) * norm(left))
    assert size < 1e-3


def size_seen(name, matrix, right, n):
    """Frobenius' norm of the bidiagonal matrix after n iterations, in double precision.

    LSQR has the α of the next one too (Paige and Saunders 1982, 5.3; Fong and Saunders 2011, 3).
    """
    squares, u, v = 0.0, right / np.linalg.norm(right), 0 * matrix[0][:, None]
    beta = 0.0
    for step in range(n + 1):
        v = matrix.T @ u - beta * v
        alpha = np.linalg.norm(v)
        v /= alpha
        squares += alpha**2 if step < n or name == "lsqr" else 0
        u = matrix @ v - alpha * u
        beta = np.linalg.norm(u)
        u /= beta
        squares += beta**2 if step < n else 0
    return np.sqrt(squares)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("n", [1, 3, 6])
def test_the_normal_residual_is_what_it_says(name, n):
    matrix, right = (values.astype(float) for values in problem(7))

    found = SOLVERS[name][0](operator_of(matrix.astype(np.float32)), right.astype(np.float32),
                             Stopping(0, n))  # fmt: skip

    left = right - matrix @ found.values
    expected = np.linalg.norm(matrix.T @ left) / np.linalg.norm(left)
    # Float32, and vectors that are no longer quite orthogonal.
    assert found.normal_residual * size_seen(name, matrix, right, n) == pytest.approx(
        expected, rel=2e-3
    )


@pytest.mark.parametrize("name", SOLVERS)
def test_the_normal_rule_stops_at_its_first_chance(name):
    matrix, right = problem(2)
    solver = SOLVERS[name][0]

    found = solver(operator_of(matrix), right, Stopping(0, 50, 1e-2))
    before = solver(operator_of(matrix), right, Stopping(0, found.iterations - 1))

    assert "normal" == found.stopped_by
    assert found.normal_residual <= 1e-2 < before.normal_residual


@pytest.mark.parametrize("name", SOLVERS)
def test_a_rule_is_met_by_what_equals_it(name):
    """One iteration solves A = 1 exactly: both residuals are 0, and so is every tolerance."""
    found = SOLVERS[name][0](Operator(lambda x: x, lambda y: y), np.ones((4, 1), np.float32),
                             Stopping(0, 9))  # fmt: skip

    assert (1, 0.0, "residual") == (found.iterations, found.residual, found.stopped_by)


@pytest.mark.parametrize("name", SOLVERS)
def test_what_lies_across_the_range_needs_no_iteration(name):
    matrix, right = np.array([[1], [0]], np.float32), np.array([[0], [1]], np.float32)

    found = SOLVERS[name][0](operator_of(matrix), right, Stopping(0.01, 50))

    assert (0, 1.0, 0.0, "normal") == (
        found.iterations, found.residual, found.normal_residual, found.stopped_by
    )  # fmt: skip
    assert [[0]] == found.values.tolist()


@pytest.mark.parametrize("name", SOLVERS)
def test_steps_count_up_to_all_that_were_allowed(name):
    matrix, right = problem(3)
    seen = []

    SOLVERS[name][0](operator_of(matrix), right, Stopping(0, 4), step=seen.append)

    assert [0.25, 0.5, 0.75, 1.0] == seen


@pytest.mark.parametrize("name", SOLVERS)
def test_nothing_to_explain_needs_no_iteration(name):
    zero = np.zeros((4, 1), np.float32)

    found = SOLVERS[name][0](Operator(lambda x: x, lambda y: y), zero, Stopping(0.01, 50))

    assert (0, 0.0) == (found.iterations, norm(found.values))


@given(st.integers(0, 1000))
def test_conjugate_gradients_solve_a_positive_definite_system(seed):
    matrix, right = problem(seed)
    normal = matrix.T @ matrix + np.eye(12, dtype=np.float32)
    truth = np.linalg.solve(normal.astype(float), (matrix.T @ right).astype(float))

    found = conjugate_gradients(lambda x: normal @ x, matrix.T @ right, Stopping(1e-6, 30))

    np.testing.assert_allclose(truth, found, atol=1e-3)


def test_conjugate_gradients_stop_by_the_relative_residual_or_by_their_number():
    """Eigenvalues 1 and 3, each in the right side: two steps, by Hestenes and Stiefel's theorem."""
    scale = np.array([[1.0], [3.0]], np.float32)
    right = np.array([[3.0], [3.0]], np.float32)
    seen = []

    found = conjugate_gradients(lambda x: scale * x, right, Stopping(1e-3, 8), step=seen.append)
    one = conjugate_gradients(lambda x: scale * x, right, Stopping(1e-3, 1))

    np.testing.assert_allclose([[3], [1]], found, rtol=1e-6)
    assert [1 / 8, 2 / 8] == seen
    assert [[1.5], [1.5]] == one.tolist()  # 18 / 36 of the right side


@given(st.integers(0, 1000), st.floats(0.01, 0.5))
def test_conjugate_gradients_stop_at_the_first_residual_that_is_small_enough(seed, tolerance):
    matrix, right = problem(seed)
    normal = matrix.T @ matrix + np.eye(12, dtype=np.float32)
    right = matrix.T @ right
    seen = []

    found = conjugate_gradients(
        lambda x: normal @ x, right, Stopping(tolerance, 40), step=seen.append
    )
    before = conjugate_gradients(lambda x: normal @ x, right, Stopping(0, len(seen) - 1))

    now, then = (norm(right - normal @ x) / norm(right) for x in (found, before))
    # The residual is the recurrence's: float32 parts it from that of x.
    assert now <= tolerance * 1.01
    assert then > tolerance * 0.99


def test_dot_by_hand():
    assert 11 == dot(np.array([[1.0], [2.0]], np.float32), np.array([[3.0], [4.0]], np.float32))
    assert 0 == dot(np.array([[1j]], np.complex64), np.array([[1]], np.complex64))


def test_norm_by_hand():
    assert norm(np.array([[3.0], [4.0]], np.float32)) == 5
    assert norm(np.array([[3j], [4]], np.complex64)) == 5
