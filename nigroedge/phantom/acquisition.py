# SPDX-License-Identifier: Apache-2.0
"""The physical scan of a simulated person: the scene's field and echoes, and our own SMWI of them.

The scene is painted on a finer and larger grid than the image's: two samples a slice, and some
millimetres beyond every face. Each voxel sums its parts with their phases, so that the image is
not what the reconstruction's own forward model would make, on its own grid, of any map.
Needs scipy: pip install 'nigroedge[smwi]'.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from nigroedge.phantom.canvas import ECHO_TIMES_MS, PEDUNCLE, Canvas
from nigroedge.phantom.echoes import FIELD_STRENGTH_T, PARTS, Motion, Scene, measured
from nigroedge.phantom.field import background_field, dipole_field
from nigroedge.phantom.scan import (
    SIGNAL_UNIT,
    Simulation,
    as_stored,
    coil_gain,
    grid_at,
    patch_corner,
)
from nigroedge.phantom.scene import chi_of, painted_maps, r2star_of
from nigroedge.phantom.shapes import Floats, Matrix, affine_of, apply
from nigroedge.phantom.subject import (
    COHORT_PREVALENCE,
    SIDES,
    SLAB_SHAPE,
    Side,
    Subject,
    draw_subject,
    generator,
)
from nigroedge.smwi import METHODS, Method, MultiEcho, SmwiResult, reconstruct
from nigroedge.volume import Volume

Shape = tuple[int, int, int]

#: The scene beyond each face of the image, mm: sources further off are the background's business.
SURROUND_MM = 3.0
#: Voxels of the box beyond the windows: background removal loses 2 mm, χ near there is worse, and
#: a thin box flattens what is in it.
RIM = np.array([6, 6, 6])
#: SD and limit of the share of the scan for which the head lies one voxel off (assumed).
_MOTION_SD, _MOTION_MAX = 0.12, 0.3
#: How the phantom's scans are reconstructed by default: chosen by quality for its time
#: (docs/notes/phantom.md).
METHOD = replace(
    METHODS["best"],
    background="vsharp",
    vsharp_radii_mm=(6.0, 4.0, 2.0),
    tv_iterations=10,
    margin_mm=8.0,
    offset_sigma_voxels=(5.0, 5.0, 2.5),
)


def acquire(
    subject: Subject,
    affine: npt.ArrayLike,
    shape: Shape,
    *,
    channels: int = 1,
    noise: bool = True,
    repeat: int = 0,
) -> MultiEcho:
    """Scan a subject on a grid of the slab: magnitude and phase of five echoes.

    Parameters
    ----------
    affine : (4, 4) array_like
        Voxel index → patient RAS mm; its z against the patient's is the tilt against B0.
    shape : (int, int, int)
        Voxels.
    channels : int
        Coils; 1 is an image that the scanner has combined.
    noise : bool
        Whether the scan has noise.
    repeat : int
        Which of many scans of the same person: changes the noise alone.
    """
    affine = Volume(np.empty(shape, np.int8), np.asarray(affine, np.float64)).affine
    scene = _scene(subject, affine, shape)
    rng = generator(subject.seed, 4, repeat)
    sd = subject.contrast.noise * SIGNAL_UNIT if noise else 0.0
    coils = _coils(subject, shape, channels)
    signal = measured(scene, coils, _motion(subject), sd, rng)
    return MultiEcho(
        np.abs(signal),
        np.angle(signal),
        affine,
        echo_times_s=[te * 1e-3 for te in ECHO_TIMES_MS],
        field_strength_t=FIELD_STRENGTH_T,
        phase_unit="rad",
    )


def scan_physically(
    subject: Subject,
    affine: npt.ArrayLike,
    shape: Shape,
    *,
    method: Method = METHOD,
    repeat: int = 0,
) -> SmwiResult:
    """Acquire and reconstruct: SMWI in scanner units, with every stage.

    The threshold of the mask is the subject's, whatever the method says.
    """
    scan = acquire(subject, affine, shape, repeat=repeat)
    return reconstruct(scan, method=_of(subject, method), mask=np.ones(shape, bool), workers=1)


def simulate_physically(
    seed: int,
    *,
    prevalence: float = COHORT_PREVALENCE,
    reader_jitter_mm: float = 0.0,
    method: Method = METHODS["best"],
) -> Simulation:
    """Draw a subject and scan the whole slab physically: int16 voxels, both sides.

    The brain is found from the magnitude. Parameters and errors are those of `draw_subject`.
    """
    subject = draw_subject(seed, prevalence=prevalence, reader_jitter_mm=reader_jitter_mm)
    scan = acquire(subject, subject.slab_affine, SLAB_SHAPE)
    smwi = reconstruct(scan, method=_of(subject, method), workers=1)
    return as_stored(subject, smwi)


def _of(subject: Subject, method: Method) -> Method:
    """Give the method with the subject's threshold of the mask."""
    return replace(method, chi_threshold_ppm=subject.contrast.chi_threshold_ppm)


