# SPDX-License-Identifier: Apache-2.0
"""Inputs to `nigroedge predict` that once gave a wrong number, or a message that helped nobody."""

import pytest

POINTS = ("--left=-4.678,2.727,-3.894", "--right=18.384,2.871,-2.966")


def test_the_scan_with_nothing_wrong(answer, shared_cases):
    result = answer("predict", shared_cases / "00-base-right/slab.nii", *POINTS)

    # As `nigroedge demo` shows the same patient, to two places.
    assert (4.77, 4.74) == tuple(round(result[side]["sbr"], 2) for side in ("left", "right"))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "09-sform-without-scale/slab.nii",
            "pixdim says 0.5 0.5 1 mm and the columns of the sform are 1 1 1 mm long",
        ),
        ("32-small-messages/lfs.nii.gz", "got a git-lfs pointer in place of the file"),
        ("32-small-messages/image.mgz", "got FreeSurfer's MGH: convert it with mri_convert"),
    ],
)
def test_what_is_wrong_and_what_to_do_is_one_line(run, shared_cases, path, words):
    code, out, err = run("predict", shared_cases / path, *POINTS)

    assert (1, "", 1) == (code, out, err.count("\n"))
    assert words in err
