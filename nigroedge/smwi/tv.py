# SPDX-License-Identifier: Apache-2.0
"""From the local field to susceptibility by total variation: edges are few, sources in the brain.

Minimised by ADMM: Bilgic 2014 for the splitting of the gradient, Milovic 2018 (FANSI) for that of
the data, which lets the weights in without an inner solver; the support is a third copy.
Differences are forward ones on the padded box.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nigroedge.smwi.differences import forward_difference, gradient_adjoint
from nigroedge.smwi.dipole import Susceptibility, referenced
from nigroedge.smwi.fourier import Complexes, Floats, FourierGrid, Mask, Vector3
from nigroedge.smwi.kernels import dipole_kernel, gradient_kernel
from nigroedge.smwi.masked import MaskedMap, inside
from nigroedge.smwi.solvers import Step, Stopping, dot, ignore

#: Penalty of the gradient's copy as a multiple of λ, of the data's, and of the support's. They
#: change the way to the minimum, not the minimum; chosen like λ.
MU_GRADIENT = 225.0
MU_DATA = 0.3
MU_SUPPORT = 0.01
STOPPING = Stopping(tolerance=5e-4, iterations=60)


@dataclass(frozen=True)
class TvOptions:
    """How smooth, and how long; the defaults were chosen on simulated slabs (docs/notes/smwi.md).

    Parameters
    ----------
    regularisation : float
        λ, the weight of the gradient, ppm·mm.
    stopping : Stopping
        When χ changes by no more than this part of itself, or after as many iterations.
    """

    regularisation: float = 4e-5
    stopping: Stopping = STOPPING


def tv_admm(
    field: MaskedMap,
    b0: Vector3,
    *,
    weight: Floats | None = None,
    support: Mask | None = None,
    options: TvOptions = TvOptions(),
    step: Step = ignore,
) -> Susceptibility:
    """Minimise ½ ‖W (D χ + c − field)‖² + λ ‖∇χ‖₁ over χ and c, with χ = 0 outside a support.

    What makes a local field lies inside the brain; without saying so, sources in the empty box
    around it help to explain the field, the more so the more B0 is tilted. The constant c is there
    because D passes no constant: where the field has its 0 is not known, and a χ that is bound to a
    support would have to explain it. Edges that cross the support's border cost nothing.

    Parameters
    ----------
    field : MaskedMap
        Local field, ppm. Outside the mask it is not known and weighs nothing.
    b0 : (float, float, float)
        Unit vector of B0 in image axes.
    weight : (nx, ny, nz) float32, optional
        W, any scale (it is divided by its mean over the mask); the mask alone by default.
    support : (nx, ny, nz) bool, optional
        Where sources may lie; the mask by default. After a background removal that erodes the mask
        it is the mask before: sources in the rim that was lost still make a field inside.
    options : TvOptions
    step : callable
        Called after each iteration, with the part of all of them that is done.
    """
    problem = _Problem.of(field, b0, weight, support, options.regularisation)
    state = _Admm.start(problem)
    stopping = options.stopping
    change, n = 1.0, 0
    for n in range(1, stopping.iterations + 1):
        change = state.iterate()
        step(n / stopping.iterations)
        if change <= stopping.tolerance:
            break
    chi = referenced(field.grid.crop(state.chi), field.mask)
    return Susceptibility(chi, {"iterations": n, "relative_change": change})


@dataclass(frozen=True, eq=False)
class _Problem:
    """What is minimised, all on the padded box, and what of it every round needs again."""

    grid: FourierGrid
    dipole: Floats
    inverse: Floats
    support: Mask
    inner_edges: list[Mask]
    data_share: Floats
    field: Floats
    mu_gradient: np.float32

    @classmethod
    def of(
        cls,
        field: MaskedMap,
        b0: Vector3,
        weight: Floats | None,
        support: Mask | None,
        regularisation: float,
    ) -> _Problem:
        grid = field.grid
        dipole = dipole_kernel(grid, b0)
        mu_gradient = np.float32(MU_GRADIENT * regularisation)
        normal = MU_DATA * dipole**2 + mu_gradient * gradient_kernel(grid) + MU_SUPPORT
        weight2 = grid.pad(_normalised_weight(weight, field.mask) ** 2)
        sources = field.mask if support is None else support
        within = grid.pad(sources.astype(np.float32)) > 0
        return cls(
            grid=grid,
            dipole=dipole,
            inverse=(1 / normal).astype(np.float32),
            support=within,
            inner_edges=[within == np.roll(within, -1, axis) for axis in range(3)],
            data_share=weight2 / (weight2 + np.float32(MU_DATA)),
            field=grid.pad(field.values),
            mu_gradient=mu_gradient,
        )


def _normalised_weight(weight: Floats | None, mask: Mask) -> Floats:
    if weight is None:
        return mask.astype(np.float32)
    return inside(weight / np.float32(weight[mask].mean(dtype=np.float64)), mask)


@dataclass(eq=False)
class _Admm:
    """The variables of one run.

    For each of three linear images of χ (its gradient, its field, itself) a copy is kept that meets
    one term alone, and a dual, their summed difference. Kept are the dual and the target of the
    next χ, copy − dual.
    """

    problem: _Problem
    chi: Floats
    gradient_dual: list[Floats]
    gradient_target: list[Floats]
    data_dual: Floats
    data_target: Floats
    outer_dual: Floats

    @classmethod
    def start(cls, problem: _Problem) -> _Admm:
        zeros = [np.zeros(problem.grid.padded, np.float32) for _ in range(9)]
        return cls(
            problem,
            chi=zeros[0],
            gradient_dual=zeros[1:4],
            gradient_target=zeros[4:7],
            data_dual=zeros[7],
            data_target=problem.data_share * problem.field,
            outer_dual=zeros[8],
        )

    def iterate(self) -> float:
        """One round; gives the relative change of χ."""
        problem = self.problem
        spectrum = self._solve_chi()
        chi = problem.grid.inverse(spectrum)
        change = _relative_change(chi, self.chi)
        self.chi = chi
        self._shrink_gradient()
        self._fit_data(problem.grid.inverse(spectrum * problem.dipole))
        # χ inside, 0 outside: the dual is the sum of what was outside.
        self.outer_dual += np.where(problem.support, np.float32(0), chi)
        return change

    def _solve_chi(self) -> Complexes:
        problem, grid = self.problem, self.problem.grid
        spectrum = grid.forward(self.data_target) * (np.float32(MU_DATA) * problem.dipole)
        image = gradient_adjoint(self.gradient_target, grid.voxel_size_mm)
        image *= problem.mu_gradient
        image += np.float32(MU_SUPPORT) * np.where(problem.support, self.chi, -self.outer_dual)
        spectrum += grid.forward(image)
        spectrum *= problem.inverse
        return spectrum

    def _shrink_gradient(self) -> None:
        """Shrink by λ / μ, but for edges that cross the support's border, which are left."""
        limit = np.float32(1 / MU_GRADIENT)
        for axis, size in enumerate(self.problem.grid.voxel_size_mm):
            total = forward_difference(self.chi, axis, size)
            total += self.gradient_dual[axis]
            # dual ← total − shrink(total), which is total clipped to ± the threshold.
            dual = np.clip(total, -limit, limit, out=self.gradient_dual[axis])
            dual *= self.problem.inner_edges[axis]
            np.subtract(total, 2 * dual, out=self.gradient_target[axis])

    def _fit_data(self, field: Floats) -> None:
        """Move the copy of the field towards the measured one, plus the constant that fits best."""
        share = self.problem.data_share
        total = field + self.data_dual
        excess = total - self.problem.field
        excess -= np.float32(dot(share, excess) / float(share.sum(dtype=np.float64)))
        self.data_dual = share * excess
        self.data_target = total - 2 * self.data_dual


def _relative_change(new: Floats, old: Floats) -> float:
    size = float(np.linalg.norm(new))
    return float(np.linalg.norm(new - old)) / size if size else 0.0
