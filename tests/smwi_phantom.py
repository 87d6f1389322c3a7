# SPDX-License-Identifier: Apache-2.0
"""A numerical midbrain in a head, for tests of SMWI: susceptibilities, relaxation, field, echoes.

The slab is cut from a head that goes on above and below it, so that its field holds what a real
slab's does: air, bone and brain outside. χ and R2* are those of docs/notes/smwi.md. Field and
signal come from `qsm-forward`, which knows nothing of us; `exact_field` is our own in float64, for
where that package is not installed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.ndimage import distance_transform_edt

Array = npt.NDArray[np.float64]

VOXEL_MM = (0.5, 0.5, 1.0)
ECHO_TIMES_S = (0.010, 0.020, 0.030, 0.040, 0.050)
FIELD_T = 3.0
#: Slices simulated above and below the slab.
SURROUND = 24
#: The mask keeps this far from bone and air.
RIM_MM = 2.0

#: χ in ppm, R2* in 1/s, signal density.
TISSUES = {
    "air": (9.2, 50.0, 0.0),
    "bone": (-2.1, 400.0, 0.15),
    "white": (-0.030, 20.1, 0.93),
    "grey": (0.030, 24.0, 0.95),
    "csf": (0.019, 0.6, 0.95),
    "peduncle": (-0.020, 23.5, 1.0),
    "nigra": (0.105, 31.1, 1.0),
    "nigrosome": (0.068, 26.1, 1.0),
    "red nucleus": (0.102, 31.5, 1.0),
    "vein": (0.190, 50.0, 1.0),
}
NAMES = tuple(TISSUES)


@dataclass(frozen=True, eq=False)
class Head:
    """Maps on the slab (… of the head with its surround, where so named)."""

    labels: npt.NDArray[np.int8]
    whole_brain_chi: Array
    whole_outer_chi: Array
    chi: Array
    r2star: Array
    density: Array
    mask: npt.NDArray[np.bool_]
    b0: tuple[float, float, float]
    affine: Array

    def where(self, name: str) -> npt.NDArray[np.bool_]:
        return self.labels == NAMES.index(name)


def tilted_affine(tilt_degrees: float, shape: tuple[int, int, int]) -> Array:
    """A slab of VOXEL_MM turned about left–right: its normal leans away from B0 by the tilt."""
    c, s = math.cos(math.radians(tilt_degrees)), math.sin(math.radians(tilt_degrees))
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(VOXEL_MM)
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) / 2)
    return affine


def make_head(
    shape: tuple[int, int, int] = (128, 128, 30), tilt_degrees: float = 0.0, seed: int = 0
) -> Head:
    """Draw a head: scalp and skull about brain, a sinus in front, nuclei, veins and cortex."""
    whole = (shape[0], shape[1], shape[2] + 2 * SURROUND)
    x, y, z = _millimetres(whole)
    rx, ry = 0.45 * shape[0] * VOXEL_MM[0], 0.45 * shape[1] * VOXEL_MM[1]
    rz = 0.48 * whole[2] * VOXEL_MM[2]
    radius = np.sqrt((x / rx) ** 2 + (y / ry) ** 2 + (z / rz) ** 2)
    labels = np.full(whole, NAMES.index("air"), np.int8)
    labels[radius < 1.0] = NAMES.index("bone")
    labels[radius < 0.92] = NAMES.index("csf")
    labels[radius < 0.88] = NAMES.index("grey")
    labels[radius < 0.80] = NAMES.index("white")
    rng = np.random.default_rng(seed)
    _paint_cortex(labels, (x, y, z), rng, 0.6 * min(rx, ry))
    _paint_midbrain(labels, (x, y, z))
    _paint_veins(labels, (x, y, z), rng, 0.7 * min(rx, ry))
    # A sinus: air in front, close to the brain.
    sinus = ((x / 8) ** 2 + ((y - 0.99 * ry) / 7) ** 2 + ((z + 12) / 12) ** 2) < 1
    labels[sinus] = NAMES.index("air")
    table = np.array([TISSUES[name] for name in NAMES])
    texture = 1 + 0.1 * _smooth_noise(whole, rng)
    chi_whole = table[labels, 0] * np.where(labels >= NAMES.index("white"), texture, 1)
    whole_brain = labels >= NAMES.index("white")
    slab = (slice(None), slice(None), slice(SURROUND, -SURROUND))
    depth = distance_transform_edt(whole_brain, VOXEL_MM)
    brain = (depth > RIM_MM)[slab]
    affine = tilted_affine(tilt_degrees, shape)
    t = math.radians(tilt_degrees)
    return Head(
        labels=labels[slab],
        whole_brain_chi=np.where(whole_brain, chi_whole, 0),
        # Against air, which goes on for ever outside the box.
        whole_outer_chi=np.where(whole_brain, 0, chi_whole) - TISSUES["air"][0],
        chi=np.where(brain, chi_whole[slab], 0),
        r2star=table[labels[slab], 1],
        density=table[labels[slab], 2] * texture[slab],
        mask=brain,
        b0=(0.0, math.sin(t), math.cos(t)),
        affine=affine,
    )


def _millimetres(shape: tuple[int, int, int]) -> tuple[Array, Array, Array]:
    rulers = [(np.arange(n) - (n - 1) / 2) * h for n, h in zip(shape, VOXEL_MM, strict=True)]
    x, y, z = np.meshgrid(*rulers, indexing="ij")
    return x, y, z


def _ellipsoid(at: tuple[Array, Array, Array], centre, radii, turn_degrees=0.0):
    c, s = math.cos(math.radians(turn_degrees)), math.sin(math.radians(turn_degrees))
    x, y, z = (a - m for a, m in zip(at, centre, strict=True))
    u, v = c * x + s * y, -s * x + c * y
    return (u / radii[0]) ** 2 + (v / radii[1]) ** 2 + (z / radii[2]) ** 2 < 1


def _paint_cortex(labels, at, rng, reach) -> None:
    for name in ("grey", "csf"):
        for _ in range(14):
            centre = rng.uniform([-reach, -reach, -40], [reach, reach, 40])
            radii = rng.uniform(2, 5, 3)
            labels[_ellipsoid(at, centre, radii, rng.uniform(0, 180))] = NAMES.index(name)


def _paint_midbrain(labels, at) -> None:
    labels[_ellipsoid(at, (0, 0, 0), (17, 14, 22))] = NAMES.index("peduncle")
    labels[_ellipsoid(at, (0, -11, 0), (1.5, 1.5, 30))] = NAMES.index("csf")
    for side in (-1, 1):
        labels[_ellipsoid(at, (5.4 * side, -1, 4), (3.6, 3.6, 3.6))] = NAMES.index("red nucleus")
        nigra = _ellipsoid(at, (9.0 * side, 3, -3), (7, 2.8, 7), -40 * side)
        labels[nigra] = NAMES.index("nigra")
        nigrosome = _ellipsoid(at, (11.2 * side, 0.8, -4), (2.4, 0.9, 4), -40 * side)
        labels[nigrosome] = NAMES.index("nigrosome")


def _paint_veins(labels, at, rng, reach) -> None:
    x, y, z = at
    for _ in range(8):
        centre = rng.uniform([-reach, -reach, -10], [reach, reach, 10])
        if np.hypot(centre[0] / 20, centre[1] / 18) < 1:
            continue
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        offset = [a - c for a, c in zip((x, y, z), centre, strict=True)]
        along = sum(o * d for o, d in zip(offset, direction, strict=True))
        distance2 = sum(o**2 for o in offset) - along**2
        labels[(distance2 < 0.8**2) & (np.abs(along) < 15)] = NAMES.index("vein")


def _smooth_noise(shape, rng) -> Array:
    noise = fft.rfftn(rng.normal(size=shape))
    k2 = sum(k**2 for k in _frequencies(shape, VOXEL_MM))[..., : noise.shape[-1]]
    smooth = fft.irfftn(noise * np.exp(-2 * (math.pi * 3) ** 2 * k2), s=shape)
    return smooth / smooth.std()


def total_field(head: Head, forward=None) -> Array:
    """Field of the whole head on the slab, ppm, with 0 at the median over the brain.

    A scanner centres its frequency so. Bone and air are smoothed by a voxel: a kernel in k-space
    rings at steps of 10 ppm, and what rings is not harmonic, as a true outer field is. The mask
    keeps away from what leaks inwards.
    """
    forward = forward or exact_field
    outer = _smooth(head.whole_outer_chi, 1.0)
    field = slab_of(forward(head.whole_brain_chi + outer, head.b0))
    return field - np.median(field[head.mask])


def local_field(head: Head, forward=None) -> Array:
    """Field of the brain within the slab alone, ppm."""
    forward = forward or exact_field
    padded = np.pad(head.chi, ((0, 0), (0, 0), (SURROUND, SURROUND)))
    return slab_of(forward(padded, head.b0))


def _smooth(values: Array, sigma_voxels: float) -> Array:
    k2 = sum(k**2 for k in _frequencies(values.shape, (1, 1, 1)))
    window = np.exp(-2 * (math.pi * sigma_voxels) ** 2 * k2)
    return fft.ifftn(fft.fftn(values) * window, overwrite_x=True).real


def exact_field(chi: Array, b0: tuple[float, float, float]) -> Array:
    """Field of χ in units of χ, float64, on a box of twice the size; D(0) = 0."""
    box = tuple(2 * n for n in chi.shape)
    k = _frequencies(box, VOXEL_MM)
    k2 = sum(a**2 for a in k)
    k2[0, 0, 0] = 1
    kernel = 1 / 3 - sum(a * b for a, b in zip(k, b0, strict=True)) ** 2 / k2
    kernel[0, 0, 0] = 0
    nx, ny, nz = chi.shape
    return fft.ifftn(fft.fftn(chi, s=box) * kernel, overwrite_x=True).real[:nx, :ny, :nz]


def _frequencies(shape: tuple[int, ...], spacing: tuple[float, ...]) -> list[Array]:
    """Each along its own axis."""
    rulers = (fft.fftfreq(n, h) for n, h in zip(shape, spacing, strict=True))
    return np.meshgrid(*rulers, indexing="ij", sparse=True)


def slab_of(whole: Array) -> Array:
    return whole[:, :, SURROUND:-SURROUND]


def simulate_echoes(
    head: Head, field_ppm: Array, snr: float, seed: int = 0, offset: Array | float = 0.0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Magnitude and wrapped phase (nx, ny, nz, 5), complex noise of density / snr at every echo."""
    rng = np.random.default_rng(seed)
    rate = 2j * math.pi * 42.577478518 * FIELD_T * field_ppm - head.r2star
    echoes = []
    for time in ECHO_TIMES_S:
        signal = head.density * np.exp(rate * time + 1j * np.asarray(offset))
        noise = rng.normal(size=(2, *signal.shape)) / snr
        echoes.append(signal + noise[0] + 1j * noise[1])
    stack = np.stack(echoes, axis=-1)
    return np.abs(stack).astype(np.float32), np.angle(stack).astype(np.float32)
