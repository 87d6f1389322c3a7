# SPDX-License-Identifier: Apache-2.0
"""Patches to calibrate and check with: from nigroedge's own preprocessing, nobody used twice."""

from dataclasses import replace
from itertools import product

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.samples import (
    SEEDS_PER_PURPOSE,
    SPLITS,
    SUBJECTS_PER_SEED,
    has_split,
    simulated_samples,
    subject_seed,
    table_samples,
)
from nigroedge.errors import InputError, TableError
from nigroedge.grid import PatchGrid
from nigroedge.phantom import draw_subject
from nigroedge.preprocess import prepare_patch
from nigroedge.spec import ModelSpec
from nigroedge.volume import Volume
from tests.onnx_files import CARD

SPEC = ModelSpec(PatchGrid((10, 12, 8), (0.5, 0.5, 1.0), "ALI"), "mean", "both", "right", 0.0, CARD)

KEYS = st.tuples(
    st.sampled_from(["calibrate", "check", "cohort"]),
    st.integers(0, SEEDS_PER_PURPOSE - 1),
    st.integers(0, SUBJECTS_PER_SEED - 1),
)


@given(KEYS, KEYS)
def test_no_subject_serves_two_purposes_or_seeds(one, other):
    assert (one == other) == (subject_seed(*one) == subject_seed(*other))


@given(KEYS)
def test_subjects_leave_room_for_those_of_verify_and_demo(key):
    assert not 3 << 30 <= subject_seed(*key) < 5 << 30


def test_a_seed_without_room_is_refused():
    with pytest.raises(InputError, match="expected a seed from 0 to 16383, got 16384"):
        subject_seed("calibrate", SEEDS_PER_PURPOSE, 0)
    with pytest.raises(InputError, match="expected a subject of a seed from 0 to 65535, got -1"):
        subject_seed("calibrate", 0, -1)
    with pytest.raises(InputError, match="at most 131072 patches of one seed, got 131073"):
        simulated_samples(SPEC, purpose="check", n_patches=2 * SUBJECTS_PER_SEED + 1, seed=0)


def test_simulated_patches_are_normalised_and_labelled():
    samples = simulated_samples(SPEC, purpose="check", n_patches=5, seed=1)
    subject = draw_subject(subject_seed("check", 1, 0))

    assert (5, 10, 12, 8) == samples.patches.shape
    assert np.float32 == samples.patches.dtype
    np.testing.assert_allclose(samples.patches.mean((1, 2, 3)), 1, rtol=1e-5)
    assert [subject.left.sbr, subject.right.sbr] == samples.sbr[:2].tolist()


@pytest.mark.parametrize("side", ["left", "right"])
def test_only_the_side_that_a_model_serves_is_simulated(side):
    both = simulated_samples(SPEC, purpose="check", n_patches=4, seed=1)
    one = simulated_samples(replace(SPEC, side=side), purpose="check", n_patches=2, seed=1)

    assert both.sbr[side == "right" :: 2].tolist() == one.sbr.tolist()
    np.testing.assert_array_equal(both.patches[side == "right" :: 2], one.patches)


def test_the_mirrored_side_is_cropped_on_the_mirrored_grid():
    mirrored = simulated_samples(SPEC, purpose="check", n_patches=2, seed=1)
    plain = simulated_samples(replace(SPEC, mirror="none"), purpose="check", n_patches=2, seed=1)

    np.testing.assert_array_equal(mirrored.patches[0], plain.patches[0])
    # Voxel n/2 stays on the centroid: flipping an even axis moves it by one.
    np.testing.assert_array_less(
        np.abs(mirrored.patches[1][:, 1:] - plain.patches[1][:, :0:-1]).max(), 0.5
    )
    assert not np.array_equal(mirrored.patches[1], plain.patches[1])


@pytest.fixture
def table(tmp_path):
    voxels = np.random.default_rng(0).integers(100, 900, (40, 24, 16)).astype(np.int16)
    affine = np.diag([-0.5, -0.5, 1.0, 1.0])
    image = nibabel.Nifti1Image(voxels, affine)
    image.set_sform(affine, code=1)
    nibabel.save(image, tmp_path / "scan.nii")
    path = tmp_path / "table.csv"
    path.write_text(
        "participant_id,image,side,x,y,z,sbr\nP,scan.nii,left,-14,-6,8,2.5\nP,scan.nii,right,-5,-6,8,\n"
    )
    return path, Volume(voxels, affine)


def test_a_table_gives_its_rows(table):
    path, volume = table
    samples = table_samples(SPEC, path)
    left = prepare_patch(volume, (-14, -6, 8), SPEC.grid, "mean")
    right = prepare_patch(volume, (-5, -6, 8), SPEC.grid.mirrored(), "mean")

    np.testing.assert_array_equal(np.stack([left.values, right.values]), samples.patches)
    np.testing.assert_array_equal([2.5, np.nan], samples.sbr)
    assert 1 == len(table_samples(replace(SPEC, side="right"), path))


def test_all_that_is_wrong_with_a_table_is_said_at_once(table):
    path, _ = table
    header, left, right = path.read_text().splitlines()
    path.write_text(
        "\n".join([header, left.replace("-6,", "a,", 1), right.replace("right", "top")])
    )
    with pytest.raises(TableError) as refused:
        table_samples(SPEC, path)
    assert all(f"line {n}: " in str(refused.value) for n in (2, 3))

    path.write_text(
        "\n".join([header, left.replace("-6", "-99", 1), right.replace("scan", "gone")])
    )
    with pytest.raises(TableError) as refused:
        table_samples(SPEC, path)
    assert all(f"line {n}: " in str(refused.value) for n in (2, 3))


def test_a_table_without_the_side_that_the_model_serves_is_refused(table):
    path, _ = table
    path.write_text("\n".join(path.read_text().splitlines()[:2]))

    with pytest.raises(InputError, match="expected at least one row of side right, got none"):
        table_samples(replace(SPEC, side="right"), path)


def test_a_table_with_splits_gives_the_rows_of_one(table):
    path, _ = table
    header, left, right = path.read_text().splitlines()
    other = right.replace("P,scan.nii", "Q,") + ",train"  # nobody needs its image
    path.write_text("\n".join([f"{header},split", f"{left},test", other]))
    samples = table_samples(SPEC, path, split="test")

    assert ([2.5], "1 patch of table.csv, split test") == (samples.sbr.tolist(), samples.origin)
    assert [True, False, True] == [has_split(path, split) for split in SPLITS]
    with pytest.raises(InputError, match="row of side both and split validation, got none"):
        table_samples(SPEC, path, split="validation")


def test_a_table_without_splits_gives_all_rows_for_any_split(table):
    path, _ = table

    assert (
        "2 patches of table.csv, which has no splits"
        == table_samples(SPEC, path, split="test").origin
    )
    assert not has_split(path, "test")


def test_samples_are_the_same_for_the_same_seed():
    one, same, other = (
        simulated_samples(SPEC, purpose=purpose, n_patches=2, seed=0).patches
        for purpose in ("calibrate", "calibrate", "check")
    )

    np.testing.assert_array_equal(one, same)
    assert all(not np.array_equal(a, b) for a, b in product(one, other))
