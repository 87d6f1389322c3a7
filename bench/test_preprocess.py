# SPDX-License-Identifier: Apache-2.0
"""Crop and normalise, beside the code that people use for it now, on one core.

One scan of 384 × 384 × 30 int16 as a NIfTI file holds it (x fastest), one centroid, one patch of
50 × 50 × 20 float32. The centroid is an input of every case: where a library takes the window when
a transform is made, making the transform is part of its call. Inputs are made outside the call, and
every case is checked against ours before it is timed.

`pytest bench/test_preprocess.py --benchmark-enable` times case after case; `python
bench/test_preprocess.py` times them in turns, which is fairer on a machine that is not idle, and
prints the table of docs/benchmarks.md.
"""

from __future__ import annotations

import platform
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nigroedge.preprocess
from nigroedge.grid import PatchGrid
from nigroedge.preprocess import crop_patch, normalize, prepare_patch
from nigroedge.volume import Volume

GRID = PatchGrid((50, 50, 20), (0.5, 0.5, 1.0), "ALI")
CENTRE = (3.1, 4.2, -1.3)
VOXELS = np.asfortranarray(
    np.random.default_rng(0).integers(100, 2000, (384, 384, 30)).astype(np.int16)
)
SAME = Volume(VOXELS, [[0.5, 0, 0, -96], [0, 0.5, 0, -96], [0, 0, 1, -15], [0, 0, 0, 1]])
OTHER = Volume(VOXELS, [[0.7, 0, 0, -134], [0, 0.7, 0, -134], [0, 0, 1.5, -22], [0, 0, 0, 1]])
TURNS = 300  # of each case in the table; the median then moves by about one per cent


PERCENTILE = "percentile 1 99 clip"


def as_stored(patch: np.ndarray) -> np.ndarray:
    """Turn a patch (A, L, I) round to the axes of the scans above, which grow to R, A and S."""
    return patch.transpose(1, 0, 2)[::-1, :, ::-1]


def window_of(volume: Volume) -> list[slice]:
    """Find the window in the scan: plain numpy, the part of the job that all share."""
    index = np.floor((np.linalg.inv(volume.affine) @ [*CENTRE, 1])[:3] + 0.5).astype(int)
    x, y, z = (int(i) for i in index)
    return [slice(x - 24, x + 26), slice(y - 25, y + 25), slice(z - 9, z + 11)]


# ------------------------------------------------------------------------------ copy, normalise


def ours(method: str) -> Callable[[], Any]:
    return lambda: prepare_patch(SAME, CENTRE, GRID, method).values


def plain_numpy(method: str) -> Callable[[], Any]:
    """The fastest of several ways to say it in numpy with statistics in float64."""

    def prepare() -> np.ndarray:
        window = VOXELS[tuple(window_of(SAME))][::-1, :, ::-1].transpose(1, 0, 2)
        if method == "mean":
            patch = window.astype(np.float32, order="C")
            patch *= np.float32(1 / patch.mean(dtype=np.float64))
            return patch
        if method == PERCENTILE:
            patch = window.astype(np.float32, order="C")
            low, high = np.percentile(patch, (1, 99))
            patch -= np.float32(low)
            patch *= np.float32(1 / (high - low))
            return patch.clip(0, 1, out=patch)
        wide = window.astype(np.float64, order="C")
        wide -= wide.mean()
        wide *= 1 / np.sqrt(np.einsum("ijk,ijk", wide, wide) / wide.size)
        return wide.astype(np.float32)

    return prepare


def monai(*, track_meta: bool) -> Callable[[], Any]:
    """MetaTensor is what MONAI's readers give; without it MONAI forgets where the patch was."""
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its own dependencies
        monai = pytest.importorskip("monai")
        from monai.transforms import NormalizeIntensity, SpatialCrop
    torch.set_num_threads(1)
    tensor = torch.from_numpy(VOXELS[None])
    image = monai.data.MetaTensor(tensor, affine=torch.tensor(SAME.affine))
    scan = image if track_meta else tensor
    normalise = NormalizeIntensity()

    def prepare() -> Any:
        monai.data.set_track_meta(track_meta)
        patch = normalise(SpatialCrop(roi_slices=window_of(SAME))(scan))
        monai.data.set_track_meta(True)
        return patch

    return prepare


def torchio() -> Callable[[], Any]:
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its own dependencies
        tio = pytest.importorskip("torchio")
    torch.set_num_threads(1)
    image = tio.ScalarImage(tensor=torch.from_numpy(VOXELS[None]), affine=SAME.affine)
    normalise = tio.ZNormalization()

    def prepare() -> Any:
        x, y, z = window_of(SAME)
        margins = (x.start, 384 - x.stop, y.start, 384 - y.stop, z.start, 30 - z.stop)
        return normalise(tio.Crop(margins)(image))

    return prepare


# ----------------------------------------------------------------------------------- interpolate


def ours_interpolated() -> Callable[[], Any]:
    return lambda: crop_patch(OTHER, CENTRE)


