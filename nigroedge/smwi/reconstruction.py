# SPDX-License-Identifier: Apache-2.0
"""From a multi-echo scan to SMWI, step by step, keeping every stage and every parameter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

import nigroedge
from nigroedge.engine import resolve_threads
from nigroedge.smwi.background import resharp, vsharp
from nigroedge.smwi.bounds import check_chi, check_decay, check_evolution
from nigroedge.smwi.channels import combine_channels, root_sum_of_squares
from nigroedge.smwi.dipole import Susceptibility, tkd
from nigroedge.smwi.fourier import Floats, FourierGrid, Mask, Shape3
from nigroedge.smwi.frequency import fit_frequency, hz_per_ppm, reliability, unwrap_in_time
from nigroedge.smwi.ilsqr import ilsqr
from nigroedge.smwi.mask import brain_mask, checked_mask
from nigroedge.smwi.masked import MaskedMap, inside
from nigroedge.smwi.method import METHODS, Method
from nigroedge.smwi.scan import MultiEcho
from nigroedge.smwi.single_step import FINE_STOPPING, single_step_tv
from nigroedge.smwi.solvers import Step
from nigroedge.smwi.turning import check_turning
from nigroedge.smwi.tv import TvOptions, tv_admm
from nigroedge.smwi.unwrap import unwrap_exact, unwrap_laplacian, wrap
from nigroedge.smwi.weighting import weight_magnitude
from nigroedge.volume import Volume

#: (stage, part of it that is done, 0 to 1)
Progress = Callable[[str, float], None]

STAGES = ("mask", "channels", "unwrap", "frequency", "background", "dipole", "smwi")


@dataclass(frozen=True, eq=False, kw_only=True)
class SmwiResult(Volume):
    """An SMWI, with every stage that led to it; it is a Volume, so predict takes it as it is.

    Parameters
    ----------
    magnitude : (nx, ny, nz) float32
        Root of the sum of squares over echoes (and channels).
    frequency_hz, local_field_ppm, chi_ppm : (nx, ny, nz) float32
        0 outside the mask; the last two outside the eroded mask.
    reliability : (nx, ny, nz) float32
        How well one frequency explains all echoes, 0 to 1.
    mask, eroded_mask : (nx, ny, nz) bool
        Brain; brain without the rim that background removal loses.
    phase : (nx, ny, nz) float32
        Of the first echo as it was measured (of the first channel), radians.
    unwrapped : (nx, ny, nz) float32
        Of the last echo, radians.
    parameters : dict
        Of every step, the software's version, the inputs' hashes, and how solvers ended.
    """

    magnitude: Floats = field(repr=False)
    phase: Floats = field(repr=False)
    unwrapped: Floats = field(repr=False)
    frequency_hz: Floats = field(repr=False)
    local_field_ppm: Floats = field(repr=False)
    chi_ppm: Floats = field(repr=False)
    reliability: Floats = field(repr=False)
    mask: Mask = field(repr=False)
    eroded_mask: Mask = field(repr=False)
    parameters: dict[str, Any] = field(repr=False)


def reconstruct(
    scan: MultiEcho,
    *,
    method: Method = METHODS["best"],
    mask: npt.NDArray[Any] | None = None,
    workers: int | None = None,
    progress: Progress = lambda stage, done: None,
) -> SmwiResult:
    """Make an SMWI of a multi-echo scan.

    Parameters
    ----------
    scan : MultiEcho
    method : Method
        One of METHODS, or your own.
    mask : (nx, ny, nz) array_like, optional
        Two-valued or a probability (see `checked_mask`); found from the magnitude by default.
    workers : int, optional
        Threads of the Fourier transforms; all CPUs of this process by default.
    progress : callable
        Called with the stage's name and the part of it that is done.

    Raises
    ------
    InputError, GeometryError
        If the echoes are too early for susceptibility, no brain is found, the mask misses the slab
        or is too thin for background removal, the magnitude decays or the phase turns otherwise
        than the echo times say, or susceptibilities come out that no brain has.
    """
    check_evolution(scan.echo_times_s, scan.field_strength_t)
    run = _Run(scan, method, resolve_threads(workers), progress)
    magnitude = root_sum_of_squares(scan.magnitudes.reshape(*scan.magnitudes.shape[:3], -1))
    progress("mask", 0.0)
    whole = _brain(scan, method, mask, magnitude)
    box = _Box.around(whole)
    inner = _Inner.of(run, box, whole[box.slices])
    check_decay(inner.medians(), scan.echo_times_s, scan.field_strength_t)
    magnitudes, radians = scan.magnitudes[box.slices], scan.radians[box.slices]
    check_turning(magnitudes, radians, inner.mask, scan.echo_times_s)
    field_map = run.field_map(inner)
    local, chi = run.sources(inner, field_map)
    check_chi(chi.chi, local.mask)
    progress("smwi", 0.0)
    chi_ppm = box.embedded(chi.chi)
    smwi = weight_magnitude(
        magnitude, chi_ppm, threshold_ppm=method.chi_threshold_ppm, power=method.power
    )
    progress("smwi", 1.0)
    return SmwiResult(
        voxels=smwi,
        affine=scan.affine,
        magnitude=magnitude,
        phase=wrap(scan.radians[..., 0, 0]),
        unwrapped=box.embedded(field_map.unwrapped_last),
        frequency_hz=box.embedded(field_map.frequency_hz),
        local_field_ppm=box.embedded(local.values),
        chi_ppm=chi_ppm,
        reliability=box.embedded(field_map.reliability),
        mask=whole,
        eroded_mask=box.embedded(local.mask),
        parameters=_parameters(run, mask is not None, whole, local, chi),
    )


def _brain(
    scan: MultiEcho, method: Method, mask: npt.NDArray[Any] | None, magnitude: Floats
) -> Mask:
    if mask is not None:
        found = checked_mask(np.asarray(mask), magnitude.shape)
    else:
        found = brain_mask(magnitude, scan.voxel_size_mm, opening_mm=method.mask_opening_mm)
    return found & (magnitude > 0)


@dataclass(frozen=True)
class _Box:
    """The smallest box that holds the mask: what lies beyond costs time and adds nothing."""

    slices: tuple[slice, ...]
    shape: tuple[int, ...]

    @classmethod
    def around(cls, mask: Mask) -> _Box:
        spans = []
        for axis in range(3):
            others = tuple(a for a in range(3) if a != axis)
            filled = np.flatnonzero(mask.any(axis=others))
            spans.append(slice(int(filled[0]), int(filled[-1]) + 1))
        return cls(tuple(spans), mask.shape)

    def embedded(self, inner: Any) -> Any:
        """Put a map of the box back into the slab, with 0 around it."""
        whole = np.zeros(self.shape, inner.dtype)
        whole[self.slices] = inner
        return whole


@dataclass(frozen=True, eq=False)
class _FieldMap:
    frequency_hz: Floats
    reliability: Floats
    unwrapped_last: Floats


@dataclass(frozen=True, eq=False)
class _Inner:
    """The scan within the bounding box of the mask."""

    mask: Mask
    magnitude: Floats
    phase: Floats
    rss: Floats
    grid: FourierGrid

    @classmethod
    def of(cls, run: _Run, box: _Box, mask: Mask) -> _Inner:
        run.progress("channels", 0.0)
        scan = run.scan
        magnitude, phase = combine_channels(
            scan.magnitudes[box.slices],
            scan.radians[box.slices],
            scan.echo_times_s,
            mask,
            run.unwrap,
            sigma_voxels=run.method.offset_sigma_voxels,
        )
        run.progress("channels", 1.0)
        shape: Shape3 = (mask.shape[0], mask.shape[1], mask.shape[2])
        grid = FourierGrid(shape, scan.voxel_size_mm, run.method.margin_mm, run.workers)
        return cls(mask, magnitude, phase, root_sum_of_squares(magnitude), grid)

    def medians(self) -> list[float]:
        """Of the magnitude over the mask, echo by echo."""
        return [float(np.median(echo[self.mask])) for echo in np.moveaxis(self.magnitude, 3, 0)]


@dataclass(frozen=True, eq=False)
class _Run:
    """One reconstruction: the scan, and how."""

    scan: MultiEcho
    method: Method
    workers: int
    progress: Progress

    def unwrap(self, phase: Floats, mask: Mask, trust: Floats) -> Floats:
        if self.method.unwrap == "exact":
            return unwrap_exact(phase, mask, trust)
        return unwrap_laplacian(phase, mask, self.scan.voxel_size_mm, workers=self.workers)

    def field_map(self, inner: _Inner) -> _FieldMap:
        unwrapped = self._unwrap_echoes(inner)
        self.progress("frequency", 0.0)
        times = self.scan.echo_times_s
        frequency = inside(fit_frequency(unwrapped, inner.magnitude, times), inner.mask)
        trust = reliability(unwrapped, inner.magnitude, frequency, times, inner.mask)
        self.progress("frequency", 1.0)
        return _FieldMap(frequency, trust, unwrapped[..., -1])

    def _unwrap_echoes(self, inner: _Inner) -> Floats:
        if self.method.unwrap == "exact":
            self.progress("unwrap", 0.0)
            difference = wrap(inner.phase[..., 1] - inner.phase[..., 0])
            trust = inner.magnitude[..., 0] * inner.magnitude[..., 1]
            difference = unwrap_exact(difference, inner.mask, trust)
            times = self.scan.echo_times_s
            unwrapped = unwrap_in_time(inner.phase, difference, inner.magnitude, times)
            return inside(unwrapped, inner.mask[..., None])
        return self._unwrap_one_by_one(inner)

    def _unwrap_one_by_one(self, inner: _Inner) -> Floats:
        """By the Laplacian, each from where the one before lets its differences be expected.

        Late echoes turn by more than half between neighbours, near air by much more; each such
        place would make a field of its own all over the brain.
        """
        unwrapped = np.empty_like(inner.phase)
        times, expected = self.scan.echo_times_s, None
        for echo, time in enumerate(times):
            self.progress("unwrap", echo / len(times))
            if echo > 0:
                expected = unwrapped[..., echo - 1] * np.float32(time / times[echo - 1])
            unwrapped[..., echo] = unwrap_laplacian(
                inner.phase[..., echo],
                inner.mask,
                self.scan.voxel_size_mm,
                expected=expected,
                workers=self.workers,
            )
        return unwrapped

    def sources(self, inner: _Inner, field_map: _FieldMap) -> tuple[MaskedMap, Susceptibility]:
        """Local field and susceptibility, one after the other or both at once."""
        field_ppm = field_map.frequency_hz / np.float32(hz_per_ppm(self.scan.field_strength_t))
        total = MaskedMap(field_ppm, inner.mask, inner.grid)
        weight = inner.rss * field_map.reliability
        background = self._begun("background")
        if self.method.background != "single-step":
            local = self._local_field(total, background)
            return local, self._susceptibility(inner, local, weight)
        return single_step_tv(
            total,
            self.scan.b0,
            weight=weight,
            radii_mm=self.method.single_step_radii_mm,
            regularisation=self.method.tv_lambda,
            stopping=replace(FINE_STOPPING, iterations=self.method.tv_iterations),
            step=self._begun("dipole"),
        )

    def _local_field(self, total: MaskedMap, step: Step) -> MaskedMap:
        method = self.method
        if method.background == "vsharp":
            radii_mm, threshold = method.vsharp_radii_mm, method.vsharp_threshold
            return vsharp(total, radii_mm=radii_mm, threshold=threshold, step=step)
        radius_mm, regularisation = method.resharp_radius_mm, method.resharp_lambda
        return resharp(total, radius_mm=radius_mm, regularisation=regularisation, step=step)

    def _susceptibility(self, inner: _Inner, local: MaskedMap, weight: Floats) -> Susceptibility:
        b0, step = self.scan.b0, self._begun("dipole")
        if self.method.dipole == "tkd":
            return tkd(local, b0, threshold=self.method.tkd_threshold)
        if self.method.dipole == "ilsqr":
            return ilsqr(local, b0, step=step)
        given = self.method.tv_lambda
        stopping = replace(TvOptions.stopping, iterations=self.method.tv_iterations)
        options = TvOptions(TvOptions.regularisation if given is None else given, stopping)
        return tv_admm(local, b0, weight=weight, support=inner.mask, options=options, step=step)

    def _begun(self, stage: str) -> Step:
        """Say that a stage begins, and give what says how far it is."""
        self.progress(stage, 0.0)
        return partial(self.progress, stage)


def _parameters(
    run: _Run, mask_given: bool, mask: Mask, local: MaskedMap, chi: Susceptibility
) -> dict[str, Any]:
    scan = run.scan
    return {
        "Software": {"Name": "nigroedge", "Version": nigroedge.__version__},
        "Method": asdict(run.method),
        "EchoTime": list(scan.echo_times_s),
        "MagneticFieldStrength": scan.field_strength_t,
        "B0Direction": [round(component, 6) for component in scan.b0],
        "B0From": scan.b0_from,
        "PhaseUnit": scan.phases.unit,
        "PhaseUnitDetected": scan.phases.is_detected,
        "PhaseSign": scan.phase_sign,
        "NotFiniteVoxels": int(np.size(scan.phases.finite) - scan.phases.finite.sum()),
        "Channels": scan.magnitudes.shape[4],
        "Mask": "given" if mask_given else "from magnitude",
        "MaskVoxels": int(mask.sum()),
        "ErodedMaskVoxels": int(local.mask.sum()),
        "ChiReference": "mean over the eroded mask is 0",
        "Solver": chi.solver,
        "Sources": [{"Name": source.name, "SHA256": source.sha256} for source in scan.sources],
    }
