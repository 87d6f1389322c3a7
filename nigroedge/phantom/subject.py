# SPDX-License-Identifier: Apache-2.0
"""A simulated person: disease, state of each nigra, what is read and measured, and the scan.

A hidden state of the nigra decides how well nigrosome-1 is seen and what SPECT measures on average;
both have spread of their own, so that nobody can predict the SBR from the image better than
`expected_sbr` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from nigroedge.phantom.anatomy import BRAINSTEM_TILT, Anatomy, draw_anatomy
from nigroedge.phantom.shapes import Matrix, Vector, affine_of, apply, as_vector, product, rotation

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")
#: Sign of the patient's x on each side.
SIGN: dict[Side, float] = {"left": -1.0, "right": 1.0}

#: The scan of Bae 2023; its axes grow to left, posterior and superior, as a scanner stores them.
SLAB_SHAPE = (384, 384, 30)
SLAB_SPACING_MM = (0.5, 0.5, 1.0)
_SLAB_SIGNS = (-1.0, -1.0, 1.0)
#: Slices of the patch that a model takes (20 mm).
_PATCH_SLICES = 20
#: Share of participants with abnormal SPECT: 308 of 367 (Bae 2023, table 1).
COHORT_PREVALENCE = 308 / 367
#: Spread of the measured SBR that the state does not explain: SD common to both sides, and of each
#: alone; together 0.84, of a total of 1.25 (docs/notes/phantom.md).
SBR_SD_COMMON, SBR_SD_SIDE = 0.68, 0.49
#: SBR = striatum / occipital − 1, and the striatum is never darker than the reference: not below 0.
#: A little above it, because a striatum that cannot be told from its surroundings is not measured.
SBR_MINIMUM = 0.1


@dataclass(frozen=True)
class SideState:
    """One side of a subject.

    Parameters
    ----------
    state : float
        Hidden state of the nigra, 0 (gone) to 1 (healthy).
    visibility : float
        How far nigrosome-1 stands out of the nigra, 0 to 1; follows the state, but is faint in some
        healthy sides.
    intact : bool
        What the reader says of it.
    expected_sbr : float
        Mean of the SBR given the state: nobody can predict better from an image.
    sbr : float
        SBR as measured.
    centroid_mm : (float, float, float)
        Nigrosome-1 as marked by the reader, patient RAS mm.
    iron : float
        Factor on the susceptibility of this nigra.
    anatomy : Anatomy
    """

    state: float
    visibility: float
    intact: bool
    expected_sbr: float
    sbr: float
    centroid_mm: Vector
    iron: float
    anatomy: Anatomy


@dataclass(frozen=True)
class Contrast:
    """How the scan shows tissue.

    Parameters
    ----------
    chi_gain : float
        Factor on positive susceptibilities: iron of this person and scale of the QSM method.
    chi_threshold_ppm : float
        χth of the SMWI mask.
    edge_mm, nucleus_edge_mm : float
        Width of borders; those of nuclei are wider, as they have no clear edge.
    texture, noise : float
        Relative SD of the tissue's texture and of the noise in the magnitude.
    chi_texture_ppb, chi_noise_ppb : float
        SD of texture and noise in the susceptibility map.
    bias : (float, float, float)
        Relative change of the coil's gain per 100 mm along the midbrain's x, y, z.
    csf : float
        Factor on the signal of CSF, which flows.
    """

    chi_gain: float
    chi_threshold_ppm: float
    edge_mm: float
    nucleus_edge_mm: float
    texture: float
    noise: float
    chi_texture_ppb: float
    chi_noise_ppb: float
    bias: Vector
    csf: float


@dataclass(frozen=True, eq=False)
class Subject:
    """Everything about one simulated person and the scan; what a seed decides.

    Parameters
    ----------
    to_patient : (4, 4) ndarray
        Midbrain frame → patient RAS mm: a rotation, one scale, and a shift.
    slab_affine : (4, 4) ndarray
        Voxel index → patient RAS mm of the scan's slab of SLAB_SHAPE.
    """

    seed: int
    diseased: bool
    left: SideState
    right: SideState
    contrast: Contrast
    to_patient: Matrix
    slab_affine: Matrix

    def side(self, side: Side) -> SideState:
        """Give one side."""
        return self.left if side == "left" else self.right


def ramp(state: float, low: float, high: float) -> float:
    """Give 0 where the state is below `low`, 1 above `high`, and the share of the way between."""
    return min(1.0, max(0.0, (state - low) / (high - low)))


def iron_load(state: float) -> float:
    """Give how far the nigra's χ and R2* have gone from health (0) to disease (1).

    Iron rises early, between 80 % and 60 % of the state, before nigrosome-1 is lost (assumed).
    """
    return 1.0 - ramp(state, 0.60, 0.80)


def expected_sbr(state: float) -> float:
    """Give the mean SBR of a nigra in this state: linear from 80 % of it to a floor at 48 %.

    Nigral cells and striatal uptake part company below about half of the cells. Floor and rise are
    set so that the cohort has the moments of Bae 2023 (docs/notes/phantom.md).
    """
    return 2.33 + 2.41 * ramp(state, 0.48, 0.80)


def draw_subject(
    seed: int, *, prevalence: float = COHORT_PREVALENCE, reader_jitter_mm: float = 0.0
) -> Subject:
    """Draw a person and the conditions of the scan.

    Parameters
    ----------
    seed : int
        Not negative; the same seed gives the same subject.
    prevalence : float
        Chance of disease. With the default, the cohort's share of abnormal SPECT, about 80 % of
        sides are read as lost, as in the cohort.
    reader_jitter_mm : float
        SD of the marked centroid about nigrosome-1 along each of the patient's axes.

    Raises
    ------
    ValueError
        If the seed or the jitter is negative or the prevalence is not within 0 and 1.
    """
    if seed < 0 or reader_jitter_mm < 0 or not 0 <= prevalence <= 1:
        raise ValueError(
            f"expected seed >= 0, reader_jitter_mm >= 0 and prevalence in [0, 1], "
            f"got {seed}, {reader_jitter_mm} and {prevalence}"
        )
    rng = generator(seed, 0)
    diseased = bool(rng.random() < prevalence)
    to_patient = _draw_pose(rng)
    states = _draw_states(rng, diseased)
    measured = _draw_sbr(rng, [expected_sbr(state) for state in states])
    left, right = (
        _draw_side(rng, side, state, sbr, to_patient, reader_jitter_mm)
        for side, state, sbr in zip(SIDES, states, measured, strict=True)
    )
    contrast = _draw_contrast(rng)
    nigrosomes = [apply(to_patient, side.anatomy.nigrosome.centre) for side in (left, right)]
    slab_affine = _lay_slab(rng, to_patient, nigrosomes)
    return Subject(seed, diseased, left, right, contrast, to_patient, slab_affine)


def generator(*words: int) -> np.random.Generator:
    """Give the random numbers that belong to these words: a seed and the number of a stream."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def _draw_pose(rng: np.random.Generator) -> Matrix:
    """Draw a head that is not quite straight and not quite in the middle (assumed)."""
    turn = product(rotation(rng.normal(0, 2.5, 3)), rotation((-BRAINSTEM_TILT, 0, 0)))
    return affine_of(rng.uniform(0.95, 1.08) * turn, rng.normal((0, 0, 0), (3, 12, 12)))


