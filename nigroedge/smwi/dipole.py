# SPDX-License-Identifier: Apache-2.0
"""From the local field to susceptibility: thresholded division, and total variation by ADMM.

Field and susceptibility are both in ppm of B0, so the dipole kernel has no unit. What the kernel
passes nothing of (a cone around the magic angle, and the mean) must be assumed: TKD assumes
little of it, TV assumes edges to be few and sources to lie in the brain. iLSQR has a file of its
own. All of them state χ against the mean over the mask, which is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nigroedge.smwi.fourier import Complexes, Floats, FourierGrid, Mask, Vector3
from nigroedge.smwi.kernels import dipole_kernel, gradient_kernel

#: TKD: below this |D|, divide by this instead (Shmueli 2009; Wharton 2010 for the value).
TKD_THRESHOLD = 0.15
#: TV: weight of the gradient, ppm·mm; chosen on simulated slabs (docs/notes/smwi.md).
TV_LAMBDA = 4e-5
TV_ITERATIONS = 60
TV_TOLERANCE = 5e-4
#: TV: penalty of the gradient's copy as a multiple of λ, of the data's, and of the support's. They
#: change the way to the minimum, not the minimum; chosen like λ.
TV_MU_GRADIENT = 225.0
TV_MU_DATA = 0.3
TV_MU_SUPPORT = 0.01


@dataclass(frozen=True, eq=False)
class Susceptibility:
    """A susceptibility map, and how the solver ended.

    Parameters
    ----------
    chi : (nx, ny, nz) float32
        ppm, of mean 0 over the mask, 0 outside.
    solver : dict
        Numbers to keep beside the map: iterations, residuals.
    """

    chi: Floats
    solver: dict[str, float | int | str]


def referenced(chi: Floats, mask: Mask) -> Floats:
    """Put 0 at the mean over the mask (accumulated in float64), and outside it."""
    mean = np.float32(chi[mask].mean(dtype=np.float64))
    return np.where(mask, chi - mean, np.float32(0))


def tkd(
    field_ppm: Floats,
    mask: Mask,
    grid: FourierGrid,
    b0: Vector3,
    *,
    threshold: float = TKD_THRESHOLD,
) -> Susceptibility:
    """Thresholded k-space division.

    Parameters
    ----------
    field_ppm : (nx, ny, nz) float32
        Local field, 0 outside the mask.
    mask : (nx, ny, nz) bool
    grid : FourierGrid
    b0 : (float, float, float)
        Unit vector of B0 in image axes.
    threshold : float
        Where |D| is smaller, sign(D) · threshold takes its place.
    """
    kernel = inverse_dipole(dipole_kernel(grid, b0), threshold)
    return Susceptibility(referenced(grid.convolve(field_ppm, kernel), mask), {})


def inverse_dipole(kernel: Floats, threshold: float) -> Floats:
    """1 / D, cut off at sign(D) / threshold; 0 where D is 0."""
    kept = np.abs(kernel) >= threshold
    cut = np.sign(kernel) / np.float32(threshold)
    return np.where(kept, 1 / np.where(kept, kernel, 1), cut).astype(np.float32)


def tv_admm(
    field_ppm: Floats,
    mask: Mask,
    grid: FourierGrid,
    b0: Vector3,
    *,
    weight: Floats | None = None,
    support: Mask | None = None,
    regularisation: float = TV_LAMBDA,
    iterations: int = TV_ITERATIONS,
    tolerance: float = TV_TOLERANCE,
    step: Callable[[float], None] = lambda done: None,
) -> Susceptibility:
    """Minimise ½ ‖W (D χ + c − field)‖² + λ ‖∇χ‖₁ over χ and c, with χ = 0 outside a support.

    What makes a local field lies inside the brain; without saying so, sources in the empty box
    around it help to explain the field, the more so the more B0 is tilted. The constant c is there
    because D passes no constant: where the field has its 0 is not known, and a χ that is bound to a
    support would have to explain it. Edges that cross the support's border cost nothing.

    Parameters
    ----------
    field_ppm : (nx, ny, nz) float32
        Local field.
    mask : (nx, ny, nz) bool
        Outside, the field is not known and weighs nothing.
    grid : FourierGrid
    b0 : (float, float, float)
        Unit vector of B0 in image axes.
    weight : (nx, ny, nz) float32, optional
        W, any scale (it is divided by its mean over the mask); the mask alone by default.
    support : (nx, ny, nz) bool, optional
        Where sources may lie; the mask by default. After a background removal that erodes the mask
        it is the mask before: sources in the rim that was lost still make a field inside.
    regularisation : float
        λ, ppm·mm.
    iterations, tolerance : int, float
        Stop at this many, or when χ changes by no more than this part of itself.

    Notes
    -----
    Bilgic 2014 for the splitting of the gradient, Milovic 2018 (FANSI) for that of the data, which
    lets the weights in without an inner solver; the support is a third copy. Differences are
    forward ones on the padded box.
    """
    support = mask if support is None else support
    state = _Admm.start(field_ppm, mask, support, grid, b0, weight, regularisation)
    change, n = 1.0, 0
    for n in range(1, iterations + 1):
        change = state.iterate()
        step(n / iterations)
        if change <= tolerance:
            break
    chi = referenced(grid.crop(state.chi), mask)
    return Susceptibility(chi, {"iterations": n, "relative_change": change})


@dataclass(eq=False)
class _Admm:
    """The variables of one ADMM run, all on the padded box.

    For each of three linear images of χ (its gradient, its field, itself) a copy is kept that meets
    one term alone, and a dual, their summed difference. Kept are the dual and the target of the
    next χ, copy − dual.
    """

    grid: FourierGrid
    dipole: Floats
    inverse: Floats
    support: Mask
    inner_edges: list[Mask]
    data_share: Floats
    field: Floats
    mu_gradient: np.float32
    chi: Floats
    gradient_dual: list[Floats]
    gradient_target: list[Floats]
    data_dual: Floats
    data_target: Floats
    outer_dual: Floats

    @classmethod
    def start(
        cls,
        field_ppm: Floats,
        mask: Mask,
        support: Mask,
        grid: FourierGrid,
        b0: Vector3,
        weight: Floats | None,
        regularisation: float,
    ) -> _Admm:
        dipole = dipole_kernel(grid, b0)
        mu_gradient = np.float32(TV_MU_GRADIENT * regularisation)
        normal = TV_MU_DATA * dipole**2 + mu_gradient * gradient_kernel(grid) + TV_MU_SUPPORT
        weight2 = grid.pad(_normalised_weight(weight, mask) ** 2)
        share = weight2 / (weight2 + np.float32(TV_MU_DATA))
        field = grid.pad(np.where(mask, field_ppm, np.float32(0)))
        inside = grid.pad(support.astype(np.float32)) > 0
        zeros = [np.zeros(grid.padded, np.float32) for _ in range(9)]
        return cls(
            grid=grid,
            dipole=dipole,
            inverse=(1 / normal).astype(np.float32),
            support=inside,
            inner_edges=[inside == np.roll(inside, -1, axis) for axis in range(3)],
            data_share=share,
            field=field,
            mu_gradient=mu_gradient,
            chi=zeros[0],
            gradient_dual=zeros[1:4],
            gradient_target=zeros[4:7],
            data_dual=zeros[7],
            data_target=share * field,
            outer_dual=zeros[8],
        )

    def iterate(self) -> float:
        """One round; gives the relative change of χ."""
        spectrum = self._solve_chi()
        chi = self.grid.inverse(spectrum)
        change = _relative_change(chi, self.chi)
        self.chi = chi
        self._shrink_gradient()
        self._fit_data(self.grid.inverse(spectrum * self.dipole))
        # χ inside, 0 outside: the dual is the sum of what was outside.
        self.outer_dual += np.where(self.support, np.float32(0), chi)
        return change

    def _solve_chi(self) -> Complexes:
        spectrum = self.grid.forward(self.data_target) * (np.float32(TV_MU_DATA) * self.dipole)
        image = _gradient_adjoint(self.gradient_target, self.grid)
        image *= self.mu_gradient
        image += np.float32(TV_MU_SUPPORT) * np.where(self.support, self.chi, -self.outer_dual)
        spectrum += self.grid.forward(image)
        spectrum *= self.inverse
        return spectrum

    def _shrink_gradient(self) -> None:
        """Shrink by λ / μ, but for edges that cross the support's border, which are left."""
        limit = np.float32(1 / TV_MU_GRADIENT)
        for axis, size in enumerate(self.grid.voxel_size_mm):
            total = _forward_difference(self.chi, axis, size)
            total += self.gradient_dual[axis]
            # dual ← total − shrink(total), which is total clipped to ± the threshold.
            dual = np.clip(total, -limit, limit, out=self.gradient_dual[axis])
            dual *= self.inner_edges[axis]
            np.subtract(total, 2 * dual, out=self.gradient_target[axis])

    def _fit_data(self, field: Floats) -> None:
        """Move the copy of the field towards the measured one, plus the constant that fits best."""
        total = field + self.data_dual
        excess = total - self.field
        excess -= np.float32(_mean(excess, self.data_share))
        self.data_dual = self.data_share * excess
        self.data_target = total - 2 * self.data_dual


