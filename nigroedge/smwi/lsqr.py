# SPDX-License-Identifier: Apache-2.0
"""LSQR and LSMR for operators on large float32 arrays, with the stopping rule in plain sight.

scipy's own work in float64 vectors and stop by four rules at once. Here memory is a few volumes and
the rules are two, both reported. LSQR: Paige and Saunders 1982. LSMR: Fong and Saunders 2011.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Operator = Callable[[Array], Array]


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
        ‖Aᵀ r‖ / (‖A‖ ‖r‖), from the recurrence.
    stopped_by : str
        'residual', 'normal' or 'iterations'.
    """

    values: Array
    iterations: int
    residual: float
    normal_residual: float
    stopped_by: Literal["residual", "normal", "iterations"]


def norm(values: Array) -> float:
    """Euclidean norm: float32 within a plane, float64 over planes."""
    return math.sqrt(sum(float(np.vdot(plane, plane).real) for plane in values))


def lsqr(
    apply: Operator,
    adjoint: Operator,
    right: Array,
    *,
    tolerance: float,
    iterations: int,
    normal_tolerance: float = 0.0,
    step: Callable[[int], None] = lambda n: None,
) -> Solution:
    """Minimise ‖A x − b‖.

    Parameters
    ----------
    apply, adjoint : callable
        A and its adjoint.
    right : ndarray
        b, real or complex.
    tolerance : float
        Stop when ‖r‖ / ‖b‖ is no more.
    iterations : int
        Stop after as many.
    normal_tolerance : float
        Stop when ‖Aᵀ r‖ / (‖A‖ ‖r‖) is no more; 0 switches this rule off.
    step : callable
        Called with the number of each iteration.
    """
    size_b = beta = norm(right)
    u = right / np.float32(beta or 1)
    v = adjoint(u)
    alpha = norm(v)
    v /= np.float32(alpha or 1)
    w, x = v.copy(), np.zeros_like(v)
    phi_bar, rho_bar, size_a2 = beta, alpha, alpha**2
    residual, normal = 1.0, 1.0
    if alpha * beta == 0:
        return Solution(x, 0, 1.0 if size_b else 0.0, 0.0, "normal")
    for n in range(1, iterations + 1):
        u = apply(v) - np.float32(alpha) * u
        beta = norm(u)
        u /= np.float32(beta or 1)
        v = adjoint(u) - np.float32(beta) * v
        alpha = norm(v)
        v /= np.float32(alpha or 1)
        rho = math.hypot(rho_bar, beta)
        c, s = rho_bar / rho, beta / rho
        phi, phi_bar = c * phi_bar, s * phi_bar
        rho_bar = -c * alpha
        x += np.float32(phi / rho) * w
        w = v - np.float32(s * alpha / rho) * w
        size_a2 += alpha**2 + beta**2
        residual = phi_bar / size_b
        normal = alpha * abs(c) / math.sqrt(size_a2)
        step(n)
        if residual <= tolerance:
            return Solution(x, n, residual, normal, "residual")
        if normal <= normal_tolerance:
            return Solution(x, n, residual, normal, "normal")
    return Solution(x, iterations, residual, normal, "iterations")


def lsmr(
    apply: Operator,
    adjoint: Operator,
    right: Array,
    *,
    tolerance: float,
    iterations: int,
    normal_tolerance: float = 0.0,
    step: Callable[[int], None] = lambda n: None,
) -> Solution:
    """Minimise ‖A x − b‖, with a normal residual ‖Aᵀ r‖ that never rises.

    Parameters, and the two rules, are those of `lsqr`.
    """
    size_b = beta = norm(right)
    u = right / np.float32(beta or 1)
    v = adjoint(u)
    alpha = norm(v)
    v /= np.float32(alpha or 1)
    h, h_bar, x = v.copy(), np.zeros_like(v), np.zeros_like(v)
    zeta_bar, alpha_bar = alpha * beta, alpha
    rho = rho_bar = c_bar = 1.0
    s_bar = 0.0
    size_a2 = alpha**2
    estimate = _ResidualNorm(beta)
    residual, normal = 1.0, 1.0
    if alpha * beta == 0:
        return Solution(x, 0, 1.0 if size_b else 0.0, 0.0, "normal")
    for n in range(1, iterations + 1):
        u = apply(v) - np.float32(alpha) * u
        beta = norm(u)
        u /= np.float32(beta or 1)
        v = adjoint(u) - np.float32(beta) * v
        alpha = norm(v)
        v /= np.float32(alpha or 1)

        rho_old, rho = rho, math.hypot(alpha_bar, beta)
        c, s = alpha_bar / rho, beta / rho
        theta, alpha_bar = s * alpha, c * alpha
        rho_bar_old = rho_bar
        theta_bar, rho_temp = s_bar * rho, c_bar * rho
        rho_bar = math.hypot(rho_temp, theta)
        c_bar, s_bar = rho_temp / rho_bar, theta / rho_bar
        zeta, zeta_bar = c_bar * zeta_bar, -s_bar * zeta_bar

        h_bar = h - np.float32(theta_bar * rho / (rho_old * rho_bar_old)) * h_bar
        x += np.float32(zeta / (rho * rho_bar)) * h_bar
        h = v - np.float32(theta / rho) * h

        size_r = estimate.update(c, s, theta_bar, rho_bar, zeta)
        size_a2 += beta**2
        residual = size_r / size_b
        normal = abs(zeta_bar) / max(math.sqrt(size_a2) * size_r, 1e-30)
        size_a2 += alpha**2
        step(n)
        if residual <= tolerance:
            return Solution(x, n, residual, normal, "residual")
        if normal <= normal_tolerance:
            return Solution(x, n, residual, normal, "normal")
    return Solution(x, iterations, residual, normal, "iterations")


class _ResidualNorm:
    """‖r‖ of LSMR from its rotations, without forming r (Fong and Saunders 2011, section 5)."""

    def __init__(self, beta: float) -> None:
        self.beta_dd = beta
        self.beta_d = 0.0
        self.rho_d = 1.0
        self.tau = 0.0
        self.theta = 0.0
        self.zeta = 0.0

    def update(self, c: float, s: float, theta_bar: float, rho_bar: float, zeta: float) -> float:
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