def _draw_states(rng: np.random.Generator, diseased: bool) -> list[float]:
    """Draw the state of both nigrae: alike in health, unequal in disease (assumed)."""
    common = 0.02 + 0.6 * rng.beta(1.6, 3.1) if diseased else rng.uniform(0.8, 1.0)
    spread = 0.09 if diseased else 0.03
    return [min(1.0, max(0.0, common + spread * rng.standard_normal())) for _ in SIDES]


def _draw_sbr(rng: np.random.Generator, means: list[float]) -> list[float]:
    """Draw what SPECT measures on both sides; again where a side falls below SBR_MINIMUM."""
    while True:
        common = SBR_SD_COMMON * rng.standard_normal()
        values = [mean + common + SBR_SD_SIDE * rng.standard_normal() for mean in means]
        if min(values) >= SBR_MINIMUM:
            return values


def _draw_reading(rng: np.random.Generator, state: float) -> tuple[float, bool]:
    """Draw how far nigrosome-1 stands out, and what the reader says.

    It fades between 66 % and 36 % of the state; in 13 % of sides it is thin or faint even so
    (10–20 % of healthy ones at 7 T). Readers differ by the last term.
    """
    t = ramp(state, 0.36, 0.66)
    faint = rng.random() < 0.13
    visibility = t * t * (3 - 2 * t) * (rng.uniform(0.25, 0.7) if faint else rng.uniform(0.85, 1))
    return visibility, bool(visibility + 0.06 * rng.standard_normal() > 0.3)


