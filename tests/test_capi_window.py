# SPDX-License-Identifier: Apache-2.0
"""Windows of a volume through the C library: what Python finds, and an example that reads them."""

import ctypes
import os
import shutil
import subprocess
from ctypes import POINTER, byref, c_double, c_int32, c_int64, c_size_t, c_void_p
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nigroedge
from examples.predict_ctypes import SIDES, NigroVolume, load_library, volume_of
from nigroedge.io.nifti import save_volume
from nigroedge.model import load_model
from nigroedge.phantom import simulate
from nigroedge.volume import Volume
from nigroedge.window import window_of
from tests.conftest import ROOT
from tests.onnx_files import float_model, random_net

Index = c_int64 * 3


class PartialVolume(ctypes.Structure):
    """struct nigro_volume of nigroedge.h, with the part that is in memory."""

    _fields_ = (*NigroVolume._fields_, ("held_begin", Index), ("held_end", Index))


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    library = load_library(nigroedge.get_library())
    points = (c_size_t, POINTER(c_int32), POINTER(c_double))
    library.nigro_get_window.argtypes = (c_void_p, c_void_p, *points, Index, Index)
    library.nigro_predict.argtypes = (c_void_p, c_void_p, *points, c_void_p, c_void_p)
    return library


@pytest.fixture(scope="module")
def model_path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    path.write_bytes(float_model(random_net(seed=5)).SerializeToString())
    return path


@pytest.fixture(scope="module")
def c_model(library, model_path):
    pointer = c_void_p()
    assert 0 == library.nigro_model_open(str(model_path).encode(), None, byref(pointer))
    yield pointer
    library.nigro_model_free(pointer)


class Points:
    """The arguments n_points, sides, centres_mm."""

    def __init__(self, **centres_mm) -> None:
        n = len(centres_mm)
        sides = (c_int32 * n)(*(SIDES[side] for side in centres_mm))
        centres = (c_double * (3 * n))(*np.ravel(list(centres_mm.values())))
        self.arguments = (n, sides, centres)


def predicted(library, c_model, volume, points) -> list[float]:
    sbr = (ctypes.c_float * points.arguments[0])()
    status = library.nigro_predict(c_model, byref(volume), *points.arguments, sbr, None)
    assert 0 == status, library.nigro_last_error()
    return list(sbr)


offsets = st.tuples(*[st.floats(-1.5, 1.5)] * 3)


@given(
    left=offsets,
    right=offsets,
    spacing=st.sampled_from([(0.5, 0.5, 1), (0.6, 0.45, 1.2), (0.4, 0.5, 0.4)]),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    dtype=st.sampled_from(["<i2", ">f4", "<f8", "|u1"]),
    order=st.permutations(range(3)),
    apart=st.booleans(),
)
def test_the_window_is_pythons_and_all_that_a_prediction_needs(
    library, c_model, model_path, left, right, spacing, signs, dtype, order, apart
):
    voxels = np.random.default_rng(1).integers(1, 100, (90, 44, 40)).astype(dtype)
    affine = np.diag([*np.multiply(spacing, signs), 1.0])
    affine[:3, 3] = -affine[:3, :3] @ (45, 22, 20)
    image = Volume(voxels.transpose(order).copy().transpose(np.argsort(order)), affine)
    centres = {"left": np.add(left, (-5.5, 0, 0)), "right": np.add(right, (5.5, 0, 0))}
    points = Points(**centres)
    begin, end = Index(), Index()
    status = library.nigro_get_window(
        c_model, byref(volume_of(image)), *points.arguments, begin, end
    )
    assert 0 == status, library.nigro_last_error()

    grid_for = load_model(model_path, threads=1).spec.grid_for
    windows = [window_of(image, centre, grid_for(side)) for side, centre in centres.items()]
    assert np.min([w.begin for w in windows], axis=0).tolist() == list(begin)
    assert np.max([w.end for w in windows], axis=0).tolist() == list(end)

    part = image.voxels[tuple(slice(b, e) for b, e in zip(begin, end, strict=True))].copy()
    described = volume_of(Volume(part, affine))
    held = PartialVolume(*(getattr(described, name) for name, _ in NigroVolume._fields_))
    held.sizeof_volume = ctypes.sizeof(PartialVolume)
    held.shape, held.held_begin, held.held_end = Index(*image.voxels.shape), begin, end
    whole = predicted(library, c_model, volume_of(image), points)
    assert whole == predicted(library, c_model, held, points)


# -------------------------------------------------------------------------------------- the example

#: Cuts the image short between the reading of its header and that of its voxels.
CUTTING = """
#include <nigroedge.h>
#include <stdlib.h>
#include <unistd.h>

nigro_status cut_and_get_window(const struct nigro_model* model, const struct nigro_volume* volume,
                                size_t n_points, const int32_t* sides, const double* centres_mm,
                                int64_t* begin, int64_t* end) {
    if (truncate(getenv("CUT_FILE"), atol(getenv("CUT_TO"))) != 0) exit(99);
    return nigro_get_window(model, volume, n_points, sides, centres_mm, begin, end);
}
"""


@pytest.fixture(scope="module")
def cutting_example(tmp_path_factory) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("cutting")
    (folder / "cutting.c").write_text(CUTTING)
    library = nigroedge.get_library()
    for source, renamed in ((ROOT / "examples/predict.c", "cut_and_get_window"), ("cutting.c", "")):
        define = [f"-Dnigro_get_window={renamed}"] if renamed else []
        subprocess.run(
            ["cc", "-std=gnu99", "-c", *define, f"-I{nigroedge.get_include()}", source],
            cwd=folder,
            check=True,
        )
    subprocess.run(
        [
            *("cc", "predict.o", "cutting.o", "-o", "predict", library),
            *(f"-Wl,-rpath,{Path(library).parent}", "-lm"),
        ],
        cwd=folder,
        check=True,
    )
    return folder / "predict"


@pytest.fixture(scope="module")
def patient():
    return simulate(2)


@pytest.mark.parametrize("cut", [0, 100_000, -1])
def test_an_image_cut_short_under_the_c_example_is_refused(
    tmp_path, model_path, cutting_example, patient, cut
):
    path = tmp_path / "scan.nii"
    save_volume(patient.volume, path)
    size = path.stat().st_size
    cut %= size
    left = ",".join(map(str, patient.left_mm))
    done = subprocess.run(
        [cutting_example, model_path, path, "left", left],
        env={**os.environ, "CUT_FILE": str(path), "CUT_TO": str(cut)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (1, "") == (done.returncode, done.stdout)
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{path}: expected its {size} bytes as when it was opened, got {cut}: ")
