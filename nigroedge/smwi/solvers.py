# SPDX-License-Identifier: Apache-2.0
"""Iterative solvers for operators on large float32 arrays, with their stopping in plain sight.

scipy's own work in float64 vectors and stop by four rules at once. Here memory is a few volumes and
the rules are two, both reported. LSQR: Paige and Saunders 1982. LSMR: Fong and Saunders 2011.
Conjugate gradients: Hestenes and Stiefel 1952.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
#: Is told the part that is done, 0 to 1.
Step = Callable[[float], None]


class Operator(NamedTuple):
    """A linear map A of arrays, and its adjoint Aᴴ."""

    apply: Callable[[Array], Array]
    adjoint: Callable[[Array], Array]


@dataclass(frozen=True)
class Stopping:
    """When a solver stops.

    Parameters
    ----------
    tolerance : float
        When ‖r‖ / ‖b‖, or what the solver names in its place, is no more.
    iterations : int
        After as many.
    normal_tolerance : float
        LSQR and LSMR: when ‖Aᴴ r‖ / (‖A‖ ‖r‖) is no more; 0 switches this rule off.
    """

    tolerance: float
    iterations: int
    normal_tolerance: float = 0.0


@dataclass(frozen=True, eq=False)
class Solution:
    """What an iterative solver found, and why it stopped.

    Parameters
    ----------
    values : ndarray
    iterations : int
    residual : float
        ‖b − A x‖ / ‖b‖, from the recurrence.
    normal_residual : float
        ‖Aᴴ r‖ / (‖A‖ ‖r‖), from the recurrence.
    stopped_by : str
        'residual', 'normal' or 'iterations'.
    """

    values: Array
    iterations: int
    residual: float
    normal_residual: float
    stopped_by: Literal["residual", "normal", "iterations"]


def ignore(done: float) -> None:
    """Take no notice of a step."""


def dot(first: Array, second: Array) -> float:
    """Real part of the inner product: float32 within a plane, float64 over planes."""
    planes = zip(first, second, strict=True)
    return float(sum(float(np.vdot(one, other).real) for one, other in planes))


def norm(values: Array) -> float:
    """Euclidean norm, accumulated as `dot` is."""
    return math.sqrt(dot(values, values))


def lsqr(operator: Operator, right: Array, stopping: Stopping, *, step: Step = ignore) -> Solution:
    """Minimise ‖A x − b‖.

    Parameters
    ----------
    operator : Operator
        A.
    right : ndarray
        b, real or complex.
    stopping : Stopping
    step : callable
        Called after each iteration, with the part of all of them that is done.
    """
    return _minimise(_Lsqr, operator, right, stopping, step)


def lsmr(operator: Operator, right: Array, stopping: Stopping, *, step: Step = ignore) -> Solution:
    """Minimise ‖A x − b‖, with a normal residual ‖Aᴴ r‖ that never rises.

    Parameters are those of `lsqr`.
    """
    return _minimise(_Lsmr, operator, right, stopping, step)


def conjugate_gradients(
    normal: Callable[[Array], Array], right: Array, stopping: Stopping, *, step: Step = ignore
) -> Array:
    """Solve normal(x) = right for a positive definite operator.

    Parameters
    ----------
    normal : callable
    right : ndarray
        Real.
    stopping : Stopping
        By the relative residual, or by iterations.
    step : callable
        As of `lsqr`.
    """
    solution = np.zeros_like(right)
    residual = right.copy()
    direction = right.copy()
    energy = start = dot(residual, residual)
    for n in range(stopping.iterations):
        if energy <= stopping.tolerance**2 * start:
            break
        image = normal(direction)
        length = np.float32(energy / dot(direction, image))
        solution += length * direction
        residual -= length * image
        energy, previous = dot(residual, residual), energy
        direction = residual + np.float32(energy / previous) * direction
        step((n + 1) / stopping.iterations)
    return solution


class _Bidiagonal:
    """Golub and Kahan's bidiagonalisation of A from b: αₙ, βₙ and vₙ, one n at a time."""

    def __init__(self, operator: Operator, right: Array) -> None:
        self._operator = operator
        self.beta = norm(right)
        self._u = right / np.float32(self.beta or 1)
        self.v = operator.adjoint(self._u)
        self._normalise_v()

    def advance(self) -> None:
        """Go to the next n."""
        self._u = self._operator.apply(self.v) - np.float32(self.alpha) * self._u
        self.beta = norm(self._u)
        self._u /= np.float32(self.beta or 1)
        self.v = self._operator.adjoint(self._u) - np.float32(self.beta) * self.v
        self._normalise_v()

    def _normalise_v(self) -> None:
        self.alpha = norm(self.v)
        self.v /= np.float32(self.alpha or 1)


class _Recurrence(Protocol):
    """How a solver goes on from one n of the bidiagonalisation to the next."""

    x: Array

    def __init__(self, basis: _Bidiagonal) -> None: ...

    def advance(self, basis: _Bidiagonal) -> tuple[float, float]:
        """Improve x; give ‖r‖ and ‖Aᴴ r‖ / (‖A‖ ‖r‖)."""


