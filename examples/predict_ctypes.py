# SPDX-License-Identifier: Apache-2.0
"""Call libnigroedge through ctypes: what a program in any language with a C interface does.

    python examples/predict_ctypes.py MODEL.onnx IMAGE.nii left X,Y,Z [right X,Y,Z]

X,Y,Z is the centroid of nigrosome-1 in RAS+ millimetres. In Python itself the package `nigroedge`
is the better way; here it only says where the library lies and reads the image.
"""

import ctypes
import sys
from ctypes import POINTER, byref, c_double, c_float, c_int32, c_int64, c_size_t, c_void_p

import nigroedge
from nigroedge.io.nifti import load_volume
from nigroedge.volume import Volume

OK = 0
SIDES = {"left": 1, "right": 2}
#: Numbers of NIfTI-1's datatype, by numpy's name of the stored type.
TYPES = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512, "u4": 768}


class NigroVolume(ctypes.Structure):
    """struct nigro_volume of nigroedge.h."""

    _fields_ = (
        ("sizeof_volume", c_size_t),
        ("voxels", c_void_p),
        ("type", c_int32),
        ("swapped", c_int32),
        ("shape", c_int64 * 3),
        ("strides_bytes", c_int64 * 3),
        ("affine", c_double * 16),
        ("slope", c_double),
        ("intercept", c_double),
    )


def load_library(path: str) -> ctypes.CDLL:
    """Open the library and say what its functions take and give."""
    library = ctypes.CDLL(path)
    library.nigro_last_error.restype = ctypes.c_char_p
    library.nigro_model_open.argtypes = (ctypes.c_char_p, c_void_p, POINTER(c_void_p))
    library.nigro_model_free.argtypes = (c_void_p,)
    library.nigro_model_free.restype = None
    library.nigro_predict.argtypes = (
        *(c_void_p, POINTER(NigroVolume), c_size_t, POINTER(c_int32), POINTER(c_double)),
        *(POINTER(c_float), POINTER(c_double)),
    )
    return library


def volume_of(image: Volume) -> NigroVolume:
    """Describe the voxels of an image where they lie; the image must outlive the description."""
    voxels = image.voxels
    return NigroVolume(
        sizeof_volume=ctypes.sizeof(NigroVolume),
        voxels=voxels.ctypes.data,
        type=TYPES[voxels.dtype.str[1:]],
        swapped=int(not voxels.dtype.isnative),
        shape=(c_int64 * 3)(*voxels.shape),
        strides_bytes=(c_int64 * 3)(*voxels.strides),
        affine=(c_double * 16)(*image.affine.ravel()),
        slope=image.slope,
        intercept=image.intercept,
    )


def main(model_path: str, image_path: str, *points: str) -> None:
    """Print one line for each side: its name, SBR and coverage."""
    library = load_library(nigroedge.get_library())

    def check(status: int) -> None:
        if status != OK:
            sys.exit(f"status {status}: {library.nigro_last_error().decode()}")

    image = load_volume(image_path)
    sides = points[0::2]
    centres_mm = [float(number) for point in points[1::2] for number in point.split(",")]
    n = len(sides)
    sbr, coverage = (c_float * n)(), (c_double * n)()
    model = c_void_p()
    check(library.nigro_model_open(model_path.encode(), None, byref(model)))
    try:
        numbers = (c_int32 * n)(*(SIDES[side] for side in sides))
        centres = (c_double * (3 * n))(*centres_mm)
        check(
            library.nigro_predict(
                model, byref(volume_of(image)), n, numbers, centres, sbr, coverage
            )
        )
    finally:
        library.nigro_model_free(model)
    for i, side in enumerate(sides):
        print(f"{side} {sbr[i]:.9g} {coverage[i]:.6g}")


if __name__ == "__main__":
    main(*sys.argv[1:])