def scan_windows(
    subject: Subject, shape: Shape = (60, 60, 26), *, method: Method = METHOD, repeat: int = 0
) -> dict[Side, Volume]:
    """Scan both sides in one box, and cut the window of `patch_grid` around each.

    Where a window leaves the slab the box does too, as if the slab had been thicker there.

    Returns
    -------
    dict of side → Volume
        Voxels float32, in scanner units.
    """
    corners = {side: patch_corner(subject, side, shape) for side in SIDES}
    low = np.minimum(*corners.values()) - RIM
    high = np.maximum(*corners.values()) + shape + RIM
    nx, ny, nz = (high - low).tolist()
    smwi = scan_physically(
        subject, grid_at(subject, low), (nx, ny, nz), method=method, repeat=repeat
    )
    windows: dict[Side, Volume] = {}
    for side, corner in corners.items():
        part = tuple(slice(c, c + n) for c, n in zip(corner - low, shape, strict=True))
        windows[side] = Volume(smwi.voxels[part], grid_at(subject, corner))
    return windows


def _scene(subject: Subject, affine: Matrix, shape: Shape) -> Scene:
    """Paint on the fine grid with its surround, make the field there, and cut the surround off."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    beyond = np.ceil(SURROUND_MM / spacing).astype(int)
    to_image = np.eye(4)
    to_image[2, 2] = 1 / PARTS
    to_image[:3, 3] = -beyond
    to_image[2, 3] += -0.5 + 0.5 / PARTS
    fine = affine @ to_image
    nx, ny, nz = (int(n + 2 * b) for n, b in zip(shape, beyond, strict=True))
    grid = (nx, ny, nz * PARTS)
    chi, r2star, density = painted_maps(subject, fine, grid, chi_of, r2star_of, _density_seen)
    inner = tuple(
        slice(b * p, (b + n) * p) for b, n, p in zip(beyond, shape, (1, 1, PARTS), strict=True)
    )
    corner = affine_of(fine[:3, :3], apply(fine, [s.start for s in inner]))
    field = dipole_field(chi, fine)[inner]
    field = field + background_field(subject, _points(corner, field.shape))
    unit = np.float32(SIGNAL_UNIT / PEDUNCLE)
    return Scene(density[inner] * unit, np.ascontiguousarray(r2star[inner]), field)


def _density_seen(canvas: Canvas) -> Floats:
    """Give the density of a block as the coil's gain weighs it."""
    return canvas.density * coil_gain(canvas)


def _points(affine: Matrix, shape: tuple[int, ...]) -> list[Floats]:
    """Give the patient's x, y, z of every voxel."""
    i, j, k = (np.arange(n, dtype=np.float32) for n in shape)
    return [
        (np.float32(a) * i)[:, None, None]
        + (np.float32(b) * j)[:, None]
        + np.float32(c) * k
        + np.float32(d)
        for a, b, c, d in affine[:3]
    ]


def _motion(subject: Subject) -> Motion:
    """Draw where the head lay for a small share of the scan (assumed)."""
    rng = generator(subject.seed, 5)
    share = float(min(_MOTION_MAX, abs(_MOTION_SD * rng.standard_normal())))
    x, y, z = rng.integers(-1, 2, 3).tolist()
    return Motion(share, (x, y, z))


def _coils(subject: Subject, shape: Shape, channels: int) -> npt.NDArray[np.complex64]:
    """Draw coils around the head; the root of the sum of their squares is 1 everywhere.

    Each has a broad Gaussian sensitivity and a phase offset that changes linearly over the image.
    """
    rng = generator(subject.seed, 6)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij")
    coils = np.empty((*shape, channels), np.complex64)
    for channel in range(channels):
        angle = 2 * np.pi * (channel / channels)
        distance = (x - np.cos(angle)) ** 2 + (y - np.sin(angle)) ** 2 + 0.2 * z**2
        p = rng.uniform(-1, 1, 3).astype(np.float32)
        phase = p[0] * x + p[1] * y + p[2] * z + np.float32(rng.uniform(-np.pi, np.pi))
        coils[..., channel] = np.exp(np.float32(-0.35) * distance.astype(np.float32) + 1j * phase)
    coils /= np.sqrt((np.abs(coils) ** 2).sum(axis=-1, keepdims=True))
    return coils
