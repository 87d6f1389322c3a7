# SPDX-License-Identifier: Apache-2.0
"""The scan of a simulated person: shapes into χ and magnitude, these into SMWI.

Tissues are painted one over the other, each into the box that holds it. Soft borders stand for the
point spread and for partial volume. Then come texture, which belongs to the tissue, and noise, which
belongs to the voxels of the grid; S⁴ is formed from the noisy map, as the scanner forms it. Voxels
are made by +, −, ×, ÷, √ and floor of float32 alone: a seed gives the same image on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nigroedge.phantom.anatomy import CSF_SPACES, GREY_PLACES, OUTLINE, PONS, mirrored
from nigroedge.phantom.shapes import (
    Blob,
    Floats,
    Matrix,
    Vector,
    Vessel,
    affine_of,
    apply,
    blob_depth,
    joined,
    product,
    segment_distance,
    smooth_step,
)
from nigroedge.phantom.subject import (
    COHORT_PREVALENCE,
    SIGN,
    SLAB_SHAPE,
    SLAB_SPACING_MM,
    Side,
    SideState,
    Subject,
    draw_subject,
    generator,
)
from nigroedge.volume import Volume

__all__ = ["SLAB_SHAPE", "SLAB_SPACING_MM", "Simulation", "patch_grid", "render", "simulate"]

#: Echoes of the scan (METHOD §1).
ECHO_TIMES_MS = (10.0, 20.0, 30.0, 40.0, 50.0)
#: Scanner units of a peduncle where the coil's gain is 1.
SIGNAL_UNIT = 1000.0
#: Voxels painted at once: few enough for the cache, and a bound on the memory of a whole slab.
_BLOCK_VOXELS = 1 << 18
#: Side of the cube of noise that texture repeats; a power of two.
_TILE = 32


class Tissue(NamedTuple):
    """Susceptibility against its surroundings, ppb; R2*, 1/s; signal without decay, peduncle 1."""

    chi_ppb: float
    r2star: float
    density: float = 1.0


#: METHOD §5 as far as it goes; densities and the rows from cortex on are assumed.
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
    """Combine the echoes: root of the sum of squares of density · exp(−TE · R2*) (METHOD §1)."""
    echoes = (math.exp(-te * 1e-3 * tissue.r2star) for te in ECHO_TIMES_MS)
    return tissue.density * math.sqrt(sum(e * e for e in echoes))


_PEDUNCLE = magnitude(TISSUES["peduncle"])


def smwi(signal: Floats, chi_ppm: Floats, threshold_ppm: float) -> Floats:
    """Give M · S⁴ with S = 1 below 0 ppm, falling to 0 at the threshold (METHOD §4)."""
    weight = np.clip(np.float32(1) - chi_ppm * np.float32(1 / threshold_ppm), 0, 1)
    weight *= weight
    weight *= weight
    return np.asarray(signal * weight, np.float32)


class _Canvas:
    """A block of voxels in the making: its points in the midbrain frame, χ in ppm, and signal."""

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
        self.signal = np.zeros(self.shape, np.float32)
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
        gain = self.subject.contrast.chi_gain if tissue.chi_ppb > 0 else 1.0
        levels = tissue.chi_ppb * gain * 1e-3, magnitude(tissue) / _PEDUNCLE
        for field, level in zip((self.chi[box], self.signal[box]), levels, strict=True):
            field += share * (np.float32(level) - field)

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
            self.signal[box] *= 1 + np.float32(0.1) * smooth_step(depth + np.float32(1.5), 2.5)

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


def _outline_depth(points: Sequence[Floats]) -> Floats:
    """Give the depth below the surface of the brainstem, mm: tegmentum, two peduncles, pons."""
    x, y, z = points
    flat = [np.abs(x), y, np.zeros((1, 1, 1), np.float32)]
    # Above the red nucleus the brainstem widens into the thalamus; below it narrows to the pons.
    rise = np.clip(z - np.float32(2.5), 0, 8) * np.float32(0.9)
    rise -= np.clip(np.float32(-5) - z, 0, 8) * np.float32(0.4)
    tegmentum, peduncle = (blob_depth(flat, blob) for blob in OUTLINE)
    return joined(joined(tegmentum, peduncle, 3.0) + rise, blob_depth(points, PONS), 3.0)


def _paint_surroundings(canvas: _Canvas, coarse: Floats, streaks: Floats) -> None:
    """Paint what lies around the nuclei: cortex, cisterns, tentorium, brainstem, ventricle."""
    contrast = canvas.subject.contrast
    edge, (x, _, z) = contrast.edge_mm, canvas.points
    csf = TISSUES["csf"]._replace(density=TISSUES["csf"].density * contrast.csf)
    depth = _outline_depth(canvas.points) + coarse * np.float32(0.35)
    canvas.paint(np.ones((1, 1, 1), np.float32), TISSUES["cortex"])
    # Sulci: the sheets where a slow texture passes through zero.
    canvas.paint(smooth_step(np.float32(0.2) - np.float32(4) * np.abs(streaks), 2.5), csf)
    cistern = np.clip(np.float32(4) - z, 0, 2) * np.float32(1.7)
    canvas.paint(smooth_step(depth + cistern, edge * 2), csf)
    canvas.signal *= 1 + np.float32(0.08) * coarse
    sheet = np.float32(0.3) - np.abs(depth + np.float32(2.0))
    place = smooth_step(-z - np.float32(8.5), 3) * smooth_step(np.abs(x) - np.float32(13), 8)
    canvas.paint(smooth_step(sheet, edge * 1.5) * place, TISSUES["dura"])
    canvas.paint(smooth_step(depth, edge * 1.5), TISSUES["white matter"])
    for blob in CSF_SPACES:
        canvas.blob(blob, csf, edge * 1.5)
    for blob in GREY_PLACES:
        for sign in SIGN.values():
            canvas.blob(mirrored(blob, sign), TISSUES["grey"], 3.5, 0.8)


def _mixed(a: Tissue, b: Tissue, share: float) -> Tissue:
    """Give the tissue a share of the way from a to b."""
    return Tissue(*(p + share * (q - p) for p, q in zip(a, b, strict=True)))


def _paint_side(canvas: _Canvas, side: SideState) -> None:
    """Paint the nuclei and veins of one side; the nigra follows its state."""
    anatomy, width = side.anatomy, canvas.subject.contrast.chi_edge_mm
    nigra = _mixed(TISSUES["nigra diseased"], TISSUES["nigra healthy"], side.state)
    nigra = nigra._replace(chi_ppb=nigra.chi_ppb * side.iron)
    for nucleus in (anatomy.nigra, anatomy.red_nucleus):
        canvas.capsule(nucleus)
    canvas.nucleus(anatomy.subthalamic, TISSUES["subthalamic"], width)
    canvas.blob(anatomy.fringe, nigra, width * 1.5, 0.45)
    canvas.nucleus(anatomy.nigra, nigra, width)
    # Thin as it is, its borders dilute it: painted 1.15-fold, its mean is that of METHOD §5.
    canvas.blob(anatomy.nigrosome, TISSUES["nigrosome"], 1.2, 1.15 * side.visibility)
    canvas.nucleus(anatomy.red_nucleus, TISSUES["red nucleus"], width)
    for vessel in anatomy.vessels:
        canvas.vessel(vessel)


def _paint_head(canvas: _Canvas) -> None:
    """Paint skull, scalp and air around the head, where the block reaches that far."""
    x, y, _ = canvas.points
    u, v = x * np.float32(1 / 74), y * np.float32(1 / 92)
    depth = (1 - np.sqrt(u * u + v * v)) * np.float32(80)
    if depth.min() > 4:
        return
    for margin, name in ((3.0, "csf"), (0.0, "air"), (-6.0, "scalp"), (-11.0, "air")):
        canvas.paint(smooth_step(np.float32(margin) - depth, 1.0), TISSUES[name])


def _texture(tile: Floats, points: Sequence[Floats], grain_mm: Vector) -> Floats:
    """Interpolate a repeating cube of noise, one sample per grain; mean 0, SD about 1."""
    scaled = [p * np.float32(1 / g) for p, g in zip(points, grain_mm, strict=True)]
    floor = [np.floor(s) for s in scaled]
    x, y, z = (s - f for s, f in zip(scaled, floor, strict=True))
    last = _TILE - 1
    near, next_ = ([(f.astype(np.int32) + step) & last for f in floor] for step in (0, 1))

    def row(i: npt.NDArray[np.int32], j: npt.NDArray[np.int32]) -> Floats:
        base = (i * _TILE + j) * _TILE
        first = tile.take(base + near[2])
        return np.asarray(first + z * (tile.take(base + next_[2]) - first), np.float32)

    low, high = (
        a + y * (b - a)
        for a, b in ((row(i, near[1]), row(i, next_[1])) for i in (near[0], next_[0]))
    )
    # Linear interpolation keeps (2/3)^(3/2) of the SD on average.
    return np.asarray((low + x * (high - low)) * np.float32(1.5**1.5), np.float32)


def _paint(canvas: _Canvas, tile: Floats) -> None:
    """Paint the whole scene into a block, texture included, noise not."""
    subject, contrast = canvas.subject, canvas.subject.contrast
    fine = _texture(tile, canvas.points, (0.9, 0.9, 1.3))
    coarse = _texture(tile, canvas.points, (2.6, 2.6, 2.6))
    streaks = _texture(tile, canvas.points, (9.0, 3.5, 5.0))
    canvas.ragged = coarse * np.float32(0.25) + fine * np.float32(0.06)
    _paint_surroundings(canvas, coarse, streaks)
    for side in (subject.left, subject.right):
        _paint_side(canvas, side)
    _paint_head(canvas)
    canvas.signal *= 1 + np.float32(contrast.texture) * (
        np.float32(0.7) * fine + coarse + np.float32(1.6) * streaks
    )
    canvas.chi += np.float32(contrast.chi_texture_ppb * 1e-3) * fine


def _noise(rng: np.random.Generator, shape: Sequence[int]) -> Floats:
    """Draw noise of SD 1 that neighbours share, as in a scan interpolated from fewer samples.

    One voxel apart the correlation is 0.67, two apart 0.17, along each axis.
    """
    field = rng.standard_normal(tuple(shape), dtype=np.float32)
    for axis in range(3):
        out = field * np.float32(2)
        ahead, behind = np.moveaxis(field, axis, 0)[1:], np.moveaxis(field, axis, 0)[:-1]
        np.moveaxis(out, axis, 0)[:-1] += ahead
        np.moveaxis(out, axis, 0)[1:] += behind
        field = out * np.float32(1 / math.sqrt(6))
    return field


def _to_midbrain(subject: Subject) -> Matrix:
    """Invert the pose, a scaled rotation: its transpose over the square of the scale."""
    pose = subject.to_patient
    linear = pose[:3, :3].T / float((pose[:3, 0] * pose[:3, 0]).sum())
    return affine_of(linear, -product(linear, pose[:3, 3:])[:, 0])


def render(
    subject: Subject,
    affine: npt.ArrayLike,
    shape: tuple[int, int, int],
    *,
    noise: bool = True,
    repeat: int = 0,
) -> Volume:
    """Render the SMWI of a subject on any grid.

    Parameters
    ----------
    affine : (4, 4) array_like
        Voxel index → patient RAS mm.
    shape : (int, int, int)
        Voxels of the grid.
    noise : bool
        Whether the scan has noise; all else is the same at a point on every grid.
    repeat : int
        Which of many scans of the same person: changes the noise alone.

    Returns
    -------
    Volume
        Voxels float32, in scanner units: not negative, a peduncle near 1000.
    """
    volume = Volume(np.empty(shape, np.float32), np.asarray(affine, np.float64))
    to_midbrain = product(_to_midbrain(subject), volume.affine)
    tile = generator(subject.seed, 1).standard_normal(_TILE**3, dtype=np.float32)
    rng = generator(subject.seed, 2, repeat)
    fields = [_noise(rng, shape) for _ in range(2)] if noise else None
    step = max(1, _BLOCK_VOXELS // (shape[0] * shape[1]))
    for first in range(0, shape[2], step):
        part = slice(first, min(first + step, shape[2]))
        corner = affine_of(to_midbrain[:3, :3], apply(to_midbrain, (0, 0, first)))
        canvas = _Canvas(subject, corner, (shape[0], shape[1], part.stop - first))
        _paint(canvas, tile)
        volume.voxels[..., part] = _expose(
            canvas, fields and [field[..., part] for field in fields]
        )
    return volume


def _expose(canvas: _Canvas, noise: list[Floats] | None) -> Floats:
    """Form the image of a painted block: noise, S⁴, the coil's gain."""
    contrast = canvas.subject.contrast
    if noise is not None:
        canvas.signal += np.float32(contrast.noise) * noise[0]
        canvas.chi += np.float32(contrast.chi_noise_ppb * 1e-3) * noise[1]
    image = smwi(np.abs(canvas.signal), canvas.chi, contrast.chi_threshold_ppm)
    x, y, z = (np.float32(b / 100) * p for b, p in zip(contrast.bias, canvas.points, strict=True))
    return np.asarray(image * np.clip(1 + x + y + z, 0.3, 2) * np.float32(SIGNAL_UNIT), np.float32)


