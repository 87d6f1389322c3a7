# SPDX-License-Identifier: Apache-2.0
"""A small cohort on disk: windows around simulated nigrae as NIfTI files, and their table."""

from pathlib import Path

import nibabel
import numpy as np

from nigroedge.phantom import SIDES, draw_subject, patch_grid, render
from nigroedge.study.table import Row, write_table


def write_cohort(folder: Path, participants: int, *, splits: tuple[str, ...] = ()) -> Path:
    """Write DIR/table.tsv and its images; `splits` go round the participants."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for index in range(participants) for row in _both_sides(folder, index, splits)]
    write_table(folder / "table.tsv", rows)
    return folder / "table.tsv"


def _both_sides(folder: Path, index: int, splits: tuple[str, ...]) -> list[Row]:
    subject = draw_subject(index, prevalence=0.5, reader_jitter_mm=0.5)
    rows = []
    for side in SIDES:
        state = subject.left if side == "left" else subject.right
        scan = render(subject, *patch_grid(subject, side))
        path = folder / f"{index}-{side}.nii"
        save_image(path, np.rint(scan.voxels.clip(0, 4095)).astype(np.int16), scan.affine)
        rows.append(
            Row(
                participant_id=f"P{index:02}",
                side=side,
                image=path,
                centre_mm=state.centroid_mm,
                sbr=state.sbr,
                reading="intact" if state.intact else "lost",
                split=splits[index % len(splits)] if splits else None,
                expected_sbr=state.expected_sbr,
            )
        )
    return rows


def save_image(path: Path, voxels: np.ndarray, affine: np.ndarray) -> None:
    """Write voxels as NIfTI, placed by its sform."""
    image = nibabel.Nifti1Image(voxels, affine)
    image.set_sform(affine, code=1)
    nibabel.save(image, path)
