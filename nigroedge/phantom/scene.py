# SPDX-License-Identifier: Apache-2.0
"""The scene: everything in and around the midbrain, painted into maps of χ, R2* and density.

Texture belongs to the tissue. Voxels are made by +, −, ×, ÷, √ and floor of float32 alone: a seed
gives one scene on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

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
from nigroedge.phantom.subject import SideState, Subject, generator, iron_load

#: Voxels painted at once: few enough for the cache, and a bound on the memory of a whole slab.
_BLOCK_VOXELS = 1 << 18
#: Side of the cube of noise that texture repeats; a power of two.
_TILE = 32


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
    canvas.density *= 1 + np.float32(0.08) * coarse
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
    anatomy, width = side.anatomy, canvas.subject.contrast.nucleus_edge_mm
    nigra = _mixed(TISSUES["nigra healthy"], TISSUES["nigra diseased"], iron_load(side.state))
    nigra = nigra.with_iron(side.iron)
    for place in anatomy.grey:
        canvas.blob(place, TISSUES["grey"], 3.5, 0.8)
    for nucleus in (anatomy.nigra, anatomy.red_nucleus):
        canvas.capsule(nucleus)
    canvas.blob(anatomy.subthalamic, TISSUES["subthalamic"], width * 1.2, 1.1)
    canvas.blob(anatomy.fringe, nigra, width * 1.5, 0.45)
    canvas.nucleus(anatomy.nigra, nigra, width * 0.8)
    # Thin as it is, point spread and inversion dilute it: painted 1.6-fold, it stands out of the
    # nigra in a reconstructed map as it does in those of the literature (docs/notes/phantom.md).
    canvas.blob(anatomy.nigrosome, TISSUES["nigrosome"], 1.2, 1.6 * side.visibility)
    canvas.nucleus(anatomy.red_nucleus, TISSUES["red nucleus"], width * 1.4)
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
    # Fibre tracts make the slow streaks; where iron is, in the nuclei, there are few.
    iron = np.clip(canvas.chi * np.float32(1 / (0.08 * contrast.chi_gain)), 0, 1)
    slow = (coarse + np.float32(2.0) * streaks) * (1 - np.float32(0.75) * iron)
    canvas.density *= 1 + np.float32(contrast.texture) * (np.float32(0.8) * fine + slow)
    canvas.chi += np.float32(contrast.chi_texture_ppb * 1e-3) * fine


def midbrain_from_patient(subject: Subject) -> Matrix:
    """Invert the pose, a scaled rotation: its transpose over the square of the scale."""
    pose = subject.to_patient
    linear = pose[:3, :3].T / float((pose[:3, 0] * pose[:3, 0]).sum())
    return affine_of(linear, -product(linear, pose[:3, 3:])[:, 0])


def painted(
    subject: Subject, affine: Matrix, shape: tuple[int, int, int]
) -> Iterator[tuple[slice, Canvas]]:
    """Paint a grid block by block along its last axis; give each block and where it lies."""
    to_midbrain = product(midbrain_from_patient(subject), affine)
    tile = generator(subject.seed, 1).standard_normal(_TILE**3, dtype=np.float32)
    step = max(1, _BLOCK_VOXELS // (shape[0] * shape[1]))
    for first in range(0, shape[2], step):
        part = slice(first, min(first + step, shape[2]))
        corner = affine_of(to_midbrain[:3, :3], apply(to_midbrain, (0, 0, first)))
        canvas = Canvas(subject, corner, (shape[0], shape[1], part.stop - first))
        _paint(canvas, tile)
        yield part, canvas


def painted_maps(
    subject: Subject,
    affine: Matrix,
    shape: tuple[int, int, int],
    *kinds: Callable[[Canvas], Floats],
) -> list[Floats]:
    """Paint a grid, and give whole maps of what each of `kinds` takes from a painted block."""
    maps = [np.empty(shape, np.float32) for _ in kinds]
    for part, canvas in painted(subject, affine, shape):
        for values, kind in zip(maps, kinds, strict=True):
            values[..., part] = kind(canvas)
    return maps


def chi_of(canvas: Canvas) -> Floats:
    """Give the susceptibility of a block, ppm."""
    return canvas.chi


def r2star_of(canvas: Canvas) -> Floats:
    """Give the relaxation rate of a block, 1/s."""
    return canvas.r2star
