# SPDX-License-Identifier: Apache-2.0
"""Cohorts on disk: the same bits however they come about, and a group's own table checked whole."""

import hashlib
import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.__main__ import main
from export.cohort import (
    IMAGE_SHAPE,
    STUDY_PARTICIPANTS,
    CohortConfig,
    check_cohort,
    deal,
    generator_digest,
    simulate_cohort,
)
from nigroedge.errors import InputError, TableError
from nigroedge.io.nifti import load_volume
from nigroedge.phantom import draw_subject
from nigroedge.study.images import check_images
from nigroedge.study.table import read_table, write_table
from tests.conftest import ROOT

FAST = CohortConfig("fast", seed=3)
N = 4
NEED = ("image", "x", "y", "z", "sbr", "reading", "spect", "split", "expected_sbr")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """A fast cohort made by one process."""
    folder = tmp_path_factory.mktemp("cohort")
    return simulate_cohort(FAST, N, folder, workers=1)


def digests(folder):
    """Digest every file of a cohort."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


# ---- the deal --------------------------------------------------------------------------------


def test_the_study_tests_74_of_367():
    assert {"train": 264, "validation": 29, "test": 74} == Counter(deal(STUDY_PARTICIPANTS, 0))


@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(3, 1500))
def test_a_larger_cohort_begins_with_a_smaller_one(seed, blocks, participants):
    small = deal(blocks * STUDY_PARTICIPANTS, seed)
    splits = deal(participants, seed)
    n = min(len(small), len(splits) // STUDY_PARTICIPANTS * STUDY_PARTICIPANTS)

    assert small[:n] == splits[:n]
    assert {"train", "validation", "test"} == set(splits)
    assert len(splits) == participants
    # Shares within one participant of the study's, a block.
    blocks_dealt = -(-participants // STUDY_PARTICIPANTS)
    assert abs(splits.count("test") - participants * 74 / 367) <= blocks_dealt
    assert splits == deal(participants, seed)


def test_two_participants_cannot_be_split():
    with pytest.raises(InputError, match="at least 3 participants to split, got 2"):
        deal(2, 0)


# ---- simulated -------------------------------------------------------------------------------


def test_a_cohort_is_a_table_that_training_reads_with_images_that_hold_the_patches(cohort):
    rows = read_table(cohort, need=NEED)
    check_images(rows)

    assert [("sim-00001", "left"), ("sim-00001", "right")] == [
        (row.participant_id, row.side) for row in rows[:2]
    ]
    assert 2 * N == len(rows)
    assert all(row.image.parent == cohort.parent / "images" for row in rows)
    assert all(len({r.split for r in rows[2 * n : 2 * n + 2]}) == 1 for n in range(N))
    subject = draw_subject((5 << 30) + 3 * 65536 + 1, reader_jitter_mm=0.5)
    assert (subject.right.sbr, subject.right.expected_sbr) == (rows[3].sbr, rows[3].expected_sbr)
    assert ("abnormal" if subject.diseased else "normal") == rows[3].spect
    assert ("intact" if subject.right.intact else "lost") == rows[3].reading


def test_images_are_windows_of_the_slab_with_room_to_move_the_centroid(cohort):
    for row in read_table(cohort, need=NEED):
        volume = load_volume(row.image)
        index = np.linalg.inv(volume.affine) @ [*row.centre_mm, 1.0]

        assert (IMAGE_SHAPE, np.int16) == (volume.voxels.shape, volume.voxels.dtype)
        assert 0 <= volume.voxels.min() < volume.voxels.max() <= 4095
        np.testing.assert_allclose([0.5, 0.5, 1], np.linalg.norm(volume.affine[:3, :3], axis=0))
        np.testing.assert_allclose(np.array(IMAGE_SHAPE) / 2, index[:3], atol=0.51)


def test_a_split_can_be_scanned_alone_and_the_others_keep_their_labels(cohort, tmp_path):
    simulate_cohort(FAST, N, tmp_path, workers=1, scanned=["test"])
    rows = read_table(tmp_path / "table.tsv", need=NEED[1:])
    whole = read_table(cohort, need=NEED)

    assert [row.split == "test" for row in whole] == [row.image is not None for row in rows]
    assert [row.sbr for row in whole] == [row.sbr for row in rows]
    made = {path.name: path.read_bytes() for path in (tmp_path / "images").iterdir()}
    assert made.keys() == {row.image.name for row in whole if row.split == "test"}
    assert all((cohort.parent / "images" / name).read_bytes() == b for name, b in made.items())
    # All of it, afterwards, is the cohort that was scanned at once.
    simulate_cohort(FAST, N, tmp_path, workers=1)
    assert digests(cohort.parent) == digests(tmp_path)


def test_two_processes_and_a_run_cut_off_give_the_same_bits(cohort, tmp_path):
    simulate_cohort(FAST, N, tmp_path, workers=2)
    expected = digests(cohort.parent)
    assert expected == digests(tmp_path)

    # As a kill leaves it: no table, some images, one half written.
    (tmp_path / "table.tsv").unlink()
    whole = tmp_path / "images" / "sim-00002_left.nii"
    (tmp_path / "images" / ".nigroedge-0123.partial").write_bytes(whole.read_bytes()[:1000])
    whole.unlink()
    (tmp_path / "images" / "sim-00004_right.nii").unlink()
    simulate_cohort(FAST, N, tmp_path, workers=1)

    assert expected == digests(tmp_path)


def test_a_process_killed_in_the_middle_is_continued_to_the_same_bits(cohort, tmp_path):
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "export", "cohort", "--participants", str(N), "--fast"]
    command += ["--seed", "3", "--workers", "1", "-o", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as running:
        while running.poll() is None and len(list((folder / "images").glob("sim-*"))) < 2:
            time.sleep(0.005)
        running.kill()
    made = len(list((folder / "images").glob("sim-*")))
    assert 2 <= made < 2 * N

    simulate_cohort(FAST, N, folder, workers=1)

    assert digests(cohort.parent) == digests(folder)


def test_more_participants_extend_a_cohort(cohort, tmp_path):
    simulate_cohort(FAST, N - 1, tmp_path, workers=1)
    before = digests(tmp_path / "images")
    simulate_cohort(FAST, N, tmp_path, workers=1)

    assert before.items() <= digests(tmp_path / "images").items()
    assert digests(cohort.parent) == digests(tmp_path)


def test_the_command_gives_what_the_function_gives(cohort, tmp_path, capsys):
    arguments = ["--participants", str(N), "--fast", "--seed", "3", "--workers", "1"]

    assert 0 == main(["cohort", *arguments, "-o", str(tmp_path)])
    assert f"{tmp_path / 'table.tsv'}\n" == capsys.readouterr().out
    assert digests(cohort.parent) == digests(tmp_path)


def test_a_physical_cohort_differs_in_its_images_alone(cohort, tmp_path):
    config = replace(FAST, scan="physical")
    table = simulate_cohort(config, N, tmp_path, workers=1, scanned=["test"])
    rows = read_table(table, need=NEED[1:])
    fast = {(row.participant_id, row.side): row for row in read_table(cohort, need=NEED)}
    assert 2 == sum(row.image is not None for row in rows)
    for row in rows:
        other = fast[row.participant_id, row.side]
        assert (other.sbr, other.reading) == (row.sbr, row.reading)
        if row.image is None:
            continue
        assert other.centre_mm == row.centre_mm
        ours, theirs = load_volume(row.image), load_volume(other.image)
        np.testing.assert_array_equal(theirs.affine, ours.affine)
        # One person, scanned in two ways.
        assert 0.6 < np.corrcoef(ours.voxels.ravel(), theirs.voxels.ravel())[0, 1] < 0.999


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (replace(FAST, seed=4), "seed"),
        (replace(FAST, scan="physical"), "scan"),
        (replace(FAST, reader_jitter_mm=1.0), "reader_jitter_mm"),
    ],
)
def test_a_folder_of_another_cohort_is_refused_and_left_as_it_is(cohort, config, named):
    before = digests(cohort.parent)
    with pytest.raises(InputError, match=f"expected no other cohort.*differs in {named}"):
        simulate_cohort(config, N, cohort.parent, workers=1)

    assert before == digests(cohort.parent)


def test_a_cohort_of_other_code_is_refused(cohort, tmp_path):
    simulate_cohort(FAST, 3, tmp_path, workers=1)
    config = json.loads((tmp_path / "cohort.json").read_text())
    assert generator_digest() == config["generator"]
    (tmp_path / "cohort.json").write_text(json.dumps(config | {"generator": "0" * 16}))

    with pytest.raises(InputError, match="differs in generator"):
        simulate_cohort(FAST, 3, tmp_path, workers=1)


def test_a_folder_with_an_unreadable_record_is_refused(tmp_path):
    (tmp_path / "cohort.json").write_text("{")

    with pytest.raises(InputError, match="expected a cohort's record"):
        simulate_cohort(FAST, 3, tmp_path, workers=1)


@pytest.mark.parametrize(
    ("config", "participants", "message"),
    [
        (FAST, 65537, "at most 65536 participants of one seed, got 65537"),
        (replace(FAST, seed=16384), 3, "expected a seed from 0 to 16383, got 16384"),
    ],
)
def test_participants_that_no_seed_has_are_refused(config, participants, message, tmp_path):
    with pytest.raises(InputError, match=message):
        simulate_cohort(config, participants, tmp_path / "new", workers=1)

    assert not (tmp_path / "new").exists()


# ---- a group's own table ---------------------------------------------------------------------


def own_table(cohort, folder, *, change=lambda rows: rows):
    """Write a table as a group might: its own columns, no splits, images elsewhere."""
    rows = [
        replace(row, split=None, expected_sbr=None, spect=None, other={"scanner": "A"})
        for row in read_table(cohort, need=NEED)
    ]
    write_table(folder / "own.csv", change(rows))
    return folder / "own.csv"


def test_a_groups_table_is_checked_dealt_and_written_with_paths_that_are_right(cohort, tmp_path):
    table = own_table(cohort, tmp_path)
    out = tmp_path / "deep" / "out"

    assert 0 == main(["cohort", "--table", str(table), "--seed", "9", "-o", str(out)])
    rows = read_table(out / "table.tsv", need=("image", "sbr", "split"))
    check_images(rows)
    names = list(dict.fromkeys(row.participant_id for row in rows))
    assert deal(N, 9) == [
        next(row.split for row in rows if row.participant_id == name) for name in names
    ]
    assert all(row.other == {"scanner": "A"} for row in rows)


def test_a_folder_that_holds_another_cohort_is_refused_and_the_same_one_stays(
    cohort, tmp_path, capsys
):
    """Before, another seed or table dealt everybody anew, over the cohort that was there."""
    table, out = own_table(cohort, tmp_path), tmp_path / "out"
    command = ("cohort", "--table", str(table), "-o", str(out))
    assert 0 == main([*command, "--seed", "9"])
    before = (out / "table.tsv").read_bytes()

    assert 0 == main([*command, "--seed", "9"])
    assert 1 == main([*command, "--seed", "8"])
    assert "expected no other cohort, got a table.tsv that" in capsys.readouterr().err
    rows = read_table(table)
    write_table(table, rows[:-2])
    assert 1 == main([*command, "--seed", "9"])
    assert 1 == main(["cohort", "--fast", "--participants", "3", "-o", str(out)])
    assert "got a table.tsv without a cohort.json" in capsys.readouterr().err
    assert before == (out / "table.tsv").read_bytes()
    assert [out / "table.tsv"] == list(out.iterdir())


def test_a_table_of_ones_own_is_never_written_over(cohort, tmp_path):
    """Nor into the folder of a simulated cohort."""
    own_table(cohort, tmp_path).rename(tmp_path / "table.tsv")
    before = (tmp_path / "table.tsv").read_bytes()

    assert 1 == main(["cohort", "--table", str(tmp_path / "table.tsv"), "-o", str(tmp_path)])
    assert before == (tmp_path / "table.tsv").read_bytes()


def test_splits_that_are_given_are_kept(cohort, tmp_path):
    table = own_table(
        cohort, tmp_path, change=lambda rows: [replace(row, split="test") for row in rows]
    )
    rows = read_table(check_cohort(table, tmp_path / "out", seed=1))

    assert {"test"} == {row.split for row in rows}


def test_one_list_says_all_that_is_wrong_in_the_text(cohort, tmp_path, capsys):
    table = own_table(cohort, tmp_path)
    lines = table.read_text().split("\n")
    lines[1] = lines[1].replace("\tleft\t", "\tvasen\t")
    lines[3] = lines[3].replace(lines[3].split("\t")[6], "n/a")
    lines[4] = lines[2]
    table.write_text("\n".join(lines))

    assert 1 == main(["cohort", "--table", str(table), "-o", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert all(f"line {n}: " in error for n in (2, 4, 5))
    assert not (tmp_path / "out").exists()


def test_one_list_says_all_that_is_wrong_with_the_images(cohort, tmp_path):
    broken = tmp_path / "broken.nii"
    broken.write_bytes(b"not an image")

    def change(rows):
        rows[0] = replace(rows[0], image=broken)
        rows[3] = replace(rows[3], image=tmp_path / "absent.nii")
        x, y, z = rows[5].centre_mm
        rows[5] = replace(rows[5], centre_mm=(x + 40, y, z))
        return rows

    table = own_table(cohort, tmp_path, change=change)
    with pytest.raises(TableError) as caught:
        check_cohort(table, tmp_path / "out", seed=0)

    assert ["line 2", "line 5", "line 7"] == [p.split(":")[0] for p in caught.value.problems]
    assert not (tmp_path / "out").exists()


def test_nobody_is_dealt_to_two_splits_by_two_spellings(shared_cases, tmp_path, capsys):
    table = shared_cases / "36-split-apart-by-spelling/table.csv"

    assert 1 == main(["cohort", "--table", str(table), "-o", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert "30 problems" in error
    assert 30 == error.count("in leading zeros alone")
    assert not (tmp_path / "out").exists()