def _draw_side(
    rng: np.random.Generator,
    side: Side,
    state: float,
    sbr: float,
    to_patient: Matrix,
    jitter_mm: float,
) -> SideState:
    visibility, intact = _draw_reading(rng, state)
    anatomy = draw_anatomy(rng, SIGN[side])
    iron = float(np.exp(0.045 * rng.standard_normal()))
    slip = jitter_mm * rng.standard_normal(3)
    marked = as_vector(np.array(apply(to_patient, anatomy.nigrosome.centre)) + slip)
    return SideState(state, visibility, intact, expected_sbr(state), sbr, marked, iron, anatomy)


def _draw_contrast(rng: np.random.Generator) -> Contrast:
    """Draw the scan's properties.

    χth lies about the 0.5 ppm that fit one real patch better than SEPIA's 1 ppm; all are assumed,
    about what that patch shows (docs/notes/phantom.md).
    """
    return Contrast(
        chi_gain=rng.uniform(0.8, 1.6),
        chi_threshold_ppm=rng.uniform(0.46, 0.72),
        edge_mm=rng.uniform(0.9, 1.5),
        nucleus_edge_mm=rng.uniform(3.2, 4.2),
        texture=rng.uniform(0.045, 0.065),
        noise=rng.uniform(0.025, 0.055),
        chi_texture_ppb=rng.uniform(8, 16),
        chi_noise_ppb=rng.uniform(4, 10),
        bias=as_vector(rng.normal(0, 0.15, 3)),
        csf=rng.uniform(0.75, 1.0),
    )


def _lay_slab(rng: np.random.Generator, to_patient: Matrix, nigrosomes: list[Vector]) -> Matrix:
    """Lay the slab until it holds a patch around each nigrosome: a scan that misses is repeated."""
    while True:
        slab_affine = _draw_slab(rng, to_patient)
        to_index = np.asarray(np.linalg.inv(slab_affine), np.float64)
        slices = [apply(to_index, nigrosome)[2] for nigrosome in nigrosomes]
        if min(slices) >= _PATCH_SLICES / 2 and max(slices) <= SLAB_SHAPE[2] - _PATCH_SLICES / 2:
            return slab_affine


def _draw_slab(rng: np.random.Generator, to_patient: Matrix) -> Matrix:
    """Lay the slab across the brainstem, as well as a technician does (assumed)."""
    tilt = rotation((-BRAINSTEM_TILT + rng.normal(0, 3), 0, 0))
    linear = tilt * (np.array(_SLAB_SIGNS) * np.array(SLAB_SPACING_MM))
    centre = np.array(apply(to_patient, (0, 0, -4))) + rng.normal(0, (2, 4, 1))
    middle = (np.array(SLAB_SHAPE) - 1) / 2
    return affine_of(linear, centre - (linear * middle).sum(axis=1))
