# SPDX-License-Identifier: Apache-2.0
"""A block of voxels in the making: tissues painted over one another into χ, R2* and density.

Each tissue is mixed into the box that holds it by the share that it has of every voxel; the soft
borders of the shares stand for partial volume and for nuclei that end without a clear edge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nigroedge.phantom.shapes import (
    Blob,
    Floats,
    Matrix,
    Vector,
    Vessel,
    blob_depth,
    segment_distance,
    smooth_step,
)
from nigroedge.phantom.subject import Subject

#: Echoes of the scan (Bae 2023): whole multiples of the first.
ECHO_TIMES_MS = (10.0, 20.0, 30.0, 40.0, 50.0)
#: What 1 ppm of susceptibility adds to R2*, 1/s (docs/notes/phantom.md).
R2STAR_PER_PPM = 137.0


class Tissue(NamedTuple):
    """Susceptibility against its surroundings, ppb; R2*, 1/s; signal without decay, peduncle 1."""

    chi_ppb: float
    r2star: float
    density: float = 1.0

    def with_iron(self, factor: float) -> Tissue:
        """Scale a positive susceptibility; R2* follows. Other tissue stays as it is."""
        if self.chi_ppb <= 0:
            return self
        more_ppm = (factor - 1) * self.chi_ppb * 1e-3
        r2star = self.r2star + R2STAR_PER_PPM * more_ppm
        return Tissue(factor * self.chi_ppb, r2star, self.density)


#: Sources in docs/notes/phantom.md; densities and the rows from cortex on are assumed.
TISSUES = {
    "nigra healthy": Tissue(105, 31.1),
    "nigra diseased": Tissue(132, 34.9),
    "nigrosome": Tissue(68, 26.1),
    "red nucleus": Tissue(102, 31.5),
    "subthalamic": Tissue(97, 31.7),
    "peduncle": Tissue(-20, 23.5),
    "white matter": Tissue(-30, 20.1, 0.93),
    "csf": Tissue(19, 0.6, 0.95),
    "vein": Tissue(190, 40.0),
    "cortex": Tissue(5, 19.0, 0.90),
    "grey": Tissue(50, 24.0, 0.95),
    "dura": Tissue(60, 60.0, 0.8),
    "scalp": Tissue(-10, 15.0, 1.2),
    "air": Tissue(0, 20.0, 0.0),
}


def magnitude(tissue: Tissue) -> float:
    """Combine the echoes: root of the sum of squares of density · exp(−TE · R2*) (Bae 2023)."""
    echoes = (math.exp(-te * 1e-3 * tissue.r2star) for te in ECHO_TIMES_MS)
    return tissue.density * math.sqrt(sum(e * e for e in echoes))


#: The same of the peduncle, which other magnitudes are given against.
PEDUNCLE = magnitude(TISSUES["peduncle"])


def combined(density: Floats, r2star: Floats) -> Floats:
    """Give `magnitude` of every voxel, over that of the peduncle.

    e = exp(−2 · TE₁ · R2*) is the fourth squaring of its series at a sixteenth of the exponent, so
    that every processor gives the same bits; off by less than 3e-6 up to 60 /s. The echoes' squares
    are then e, e², …
    """
    x = r2star * np.float32(2e-3 * ECHO_TIMES_MS[0] / 16)
    e = 1 - x * (1 - x * (np.float32(0.5) - x * (np.float32(1 / 6) - x * np.float32(1 / 24))))
    for _ in range(4):
        e *= e
    total = e
    for _ in ECHO_TIMES_MS[1:]:
        total = e + e * total
    return np.asarray(density * np.sqrt(total) * np.float32(1 / PEDUNCLE), np.float32)


class Canvas:
    """A block of voxels in the making: its points in the midbrain frame, and three maps.

    χ in ppm, R2* in 1/s, density against the peduncle's.
    """

    def __init__(self, subject: Subject, to_midbrain: Matrix, shape: Sequence[int]) -> None:
        self.subject = subject
        self.to_index = np.linalg.inv(to_midbrain)  # finds boxes; its rounding reaches no voxel
        self.shape = tuple(shape)
        i, j, k = (np.arange(n, dtype=np.float32) for n in shape)
        rows = to_midbrain[:3].astype(np.float32)
        self.points = [
            (a * i)[:, None, None] + (b * j)[:, None] + (c * k + d) for a, b, c, d in rows
        ]
        self.chi = np.zeros(self.shape, np.float32)
        self.r2star = np.zeros(self.shape, np.float32)
        self.density = np.zeros(self.shape, np.float32)
        self.ragged = np.zeros(self.shape, np.float32)

    def box(self, centre: Vector, reach_mm: float) -> tuple[slice, ...] | None:
        """Find the voxels within reach of a point; None if there are none."""
        middle = self.to_index[:3, :3] @ np.array(centre) + self.to_index[:3, 3]
        half = np.linalg.norm(self.to_index[:3, :3], axis=1) * reach_mm
        low = np.clip(np.floor(middle - half), 0, self.shape).astype(int)
        high = np.clip(np.ceil(middle + half) + 1, 0, self.shape).astype(int)
        return tuple(map(slice, low, high)) if (high > low).all() else None

    def paint(self, share: Floats, tissue: Tissue, box: Any = ...) -> None:
        """Mix the tissue into a box: share 1 replaces what was there."""
        chi_ppb, r2star, density = tissue.with_iron(self.subject.contrast.chi_gain)
        levels = (chi_ppb * 1e-3, r2star, density)
        for field, level in zip((self.chi, self.r2star, self.density), levels, strict=True):
            field[box] += share * (np.float32(level) - field[box])

    def blob(self, blob: Blob, tissue: Tissue, width: float, weight: float = 1.0) -> None:
        """Paint an ellipsoid with a border this wide, ragged as the texture has it."""
        found = self._depth(blob, width)
        if found is not None and weight > 0:
            box, depth = found
            self.paint(smooth_step(depth, width) * np.float32(weight), tissue, box)

    def nucleus(self, blob: Blob, tissue: Tissue, width: float) -> None:
        """Paint an ellipsoid with more iron in its core than at its border (so the real patch).

        The levels are such that the mean over the nucleus, borders blurred, is the tissue's.
        """
        found = self._depth(blob, width)
        if found is not None:
            box, depth = found
            share = smooth_step(depth, width)
            share *= np.clip(depth * np.float32(0.4 / min(blob.radii)), 0, 0.28) + np.float32(0.92)
            self.paint(share, tissue, box)

    def _depth(self, blob: Blob, width: float) -> tuple[tuple[slice, ...], Floats] | None:
        box = self.box(blob.centre, max(blob.radii) * 1.25 + width)
        if box is None:
            return None
        return box, blob_depth([p[box] for p in self.points], blob) + self.ragged[box]

    def capsule(self, blob: Blob) -> None:
        """Brighten the white matter around a nucleus: a thin bright rim, as the real patch has."""
        box = self.box(blob.centre, max(blob.radii) * 1.25 + 3)
        if box is not None:
            depth = blob_depth([p[box] for p in self.points], blob)
            self.density[box] *= 1 + np.float32(0.1) * smooth_step(depth + np.float32(1.5), 2.5)

    def vessel(self, vessel: Vessel) -> None:
        """Paint a vein; one thinner than the point spread is that wide and the fainter for it."""
        width = max(self.subject.contrast.edge_mm, 1.2)
        radius = max(vessel.radius, 0.5)
        weight = np.float32((vessel.radius / radius) ** 2)
        for a, b in zip(vessel.points, vessel.points[1:], strict=False):
            middle = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2, (a[2] + b[2]) / 2)
            box = self.box(middle, math.dist(a, b) / 2 + radius + width)
            if box is not None:
                depth = np.float32(radius) - segment_distance([p[box] for p in self.points], a, b)
                self.paint(smooth_step(depth, width) * weight, TISSUES["vein"], box)
