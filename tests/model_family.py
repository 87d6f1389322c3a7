# SPDX-License-Identifier: Apache-2.0
"""A small model with all its siblings on disk, on the patch grid of the method."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from tests.onnx_files import Net, float_model, qdq_model, random_net, save_openvino, spec_of

#: Voxels of the published method's patch; one convolution keeps it quick.
NET = random_net(shape=(50, 50, 20), channels=(2,))


def write_family(folder: Path, name: str = "tiny", **changes) -> Path:
    """Write NAME.onnx, NAME.int8.onnx and NAME.int8.xml with .bin; give the first.

    `changes` are those of the ModelSpec, such as side or mirror.
    """
    metadata = spec_of(NET, **changes).to_metadata()
    path = folder / f"{name}.onnx"
    onnx.save(float_model(NET, metadata), path)
    onnx.save(int8_model(NET, metadata), folder / f"{name}.int8.onnx")
    save_openvino(float_model(NET, metadata), folder / f"{name}.int8.xml", metadata)
    return path


def int8_model(net: Net, metadata: dict[str, str]) -> onnx.ModelProto:
    """Quantise with a scale for simulated patches, whose voxels reach 5 times their mean."""
    model = qdq_model(net, metadata)
    (scale,) = [tensor for tensor in model.graph.initializer if tensor.name == "x_scale"]
    scale.CopyFrom(numpy_helper.from_array(np.float32(5 / 255), "x_scale"))
    return model


def write_model(path: Path, *, bias: float = 0.0, **changes) -> Path:
    """Write one float model, its answers moved by `bias`."""
    head, offset = NET.head
    net = replace(NET, head=(head, offset + np.float32(bias)))
    onnx.save(float_model(net, spec_of(net, **changes).to_metadata()), path)
    return path
