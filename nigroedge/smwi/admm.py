# SPDX-License-Identifier: Apache-2.0
"""Total variation by the alternating direction method of multipliers (ADMM), for any field of χ.

Each linear image of χ that a term of the sum judges (its gradient, each of its fields, itself) gets
a copy that meets that term alone, so that every step is a division, in space or in frequencies:
Bilgic 2014 for the gradient, Milovic 2018 (FANSI) for the data, which lets the weights in without
an inner solver; the support is one more copy. Differences are forward ones on the padded box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nigroedge.smwi.differences import forward_difference, gradient_adjoint
from nigroedge.smwi.fourier import Complexes, Floats, FourierGrid, Mask
from nigroedge.smwi.kernels import gradient_kernel
from nigroedge.smwi.solvers import Step, Stopping, dot, ignore

#: Known to a thousandth, in half the memory.
Shares = npt.NDArray[np.float16]


@dataclass(frozen=True)
class Penalties:
    """What a copy's distance from its original costs: the way to the minimum, not the minimum.

    A copy whose penalty is small against its term lets χ go far in a round. What passes through a
    field's kernel but weakly (large scales through a ball of 6 mm) is found only if the support's
    penalty, which holds χ where it was, is smaller still.

    Parameters
    ----------
    gradient : float
        As a multiple of λ.
    data, support : float
    """

    gradient: float
    data: float
    support: float


@dataclass(frozen=True, eq=False)
class Datum:
    """A field that was measured, and how χ makes it: ½ ‖W (K χ + c − field)‖².

    Parameters
    ----------
    kernel : half-spectrum, float32
        K, real and even.
    field : (nx, ny, nz) float32
        ppm.
    weight : (nx, ny, nz) float32
        W; 0 where the field is not known.
    shifted : bool
        Whether c is free, or 0.
    """

    kernel: Floats
    field: Floats
    weight: Floats
    shifted: bool = False


@dataclass(frozen=True, eq=False)
class Minimum:
    """χ on the volume, ppm, and how the rounds ended."""

    chi: Floats
    solver: dict[str, float | int | str]


def minimise(
    grid: FourierGrid,
    data: Sequence[Datum],
    support: Mask,
    *,
    regularisation: float,
    penalties: Penalties,
    stopping: Stopping,
    start: Floats | None = None,
    shares: Sequence[Shares] | None = None,
    step: Step = ignore,
) -> Minimum:
    """Minimise the sum of the data's terms + λ ‖∇χ‖₁, with χ = 0 outside the support.

    Edges that cross the support's border cost nothing.

    Parameters
    ----------
    grid : FourierGrid
    data : sequence of Datum
        At least one.
    support : (nx, ny, nz) bool
        Where sources may lie.
    regularisation : float
        λ, ppm·mm.
    penalties : Penalties
    stopping : Stopping
        When χ changes by no more than this part of itself, or after as many rounds.
    start : (nx, ny, nz) float32, optional
        A χ near the minimum; 0 by default.
    shares : sequence of padded float16, optional
        What part of λ a difference costs, 0 to 1, along each axis; all of it by default.
    step : callable
        Called after each round, with the part of all of them that is done.
    """
    problem = _Problem.of(grid, data, support, regularisation, penalties, shares)
    state = _Admm.start(problem)
    if start is not None:
        state.move_to(grid.pad(start))
    change, n = 1.0, 0
    for n in range(1, stopping.iterations + 1):
        change = state.iterate()
        step(n / stopping.iterations)
        if change <= stopping.tolerance:
            break
    return Minimum(grid.crop(state.chi), {"iterations": n, "relative_change": change})


def shares_of(grid: FourierGrid, chi: Floats, edge: float) -> list[Shares]:
    """Charge less for a difference where a first χ has an edge: 1 / (1 + (∂χ / edge)²).

    TV takes height from every structure, the more so the smaller it is. Weighed by what was found
    before, edges are nearly free, and what is flat pays all the more (Candès 2008, with a square).

    Parameters
    ----------
    grid : FourierGrid
    chi : (nx, ny, nz) float32
        ppm.
    edge : float
        The slope that costs half, ppm/mm.
    """
    padded = grid.pad(chi)
    shares = []
    for axis, size in enumerate(grid.voxel_size_mm):
        slope = forward_difference(padded, axis, size)
        slope *= np.float32(1 / edge)
        slope *= slope
        slope += 1
        shares.append((1 / slope).astype(np.float16))
    return shares


@dataclass(frozen=True, eq=False)
class _Problem:
    """What is minimised, all on the padded box, and what of it every round needs again."""

    grid: FourierGrid
    penalties: Penalties
    inverse: Floats
    support: Mask
    inner_edges: list[Mask]
    shares: Sequence[Shares] | None
    mu_gradient: np.float32
    fields: list[_Field]

    @classmethod
    def of(
        cls,
        grid: FourierGrid,
        data: Sequence[Datum],
        support: Mask,
        regularisation: float,
        penalties: Penalties,
        shares: Sequence[Shares] | None,
    ) -> _Problem:
        mu_gradient = np.float32(penalties.gradient * regularisation)
        normal = mu_gradient * gradient_kernel(grid) + np.float32(penalties.support)
        for datum in data:
            normal += np.float32(penalties.data) * datum.kernel**2
        within = grid.pad(support.astype(np.float32)) > 0
        return cls(
            grid=grid,
            penalties=penalties,
            inverse=(1 / normal).astype(np.float32),
            support=within,
            inner_edges=[within == np.roll(within, -1, axis) for axis in range(3)],
            shares=shares,
            mu_gradient=mu_gradient,
            fields=[_Field.of(grid, datum, penalties.data) for datum in data],
        )


@dataclass(eq=False)
class _Field:
    """The copy of one field of χ: its dual, and the target of the next χ, copy − dual."""

    kernel: Floats
    measured: Floats
    share: Floats
    shifted: bool
    dual: Floats
    target: Floats

    @classmethod
    def of(cls, grid: FourierGrid, datum: Datum, penalty: float) -> _Field:
        weight2 = grid.pad(datum.weight**2)
        share = weight2 / (weight2 + np.float32(penalty))
        measured = grid.pad(datum.field)
        dual = np.zeros(grid.padded, np.float32)
        return cls(datum.kernel, measured, share, datum.shifted, dual, share * measured)

    def fit(self, field: Floats) -> None:
        """Move the copy of the field towards the measured one, plus the constant if it is free."""
        field += self.dual
        excess = field - self.measured
        if self.shifted:
            total_share = float(self.share.sum(dtype=np.float64))
            excess -= np.float32(dot(self.share, excess) / total_share)
        np.multiply(self.share, excess, out=self.dual)
        np.subtract(field, 2 * self.dual, out=self.target)


@dataclass(eq=False)
class _Admm:
    """The variables of one run: χ, and of every copy the dual and the target of the next χ."""

    problem: _Problem
    chi: Floats
    gradient_dual: list[Floats]
    gradient_target: list[Floats]
    outer_dual: Floats

    @classmethod
    def start(cls, problem: _Problem) -> _Admm:
        zeros = [np.zeros(problem.grid.padded, np.float32) for _ in range(8)]
        return cls(
            problem,
            chi=zeros[0],
            gradient_dual=zeros[1:4],
            gradient_target=zeros[4:7],
            outer_dual=zeros[7],
        )

    def iterate(self) -> float:
        """One round; gives the relative change of χ."""
        problem = self.problem
        spectrum = self._solve_chi()
        chi = problem.grid.inverse(spectrum)
        change = _relative_change(chi, self.chi)
        self._judge(chi, spectrum)
        return change

    def move_to(self, chi: Floats) -> None:
        """Take a χ as if the round before the first had found it."""
        self._judge(chi, self.problem.grid.forward(chi))

    def _judge(self, chi: Floats, spectrum: Complexes) -> None:
        """Hold the images of a new χ against what each term wants of its copy."""
        problem = self.problem
        self.chi = chi
        self._shrink_gradient()
        for field in problem.fields:
            field.fit(problem.grid.inverse(spectrum * field.kernel))
        # χ inside, 0 outside: the dual is the sum of what was outside.
        self.outer_dual += np.where(problem.support, np.float32(0), chi)

    def _solve_chi(self) -> Complexes:
        problem, grid = self.problem, self.problem.grid
        mu_data, mu_support = np.float32(problem.penalties.data), problem.penalties.support
        image = gradient_adjoint(self.gradient_target, grid.voxel_size_mm)
        image *= problem.mu_gradient
        image += np.float32(mu_support) * np.where(problem.support, self.chi, -self.outer_dual)
        spectrum = grid.forward(image)
        for field in problem.fields:
            spectrum += grid.forward(field.target) * (mu_data * field.kernel)
        spectrum *= problem.inverse
        return spectrum

    def _shrink_gradient(self) -> None:
        """Shrink by a share of λ / μ, but for edges that cross the support's border."""
        for axis, size in enumerate(self.problem.grid.voxel_size_mm):
            total = forward_difference(self.chi, axis, size)
            total += self.gradient_dual[axis]
            # dual ← total − shrink(total), which is total clipped to ± the threshold.
            share = 1 if self.problem.shares is None else self.problem.shares[axis]
            limit = np.asarray(np.float32(1 / self.problem.penalties.gradient) * share)
            dual = np.minimum(total, limit, out=self.gradient_dual[axis])
            np.maximum(dual, np.negative(limit, out=limit), out=dual)
            dual *= self.problem.inner_edges[axis]
            np.subtract(total, 2 * dual, out=self.gradient_target[axis])


def _relative_change(new: Floats, old: Floats) -> float:
    size = float(np.linalg.norm(new))
    return float(np.linalg.norm(new - old)) / size if size else 0.0
