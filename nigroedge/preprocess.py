# SPDX-License-Identifier: Apache-2.0
"""Cut the patch around a nigrosome-1 centroid out of a volume and normalise it.

A patch follows the image's own axes: each patch axis runs along the image axis nearest the
direction that its letter names, without rotation, because the slab of a nigrosome scan is oblique
on purpose. The work is done in C++, straight from the stored voxels; the volume is never copied or
converted. Of one that lies in a file no more is read than the patch needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nigroedge import _core
from nigroedge.errors import InputError
from nigroedge.grid import PatchGrid
from nigroedge.volume import Volume
from nigroedge.window import Held, hold, point, window_of

if TYPE_CHECKING:
    import numpy.typing as npt

#: The grid of the published method: 25 × 25 × 20 mm, axis 0 to anterior, 1 to left, 2 to inferior.
PATCH_SHAPE = (50, 50, 20)
PATCH_SPACING_MM = (0.5, 0.5, 1.0)
PATCH_AXES = "ALI"

#: Less of the patch than this inside the image is refused.
MIN_COVERAGE = _core.MIN_COVERAGE

#: Voxels that are shorter or longer are refused: their affine is not in millimetres.
MIN_VOXEL_MM, MAX_VOXEL_MM = _core.MIN_VOXEL_MM, _core.MAX_VOXEL_MM


class PreparedPatch(NamedTuple):
    """A patch that is ready for the network.

    Parameters
    ----------
    values : ndarray of float32
        The normalised patch, in C order, of the shape of its grid.
    coverage : float
        Fraction of its voxels that lie inside the image; the others repeat the image's edge.
    """

    values: npt.NDArray[np.float32]
    coverage: float


def crop_patch(
    volume: Volume,
    centre_mm: Iterable[float],
    *,
    shape: tuple[int, int, int] = PATCH_SHAPE,
    spacing_mm: tuple[float, float, float] = PATCH_SPACING_MM,
    axes: str = PATCH_AXES,
) -> npt.NDArray[np.float32]:
    """Cut the patch whose voxel n/2 lies on a centroid.

    Where all three spacings agree with the image's within 1 %, voxels are copied, starting from the
    nearest one (exactly between two, the one farther along the patch axis). Otherwise each patch
    voxel is interpolated linearly; along an axis on which it is more than 1.5 image voxels long it
    is the mean of s = ceil(that ratio) such values, spread evenly over it. Outside the image its
    nearest edge voxel counts.

    Parameters
    ----------
    volume : Volume
    centre_mm : three floats
        The centroid, RAS+ millimetres.
    shape, spacing_mm, axes
        The grid of the patch, as `PatchGrid` has it.

    Returns
    -------
    ndarray of float32, of that shape, C order
        slope · stored + intercept, rounded once to float64 and once to float32. The order and
        direction in which the image is stored make no difference to any bit.

    Raises
    ------
    GeometryError
        If the centroid is not finite or outside the image, less than 0.9 of the patch is inside, or
        the affine leaves open where the patch lies (sheared, turned by 45°, not in millimetres).
    InputError
        If the file that the voxels lie in has changed, cannot be read, or more than 1 GiB of it
        would be needed.
    ValueError
        If the grid is none; see `PatchGrid`.
    """
    return crop_on_grid(volume, centre_mm, PatchGrid(shape, spacing_mm, axes))


def crop_on_grid(
    volume: Volume, centre_mm: Iterable[float], grid: PatchGrid
) -> npt.NDArray[np.float32]:
    """Cut the patch of a grid, as `crop_patch` does.

    Parameters
    ----------
    volume : Volume
    centre_mm : three floats
        The centroid, RAS+ millimetres.
    grid : PatchGrid
        One that is flipped gives, bit for bit, `numpy.flip` along left–right of what it gives with
        left and right exchanged and not flipped.

    Raises
    ------
    GeometryError
        As `crop_patch`.
    """
    return _cut(volume, centre_mm, grid, None).values


def normalize(patch: npt.NDArray[np.float32], method: str) -> npt.NDArray[np.float32]:
    """Normalise a patch, by a method of this table.

    ======================== ====================================================================
    ``none``                 x
    ``mean``                 x / mean
    ``divide K``             x / K
    ``zscore``               (x − mean) / SD
    ``zscore-nonzero``       the same of the voxels that are not 0; those that are stay 0
    ``minmax``               (x − least) / (most − least)
    ``percentile LOW HIGH``  (x − low) / (high − low), percentiles as those of `numpy.percentile`;
                             with ``clip`` behind it, 0 where less and 1 where more comes out
    ======================== ====================================================================

    Statistics are those of every voxel, in float64; SD is the population's (ddof 0). Dividing is a
    multiplication with the float64 reciprocal, before the only rounding to float32.

    Parameters
    ----------
    patch : ndarray of float32, C order
        Of any shape.
    method : str
        Numbers are decimal, without sign or exponent: K above 0, 0 ≤ LOW < HIGH ≤ 100.

    Returns
    -------
    ndarray of float32, of the same shape

    Raises
    ------
    DegeneratePatchError
        If the patch is empty or constant (for 'zscore-nonzero': but for zeros), holds a value that
        is not finite, percentiles are equal, a mean to divide by is not above 0, or a result would
        be too large for float32.
    InputError
        If the patch is not float32 in C order: nothing is converted in silence.
    ValueError
        If there is no such method.
    """
    if patch.dtype != np.float32 or not patch.flags.c_contiguous:
        order = "C" if patch.flags.c_contiguous else "another"
        raise InputError(f"expected a float32 patch in C order, got {patch.dtype} in {order} order")
    return _core.normalize(patch, method)


def prepare_patch(
    volume: Volume,
    centre_mm: Iterable[float],
    grid: PatchGrid,
    method: str,
    held: Held | None = None,
) -> PreparedPatch:
    """Cut a patch and normalise it, as `crop_patch` and then `normalize` do, in one step.

    Parameters
    ----------
    volume : Volume
    centre_mm : three floats
        The centroid, RAS+ millimetres.
    grid : PatchGrid
        For a side that the model sees mirrored, as `ModelSpec.grid_for` gives it: no separate flip
        is needed.
    method : str
        As `normalize` takes it.
    held : Held, optional
        Voxels that hold the patch; by default they are read if they lie in a file.

    Raises
    ------
    InputError, ValueError
        As `crop_patch` and `normalize`; also if a whole slice of the patch, along any axis, is 0,
        unless the method passes zeros over, or the SD is less than 0.01 of the mean (0.1 in a patch
        of 20 mm and more; where the method takes offsets away, 512 steps of float32).
    """
    return _cut(volume, centre_mm, grid, method, held)


def keeps_signs(method: str) -> bool:
    """Tell whether a normalisation leaves what is negative negative and all else as it is.

    Raises
    ------
    ValueError
        If there is no such method.
    """
    return _core.keeps_signs(method)


def active_isa() -> str:
    """Name the instruction set whose kernels run: 'scalar', 'avx2' or 'neon'.

    The best that this CPU has, unless the environment variable NIGROEDGE_ISA names another when the
    kernels are first used.

    Raises
    ------
    NigroedgeError
        If NIGROEDGE_ISA names one that is unknown or does not run here.
    """
    return _core.active_isa()


def available_isas() -> tuple[str, ...]:
    """Name every instruction set that NIGROEDGE_ISA may choose on this CPU, the best last."""
    return _core.available_isas()


def _cut(
    volume: Volume,
    centre_mm: Iterable[float],
    grid: PatchGrid,
    method: str | None,
    held: Held | None = None,
) -> PreparedPatch:
    """Cut a patch; normalise it if a method is named."""
    if held is None:
        (held,) = hold(volume, [window_of(volume, centre_mm, grid)])
    values, coverage = _core.crop_patch(
        held.voxels,
        held.begin,
        volume.stored.shape,
        volume.affine,
        volume.slope,
        volume.intercept,
        point(centre_mm),
        grid.shape,
        grid.spacing_mm,
        grid.axes,
        grid.flipped,
        method,
    )
    return PreparedPatch(values, coverage)
