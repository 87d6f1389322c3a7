# SPDX-License-Identifier: Apache-2.0
"""From the total field to susceptibility in one step: nothing is inverted but χ.

Background removal in a step of its own has to turn the field less its mean over a ball back into a
local field, and what the ball passes weakly (scales of several radii: most of a real head's local
field) is lost there. Here χ is sought whose field, passed through the same balls, is what the
measured field is when passed through them (single-step QSM: Chatnuntawech 2017, with the variable
balls of Li 2011 and Wu 2012). Sources outside the mask pass no ball, so they need no model. TV
takes height from small structures; passes that charge less for the edges of the pass before give
it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from nigroedge.smwi.admm import Datum, Minimum, Penalties, Shares, minimise, shares_of
from nigroedge.smwi.coarse import Blocks
from nigroedge.smwi.dipole import Susceptibility, referenced
from nigroedge.smwi.fourier import Floats, Mask, Vector3
from nigroedge.smwi.high_pass import shells
from nigroedge.smwi.kernels import dipole_kernel
from nigroedge.smwi.masked import MaskedMap
from nigroedge.smwi.noise import noise_sd
from nigroedge.smwi.solvers import Step, Stopping, ignore
from nigroedge.smwi.tv import normalised_weight

#: Balls of 6 mm hold what is known of large scales, balls of 2 mm keep the rim. Each costs two
#: transforms a round; more of them change little (docs/notes/smwi.md).
RADII_MM = (6.0, 2.0)
#: λ for a field whose noise is 1, mm: chosen like the penalties (docs/notes/smwi.md).
LAMBDA_TO_NOISE = 0.018
#: A wave of 60 mm passes a ball of 6 mm and the dipole with a hundredth of its height, 1e-4 in
#: the sum of squares: the penalty that holds χ where it was must be smaller. First on voxels of a
#: millimetre with a small penalty of the data, for large scales, then on all for the rest.
COARSE = Penalties(gradient=100.0, data=0.01, support=1e-5)
COARSE_STOPPING = Stopping(tolerance=5e-4, iterations=80)
FINE = Penalties(gradient=100.0, data=0.03, support=1e-5)
#: Of all passes together.
FINE_STOPPING = Stopping(tolerance=5e-4, iterations=36)
#: On all voxels: the first plain, each after it with edges of half the price from EDGE_PPM_PER_MM
#: up. Nigrosome-1 to nigra over one voxel of half a millimetre are 0.07.
PASSES = 3
EDGE_PPM_PER_MM = 0.02
#: The part of the time that the coarse voxels take.
_COARSE_PART = 0.3


def single_step_tv(
    total: MaskedMap,
    b0: Vector3,
    *,
    weight: Floats | None = None,
    radii_mm: Sequence[float] = RADII_MM,
    regularisation: float | None = None,
    stopping: Stopping = FINE_STOPPING,
    step: Step = ignore,
) -> tuple[MaskedMap, Susceptibility]:
    """Minimise ½ Σᵣ ‖W Mᵣ (1 − ballᵣ) (D χ − field)‖² + λ ‖∇χ‖₁, with χ = 0 outside the mask.

    Mᵣ is where the ball of radius r is the largest that fits. Found from a start on voxels of about
    a millimetre, which are too coarse for nigrosome-1 and quick at what is larger. Then λ is shared
    out anew by the edges that were found (`shares_of`), and χ found again, twice.

    Parameters
    ----------
    total : MaskedMap
        Total field, ppm, on a grid with a margin of at least the largest radius.
    b0 : (float, float, float)
        Unit vector of B0 in image axes.
    weight : (nx, ny, nz) float32, optional
        W, any scale (it is divided by its mean over the mask); the mask alone by default.
    radii_mm : sequence of float
        Falling.
    regularisation : float, optional
        λ, ppm·mm; by default LAMBDA_TO_NOISE of the field's noise.
    stopping : Stopping
        When χ changes by no more than this part of itself, or after as many rounds, of which each
        pass has its share.
    step : callable
        Called after each round, with the part of all of them that is done.

    Returns
    -------
    local : MaskedMap
        The field of χ, ppm, within the mask without the rim into which no ball fits.
    susceptibility : Susceptibility
        Within the same mask; λ stands beside it.

    Raises
    ------
    GeometryError
        If the smallest ball fits into less than 5 % of the mask.
    """
    grid = total.grid
    trust = normalised_weight(weight, total.mask)
    lam = LAMBDA_TO_NOISE * noise_sd(total) if regularisation is None else regularisation
    fine = _Passed.of(total, b0, trust, radii_mm)
    found = fine.refined_from(
        _coarse_start(total, b0, trust, radii_mm, lam, lambda d: step(d * _COARSE_PART)),
        lam,
        stopping,
        lambda done: step(_COARSE_PART + done * (1 - _COARSE_PART)),
    )
    local = grid.convolve(np.where(total.mask, found.chi, np.float32(0)), dipole_kernel(grid, b0))
    solver = {**found.solver, "lambda": lam}
    return MaskedMap(local, fine.left, grid), Susceptibility(
        referenced(found.chi, fine.left), solver
    )


def _coarse_start(
    total: MaskedMap, b0: Vector3, trust: Floats, radii_mm: Sequence[float], lam: float, step: Step
) -> Floats:
    """Find χ on voxels of about a millimetre; given on all voxels."""
    blocks = Blocks(total.grid)
    coarse, weight = blocks.coarsened(total, trust)
    passed = _Passed.of(coarse, b0, normalised_weight(weight, coarse.mask), radii_mm)
    found = passed.minimise(lam, COARSE, COARSE_STOPPING, step=step)
    return np.where(total.mask, blocks.refined(found.chi), np.float32(0))


@dataclass(frozen=True, eq=False)
class _Passed:
    """A total field passed through the balls."""

    total: MaskedMap
    data: list[Datum]
    left: Mask

    @classmethod
    def of(cls, total: MaskedMap, b0: Vector3, trust: Floats, radii_mm: Sequence[float]) -> _Passed:
        dipole = dipole_kernel(total.grid, b0)
        data, left = [], np.zeros(total.grid.shape, bool)
        for shell in shells(total, radii_mm):
            data.append(Datum(shell.kernel * dipole, shell.values, trust * shell.where))
            left |= shell.where
        return cls(total, data, left)

    def refined_from(self, chi: Floats, lam: float, stopping: Stopping, step: Step) -> Minimum:
        """Find χ from a start near it, in passes that charge less for the edges of the last."""
        shares: list[Shares] | None = None
        rounds = 0
        for n in range(PASSES):
            until = stopping.iterations * (n + 1) // PASSES
            few = Stopping(stopping.tolerance, until - stopping.iterations * n // PASSES)
            part = partial(_part_of, step, n)
            found = self.minimise(lam, FINE, few, start=chi, shares=shares, step=part)
            rounds += int(found.solver["iterations"])
            chi, solver = found.chi, found.solver
            del found
            if n + 1 < PASSES:
                chi = np.where(self.total.mask, chi, np.float32(0))
                shares = None  # let go before the next are made
                shares = shares_of(self.total.grid, chi, EDGE_PPM_PER_MM)
        return Minimum(chi, {**solver, "iterations": rounds})

    def minimise(
        self,
        regularisation: float,
        penalties: Penalties,
        stopping: Stopping,
        *,
        start: Floats | None = None,
        shares: list[Shares] | None = None,
        step: Step,
    ) -> Minimum:
        return minimise(
            self.total.grid,
            self.data,
            self.total.mask,
            regularisation=regularisation,
            penalties=penalties,
            stopping=stopping,
            start=start,
            shares=shares,
            step=step,
        )


def _part_of(step: Step, n: int, done: float) -> None:
    """Report the n-th pass as a part of all."""
    step((n + done) / PASSES)
