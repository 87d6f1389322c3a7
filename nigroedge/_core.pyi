# SPDX-License-Identifier: Apache-2.0
"""Types of the C++ core. The functions of the package say what these do."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

MIN_COVERAGE: float
MIN_VOXEL_MM: float
MAX_VOXEL_MM: float
MIN_SBR: float
METRES_MM: float
MIN_APART_MM: float
MAX_APART_MM: float
MAX_SBR: float

def patch_window(
    image_shape: tuple[int, ...],
    affine: npt.NDArray[np.float64],
    centre_mm: tuple[float, float, float],
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    axes: str,
    flipped: bool,
) -> tuple[list[int], list[int]]: ...
def crop_patch(
    voxels: npt.NDArray[Any],
    begin: Sequence[int],
    image_shape: tuple[int, ...],
    affine: npt.NDArray[np.float64],
    slope: float,
    intercept: float,
    centre_mm: tuple[float, float, float],
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    axes: str,
    flipped: bool,
    method: str | None = None,
) -> tuple[npt.NDArray[np.float32], float]: ...
def keeps_signs(method: str) -> bool: ...
def normalize(patch: npt.NDArray[np.float32], method: str) -> npt.NDArray[np.float32]: ...
def unwrap(
    phase: npt.NDArray[np.float32],
    mask: npt.NDArray[np.bool_],
    reliability: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]: ...
def active_isa() -> str: ...
def available_isas() -> tuple[str, ...]: ...
def usable_processors() -> int: ...
def processor_quota(root: str) -> int: ...
def read_onnx(content: bytes) -> dict[str, Any]: ...

class Network:
    def __init__(self, content: bytes, *, threads: int, isa: str | None = None) -> None: ...
    @property
    def isa(self) -> str: ...
    @property
    def threads(self) -> int: ...
    def run(self, patches: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]: ...
    def time_steps(
        self, patches: npt.NDArray[np.float32], *, repeats: int
    ) -> list[tuple[str, float, float, float]]: ...
    def features(self, patches: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]: ...
