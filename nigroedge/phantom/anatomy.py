# SPDX-License-Identifier: Apache-2.0
"""The midbrain's parts and where they lie, and how they differ from person to person.

The midbrain frame: millimetres, x to the patient's right, y anterior and z up along the brainstem,
origin midway between the red nuclei. Parts are given for the right side and mirrored for the left.
Volumes, centres and extents follow the CIT168 atlas (Pauli 2018) and one real patch, turned into
this frame (docs/notes/phantom.md); the spreads are assumed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nigroedge.phantom.shapes import Blob, Frame, Vector, Vessel, as_vector, right_angled

#: The brainstem leans forward by this much against MNI's z, degrees.
BRAINSTEM_TILT = 22.0

#: Cross-section of the midbrain, right half: tegmentum and peduncle (assumed).
_TURN = math.radians(42)
OUTLINE = (
    Blob((0.0, -6.0, 0.0), (16.5, 11.5, 1e3)),
    Blob(
        (11.2, 3.4, 0.0),
        (11.3, 9.6, 1e3),
        right_angled((math.cos(_TURN), -math.sin(_TURN), 0), (0, 1, 0)),
    ),
)
PONS = Blob((0.0, 8.0, -19.5), (18.0, 14.0, 12.5))
#: CSF on the midline: interpeduncular fossa, third ventricle, aqueduct (assumed).
CSF_SPACES = (
    Blob((0.0, 9.0, -3.5), (2.6, 6.0, 6.0)),
    Blob((0.0, -9.0, 9.0), (3.0, 8.0, 7.0)),
    Blob((0.0, -12.5, -4.0), (1.0, 1.3, 13.0)),
)
#: Grey matter that dims a voxel a little, right half: mammillary body, pontine and collicular grey
#: (assumed; seen as dim patches on the lower slices of the one real patch).
GREY_PLACES = (
    Blob((2.5, 11.5, 5.5), (2.6, 2.6, 2.6)),
    Blob((6.5, 8.0, -11.0), (3.5, 2.5, 3.5)),
    Blob((5.0, -10.5, -13.0), (5.0, 2.5, 4.0)),
)


@dataclass(frozen=True)
class Anatomy:
    """The nuclei, dim places and veins of one side."""

    nigra: Blob
    fringe: Blob
    nigrosome: Blob
    red_nucleus: Blob
    subthalamic: Blob
    grey: tuple[Blob, ...]
    vessels: tuple[Vessel, ...]


def mirrored(blob: Blob, sign: float) -> Blob:
    """Give the blob of the left side when sign is −1; the same blob when it is 1."""
    a, b, c = ((sign * x, y, z) for x, y, z in blob.axes)
    return Blob((sign * blob.centre[0], *blob.centre[1:]), blob.radii, (a, b, c), blob.bend)


def draw_anatomy(rng: np.random.Generator, sign: float) -> Anatomy:
    """Draw one side; sign is that of the patient's x there."""
    nigra = _draw_nigra(rng)
    fringe_radii = _resized(rng, (7.2, 6.6, 2.6), 0.1)
    vessels = (_draw_basal_vein(rng), _draw_cistern_vessel(rng), *_draw_small_veins(rng))
    return Anatomy(
        nigra=mirrored(nigra, sign),
        # The reticular part frays into the peduncle, on the side away from the red nucleus.
        fringe=mirrored(Blob(nigra.at(0.0, 0.3, -1.5), fringe_radii, nigra.axes, nigra.bend), sign),
        nigrosome=mirrored(_draw_nigrosome(rng, nigra), sign),
        red_nucleus=mirrored(_draw_red_nucleus(rng), sign),
        subthalamic=mirrored(_draw_subthalamic(rng), sign),
        grey=tuple(mirrored(_varied(rng, place), sign) for place in GREY_PLACES),
        vessels=tuple(
            Vessel(tuple((sign * x, y, z) for x, y, z in v.points), v.radius) for v in vessels
        ),
    )


def _moved(rng: np.random.Generator, centre: npt.ArrayLike, sd_mm: float) -> Vector:
    return as_vector(np.asarray(centre) + sd_mm * rng.standard_normal(3))


