# SPDX-License-Identifier: Apache-2.0
"""A simulated midbrain: a person with a hidden state of the nigra, the SMWI of it, and the SBR measured.

A subject is drawn from a seed: disease, state of each nigra, what a radiologist reads, what SPECT measures,
and the anatomy. Rendering paints smooth implicit shapes into a susceptibility map and a magnitude image, adds
texture and noise, and forms SMWI = M · S^m from them, as the scan does. Shapes live in the *midbrain frame*
(mm; x to the patient's right, y anterior and z up along the brainstem, origin midway between the red nuclei);
the pose maps it to the patient's RAS mm.

Voxels come from +, −, ×, ÷, √ and floor on float32 alone, so a seed gives the same image on every machine.
A score on simulated data shows that the software works; it says nothing about patients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nigroedge.volume import Volume

Side = Literal["left", "right"]
Vector = tuple[float, float, float]
Floats = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

SIDES: tuple[Side, Side] = ("left", "right")
#: Sign of the patient's x on each side.
_SIGN: dict[Side, float] = {"left": -1.0, "right": 1.0}

#: The scan of METHOD §1: echoes, voxels, field of view.
ECHO_TIMES_MS = (10.0, 20.0, 30.0, 40.0, 50.0)
SLAB_SHAPE = (384, 384, 30)
SLAB_SPACING_MM = (0.5, 0.5, 1.0)
#: Slab axes grow to left, posterior and superior, as a scanner stores them.
_SLAB_SIGNS = (-1.0, -1.0, 1.0)
#: The brainstem leans forward by this much against the patient's z, degrees (CIT168; METHOD §5).
BRAINSTEM_TILT = 22.0
#: Share of participants with abnormal SPECT: 308 of 367 (METHOD §1, table 1); 293 of 367 are read as lost.
COHORT_PREVALENCE = 308 / 367


class Tissue(NamedTuple):
    """Susceptibility against its surroundings, ppb; R2*, 1/s; proton density relative to the peduncle."""

    chi: float
    r2star: float
    density: float = 1.0


#: METHOD §5; densities and the last four rows are assumed.
TISSUES = {
    "nigra healthy": Tissue(105, 31.1),
    "nigra diseased": Tissue(132, 34.9),
    "nigrosome": Tissue(68, 26.1),
    "red nucleus": Tissue(102, 31.5),
    "subthalamic": Tissue(97, 31.7),
    "peduncle": Tissue(-20, 23.5),
    "white matter": Tissue(-30, 20.1, 0.93),
    "csf": Tissue(19, 0.6, 0.95),
    "vein": Tissue(190, 50.0),
    "cortex": Tissue(10, 19.0, 0.92),
    "grey": Tissue(30, 24.0, 0.95),
    "dura": Tissue(60, 60.0, 0.8),
    "scalp": Tissue(-10, 15.0, 1.2),
    "air": Tissue(0, 20.0, 0.0),
}


@dataclass(frozen=True)
class Blob:
    """An ellipsoid, bent along its first axis, in the midbrain frame.

    Parameters
    ----------
    centre, radii : (float, float, float)
        Millimetres; radii along the three axes.
    axes : three unit vectors
        First, second and third axis of the ellipsoid.
    bend : float
        The third coordinate is lowered by bend · first², 1/mm.
    """

    centre: Vector
    radii: Vector
    axes: tuple[Vector, Vector, Vector] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    bend: float = 0.0

    @property
    def volume_mm3(self) -> float:
        """Volume; a bend does not change it."""
        return 4 / 3 * math.pi * math.prod(self.radii)


@dataclass(frozen=True)
class Vessel:
    """A vein: capsules between successive points of the midbrain frame."""

    points: tuple[Vector, ...]
    radius: float


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
        Mean of the SBR given the state: what nobody can predict better from an image.
    sbr : float
        SBR as measured, with the spread that the nigra does not explain.
    centroid_mm : (float, float, float)
        Nigrosome-1 as marked by the reader, patient RAS mm.
    """

    state: float
    visibility: float
    intact: bool
    expected_sbr: float
    sbr: float
    centroid_mm: Vector
    nigra: Blob
    nigrosome: Blob
    red_nucleus: Blob
    subthalamic: Blob
    vessels: tuple[Vessel, ...]


