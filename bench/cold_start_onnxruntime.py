# SPDX-License-Identifier: Apache-2.0
"""The program that ONNX Runtime's users would write, for test_cold_start.py to time.

    python cold_start_onnxruntime.py MODEL.onnx IMAGE.nii X,Y,Z X,Y,Z

nibabel reads the left–right image of the model's own spacing; the patches are cut by slicing, the
right one mirrored, and divided by their mean. Points are the left and the right one, RAS mm.
"""

import sys

import nibabel
import numpy as np
import onnxruntime

AXES = "ALI"
SHAPE = (50, 50, 20)


def patch_around(image, centre_mm, axes):
    """Cut the patch by slicing the image once it is turned to the patch's axes."""
    turn = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(image.affine), nibabel.orientations.axcodes2ornt(axes)
    )
    turned = image.as_reoriented(turn)
    index = np.linalg.solve(turned.affine, [*centre_mm, 1])[:3]
    corner = np.floor(index + 0.5).astype(int) - np.array(SHAPE) // 2
    window = tuple(slice(at, at + n) for at, n in zip(corner, SHAPE, strict=True))
    patch = np.asarray(turned.dataobj[window], np.float32)
    return patch / patch.mean(dtype=np.float64)


def main(model_path, image_path, *points):
    """Print the SBR of each point, the left one first."""
    image = nibabel.load(image_path)
    centres = [[float(number) for number in point.split(",")] for point in points]
    patches = [
        patch_around(image, centre, axes)
        for centre, axes in zip(centres, ("ALI", "ARI"), strict=True)
    ]
    session = onnxruntime.InferenceSession(model_path, providers=["CPUExecutionProvider"])
    batch = np.stack(patches)[:, np.newaxis].astype(np.float32)
    for sbr in session.run(None, {"patch": batch})[0]:
        print(f"{sbr[0]:.9g}")


main(*sys.argv[1:])
