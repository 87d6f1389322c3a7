# SPDX-License-Identifier: Apache-2.0
"""Images of a cohort table: each opened once, every problem said, and no name of one."""

from dataclasses import replace

import numpy as np
import pytest

from nigroedge.errors import TableError
from nigroedge.study.images import by_image, check_images, image_problems
from nigroedge.study.table import Row
from tests.nifti_files import nifti_bytes

SECRET = "Smith-1234567"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """An image of 60 × 60 × 26 voxels about the origin, and broken ones, named after a person."""
    folder = tmp_path_factory.mktemp("images")
    voxels = np.random.default_rng(0).integers(200, 1200, (60, 60, 26)).astype("<i2")
    affine = np.array([[-0.5, 0, 0, 15], [0, -0.5, 0, 15], [0, 0, 1, -13], [0, 0, 0, 1.0]])
    good = nifti_bytes(voxels, affine)
    (folder / f"{SECRET}.nii").write_bytes(good)
    (folder / f"{SECRET}.short.nii").write_bytes(good[:-9000])
    (folder / f"{SECRET}.constant.nii").write_bytes(nifti_bytes(0 * voxels + 7, affine))
    (folder / f"{SECRET}.img").write_bytes(good[352:])
    return folder


def row(images, name, line, centre=(0.0, 0.0, 0.0)):
    return Row(SECRET, "left", image=images / f"{SECRET}{name}", centre_mm=centre, line=line)


def test_good_images_pass_and_each_is_opened_once(images):
    seen = []
    rows = [row(images, ".nii", 2), row(images, ".nii", 3, (1.0, 1.0, 1.0))]
    check_images(rows, progress=lambda done, total: seen.append((done, total)))

    assert [(1, 1)] == seen


def test_all_problems_of_images_are_said_at_once_without_their_names(images):
    rows = [
        row(images, ".nii", 2),
        row(images, ".nii", 3, (200.0, 0.0, 0.0)),
        row(images, ".nii", 4, (8.0, 0.0, 0.0)),
        row(images, ".absent.nii", 5),
        row(images, ".short.nii", 6),
        row(images, ".constant.nii", 7),
        row(images, ".img", 8),
        Row(SECRET, "left", line=9),
        row(images, ".nii", 10, None),
    ]
    with pytest.raises(TableError) as caught:
        check_images(rows)

    assert SECRET not in str(caught.value)
    assert [f"line {n}" for n in range(3, 11)] == [
        problem.partition(":")[0] for problem in caught.value.problems
    ]
    assert "line 9: expected image, got nothing" in caught.value.problems
    assert "line 10: expected x, y and z, got nothing" in caught.value.problems
    of_images = caught.value.problems[:6]
    assert all(problem.partition(": ")[2].startswith("image: ") for problem in of_images)


def test_one_image_of_two_participants_is_refused_whatever_its_names(images):
    """Before, one file for ten participants was ten."""
    (images / "copy.nii").write_bytes((images / f"{SECRET}.nii").read_bytes())
    rows = [
        row(images, ".nii", 2),
        replace(row(images, ".nii", 3), side="right"),
        replace(row(images, ".nii", 4), participant_id="P2"),
        Row("P3", "left", image=images / "copy.nii", centre_mm=(0.0, 0.0, 0.0), line=5),
    ]

    with pytest.raises(TableError) as caught:
        check_images(rows)
    assert [
        f"line {line}: expected an image of each participant, got that of line 2, another "
        f"participant's"
        for line in (4, 5)
    ] == list(caught.value.problems)


def test_rows_are_gathered_by_image_in_the_order_of_the_images(images):
    rows = [row(images, name, 2) for name in (".nii", ".img", ".nii")] + [Row("A", "left")]

    assert [[0, 2], [1], [3]] == by_image(rows)
    assert [] == by_image([])


def test_what_work_finds_is_said_by_line_and_the_image_is_opened_once(images):
    rows = [row(images, ".nii", 5), row(images, ".nii", 4), row(images, ".nii", 6)]
    seen = []

    def work(volume, place):
        seen.append((id(volume), place))
        return None if place == 1 else f"no good: {place}"

    assert [(5, "no good: 0"), (6, "no good: 2")] == list(image_problems(rows, [0, 1, 2], work))
    assert [0, 1, 2] == [place for _, place in seen]
    assert 1 == len({volume for volume, _ in seen})


def test_an_image_that_does_not_open_is_said_of_every_row_and_nothing_is_worked_on(images):
    rows = [row(images, ".absent.nii", 5), row(images, ".absent.nii", 6)]

    found = list(image_problems(rows, [0, 1], lambda volume, place: pytest.fail("worked")))

    assert [5, 6] == [line for line, _ in found]
    assert all(text.startswith("image: ") and SECRET not in text for _, text in found)