@dataclass(frozen=True, eq=False)
class Subject:
    """Everything about one simulated person and the scan; what a seed decides.

    Parameters
    ----------
    to_patient : (4, 4) ndarray
        Midbrain frame → patient RAS mm: a rotation, one scale, and a shift.
    chi_gain : float
        Factor on positive susceptibilities.
    chi_threshold_ppm : float
        χth of the SMWI mask.
    edge_mm : float
        Width of tissue borders, which stands for the point spread.
    texture, noise, chi_noise_ppb : float
        Relative SD of the magnitude's texture and noise; SD of the noise of the susceptibility map.
    bias : (float, float, float)
        Relative change of the coil's gain per 100 mm along x, y, z.
    slab_affine : (4, 4) ndarray
        Voxel index → RAS mm of the scan's slab.
    """

    seed: int
    diseased: bool
    left: SideState
    right: SideState
    to_patient: Matrix
    chi_gain: float
    chi_threshold_ppm: float
    edge_mm: float
    texture: float
    noise: float
    chi_noise_ppb: float
    bias: Vector
    scale: float
    slab_affine: Matrix


@dataclass(frozen=True, eq=False)
class Simulation:
    """A simulated scan with what was measured and read in the same person."""

    subject: Subject
    volume: Volume
    left_mm: Vector
    right_mm: Vector
    sbr_left: float
    sbr_right: float
    intact_left: bool
    intact_right: bool


# ---- drawing a subject -----------------------------------------------------------------------------


