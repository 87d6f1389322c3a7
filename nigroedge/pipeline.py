# SPDX-License-Identifier: Apache-2.0
"""From a volume and the centroids to SBR: crop, normalise, run, and write down what ran.

A side that the model flips is cropped on the grid that the model has for it, so that its patch
reaches the network as a patch of the other side would; nothing is flipped afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

import numpy as np

from nigroedge import _core
from nigroedge.centroid import Centroid, not_apart
from nigroedge.digest import hashing
from nigroedge.errors import DegeneratePatchError, GeometryError, InputError
from nigroedge.names import readable
from nigroedge.preprocess import PreparedPatch, keeps_signs, prepare_patch
from nigroedge.result import CentroidUsed, EngineUsed, InputUsed, ModelUsed, Result, SideResult
from nigroedge.volume import Source, Volume
from nigroedge.window import hold, window_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from nigroedge.engine import Engine
    from nigroedge.spec import ModelSpec

SIDES = ("left", "right")

#: What an SBR can be. It is (striatum − occipital) / occipital of counts, so never below −1. Intact
#: sides have 4.3 (SD 1.1); software that reads twice as much has 8.6 (SD 2.2), and 15 lies almost 3
#: SD above that.
MIN_SBR, MAX_SBR = _core.MIN_SBR, _core.MAX_SBR
#: Nearer to the origin along every axis lie centroids in metres; the reason is in core/model.h.
METRES_MM = _core.METRES_MM


class PatchModel(Protocol):
    """What a prediction needs of a model; `nigroedge.Model` is one."""

    @property
    def spec(self) -> ModelSpec: ...
    @property
    def sha256(self) -> str: ...
    @property
    def engine(self) -> Engine: ...

    def predict_patches(self, patches: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Give the SBR (n,) of normalised, mirrored patches (n, X, Y, Z)."""


def predict(
    volume: Volume,
    *,
    left: npt.ArrayLike | None = None,
    right: npt.ArrayLike | None = None,
    models: PatchModel | Mapping[str, PatchModel],
) -> Result:
    """Predict the SBR of one side or both.

    Parameters
    ----------
    volume : Volume
        An SMWI that holds the midbrain.
    left, right : (3,) array_like, optional
        Centroid of nigrosome-1 on the patient's left and right, RAS+ millimetres; at least one. A
        Centroid, as load_landmarks() gives them, brings its source into the result.
    models : PatchModel, or mapping of side → PatchModel
        As load_model() gives them.
        One model for all sides asked for, or one for each.

    Returns
    -------
    Result
        With the sides that were asked for.

    Raises
    ------
    InputError
        If no side is asked for, a centroid is not three finite numbers, no model serves a side, or
        a patch cannot be an SMWI.
    GeometryError
        If a centroid is one in metres, the left one is not 8 to 50 mm to the left of the right one,
        or a patch lies outside the image.
    DegeneratePatchError
        If a patch is constant or holds values that are not finite, or the model answers with an SBR
        below MIN_SBR or above MAX_SBR.
    ModelError
        If a model gives an answer that is not finite.
    """
    centres = _centres(left, right)
    used = {side: _model_for(side, models) for side in centres}
    with _hashing(volume.source):
        start = perf_counter()
        patches = _patches(volume, centres, used)
        cropped = perf_counter()
        sbr = _run(patches, used)
        end = perf_counter()
    sides = {side: _side(sbr[side], centres[side], patches[side]) for side in centres}
    timing_ms = {"crop": (cropped - start) * 1e3, "predict": (end - cropped) * 1e3}
    return _result(volume, sides, used, timing_ms, one_model=not isinstance(models, Mapping))


def models_by_side(models: Sequence[PatchModel]) -> PatchModel | dict[str, PatchModel]:
    """Tell which side each of one or two models serves.

    Returns
    -------
    PatchModel or dict
        The model if there is one; side → model if there are two.

    Raises
    ------
    InputError
        If there are more than two, or two that are not one for each side.
    """
    if len(models) == 1:
        return models[0]
    if sorted(model.spec.side for model in models) != ["left", "right"]:
        raise InputError(
            "expected one model, or one for the left and one for the right side, got models for "
            + " and ".join(model.spec.side for model in models)
        )
    return {model.spec.side: model for model in models}


def _hashing(source: Source | None) -> AbstractContextManager[None]:
    """Hash the image beside the block, once; load_model() has done so with the model."""
    return nullcontext() if source is None or source.is_hashed else hashing(source)


def _centres(left: npt.ArrayLike | None, right: npt.ArrayLike | None) -> dict[str, Centroid]:
    given = {"left": left, "right": right}
    centres = {side: _centre(side, xyz) for side, xyz in given.items() if xyz is not None}
    if not centres:
        raise InputError("expected the centroid of at least one side, got none")
    for centre in centres.values():
        if 0 < max(map(abs, centre)) < METRES_MM:
            raise GeometryError(f"expected a centroid in millimetres, got {centre}: metres?")
    problem = len(centres) == 2 and not_apart(centres["left"], centres["right"])
    if problem:
        raise GeometryError(f"{problem}, got left {centres['left']} and right {centres['right']}")
    return centres


