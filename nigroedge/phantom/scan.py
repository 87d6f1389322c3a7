# SPDX-License-Identifier: Apache-2.0
"""The scan of a simulated person: the scene is painted into χ and magnitude, these make the SMWI.

Texture belongs to the tissue, noise to the voxels of the grid; S⁴ is formed from the noisy map, as
the scanner forms it. Voxels are made by +, −, ×, ÷, √ and floor of float32 alone: a seed gives one
image on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nigroedge.phantom.anatomy import CSF_SPACES, OUTLINE, PONS
from nigroedge.phantom.canvas import TISSUES, Canvas, Tissue
from nigroedge.phantom.shapes import (
    Floats,
    Matrix,
    Vector,
    affine_of,
    apply,
    blob_depth,
    joined,
    product,
    smooth_step,
)
from nigroedge.phantom.subject import (
    COHORT_PREVALENCE,
    SLAB_SHAPE,
    SLAB_SPACING_MM,
    Side,
    SideState,
    Subject,
    draw_subject,
    generator,
)
from nigroedge.volume import Volume

__all__ = [
    "SLAB_SHAPE",
    "SLAB_SPACING_MM",
    "Simulation",
    "patch_grid",
    "render",
    "simulate",
    "susceptibility",
]

#: Scanner units of a peduncle where the coil's gain is 1.
SIGNAL_UNIT = 1000.0
#: Voxels painted at once: few enough for the cache, and a bound on the memory of a whole slab.
_BLOCK_VOXELS = 1 << 18
#: Side of the cube of noise that texture repeats; a power of two.
_TILE = 32


def smwi(signal: Floats, chi_ppm: Floats, threshold_ppm: float) -> Floats:
    """Give M · S⁴ with S = 1 below 0 ppm, falling to 0 at the threshold (Gho 2014, m = 4)."""
    weight = np.clip(np.float32(1) - chi_ppm * np.float32(1 / threshold_ppm), 0, 1)
    weight *= weight
    weight *= weight
    return np.asarray(signal * weight, np.float32)


def _outline_depth(points: Sequence[Floats]) -> Floats:
    """Give the depth below the surface of the brainstem, mm: tegmentum, two peduncles, pons."""
    x, y, z = points
    flat = [np.abs(x), y, np.zeros((1, 1, 1), np.float32)]
    # Above the red nucleus the brainstem widens into the thalamus; below it narrows to the pons.
    rise = np.clip(z - np.float32(2.5), 0, 8) * np.float32(0.9)
    rise -= np.clip(np.float32(-5) - z, 0, 8) * np.float32(0.4)
    tegmentum, peduncle = (blob_depth(flat, blob) for blob in OUTLINE)
    return joined(joined(tegmentum, peduncle, 3.0) + rise, blob_depth(points, PONS), 3.0)


def _paint_surroundings(canvas: Canvas, coarse: Floats, streaks: Floats) -> None:
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


def _mixed(a: Tissue, b: Tissue, share: float) -> Tissue:
    """Give the tissue a share of the way from a to b."""
    return Tissue(*(p + share * (q - p) for p, q in zip(a, b, strict=True)))


def _paint_side(canvas: Canvas, side: SideState) -> None:
    """Paint the nuclei and veins of one side; the nigra follows its state."""
    anatomy, width = side.anatomy, canvas.subject.contrast.chi_edge_mm
    nigra = _mixed(TISSUES["nigra diseased"], TISSUES["nigra healthy"], side.state)
    nigra = nigra._replace(chi_ppb=nigra.chi_ppb * side.iron)
    for place in anatomy.grey:
        canvas.blob(place, TISSUES["grey"], 3.5, 0.8)
    for nucleus in (anatomy.nigra, anatomy.red_nucleus):
        canvas.capsule(nucleus)
    canvas.blob(anatomy.subthalamic, TISSUES["subthalamic"], width * 1.2, 1.1)
    canvas.blob(anatomy.fringe, nigra, width * 1.5, 0.45)
    canvas.nucleus(anatomy.nigra, nigra, width)
    # Thin as it is, its borders dilute it: painted 1.15-fold, its mean is its tissue's.
    canvas.blob(anatomy.nigrosome, TISSUES["nigrosome"], 1.2, 1.15 * side.visibility)
    canvas.nucleus(anatomy.red_nucleus, TISSUES["red nucleus"], width)
    for vessel in anatomy.vessels:
        canvas.vessel(vessel)


def _paint_head(canvas: Canvas) -> None:
    """Paint skull, scalp and air around the head, where the block reaches that far."""
    x, y, _ = canvas.points
    u, v = x * np.float32(1 / 74), y * np.float32(1 / 92)
    depth = (1 - np.sqrt(u * u + v * v)) * np.float32(80)
    if depth.min() > 4:
        return
    for margin, name in ((3.0, "csf"), (0.0, "air"), (-6.0, "scalp"), (-11.0, "air")):
        canvas.paint(smooth_step(np.float32(margin) - depth, 1.0), TISSUES[name])


def _texture(tile: Floats, points: Sequence[Floats], grain_mm: Vector, start: float) -> Floats:
    """Interpolate a repeating cube of noise, one sample per grain; mean 0, SD about 1."""
    scaled = [
        p * np.float32(1 / g) + np.float32(start) for p, g in zip(points, grain_mm, strict=True)
    ]
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


def _paint(canvas: Canvas, tile: Floats) -> None:
    """Paint the whole scene into a block, texture included, noise not."""
    subject, contrast = canvas.subject, canvas.subject.contrast
    fine = _texture(tile, canvas.points, (0.9, 0.9, 1.8), 0)
    coarse = _texture(tile, canvas.points, (2.6, 2.6, 2.6), 11.3)
    streaks = _texture(tile, canvas.points, (9.0, 3.5, 5.0), 21.7)
    canvas.ragged = coarse * np.float32(0.25) + fine * np.float32(0.06)
    _paint_surroundings(canvas, coarse, streaks)
    for side in (subject.left, subject.right):
        _paint_side(canvas, side)
    _paint_head(canvas)
    canvas.signal *= 1 + np.float32(contrast.texture) * (
        np.float32(0.7) * fine + coarse + np.float32(2.0) * streaks
    )
    canvas.chi += np.float32(contrast.chi_texture_ppb * 1e-3) * fine


def _noise(rng: np.random.Generator, shape: Sequence[int]) -> Floats:
    """Draw noise of SD 1 that neighbours share, as in a scan interpolated from fewer samples.

    One voxel apart the correlation is 0.61 in the plane and 0.71 across it, about that of a real
    patch (docs/phantom.md).
    """
    field = rng.standard_normal(tuple(shape), dtype=np.float32)
    for axis, share in enumerate((0.4, 0.4, 0.7)):
        out, along = field.copy(), np.moveaxis(field, axis, 0)
        np.moveaxis(out, axis, 0)[:-1] += np.float32(share) * along[1:]
        np.moveaxis(out, axis, 0)[1:] += np.float32(share) * along[:-1]
        field = out * np.float32(1 / math.sqrt(1 + 2 * share * share))
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
    rng = generator(subject.seed, 2, repeat)
    fields = [_noise(rng, shape) for _ in range(2)] if noise else None
    for part, canvas in _painted(subject, volume.affine, shape):
        volume.voxels[..., part] = _expose(
            canvas, fields and [field[..., part] for field in fields]
        )
    return volume


def susceptibility(subject: Subject, affine: npt.ArrayLike, shape: tuple[int, int, int]) -> Volume:
    """Give the susceptibility map that `render` forms S⁴ from, in ppm, without noise.

    Parameters are those of `render`.
    """
    volume = Volume(np.empty(shape, np.float32), np.asarray(affine, np.float64))
    for part, canvas in _painted(subject, volume.affine, shape):
        volume.voxels[..., part] = canvas.chi
    return volume


def _painted(
    subject: Subject, affine: Matrix, shape: tuple[int, int, int]
) -> Iterator[tuple[slice, Canvas]]:
    """Paint a grid block by block along its last axis; give each block and where it lies."""
    to_midbrain = product(_to_midbrain(subject), affine)
    tile = generator(subject.seed, 1).standard_normal(_TILE**3, dtype=np.float32)
    step = max(1, _BLOCK_VOXELS // (shape[0] * shape[1]))
    for first in range(0, shape[2], step):
        part = slice(first, min(first + step, shape[2]))
        corner = affine_of(to_midbrain[:3, :3], apply(to_midbrain, (0, 0, first)))
        canvas = Canvas(subject, corner, (shape[0], shape[1], part.stop - first))
        _paint(canvas, tile)
        yield part, canvas


def _expose(canvas: Canvas, noise: list[Floats] | None) -> Floats:
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
    """Give affine and shape of the part of the slab around one side's centroid.

    The voxels are the slab's; near its ends the grid goes on beyond them, so that the centroid lies
    in the middle always.
    """
    state = subject.left if side == "left" else subject.right
    to_index = np.asarray(np.linalg.inv(subject.slab_affine), np.float64)
    centre = np.rint(apply(to_index, state.centroid_mm))
    corner = centre - np.array(shape) // 2
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
