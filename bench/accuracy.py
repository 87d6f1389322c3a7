# SPDX-License-Identifier: Apache-2.0
"""How far the built-in engine, and torch's own float32, lie from float64, in SBR.

Random weights and random patches that look like normalised ones; the answers of every instruction
set are the same bits, so that one of them stands for all. Exit code 1 if a promise is broken:
5e-5 SBR from float64, 1e-4 from torch float32.

    python -m bench.accuracy [--patches 1000] [PRESET …]
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from bench.test_engine import PRESETS, SHAPE, torch_float
from export.progress import track
from nigroedge import _core
from tests import networks

BATCH = 4
FROM_FLOAT64, FROM_TORCH = 5e-5, 1e-4  # SBR


def differences(preset: str, n_patches: int, threads: int) -> dict[str, np.ndarray]:
    """Give what separates each pair of answers, patch by patch, in SBR."""
    content = networks.chain(PRESETS[preset], SHAPE)
    network = _core.Network(content, threads=threads)
    rows = []
    for start in track(range(0, n_patches, BATCH), preset, total=-(-n_patches // BATCH)):
        patches = networks.patches(min(BATCH, n_patches - start), SHAPE, seed=1000 + start)
        exact = torch_float(content, patches, threads, dtype="float64")()
        rows.append([network.run(patches), torch_float(content, patches, threads)(), exact])
    ours, torchs, exact = (
        np.concatenate(each).astype(np.float64) for each in zip(*rows, strict=True)
    )
    return {
        "engine - float64": ours - exact,
        "torch float32 - float64": torchs - exact,
        "engine - torch float32": ours - torchs,
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("presets", nargs="*", metavar="PRESET", default=["slim", "mri-dat"])
    parser.add_argument("--patches", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args(argv)
    kept = True
    for preset in args.presets:
        found = differences(preset, args.patches, args.threads)
        for name, values in found.items():
            worst, rms = np.abs(values).max(), np.sqrt((values**2).mean())
            print(f"{preset:8} {args.patches} patches  {name:24} worst {worst:.1e}  rms {rms:.1e}")
        kept &= np.abs(found["engine - float64"]).max() <= FROM_FLOAT64
        kept &= np.abs(found["engine - torch float32"]).max() <= FROM_TORCH
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
