# SPDX-License-Identifier: Apache-2.0
"""From the local field to susceptibility by total variation: edges are few, and in the brain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nigroedge.smwi.admm import Datum, Penalties, minimise
from nigroedge.smwi.dipole import Susceptibility, referenced
from nigroedge.smwi.fourier import Floats, Mask, Vector3
from nigroedge.smwi.kernels import dipole_kernel
from nigroedge.smwi.masked import MaskedMap, inside
from nigroedge.smwi.solvers import Step, Stopping, ignore

#: Chosen like λ.
PENALTIES = Penalties(gradient=225.0, data=0.3, support=0.01)
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
    kernel = dipole_kernel(field.grid, b0)
    datum = Datum(kernel, field.values, normalised_weight(weight, field.mask), shifted=True)
    found = minimise(
        field.grid,
        [datum],
        field.mask if support is None else support,
        regularisation=options.regularisation,
        penalties=PENALTIES,
        stopping=options.stopping,
        step=step,
    )
    return Susceptibility(referenced(found.chi, field.mask), found.solver)


def normalised_weight(weight: Floats | None, mask: Mask) -> Floats:
    """Of mean 1 over the mask and 0 outside it; 1 inside where none is given."""
    if weight is None:
        return mask.astype(np.float32)
    return inside(weight / np.float32(weight[mask].mean(dtype=np.float64)), mask)
