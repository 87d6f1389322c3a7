# SPDX-License-Identifier: Apache-2.0
"""The same program with this package, for test_cold_start.py to time.

    python cold_start_nigroedge.py MODEL.onnx IMAGE.nii X,Y,Z X,Y,Z

Points are the left and the right one, RAS mm.
"""

import os
import sys

# Nothing here multiplies matrices; numpy's BLAS would start threads that spin beside the engine's.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from nigroedge.io.nifti import load_volume
from nigroedge.model import load_model


def main(model_path, image_path, *points):
    """Print the SBR of each point, the left one first."""
    left, right = ([float(number) for number in point.split(",")] for point in points)
    model = load_model(model_path)
    result = model.predict(load_volume(image_path), left=left, right=right)
    for side in (result.left, result.right):
        print(f"{side.sbr:.9g}")


main(*sys.argv[1:])
