# SPDX-License-Identifier: Apache-2.0
"""A simulated midbrain: a person with a hidden state of the nigra, the SMWI of it, and the SBR.

`draw_subject` decides everything about a person and a scan from a seed, `render` makes the image on
any grid, `simulate` does both for a whole slab; `susceptibility` gives the true χ map.

A score on simulated data shows that the software works; it says nothing about patients.
"""

from nigroedge.phantom.scan import Simulation, patch_grid, render, simulate, susceptibility
from nigroedge.phantom.subject import (
    COHORT_PREVALENCE,
    SIDES,
    SLAB_SHAPE,
    SLAB_SPACING_MM,
    Side,
    SideState,
    Subject,
    draw_subject,
    expected_sbr,
)

__all__ = [
    "COHORT_PREVALENCE",
    "SIDES",
    "SLAB_SHAPE",
    "SLAB_SPACING_MM",
    "Side",
    "SideState",
    "Simulation",
    "Subject",
    "draw_subject",
    "expected_sbr",
    "patch_grid",
    "render",
    "simulate",
    "susceptibility",
]