def simpleitk() -> Callable[[], Any]:
    sitk = pytest.importorskip("SimpleITK")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = sitk.GetImageFromArray(VOXELS.T)
    image.SetSpacing((0.7, 0.7, 1.5))
    image.SetOrigin((-134, -134, -22))
    resample = sitk.ResampleImageFilter()
    resample.SetInterpolator(sitk.sitkLinear)
    resample.SetOutputPixelType(sitk.sitkFloat32)
    resample.SetOutputSpacing((0.5, 0.5, 1.0))
    resample.SetSize((50, 50, 20))
    resample.SetNumberOfThreads(1)
    resample.SetNumberOfWorkUnits(1)

    def interpolate() -> Any:
        resample.SetOutputOrigin((CENTRE[0] - 12, CENTRE[1] - 12.5, CENTRE[2] - 9))
        return resample.Execute(image)

    return interpolate


def array_of(image: Any) -> np.ndarray:
    import SimpleITK as sitk  # noqa: N813 (the name that all of its users know)

    return sitk.GetArrayFromImage(image).T


def scipy() -> Callable[[], Any]:
    ndimage = pytest.importorskip("scipy.ndimage")

    def interpolate() -> Any:
        inverse = np.linalg.inv(OTHER.affine)
        first = np.array([CENTRE[0] - 12, CENTRE[1] - 12.5, CENTRE[2] - 9, 1])
        return ndimage.affine_transform(
            VOXELS,
            np.diag(inverse)[:3] * (0.5, 0.5, 1.0),
            (inverse @ first)[:3],
            output_shape=(50, 50, 20),
            output=np.float32,
            order=1,
            mode="nearest",
        )

    return interpolate


# ----------------------------------------------------------------------------------------- cases

_SAMPLE_SD = np.float32((1 - 1 / 50000) ** 0.5)  # ZNormalization divides by n - 1

COPY = "crop and normalise, 0.5 × 0.5 × 1 mm"
MIX = "interpolate, 0.7 × 0.7 × 1.5 mm"
#: Group, name, its callable, and how its answer is turned to compare it with ours as stored.
CASES: list[tuple[str, str, Callable[[], Callable[[], Any]], Callable[[Any], np.ndarray]]] = [
    (COPY, "nigroedge, zscore", lambda: ours("zscore"), as_stored),
    (COPY, "numpy, zscore", lambda: plain_numpy("zscore"), as_stored),
    (COPY, "MONAI, zscore", lambda: monai(track_meta=True), lambda out: np.asarray(out[0])),
    (
        COPY,
        "MONAI on plain tensors, zscore",
        lambda: monai(track_meta=False),
        lambda out: np.asarray(out[0]),
    ),
    (COPY, "TorchIO, zscore", torchio, lambda out: out.numpy()[0] / _SAMPLE_SD),
    (COPY, "nigroedge, mean", lambda: ours("mean"), as_stored),
    (COPY, "numpy, mean", lambda: plain_numpy("mean"), as_stored),
    (COPY, f"nigroedge, {PERCENTILE}", lambda: ours(PERCENTILE), as_stored),
    (COPY, f"numpy, {PERCENTILE}", lambda: plain_numpy(PERCENTILE), as_stored),
    (MIX, "nigroedge, linear", ours_interpolated, as_stored),
    (MIX, "SimpleITK, linear", simpleitk, array_of),
    (MIX, "scipy, linear", scipy, lambda out: out),
]


def expected(name: str) -> np.ndarray:
    patch = crop_patch(OTHER if "linear" in name else SAME, CENTRE)
    method = name.partition(", ")[2]
    return as_stored(patch if method == "linear" else normalize(patch, method))


def checked(name: str, make: Callable[[], Callable[[], Any]], turn: Any) -> Callable[[], Any]:
    call = make()
    # Ours interpolates at positions rounded to 2⁻¹⁶ voxel; neighbours differ by up to 1900 here.
    tolerance = 3 * 1900 / 2**17 if "linear" in name else 2e-6
    np.testing.assert_allclose(turn(call()), expected(name), rtol=2e-6, atol=tolerance)
    return call


@pytest.mark.parametrize(
    ("group", "name", "make", "turn"), CASES, ids=[name for _, name, _, _ in CASES]
)
def test_preprocess(benchmark, group, name, make, turn):
    benchmark.group = group
    benchmark.extra_info.update(isa=nigroedge.preprocess.active_isa())

    benchmark(checked(name, make, turn))


def main() -> None:
    calls = {name: checked(name, make, turn) for _, name, make, turn in CASES}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(TURNS):
        for name, call in calls.items():
            call()  # bring its code and data back into the caches: all are measured warm
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    print(f"{platform.machine()}, kernels {nigroedge.preprocess.active_isa()}, {TURNS} turns\n")
    print("| | case | median, µs | minimum, µs | median ÷ ours |\n|---|---|---|---|---|")
    median = {name: 1e6 * float(np.median(s)) for name, s in seconds.items()}
    for group, name, _, _ in CASES:
        ratio = median[name] / median["nigroedge, " + name.rpartition(" ")[2]]
        best = 1e6 * min(seconds[name])
        print(f"| {group} | {name} | {median[name]:.1f} | {best:.1f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
