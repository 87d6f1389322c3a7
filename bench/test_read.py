# SPDX-License-Identifier: Apache-2.0
"""Open a slab and cut both patches: plain reads of what they need, beside a mapped file.

Mapping was the way of this package until a file that shrank ended the process. A slab of
384 × 384 × 30 int16 on the local disk, uncompressed, from the file's name to two patches of
50 × 50 × 20 float32; warm, and with its pages dropped from the system's cache before each turn.

`python -m bench.test_read` times all ways in turns and prints the table of docs/benchmarks.md.
"""

from __future__ import annotations

import os
import platform
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from nigroedge.grid import PatchGrid
from nigroedge.io.nifti import load_volume, save_volume
from nigroedge.io.nifti_header import MAX_HEADER_BYTES, NiftiHeader
from nigroedge.io.open_file import about
from nigroedge.preprocess import active_isa, prepare_patch
from nigroedge.volume import Source, Volume
from nigroedge.window import hold, window_of

GRID = PatchGrid((50, 50, 20), (0.5, 0.5, 1.0), "ALI")
CENTRES = {"left": (-9.1, -18.2, -1.3), "right": (9.4, -17.1, -0.9)}
AFFINE = np.array([[0.5, 0, 0, -96], [0, 0.5, 0, -96], [0, 0, 1, -15], [0, 0, 0, 1]])
VOXELS = np.random.default_rng(0).integers(100, 2000, (384, 384, 30)).astype(np.int16)
TURNS = {"warm": 500, "cold": 200}

Patches = list[np.ndarray]


def cut(volume: Volume) -> Patches:
    """As a prediction does it."""
    centres = CENTRES.values()
    held = hold(volume, [window_of(volume, centre, GRID) for centre in centres])
    return [
        prepare_patch(volume, centre, GRID, "mean", part).values
        for centre, part in zip(centres, held, strict=True)
    ]


def read(path: Path) -> Patches:
    return cut(load_volume(path))


def opened(path: Path) -> IO[bytes]:
    assert stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 (as it was)
    return open(path, "rb")  # noqa: PTH123


def mapped(path: Path) -> Patches:
    """As load_volume() did it: the header read, then the voxels mapped, each with its checks."""
    with about(path):
        with opened(path) as file:
            header = NiftiHeader.from_bytes(file.read(MAX_HEADER_BYTES))
        affine, layout = header.affine(), header.layout
        with opened(path) as file:
            assert file.read(2) != b"\x1f\x8b"
            layout.check_size(os.fstat(file.fileno()).st_size)
            voxels = np.memmap(file, layout.dtype, "r", layout.offset, layout.shape, order="F")
        voxels = voxels.view(np.ndarray)
        source = Source(path)
    with about(path), np.errstate(all="ignore"):
        return cut(Volume(voxels, affine, header.slope, header.intercept, source))


def whole(path: Path) -> Patches:
    """Read all of it into memory, the plainest way."""
    volume = load_volume(path)
    assert volume.voxels.flags.owndata is False
    return cut(volume)


WAYS: dict[str, Callable[[Path], Patches]] = {"read": read, "mapped": mapped, "whole": whole}


def forget(path: Path) -> None:
    """Drop the file's pages from the system's cache."""
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def written(folder: Path) -> Path:
    path = folder / "scan.nii"
    save_volume(Volume(VOXELS, AFFINE), path)
    with path.open("rb") as file:
        os.fsync(file.fileno())  # pages that are still to be written cannot be dropped
    return path


def check(path: Path) -> None:
    expected = cut(Volume(VOXELS, AFFINE))
    for way in WAYS.values():
        for want, got in zip(expected, way(path), strict=True):
            assert want.tobytes() == got.tobytes()


@pytest.mark.parametrize("cache", ["warm", "cold"])
@pytest.mark.parametrize("way", WAYS)
def test_read(benchmark, tmp_path, way, cache):
    path = written(tmp_path)
    check(path)
    benchmark.group = f"both patches from a file, {cache}"

    benchmark.pedantic(
        WAYS[way],
        args=(path,),
        setup=(lambda: forget(path)) if cache == "cold" else None,
        rounds=TURNS[cache],
    )


def main() -> None:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # /tmp may lie in memory
        path = written(Path(folder))
        check(path)
        print(f"{platform.machine()}, kernels {active_isa()}\n")
        print("| cache | way | median, µs | minimum, µs | median ÷ mapped | minimum |")
        print("|---|---|---|---|---|---|")
        for cache, turns in TURNS.items():
            seconds: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(turns):
                for way, call in WAYS.items():
                    if cache == "cold":
                        forget(path)
                    else:
                        call(path)  # its code and memory are warm too, whatever ran before it
                    start = time.perf_counter()
                    call(path)
                    seconds[way].append(time.perf_counter() - start)
            mapped_s = seconds["mapped"]
            for way, times in seconds.items():
                middle, least = float(np.median(times)), min(times)
                print(
                    f"| {cache} | {way} | {1e6 * middle:.0f} | {1e6 * least:.0f} | "
                    f"{middle / np.median(mapped_s):.2f} | {least / min(mapped_s):.2f} |"
                )


if __name__ == "__main__":
    main()
