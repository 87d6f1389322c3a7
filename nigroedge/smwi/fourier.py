# SPDX-License-Identifier: Apache-2.0
"""Real Fourier transforms of a volume, padded, in single precision, on as many cores as asked for.

A convolution by FFT wraps around; zeros behind the far side of every axis keep what leaves one
side from entering at the other. One FourierGrid knows the volume's shape, its padded shape and its
voxel size, so that no kernel is ever built for the wrong one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from nigroedge.extra import from_extra

if TYPE_CHECKING:
    from types import ModuleType

Floats = npt.NDArray[np.float32]
Complexes = npt.NDArray[np.complex64]
Mask = npt.NDArray[np.bool_]
Shape3 = tuple[int, int, int]
Vector3 = tuple[float, float, float]


def scipy_fft() -> ModuleType:
    """Import scipy.fft, or say how to install it."""
    with from_extra("smwi", "SMWI needs", "scipy"):
        import scipy.fft
    return cast("ModuleType", scipy.fft)


@dataclass(frozen=True)
class FourierGrid:
    """A volume's voxels, and the padded ones on which it is transformed.

    Parameters
    ----------
    shape : (int, int, int)
        Voxels of the volume.
    voxel_size_mm : (float, float, float)
        Distance of neighbouring voxels along each axis.
    margin_mm : float
        At least this much padding along every axis, millimetres.
    workers : int
        Threads of one transform.
    """

    shape: Shape3
    voxel_size_mm: Vector3
    margin_mm: float
    workers: int = 1

    @cached_property
    def padded(self) -> Shape3:
        """Voxels after padding: each axis a length with small prime factors."""
        fast = scipy_fft().next_fast_len
        wanted = [
            n + int(np.ceil(self.margin_mm / size))
            for n, size in zip(self.shape, self.voxel_size_mm, strict=True)
        ]
        return cast("Shape3", tuple(fast(n, real=axis == 2) for axis, n in enumerate(wanted)))

    @cached_property
    def frequencies(self) -> tuple[Floats, Floats, Floats]:
        """Cycles per millimetre along each axis, shaped to broadcast over a half-spectrum."""
        fft = scipy_fft()
        rulers = [
            (fft.rfftfreq if axis == 2 else fft.fftfreq)(n, size)
            for axis, (n, size) in enumerate(zip(self.padded, self.voxel_size_mm, strict=True))
        ]
        shapes = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))
        first, second, third = (
            ruler.reshape(shape).astype(np.float32)
            for ruler, shape in zip(rulers, shapes, strict=True)
        )
        return first, second, third

    def forward(self, values: Floats) -> Complexes:
        """Half-spectrum of a volume of `shape` (zeros are added) or of `padded`, unnormalised."""
        spectrum = scipy_fft().rfftn(values, s=self.padded, workers=self.workers)
        return cast("Complexes", spectrum)

    def inverse(self, spectrum: npt.NDArray[Any]) -> Floats:
        """Volume of shape `padded` from its half-spectrum; undoes `forward`."""
        values = scipy_fft().irfftn(spectrum, s=self.padded, workers=self.workers)
        return cast("Floats", values)

    def crop(self, values: Floats) -> Floats:
        """The part of a padded volume that is the volume."""
        nx, ny, nz = self.shape
        return values[:nx, :ny, :nz]

    def pad(self, values: Floats) -> Floats:
        """Put zeros behind a volume of `shape` so that it becomes one of `padded`."""
        padded = np.zeros(self.padded, np.float32)
        self.crop(padded)[...] = values
        return padded

    def convolve(self, values: Floats, kernel: Floats) -> Floats:
        """Convolve a volume of `shape` with a kernel given as its half-spectrum."""
        return self.crop(self.inverse(self.forward(values) * kernel))