def _centre(side: str, xyz: npt.ArrayLike) -> Centroid:
    if isinstance(xyz, Centroid):
        return Centroid(_finite(side, xyz), xyz.source)
    return Centroid(_finite(side, xyz))


def _finite(side: str, xyz: npt.ArrayLike) -> list[float]:
    expected = f"expected the {side} centroid as 3 finite numbers in mm"
    try:
        values = np.asarray(xyz, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{expected}, got something else") from error
    if values.shape != (3,) or not np.isfinite(values).all():
        raise InputError(f"{expected}, got {values.tolist()}")
    return [float(value) for value in values]


def _model_for(side: str, models: PatchModel | Mapping[str, PatchModel]) -> PatchModel:
    model = models.get(side) if isinstance(models, Mapping) else models
    if model is None:
        raise InputError(f"expected a model for the {side} side, got none")
    if model.spec.side not in ("both", side):
        raise InputError(
            f"expected a model that serves the {side} side, but {model.spec.card.name!r} serves "
            f"the {model.spec.side} side only"
        )
    return model


def _patches(
    volume: Volume, centres: Mapping[str, Centroid], models: Mapping[str, PatchModel]
) -> dict[str, PreparedPatch]:
    _check_apart(volume.stored)
    grids = {side: models[side].spec.grid_for(side) for side in centres}
    windows = []
    for side in centres:
        with _about(side):
            windows.append(window_of(volume, centres[side], grids[side]))
    patches = {}
    for side, held in zip(centres, hold(volume, windows), strict=True):
        with _about(side):
            method = models[side].spec.normalize
            patches[side] = prepare_patch(volume, centres[side], grids[side], method, held)
            _check_smwi(patches[side], method)
    return patches


def _check_apart(stored: object) -> None:
    """Refuse voxels that overlap in memory: a broadcast array repeats itself, no image does."""
    if not isinstance(stored, np.ndarray):
        return
    extent = stored.itemsize
    for axis in sorted(range(stored.ndim), key=lambda axis: abs(stored.strides[axis])):
        n, stride = stored.shape[axis], abs(stored.strides[axis])
        if n == 1:
            continue
        if stride < extent:
            raise InputError(
                f"expected strides that keep voxels apart, got {stored.strides[axis]} along axis "
                f"{axis}"
            )
        extent += stride * (n - 1)


@contextmanager
def _about(side: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise type(error)(f"{side} side: {error}") from error


def _check_smwi(patch: PreparedPatch, method: str) -> None:
    # SMWI is a magnitude times a mask of 0 to 1: never below 0. Where a patch keeps its signs,
    # phase, frequency and susceptibility maps are told from it here.
    if keeps_signs(method) and patch.values.min() < 0:
        raise InputError("expected SMWI, which is never negative, got negative voxels")


def _run(
    patches: Mapping[str, PreparedPatch], models: Mapping[str, PatchModel]
) -> dict[str, float]:
    """Run each model once, on all sides that it serves."""
    sbr: dict[str, float] = {}
    for model in _distinct(models.values()):
        sides = [side for side in patches if models[side] is model]
        outputs = model.predict_patches(np.stack([patches[side].values for side in sides]))
        sbr |= {side: float(output) for side, output in zip(sides, outputs, strict=True)}
    for side, answer in sbr.items():
        _check_possible(side, answer)
    return sbr


def _check_possible(side: str, sbr: float) -> None:
    """Refuse what no scan can measure: the patch is unlike any that the model learned from."""
    if not MIN_SBR <= sbr <= MAX_SBR:
        raise DegeneratePatchError(
            f"{side} side: expected an SBR of {MIN_SBR:g} to {MAX_SBR:g}, the model answers "
            f"{sbr:.9g}: a spike in the image, lost slices, or no SMWI"
        )


def _side(sbr: float, centre: Centroid, patch: PreparedPatch) -> SideResult:
    x, y, z = centre
    return SideResult(sbr, (x, y, z), patch.coverage, CentroidUsed(centre.source))


def _distinct(models: Iterable[PatchModel]) -> list[PatchModel]:
    return list({id(model): model for model in models}.values())


def _result(
    volume: Volume,
    sides: Mapping[str, SideResult],
    models: Mapping[str, PatchModel],
    timing_ms: dict[str, float],
    *,
    one_model: bool,
) -> Result:
    model = {side: ModelUsed(m.spec.card.name, m.sha256) for side, m in models.items()}
    engine = {
        side: EngineUsed(m.engine.name, m.engine.isa, m.engine.threads)
        for side, m in models.items()
    }
    first = next(iter(sides))
    source = volume.source
    if source is not None and source.read_ms is not None:
        timing_ms = {"read": source.read_ms, **timing_ms}
    return Result(
        left=sides.get("left"),
        right=sides.get("right"),
        model=model[first] if one_model else model,
        engine=engine[first] if one_model else engine,
        input=None if source is None else InputUsed(readable(source.path), source.sha256),
        timing_ms=timing_ms,
    )
