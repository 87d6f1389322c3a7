# SPDX-License-Identifier: Apache-2.0
"""Score the chain on heads that qsm-forward draws, cut to slabs: nothing of ours is in them.

    python -m bench.smwi_strangers              # some minutes; needs qsm-forward and qsm-ci

"Cylinders" is its phantom of a large cylinder with four small ones, in air; "shapes" has its random
boxes and balls in the same cylinder. Both are cubes, of which the middle slices are scanned.
"""

from __future__ import annotations

import argparse

import numpy as np
import qsm_forward
from qsm_forward.qsm_forward import simulate_susceptibility_sources

from bench.smwi_tables import METHOD_NAMES, chain, forward, scores
from nigroedge.smwi.kernels import field_direction
from tests.smwi_phantom import SURROUND, TISSUES, Array, Head, tilted_affine, total_field

SLICES = 30
#: Of the values that the boxes and balls are drawn from, ppm.
SHAPES_SD = 0.05
SNR = 50
PHANTOMS = ("cylinders", "shapes")


def stranger(kind: str, size: int, tilt_degrees: float, seed: int) -> Head:
    """Cut a slab out of a phantom of qsm-forward."""
    part = size / 100  # its example has 100 voxels along each axis
    radii = [4 * part, 4 * part, 4 * part, 7 * part]
    air = TISSUES["air"][0]
    cube = qsm_forward.generate_susceptibility_phantom(
        [size] * 3, air, 0.005, radii, [0.05, 0.1, 0.2, 0.5]
    )
    brain = cube != air
    if kind == "shapes":
        sources = simulate_susceptibility_sources(size, sus_std=SHAPES_SD, seed=seed)
        cube = np.where(brain, sources, air)
    middle = slice(size // 2 - SLICES // 2 - SURROUND, size // 2 + SLICES // 2 + SURROUND)
    cube, brain = (np.moveaxis(a, 0, 1)[..., middle] for a in (cube, brain))
    return head_of(cube, brain, tilt_degrees)


def head_of(chi: Array, brain: Array, tilt_degrees: float) -> Head:
    slab = (slice(None), slice(None), slice(SURROUND, SURROUND + SLICES))
    shape = (chi.shape[0], chi.shape[1], SLICES)
    affine = tilted_affine(tilt_degrees, shape)
    inside = brain[slab]
    return Head(
        labels=np.zeros(shape, np.int8),
        whole_brain_chi=np.where(brain, chi, 0),
        whole_outer_chi=np.where(brain, 0, chi) - TISSUES["air"][0],
        chi=np.where(inside, chi[slab], 0),
        r2star=np.full(shape, 20.0),
        density=inside.astype(float),
        mask=inside,
        b0=field_direction(affine),
        affine=affine,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[104, 192], help="of the cubes")
    parser.add_argument("--tilts", type=float, nargs="+", default=[0.0, 20.0], help="degrees")
    parser.add_argument("--methods", nargs="+", default=METHOD_NAMES, choices=METHOD_NAMES)
    parser.add_argument("--seed", type=int, default=0, help="of the shapes")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    print("| phantom | size | tilt | method | xSIM | NRMSE % | detrended % | HFEN % |")
    print("|" + "---|" * 8)
    for kind in PHANTOMS:
        for size in options.sizes:
            for tilt in options.tilts:
                head = stranger(kind, size, tilt, options.seed)
                field = total_field(head, forward)
                for name in options.methods:
                    found = chain(head, field, SNR, name, options.workers)
                    row = scores(found.chi_ppm, head.chi, found.eroded_mask)
                    print(f"| {kind} | {size}² | {tilt:g}° | {name} | {row} |", flush=True)


if __name__ == "__main__":
    main()
