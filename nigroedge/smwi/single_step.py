# SPDX-License-Identifier: Apache-2.0
"""From the total field to susceptibility in one step: nothing is inverted but χ.

Background removal in a step of its own has to turn the field less its mean over a ball back into a
local field, and what the ball passes weakly (scales of several radii: most of a real head's local
field) is lost there. Here χ is sought whose field, passed through the same balls, is what the
measured field is when passed through them (single-step QSM: Chatnuntawech 2017, with the variable
balls of Li 2011 and Wu 2012). Sources outside the mask pass no ball, so they need no model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nigroedge.smwi.admm import Datum, Penalties, minimise
from nigroedge.smwi.dipole import Susceptibility, referenced
from nigroedge.smwi.fourier import Floats, Vector3
from nigroedge.smwi.high_pass import shells
from nigroedge.smwi.kernels import dipole_kernel
from nigroedge.smwi.masked import MaskedMap
from nigroedge.smwi.solvers import Step, Stopping, ignore
from nigroedge.smwi.tv import TvOptions, normalised_weight

#: Balls of 6 mm hold what is known of large scales, balls of 2 mm keep the rim. Each costs two
#: transforms a round; more of them change little (docs/notes/smwi.md).
RADII_MM = (6.0, 2.0)
#: A wave of 60 mm passes a ball of 6 mm and the dipole with a hundredth of its height, 1e-4 in
#: the sum of squares: the other penalties must not hold it.
PENALTIES = Penalties(gradient=200.0, data=0.01, support=1e-5)
OPTIONS = TvOptions(regularisation=5e-6, stopping=Stopping(tolerance=5e-4, iterations=60))


def single_step_tv(
    total: MaskedMap,
    b0: Vector3,
    *,
    weight: Floats | None = None,
    radii_mm: Sequence[float] = RADII_MM,
    options: TvOptions = OPTIONS,
    step: Step = ignore,
) -> tuple[MaskedMap, Susceptibility]:
    """Minimise ½ Σᵣ ‖W Mᵣ (1 − ballᵣ) (D χ − field)‖² + λ ‖∇χ‖₁, with χ = 0 outside the mask.

    Mᵣ is where the ball of radius r is the largest that fits.

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
    options : TvOptions
    step : callable
        Called after each iteration, with the part of all of them that is done.

    Returns
    -------
    local : MaskedMap
        The field of χ, ppm, within the mask without the rim into which no ball fits.
    susceptibility : Susceptibility
        Within the same mask.

    Raises
    ------
    GeometryError
        If the smallest ball fits into less than 5 % of the mask.
    """
    grid = total.grid
    dipole = dipole_kernel(grid, b0)
    trust = normalised_weight(weight, total.mask)
    left = np.zeros(grid.shape, bool)
    data = []
    for shell in shells(total, radii_mm):
        left |= shell.where
        data.append(Datum(shell.kernel * dipole, shell.values, trust * shell.where))
    found = minimise(
        grid,
        data,
        total.mask,
        regularisation=options.regularisation,
        penalties=PENALTIES,
        stopping=options.stopping,
        step=step,
    )
    local = grid.convolve(np.where(total.mask, found.chi, np.float32(0)), dipole)
    susceptibility = Susceptibility(referenced(found.chi, left), found.solver)
    return MaskedMap(local, left, grid), susceptibility