def _minimise(
    recurrence: type[_Recurrence], operator: Operator, right: Array, stopping: Stopping, step: Step
) -> Solution:
    basis = _Bidiagonal(operator, right)
    size_b = basis.beta
    run = recurrence(basis)
    if basis.alpha * basis.beta == 0:
        return Solution(run.x, 0, 1.0 if size_b else 0.0, 0.0, "normal")
    residual, normal = 1.0, 1.0
    for n in range(1, stopping.iterations + 1):
        basis.advance()
        size_r, normal = run.advance(basis)
        residual = size_r / size_b
        step(n / stopping.iterations)
        if residual <= stopping.tolerance:
            return Solution(run.x, n, residual, normal, "residual")
        if normal <= stopping.normal_tolerance:
            return Solution(run.x, n, residual, normal, "normal")
    return Solution(run.x, stopping.iterations, residual, normal, "iterations")


class _Lsqr:
    """The QR factorisation of the bidiagonal matrix, one rotation at a time."""

    def __init__(self, basis: _Bidiagonal) -> None:
        self.x, self._w = np.zeros_like(basis.v), basis.v.copy()
        self._phi_bar, self._rho_bar = basis.beta, basis.alpha
        self._size_a2 = basis.alpha**2

    def advance(self, basis: _Bidiagonal) -> tuple[float, float]:
        alpha, beta = basis.alpha, basis.beta
        rho = math.hypot(self._rho_bar, beta)
        c, s = self._rho_bar / rho, beta / rho
        phi, self._phi_bar = c * self._phi_bar, s * self._phi_bar
        self._rho_bar = -c * alpha
        self.x += np.float32(phi / rho) * self._w
        self._w = basis.v - np.float32(s * alpha / rho) * self._w
        self._size_a2 += alpha**2 + beta**2
        return self._phi_bar, alpha * abs(c) / math.sqrt(self._size_a2)


class _Lsmr:
    """Two QR factorisations, of the bidiagonal matrix and of its triangular factor."""

    def __init__(self, basis: _Bidiagonal) -> None:
        self.x = np.zeros_like(basis.v)
        self._h, self._h_bar = basis.v.copy(), np.zeros_like(basis.v)
        self._zeta_bar, self._alpha_bar = basis.alpha * basis.beta, basis.alpha
        self._rho = self._rho_bar = self._c_bar = 1.0
        self._s_bar = 0.0
        self._size_a2 = basis.alpha**2
        self._size_r = _ResidualNorm(basis.beta)

    def advance(self, basis: _Bidiagonal) -> tuple[float, float]:
        alpha, beta = basis.alpha, basis.beta
        rho_old, self._rho = self._rho, math.hypot(self._alpha_bar, beta)
        c, s = self._alpha_bar / self._rho, beta / self._rho
        theta, self._alpha_bar = s * alpha, c * alpha
        theta_bar, rho_temp = self._s_bar * self._rho, self._c_bar * self._rho
        rho_bar_old, self._rho_bar = self._rho_bar, math.hypot(rho_temp, theta)
        self._c_bar, self._s_bar = rho_temp / self._rho_bar, theta / self._rho_bar
        zeta, self._zeta_bar = self._c_bar * self._zeta_bar, -self._s_bar * self._zeta_bar

        back = theta_bar * self._rho / (rho_old * rho_bar_old)
        self._h_bar = self._h - np.float32(back) * self._h_bar
        self.x += np.float32(zeta / (self._rho * self._rho_bar)) * self._h_bar
        self._h = basis.v - np.float32(theta / self._rho) * self._h

        size_r = self._size_r.advance(c, s, theta_bar, self._rho_bar, zeta)
        self._size_a2 += beta**2
        size_a = math.sqrt(self._size_a2)
        self._size_a2 += alpha**2
        return size_r, abs(self._zeta_bar) / max(size_a * size_r, 1e-30)


class _ResidualNorm:
    """‖r‖ of LSMR from its rotations, without forming r (Fong and Saunders 2011, section 5)."""

    def __init__(self, beta: float) -> None:
        self.beta_dd = beta
        self.beta_d = 0.0
        self.rho_d = 1.0
        self.tau = 0.0
        self.theta = 0.0
        self.zeta = 0.0

    def advance(self, c: float, s: float, theta_bar: float, rho_bar: float, zeta: float) -> float:
        beta_hat, self.beta_dd = c * self.beta_dd, -s * self.beta_dd
        theta_old = self.theta
        rho_tilde = math.hypot(self.rho_d, theta_bar)
        c_tilde, s_tilde = self.rho_d / rho_tilde, theta_bar / rho_tilde
        self.theta, self.rho_d = s_tilde * rho_bar, c_tilde * rho_bar
        self.beta_d = -s_tilde * self.beta_d + c_tilde * beta_hat
        self.tau = (self.zeta - theta_old * self.tau) / rho_tilde
        self.zeta = zeta
        tau_d = (zeta - self.theta * self.tau) / self.rho_d
        return math.hypot(self.beta_d - tau_d, self.beta_dd)
