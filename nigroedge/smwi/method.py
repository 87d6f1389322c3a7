# SPDX-License-Identifier: Apache-2.0
"""Which step runs how: every parameter of a reconstruction, and three sets of them with a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nigroedge.errors import InputError
from nigroedge.smwi.background import (
    RESHARP_LAMBDA,
    RESHARP_RADIUS_MM,
    VSHARP_RADII_MM,
    VSHARP_THRESHOLD,
)
from nigroedge.smwi.channels import OFFSET_SIGMA_VOXELS
from nigroedge.smwi.dipole import TKD_THRESHOLD
from nigroedge.smwi.mask import OPENING_MM
from nigroedge.smwi.single_step import FINE_STOPPING, RADII_MM
from nigroedge.smwi.tv import TvOptions
from nigroedge.smwi.weighting import CHI_THRESHOLD_PPM, POWER, check_weighting


@dataclass(frozen=True)
class Method:
    """Every choice of a reconstruction; all of it is written beside the result.

    Parameters
    ----------
    unwrap : {'laplacian', 'exact'}
        Laplacian of each echo; or region growing of one echo difference, then along time.
    background : {'vsharp', 'resharp', 'single-step'}
        Taken away before the dipole inversion, or in one step with it.
    dipole : {'tkd', 'ilsqr', 'tv'}
        In one step with the background: 'tv'.
    single_step_radii_mm : tuple of float
        Balls of the single step, falling.
    tv_lambda : float, optional
        Weight of the gradient in 'tv', ppm·mm. By default 4e-5 after a background removal of its
        own, and by the field's noise in a single step.
    margin_mm : float
        Padding of the Fourier transforms; at least the largest radius of the background removal.

    Raises
    ------
    InputError
        If a single step is to end in another inversion than 'tv', or the mask would leave nothing
        to see (`check_weighting`).
    """

    unwrap: Literal["laplacian", "exact"]
    background: Literal["vsharp", "resharp", "single-step"]
    dipole: Literal["tkd", "ilsqr", "tv"]
    chi_threshold_ppm: float = CHI_THRESHOLD_PPM
    power: float = POWER
    mask_opening_mm: float = OPENING_MM
    offset_sigma_voxels: tuple[float, float, float] = OFFSET_SIGMA_VOXELS
    vsharp_radii_mm: tuple[float, ...] = VSHARP_RADII_MM
    vsharp_threshold: float = VSHARP_THRESHOLD
    single_step_radii_mm: tuple[float, ...] = RADII_MM
    resharp_radius_mm: float = RESHARP_RADIUS_MM
    resharp_lambda: float = RESHARP_LAMBDA
    tkd_threshold: float = TKD_THRESHOLD
    tv_lambda: float | None = None
    tv_iterations: int = TvOptions.stopping.iterations
    margin_mm: float = 24.0

    def __post_init__(self) -> None:
        check_weighting(self.chi_threshold_ppm, self.power)
        if self.background == "single-step" and self.dipole != "tv":
            raise InputError(
                f"expected dipole='tv' with background='single-step', got dipole={self.dipole!r}"
            )


METHODS = {
    # As the paper: Laplacian unwrapping per echo (which in a whole slab may turn answers wrong:
    # docs/notes/smwi.md), iLSQR; its background removal is not known.
    "paper": Method("laplacian", "vsharp", "ilsqr"),
    # Fewer balls and a closed-form inversion: for a first look.
    "fast": Method("exact", "vsharp", "tkd", vsharp_radii_mm=(6.0, 4.0, 2.0)),
    # What scored best, step by step (docs/notes/smwi.md).
    "best": Method(
        "exact", "single-step", "tv", tv_iterations=FINE_STOPPING.iterations, margin_mm=12.0
    ),
}