def _resized(rng: np.random.Generator, radii: npt.ArrayLike, sd: float) -> Vector:
    """Scale each radius by a log-normal factor, within 2.5 SD."""
    return as_vector(np.asarray(radii) * np.exp(sd * rng.standard_normal(3).clip(-2.5, 2.5)))


def _varied(rng: np.random.Generator, blob: Blob) -> Blob:
    return Blob(_moved(rng, blob.centre, 1.0), _resized(rng, blob.radii, 0.2))


def _draw_nigra(rng: np.random.Generator) -> Blob:
    """Draw the oblique sheet: first axis to the tip behind the peduncle, second up and forward."""
    angle = math.radians(rng.normal(34, 4))
    upward = (0.28, 0.64 + rng.normal(0, 0.06), 0.71)
    axes: Frame = right_angled((math.cos(angle), -math.sin(angle), 0.0), upward)
    return Blob(
        _moved(rng, (9.9, 2.6, -3.1), 0.4),
        _resized(rng, (7.7, 7.0, 2.2), 0.06),
        axes,
        rng.normal(0.018, 0.008),
    )


def _draw_nigrosome(rng: np.random.Generator, nigra: Blob) -> Blob:
    """Draw nigrosome-1 between two bands of the nigra, in the third next to its tip."""
    first, second = 3.3 + 0.4 * rng.standard_normal(), -1.2 + 0.5 * rng.standard_normal()
    return Blob(
        nigra.at(first, second, 0.1 + 0.15 * rng.standard_normal()),
        _resized(rng, (3.0, 4.0, 1.0), 0.12),
        nigra.axes,
        nigra.bend,
    )


def _draw_red_nucleus(rng: np.random.Generator) -> Blob:
    return Blob(_moved(rng, (5.4, 0.0, 0.0), 0.3), _resized(rng, (4.65, 4.5, 3.95), 0.07))


def _draw_subthalamic(rng: np.random.Generator) -> Blob:
    axes = right_angled((0.8, -0.6, 0.1), (0.1, 0.6, 0.8))
    return Blob(_moved(rng, (10.8, 7.4, 3.7), 0.5), _resized(rng, (6.2, 3.6, 2.0), 0.08), axes)


def _draw_basal_vein(rng: np.random.Generator) -> Vessel:
    """Draw the basal vein of Rosenthal around the peduncle (path read off the one real patch)."""
    path: list[Vector] = [
        (23.5, 4, -5.5),
        (22, -2, -5.2),
        (19.8, -6, -5),
        (17.8, -9, -4.5),
        (17, -13, -3.5),
    ]
    return _drawn(rng, path, rng.uniform(0.4, 0.85))


def _drawn(rng: np.random.Generator, path: list[Vector], radius: float) -> Vessel:
    shift = rng.normal(0, 0.8, 3)
    return Vessel(tuple(_moved(rng, np.asarray(p) + shift, 0.3) for p in path), radius)


def _draw_cistern_vessel(rng: np.random.Generator) -> Vessel:
    """Draw a thin vessel through the ambient cistern below the basal vein (assumed)."""
    path: list[Vector] = [
        (18, 12, -9),
        (20.5, 6, -10),
        (20.5, 0, -10.5),
        (18, -8, -10),
        (15, -13, -9),
    ]
    return _drawn(rng, path, rng.uniform(0.2, 0.5))


def _draw_small_veins(rng: np.random.Generator) -> list[Vessel]:
    """Draw a few thin veins in the tegmentum and two in the interpeduncular fossa (assumed)."""
    vessels = []
    for _ in range(rng.integers(2, 6)):
        start = rng.uniform((8, -11, -10), (21, 4, 6))
        step = rng.normal(0, 2.0, 3)
        end = start + 2 * step + rng.normal(0, 1.0, 3)
        points = (as_vector(start), as_vector(start + step), as_vector(end))
        vessels.append(Vessel(points, rng.uniform(0.12, 0.32)))
    for _ in range(2):
        x, y, z = rng.uniform((0.2, 3.5, -9), (2.0, 8.0, -3))
        vessels.append(Vessel(((x, y, z), (0.8, y + 1.5, z - 3)), rng.uniform(0.12, 0.32)))
    return vessels