def _generator(*words: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def expected_sbr(state: float) -> float:
    """Give the mean SBR of a nigra in this state: linear above 45 % of it, a floor below.

    Nigral cell counts and striatal uptake part company below about half of the cells (METHOD §5);
    floor and slope are set so that the cohort has the moments of METHOD §1.
    """
    return 2.2 + 2.75 * min(1.0, max(0.0, (state - 0.45) / 0.5))


#: Spread of the measured SBR that the state does not explain: SD shared by the sides, and of each side.
SBR_SD_SHARED, SBR_SD_SIDE = 0.68, 0.48
#: A ratio of counts minus one is not below this where the striatum is seen at all (assumed).
SBR_MINIMUM = 0.1


def _draw_states(rng: np.random.Generator, diseased: bool) -> list[float]:
    """Draw the state of both nigrae: alike in health, unequal in disease."""
    common = 0.02 + 0.6 * rng.beta(1.6, 2.6) if diseased else rng.uniform(0.8, 1.0)
    spread = 0.09 if diseased else 0.03
    return [min(1.0, max(0.0, common + spread * rng.standard_normal())) for _ in SIDES]


def _draw_sbr(rng: np.random.Generator, means: list[float]) -> list[float]:
    """Draw what SPECT measures on both sides; again where it is not a positive ratio."""
    while True:
        shared = SBR_SD_SHARED * rng.standard_normal()
        values = [mean + shared + SBR_SD_SIDE * rng.standard_normal() for mean in means]
        if min(values) >= SBR_MINIMUM:
            return values


def _draw_visibility(rng: np.random.Generator, state: float) -> tuple[float, bool]:
    """Draw how far nigrosome-1 stands out, and what the reader says.

    It fades between 65 % and 40 % of the state; 15 % of all sides have it thin or faint even so.
    """
    t = min(1.0, max(0.0, (state - 0.40) / 0.25))
    faint = rng.random() < 0.15
    visibility = t * t * (3 - 2 * t) * (rng.uniform(0.1, 0.7) if faint else rng.uniform(0.8, 1.0))
    return visibility, bool(visibility + 0.06 * rng.standard_normal() > 0.3)


def _unit(v: npt.ArrayLike) -> Matrix:
    w = np.asarray(v, np.float64)
    return np.asarray(w / math.sqrt(float((w * w).sum())))


def _frame(
    first: npt.ArrayLike, second: npt.ArrayLike, sign: float
) -> tuple[Vector, Vector, Vector]:
    """Give right-angled axes of the right side from two directions; mirrored when sign is −1."""
    p = _unit(first)
    q = np.asarray(second, np.float64)
    q = _unit(q - p * float((p * q).sum()))
    n = np.cross(p, q)
    rows = [(float(sign * v[0]), float(v[1]), float(v[2])) for v in (p, q, n)]
    return rows[0], rows[1], rows[2]


def _place(centre: npt.ArrayLike, sign: float) -> Vector:
    c = np.asarray(centre, np.float64)
    return float(sign * c[0]), float(c[1]), float(c[2])


def _along(blob: Blob, first: float, second: float, third: float) -> Vector:
    """Give the point of the midbrain frame at these coordinates of the bent ellipsoid."""
    steps = (first, second, third + blob.bend * first * first)
    p = [
        c + sum(s * axis[i] for s, axis in zip(steps, blob.axes, strict=True))
        for i, c in enumerate(blob.centre)
    ]
    return p[0], p[1], p[2]


def _draw_anatomy(rng: np.random.Generator, sign: float) -> dict[str, Any]:
    """Draw the nuclei and veins of one side; sizes and places of METHOD §5, their spread assumed."""

    def vary(centre: Vector, sd: float = 0.35) -> Vector:
        return _place(np.asarray(centre) + sd * rng.standard_normal(3), sign)

    def size(radii: Vector, sd: float = 0.06) -> Vector:
        r = np.asarray(radii) * np.exp(sd * rng.standard_normal(3).clip(-2.5, 2.5))
        return float(r[0]), float(r[1]), float(r[2])

    angle = math.radians(rng.normal(36, 4))
    lean = rng.normal(0.0, 0.06)
    lateral = (math.cos(angle), -math.sin(angle), 0.0)
    nigra = Blob(
        vary((10.2, 2.4, -3.5)),
        size((7.6, 6.8, 2.05)),
        _frame(lateral, (0.28, 0.62 + lean, 0.73), sign),
        -0.025 + 0.006 * rng.standard_normal(),
    )
    return {
        "nigra": nigra,
        "nigrosome": Blob(
            _along(
                nigra, 3.6 + 0.5 * rng.standard_normal(), -1.2 + 0.6 * rng.standard_normal(), 0.1
            ),
            size((2.9, 4.0, 0.85), 0.12),
            nigra.axes,
            nigra.bend,
        ),
        "red_nucleus": Blob(vary((5.4, 0.0, 0.0), 0.3), size((4.2, 4.2, 4.0), 0.04)),
        "subthalamic": Blob(
            vary((10.8, 7.2, 4.0)),
            size((6.2, 3.4, 1.9)),
            _frame((0.8, -0.6, 0.1), (0.1, 0.5, 0.85), sign),
        ),
        "vessels": _draw_vessels(rng, sign),
    }


def _draw_vessels(rng: np.random.Generator, sign: float) -> tuple[Vessel, ...]:
    """Draw the basal vein around the peduncle and a few small veins near it."""

    def path(points: list[Vector], sd: float) -> tuple[Vector, ...]:
        shift = sd * rng.standard_normal(3)
        return tuple(
            _place(np.asarray(p) + shift + 0.3 * rng.standard_normal(3), sign) for p in points
        )

    basal = [(23.5, 4, -6), (22, -2, -5.5), (19.8, -6, -5), (17.8, -9, -4.5), (17, -13, -3.5)]
    vessels = [Vessel(path(basal, 0.8), rng.uniform(0.6, 1.1))]
    for _ in range(rng.integers(2, 6)):
        start = rng.uniform((8, -11, -10), (21, 4, 6))
        middle = start + rng.normal(0, 2.0, 3)
        end = middle + (middle - start) + rng.normal(0, 1.0, 3)
        vessels.append(
            Vessel(path([tuple(start), tuple(middle), tuple(end)], 0), rng.uniform(0.2, 0.45))
        )
    for _ in range(2):
        y, z = rng.uniform(3.5, 8.0), rng.uniform(-9, -3)
        vessels.append(
            Vessel(
                path([(rng.uniform(0.2, 2.0), y, z), (0.8, y + 1.5, z - 3)], 0),
                rng.uniform(0.3, 0.6),
            )
        )
    return tuple(vessels)


def _rotation(degrees: npt.ArrayLike) -> Matrix:
    """Give Rz · Ry · Rx for angles about x, y and z, (3, 3)."""
    (cx, sx), (cy, sy), (cz, sz) = ((math.cos(a), math.sin(a)) for a in np.radians(degrees))
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return _product(rz, _product(ry, rx))


def _product(a: Matrix, b: Matrix) -> Matrix:
    """Multiply small matrices in one fixed order; BLAS would round as it likes."""
    total = a[:, :1] * b[:1]
    for k in range(1, a.shape[1]):
        total = total + a[:, k : k + 1] * b[k : k + 1]
    return np.asarray(total)


def _affine(linear: Matrix, shift: npt.ArrayLike) -> Matrix:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, shift
    return matrix


def _apply(affine: Matrix, point: npt.ArrayLike) -> Vector:
    p = _product(affine, np.append(np.asarray(point, np.float64), 1.0)[:, None])[:, 0]
    return float(p[0]), float(p[1]), float(p[2])


def _draw_slab(rng: np.random.Generator, to_patient: Matrix) -> Matrix:
    """Lay the slab across the brainstem, as well as a technician does."""
    tilt = _rotation((-BRAINSTEM_TILT + rng.normal(0, 3), 0, 0))
    linear = tilt * (np.array(_SLAB_SIGNS) * np.array(SLAB_SPACING_MM))
    centre = np.array(_apply(to_patient, (0, 0, -4))) + rng.normal(0, (2, 4, 1.0))
    middle = (np.array(SLAB_SHAPE) - 1) / 2
    return _affine(linear, centre - (linear * middle).sum(axis=1))


def draw_subject(
    seed: int, *, prevalence: float = COHORT_PREVALENCE, reader_jitter_mm: float = 0.0
) -> Subject:
    """Draw a person and the conditions of the scan.

    Parameters
    ----------
    seed : int
        Not negative; the same seed gives the same subject.
    prevalence : float
        Chance of disease. The default is the cohort's share of abnormal SPECT; about 80 % of sides
        are then read as lost.
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
    rng = _generator(seed, 0)
    diseased = bool(rng.random() < prevalence)
    scale = float(rng.uniform(0.95, 1.07))
    turn = _product(_rotation(rng.normal(0, 2.5, 3)), _rotation((-BRAINSTEM_TILT, 0, 0)))
    to_patient = _affine(scale * turn, rng.normal((0, 0, 0), (3, 12, 12)))
    states = _draw_states(rng, diseased)
    means = [expected_sbr(state) for state in states]
    measured = _draw_sbr(rng, means)
    sides = []
    for side, state, mean, sbr in zip(SIDES, states, means, measured, strict=True):
        visibility, intact = _draw_visibility(rng, state)
        anatomy = _draw_anatomy(rng, _SIGN[side])
        marked = np.array(_apply(to_patient, anatomy["nigrosome"].centre))
        marked = marked + reader_jitter_mm * rng.standard_normal(3)
        place = (float(marked[0]), float(marked[1]), float(marked[2]))
        sides.append(SideState(state, visibility, intact, mean, sbr, place, **anatomy))
    bias = rng.normal(0, 0.15, 3)
    return Subject(
        seed=seed,
        diseased=diseased,
        left=sides[0],
        right=sides[1],
        to_patient=to_patient,
        chi_gain=float(rng.uniform(0.8, 1.6)),
        chi_threshold_ppm=float(rng.uniform(0.45, 0.75)),
        edge_mm=float(rng.uniform(0.9, 1.6)),
        texture=float(rng.uniform(0.03, 0.06)),
        noise=float(rng.uniform(0.02, 0.06)),
        chi_noise_ppb=float(rng.uniform(4, 14)),
        bias=(float(bias[0]), float(bias[1]), float(bias[2])),
        scale=scale,
        slab_affine=_draw_slab(rng, to_patient),
    )


# ---- rendering -------------------------------------------------------------------------------------


def magnitude(tissue: Tissue) -> float:
    """Combine the echoes: root of the sum of squares of density · exp(−TE · R2*) (METHOD §1)."""
    echoes = (math.exp(-te * 1e-3 * tissue.r2star) for te in ECHO_TIMES_MS)
    return tissue.density * math.sqrt(sum(e * e for e in echoes))


def mask(chi_ppm: Floats, threshold_ppm: float, power: int = 4) -> Floats:
    """Give S^m of SMWI: 1 below 0 ppm, falling to 0 at the threshold (METHOD §4). Works in place."""
    chi_ppm *= np.float32(-1 / threshold_ppm)
    chi_ppm += np.float32(1)
    np.clip(chi_ppm, 0, 1, out=chi_ppm)
    weight = chi_ppm.copy()
    for _ in range(power - 1):
        weight *= chi_ppm
    return weight


def _smooth(distance: Floats, width: float) -> Floats:
    """Turn a distance in mm (positive inside) into a share of the voxel: a cubic step this wide."""
    t = distance * np.float32(1 / width)
    t += np.float32(0.5)
    np.clip(t, 0, 1, out=t)
    return t * t * (np.float32(3) - 2 * t)


class _Canvas:
    """A block of voxels in the making: its points in the midbrain frame, χ in ppm, and signal."""

    def __init__(self, subject: Subject, to_midbrain: Matrix, shape: tuple[int, ...]) -> None:
        self.subject = subject
        self.to_index = np.linalg.inv(
            to_midbrain
        )  # only finds boxes: its rounding reaches no voxel
        self.shape = shape
        steps = [np.arange(n, dtype=np.float32) for n in shape]
        self.points = [
            (np.float32(row[0]) * steps[0])[:, None, None]
            + (np.float32(row[1]) * steps[1])[:, None]
            + (np.float32(row[2]) * steps[2] + np.float32(row[3]))
            for row in to_midbrain[:3]
        ]
        self.chi = np.zeros(shape, np.float32)
        self.signal = np.zeros(shape, np.float32)
        self.ragged = np.zeros(shape, np.float32)

    def box(self, centre: Vector, reach_mm: float) -> tuple[slice, ...] | None:
        """Find the voxels within reach of a point; None if there are none."""
        middle = self.to_index[:3, :3] @ np.array(centre) + self.to_index[:3, 3]
        half = np.linalg.norm(self.to_index[:3, :3], axis=1) * reach_mm
        low = np.clip(np.floor(middle - half), 0, self.shape).astype(int)
        high = np.clip(np.ceil(middle + half) + 1, 0, self.shape).astype(int)
        return tuple(map(slice, low, high)) if (high > low).all() else None

    def paint(self, box: tuple[slice, ...] | Any, share: Floats, tissue: Tissue) -> None:
        """Mix the tissue into a box: share 1 replaces what was there."""
        gain = self.subject.chi_gain if tissue.chi > 0 else 1.0
        for field, value in (
            (self.chi[box], tissue.chi * gain * 1e-3),
            (self.signal[box], magnitude(tissue) / _UNIT),
        ):
            field += share * (np.float32(value) - field)

    def blob(self, blob: Blob, tissue: Tissue, *, soft: float = 1.0, weight: float = 1.0) -> None:
        """Paint an ellipsoid."""
        width = self.subject.edge_mm * soft
        box = self.box(blob.centre, max(blob.radii) * 1.25 + width)
        if box is not None:
            depth = ellipsoid_depth([p[box] for p in self.points], blob)
            depth += self.ragged[box]
            self.paint(box, _smooth(depth, width) * np.float32(weight), tissue)

    def vessel(self, vessel: Vessel) -> None:
        """Paint a vein, no narrower than the point spread but the fainter for it."""
        width = max(self.subject.edge_mm, 0.8)
        radius = max(vessel.radius, 0.35)
        weight = np.float32((vessel.radius / radius) ** 2)
        for a, b in zip(vessel.points, vessel.points[1:], strict=False):
            middle = tuple((np.array(a) + np.array(b)) / 2)
            box = self.box(middle, math.dist(a, b) / 2 + radius + width)
            if box is not None:
                depth = np.float32(radius) - segment_distance([p[box] for p in self.points], a, b)
                self.paint(box, _smooth(depth, width) * weight, TISSUES["vein"])


_UNIT = magnitude(TISSUES["peduncle"])


def ellipsoid_depth(points: list[Floats], blob: Blob) -> Floats:
    """Give the depth below the surface of a bent ellipsoid, mm; negative outside.

    To first order, (1 − ρ²) / |∇ρ²| with ρ² the ellipsoid's quadratic form: exact at the surface.
    """
    offset = [p - np.float32(c) for p, c in zip(points, blob.centre, strict=True)]
    local = [
        sum(np.float32(e) * o for e, o in zip(axis, offset, strict=True)) for axis in blob.axes
    ]
    if blob.bend:
        local[2] -= np.float32(blob.bend) * local[0] * local[0]
    form = np.zeros_like(points[0])
    slope = np.full_like(points[0], 1e-6)
    for value, radius in zip(local, blob.radii, strict=True):
        value *= np.float32(1 / radius)
        form += value * value
        value *= np.float32(1 / radius)
        slope += value * value
    return (np.float32(0.5) - np.float32(0.5) * form) / np.sqrt(slope)


def segment_distance(points: list[Floats], a: Vector, b: Vector) -> Floats:
    """Give the distance to the segment from a to b, mm."""
    along = np.subtract(b, a)
    length2 = float((along * along).sum()) or 1.0
    offset = [p - np.float32(c) for p, c in zip(points, a, strict=True)]
    t = sum(np.float32(d / length2) * o for d, o in zip(along, offset, strict=True))
    t = np.clip(t, 0, 1)
    return np.sqrt(sum((o - np.float32(d) * t) ** 2 for d, o in zip(along, offset, strict=True)))


_TILE = 32


def _tile(seed: int) -> Floats:
    """Draw a cube of white noise that repeats in all directions."""
    return _generator(seed, 1).standard_normal(_TILE**3, dtype=np.float32)


def _sample(tile: Floats, points: list[Floats], grain_mm: float) -> Floats:
    """Interpolate the repeating noise, one grain per so many mm; mean 0, SD about 1."""
    scaled = [p * np.float32(1 / grain_mm) + np.float32(_TILE) for p in points]
    low = [np.floor(s) for s in scaled]
    fraction = [s - f for s, f in zip(scaled, low, strict=True)]
    near = [f.astype(np.int32) for f in low]
    wrap = _TILE - 1

    def row(i: int, j: int) -> Floats:
        base = ((near[0] + i & wrap) * _TILE + (near[1] + j & wrap)) * _TILE
        first, second = tile.take(base + (near[2] & wrap)), tile.take(base + (near[2] + 1 & wrap))
        return first + fraction[2] * (second - first)

    plane = [r0 + fraction[1] * (r1 - r0) for r0, r1 in ((row(i, 0), row(i, 1)) for i in (0, 1))]
    # Linear interpolation keeps (2/3)^(3/2) of the SD on average.
    return (plane[0] + fraction[0] * (plane[1] - plane[0])) * np.float32(1.5**1.5)


def _outline_depth(points: list[Floats]) -> Floats:
    """Give the depth below the surface of the brainstem, mm: tegmentum and two peduncles."""
    x, y, z = points
    u = np.abs(x)
    # Above the red nucleus the brainstem widens into the thalamus.
    rise = np.clip(z - np.float32(2.5), 0, 8) * np.float32(0.9)
    parts = [ellipsoid_depth([u, y, np.zeros_like(u)], blob) for blob in _OUTLINE]
    return np.maximum(*parts) + rise


_C40, _S40 = math.cos(math.radians(42)), math.sin(math.radians(42))
#: Cross-section of the midbrain, right half: tegmentum and peduncle, read off published sections (assumed).
_OUTLINE = (
    Blob((0.0, -6.0, 0.0), (16.5, 11.5, 1e3)),
    Blob(
        (11.5, 3.6, 0.0), (11.5, 9.6, 1e3), ((_C40, -_S40, 0.0), (_S40, _C40, 0.0), (0.0, 0.0, 1.0))
    ),
)
_FOSSA = Blob((0.0, 9.5, -5.5), (2.4, 6.5, 8.0))
_VENTRICLE = Blob((0.0, -8.5, 8.0), (2.4, 7.5, 5.5))
_AQUEDUCT = Blob((0.0, -12.5, -4.0), (0.9, 1.2, 13.0))
#: Places where the magnitude is a little lower: pontine and collicular grey (assumed).
_SMUDGES = (Blob((6.5, 8.0, -11.0), (3.5, 2.5, 3.5)), Blob((5.0, -10.5, -13.0), (5.0, 2.5, 4.0)))


def _paint_surroundings(canvas: _Canvas, coarse: Floats, folds: Floats) -> None:
    """Paint what lies around the nuclei: cortex, cisterns, tentorium, brainstem, ventricle."""
    everything = (slice(None),) * 3
    depth = _outline_depth(canvas.points) + canvas.ragged * np.float32(1.5)
    z = canvas.points[2]
    edge = canvas.subject.edge_mm
    canvas.paint(everything, np.ones((1, 1, 1), np.float32), TISSUES["cortex"])
    canvas.paint(everything, _smooth(folds - np.float32(1.0), 0.8), TISSUES["csf"])
    cistern = np.clip(np.float32(4) - z, 0, 2) * np.float32(1.5)
    canvas.paint(everything, _smooth(depth + cistern, edge * 1.5), TISSUES["csf"])
    canvas.signal *= 1 + np.float32(0.12) * coarse
    sheet = np.float32(0.45) - np.abs(depth + np.float32(2.2))
    canvas.paint(
        everything, _smooth(sheet, edge) * _smooth(-z - np.float32(8.5), 3), TISSUES["dura"]
    )
    canvas.paint(everything, _smooth(depth, edge), TISSUES["white matter"])
    for blob, tissue in ((_FOSSA, "csf"), (_VENTRICLE, "csf"), (_AQUEDUCT, "csf")):
        canvas.blob(blob, TISSUES[tissue])
    for blob in _SMUDGES:
        for sign in _SIGN.values():
            place = Blob(_place(blob.centre, sign), blob.radii)
            canvas.blob(place, TISSUES["grey"], soft=3, weight=0.8)


def _mixed(a: Tissue, b: Tissue, share: float) -> Tissue:
    """Give the tissue a share of the way from a to b."""
    return Tissue(*(p + share * (q - p) for p, q in zip(a, b, strict=True)))


def _paint_side(canvas: _Canvas, side: SideState) -> None:
    """Paint the nuclei and veins of one side; the nigra follows its state."""
    nigra = _mixed(TISSUES["nigra diseased"], TISSUES["nigra healthy"], side.state)
    canvas.blob(side.subthalamic, TISSUES["subthalamic"])
    canvas.blob(side.nigra, nigra)
    canvas.blob(side.nigrosome, TISSUES["nigrosome"], weight=side.visibility)
    canvas.blob(side.red_nucleus, TISSUES["red nucleus"])
    for vessel in side.vessels:
        canvas.vessel(vessel)


def _paint_head(canvas: _Canvas) -> None:
    """Paint skull, scalp and air around the head, where the block reaches that far."""
    x, y, _ = canvas.points
    form = (x / np.float32(74)) ** 2 + ((y + np.float32(8)) / np.float32(90)) ** 2
    depth = (1 - np.sqrt(form)) * np.float32(80)
    everything = (slice(None),) * 3
    if depth.min() > 3:
        return
    for margin, tissue in ((3.0, "csf"), (0.0, "air"), (-6.0, "scalp"), (-11.0, "air")):
        share = _smooth(np.float32(margin) - depth, 1.0)
        canvas.paint(everything, share, TISSUES[tissue])


def _paint(canvas: _Canvas, tile: Floats) -> None:
    """Paint the whole scene into a block, texture included, noise not."""
    subject = canvas.subject
    fine = _sample(tile, canvas.points, 0.9)
    coarse = _sample(tile, canvas.points, 2.6)
    canvas.ragged = coarse * np.float32(0.25)
    _paint_surroundings(canvas, coarse, coarse)
    for side in (subject.left, subject.right):
        _paint_side(canvas, side)
    _paint_head(canvas)
    canvas.signal *= 1 + np.float32(subject.texture) * (fine + coarse)
    canvas.chi -= np.float32(subject.texture * 0.2) * fine * (canvas.signal > 0)


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Draw noise of unit SD that is correlated as in a scan interpolated from fewer samples."""
    field = rng.standard_normal(shape, dtype=np.float32)
    for axis, side in ((0, 0.5), (1, 0.5), (2, 0.5)):
        low, high = [slice(None)] * 3, [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        out = field.copy()
        out[tuple(low)] += np.float32(side) * field[tuple(high)]
        out[tuple(high)] += np.float32(side) * field[tuple(low)]
        field = out * np.float32(1 / math.sqrt(1 + 2 * side * side))
    return field


#: Scanner units of a peduncle without bias.
SIGNAL_UNIT = 1000.0
#: Voxels painted at once: small enough for the cache, and bounds the memory of a whole slab.
_BLOCK_VOXELS = 1 << 18


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
    grid = np.asarray(affine, np.float64)
    linear = subject.to_patient[:3, :3].T / subject.scale**2
    inverse = _affine(linear, -_product(linear, subject.to_patient[:3, 3:])[:, 0])
    to_midbrain = _product(inverse, grid)
    tile = _tile(subject.seed)
    out = np.empty(shape, np.float32)
    rng = _generator(subject.seed, 2, repeat)
    signal_noise, chi_noise = (_noise(rng, shape) for _ in range(2)) if noise else (None, None)
    step = max(1, _BLOCK_VOXELS // (shape[0] * shape[1]))
    for k in range(0, shape[2], step):
        part = slice(k, min(k + step, shape[2]))
        corner = _affine(to_midbrain[:3, :3], _apply(to_midbrain, (0, 0, k)))
        canvas = _Canvas(subject, corner, (shape[0], shape[1], part.stop - k))
        _paint(canvas, tile)
        if signal_noise is not None and chi_noise is not None:
            canvas.signal += np.float32(subject.noise) * signal_noise[..., part]
            canvas.chi += np.float32(subject.chi_noise_ppb * 1e-3) * chi_noise[..., part]
        image = np.abs(canvas.signal, out=canvas.signal)
        image *= mask(canvas.chi, subject.chi_threshold_ppm)
        gain = 1 + sum(
            np.float32(b / 100) * p for b, p in zip(subject.bias, canvas.points, strict=True)
        )
        out[..., part] = image * gain * np.float32(SIGNAL_UNIT)
    return Volume(out, grid)


def patch_grid(
    subject: Subject, side: Side, shape: tuple[int, int, int] = (60, 60, 26)
) -> tuple[Matrix, tuple[int, int, int]]:
    """Give affine and shape of the part of the slab around one side's centroid, on the slab's own voxels."""
    state = subject.left if side == "left" else subject.right
    inverse = np.linalg.inv(subject.slab_affine)
    centre = np.rint(_apply(inverse, state.centroid_mm))
    corner = centre - np.array(shape) // 2
    corner = np.clip(corner, 0, np.array(SLAB_SHAPE) - np.array(shape))
    return _affine(subject.slab_affine[:3, :3], _apply(subject.slab_affine, corner)), shape


def simulate(
    seed: int, *, prevalence: float = COHORT_PREVALENCE, reader_jitter_mm: float = 0.0
) -> Simulation:
    """Draw a subject and scan the whole slab: int16 voxels, both sides.

    Parameters and errors are those of `draw_subject`.
    """
    subject = draw_subject(seed, prevalence=prevalence, reader_jitter_mm=reader_jitter_mm)
    scan = render(subject, subject.slab_affine, SLAB_SHAPE)
    voxels = np.rint(np.clip(scan.voxels, 0, 4095)).astype(np.int16)
    left, right = subject.left, subject.right
    return Simulation(
        subject,
        Volume(voxels, subject.slab_affine),
        left.centroid_mm,
        right.centroid_mm,
        left.sbr,
        right.sbr,
        left.intact,
        right.intact,
    )
