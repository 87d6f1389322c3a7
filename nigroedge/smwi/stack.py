# SPDX-License-Identifier: Apache-2.0
"""Images of all echoes, read from one file or one each, on the axes of the first of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nigroedge.digest import hashing
from nigroedge.errors import GeometryError
from nigroedge.io.nifti import Series, load_series
from nigroedge.io.nifti_header import FRAMES, Frame
from nigroedge.smwi.orientation import Affine, turned
from nigroedge.volume import Source


class Stack(NamedTuple):
    """Images of all echoes.

    Parameters
    ----------
    values : (nx, ny, nz, n_echoes[, n_channels]) ndarray
        What the voxels are worth.
    affines : tuple of (4, 4) ndarray
        Of each file, voxel index → RAS+ millimetres.
    frame : {'scanner', 'aligned', 'standard'}
        What they lead to, as the one says of which most is known; all are in one place.
    sources : tuple of Source
    """

    values: npt.NDArray[Any]
    affines: tuple[Affine, ...]
    frame: Frame
    sources: tuple[Source, ...]


def read_stack(
    paths: Sequence[str | Path], *, transform: str | None = None, target: Affine | None = None
) -> Stack:
    """Read images of one echo each, or one of all echoes.

    Parameters
    ----------
    paths : sequence of path-like
        In the order of the echoes; of one file, they run along the fourth axis. Axes of one voxel
        beyond the third are dropped.
    transform : {'sform', 'qform'}, optional
    target : (4, 4) ndarray, optional
        Each image is turned into the order and direction of these axes; by default those of the
        first.

    Raises
    ------
    GeometryError
        If the images, so turned, are not of one shape; as `load_series` too.
    """
    series = [load_series(path, transform=transform) for path in paths]
    target = series[0].affine if target is None else target
    placed = [turned(_without_single_axes(one), one.affine, target) for one in series]
    images = [values for values, _ in placed]
    shapes = {values.shape for values in images}
    if len(shapes) > 1:
        raise GeometryError(
            f"expected images of one shape, got {' and '.join(map(str, sorted(shapes)))}"
        )
    is_of_all = len(images) == 1 and images[0].ndim > 3
    return Stack(
        np.ascontiguousarray(images[0]) if is_of_all else np.stack(images, axis=3),
        tuple(affine for _, affine in placed),
        best_known(one.frame for one in series),
        tuple(one.source for one in series),
    )


def best_known(frames: Iterable[Frame]) -> Frame:
    """Give the best known of the frames of images that are in one place."""
    return min(frames, key=FRAMES.index)


def read_mask(
    path: str | Path, target: Affine, *, transform: str | None = None
) -> tuple[npt.NDArray[Any], Affine]:
    """Read a mask: its values, turned into the axes of the scan, and where it lies then."""
    series = load_series(path, transform=transform)
    return turned(_without_single_axes(series), series.affine, target)


def _without_single_axes(series: Series) -> npt.NDArray[Any]:
    values = _values(series)
    return values.reshape(values.shape[:3] + tuple(n for n in values.shape[3:] if n > 1))


def _values(series: Series) -> npt.NDArray[Any]:
    """Read and hash: what becomes of the file while it is reconstructed makes no difference."""
    with hashing(series.source):
        values = series.values()
    series.source.sha256  # noqa: B018 (an error is better now than in minutes)
    return values