def patch_grid(
    subject: Subject, side: Side, shape: tuple[int, int, int] = (60, 60, 26)
) -> tuple[Matrix, tuple[int, int, int]]:
    """Give affine and shape of the part of the slab around one side's centroid."""
    state = subject.left if side == "left" else subject.right
    to_index = np.asarray(np.linalg.inv(subject.slab_affine), np.float64)
    centre = np.rint(apply(to_index, state.centroid_mm))
    corner = np.clip(centre - np.array(shape) // 2, 0, np.array(SLAB_SHAPE) - np.array(shape))
    return affine_of(subject.slab_affine[:3, :3], apply(subject.slab_affine, corner)), shape


@dataclass(frozen=True, eq=False)
class Simulation:
    """A simulated scan, with what was marked, measured and read in the same person."""

    subject: Subject
    volume: Volume
    left_mm: Vector
    right_mm: Vector
    sbr_left: float
    sbr_right: float
    intact_left: bool
    intact_right: bool


def simulate(
    seed: int, *, prevalence: float = COHORT_PREVALENCE, reader_jitter_mm: float = 0.0
) -> Simulation:
    """Draw a subject and scan the whole slab: int16 voxels, both sides.

    Parameters and errors are those of `draw_subject`.
    """
    subject = draw_subject(seed, prevalence=prevalence, reader_jitter_mm=reader_jitter_mm)
    left, right = subject.left, subject.right
    scan = render(subject, subject.slab_affine, SLAB_SHAPE)
    stored = np.rint(np.clip(scan.voxels, 0, 4095)).astype(np.int16)
    return Simulation(
        subject,
        Volume(stored, subject.slab_affine),
        left.centroid_mm,
        right.centroid_mm,
        left.sbr,
        right.sbr,
        left.intact,
        right.intact,
    )