def _mean(values: Floats, weight: Floats) -> float:
    """Weighted mean: float32 within a plane, float64 over planes."""
    above = sum(float(np.vdot(w, v)) for w, v in zip(weight, values, strict=True))
    return above / float(weight.sum(dtype=np.float64))


def _normalised_weight(weight: Floats | None, mask: Mask) -> Floats:
    if weight is None:
        return mask.astype(np.float32)
    mean = np.float32(weight[mask].mean(dtype=np.float64))
    return np.where(mask, weight / mean, np.float32(0))


def _relative_change(new: Floats, old: Floats) -> float:
    size = float(np.linalg.norm(new))
    return float(np.linalg.norm(new - old)) / size if size else 0.0


def _forward_difference(values: Floats, axis: int, size_mm: float) -> Floats:
    """Difference to the next voxel over its distance, wrapping around; 1/mm."""
    out = np.empty_like(values)
    here, there, last, first = _slices(axis)
    np.subtract(values[there], values[here], out=out[here])
    np.subtract(values[first], values[last], out=out[last])
    out *= np.float32(1 / size_mm)
    return out


def _gradient_adjoint(gradient: list[Floats], grid: FourierGrid) -> Floats:
    """Adjoint of the three forward differences: minus the divergence."""
    total = np.zeros(grid.padded, np.float32)
    for axis, (part, size) in enumerate(zip(gradient, grid.voxel_size_mm, strict=True)):
        scaled = part * np.float32(1 / size)
        here, there, last, first = _slices(axis)
        total -= scaled
        total[there] += scaled[here]
        total[first] += scaled[last]
    return total


def _slices(axis: int) -> tuple[tuple[slice, ...], ...]:
    """All but the last along an axis, all but the first, the last, the first."""
    spans = (slice(None, -1), slice(1, None), slice(-1, None), slice(None, 1))
    return tuple((*(slice(None),) * axis, span, *(slice(None),) * (2 - axis)) for span in spans)
