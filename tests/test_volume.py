# SPDX-License-Identifier: Apache-2.0
"""Volumes whose voxels lie in a file: an array to whoever asks, read when somebody does."""

import copy
import hashlib
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from nigroedge.io.file_array import FileArray
from nigroedge.io.nifti import load_volume, save_volume
from nigroedge.volume import Volume
from tests.nifti_files import LPS_AFFINE

VOXELS = np.arange(2 * 3 * 4, dtype="<i2").reshape((2, 3, 4), order="F")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "scan.nii"
    save_volume(Volume(VOXELS, LPS_AFFINE, 2.0, -1.0), path)
    return path


def test_voxels_are_read_once_and_when_they_are_asked_for(path):
    volume = load_volume(path)
    assert isinstance(volume.stored, FileArray)
    assert (2, 3, 4) == volume.stored.shape

    voxels = volume.voxels
    assert isinstance(voxels, np.ndarray)
    assert voxels is volume.voxels
    assert voxels is volume.stored
    np.testing.assert_array_equal(VOXELS, voxels)
    assert not voxels.flags.writeable


def test_showing_a_volume_reads_nothing(path):
    volume = load_volume(path)

    assert repr(volume).startswith("Volume(voxels=<int16 (2, 3, 4) in a file>, affine=array([[")
    assert repr(volume).endswith("slope=2.0, intercept=-1.0)")
    assert isinstance(volume.stored, FileArray)
    assert "[[[ 0,  6, 12, 18]" in repr(Volume(VOXELS, LPS_AFFINE))


def test_there_are_no_other_attributes_than_those_that_are_there(path):
    for volume in (load_volume(path), Volume(VOXELS, LPS_AFFINE)):
        assert not hasattr(volume, "voxel")
        with pytest.raises(AttributeError, match="'Volume' object has no attribute 'data'"):
            volume.data  # noqa: B018


def test_threads_may_ask_for_the_voxels_at_once(path):
    with ThreadPoolExecutor(8) as pool:
        for _ in range(50):
            volume = load_volume(path)
            read = pool.map(lambda _, volume=volume: volume.voxels.tolist(), range(8))
            assert all(VOXELS.tolist() == voxels for voxels in read)


@pytest.mark.parametrize("travel", [lambda v: pickle.loads(pickle.dumps(v)), copy.deepcopy])
@pytest.mark.parametrize("read_before", [True, False])
def test_a_copy_needs_no_file_and_knows_its_hash(path, travel, read_before):
    volume = load_volume(path)
    if read_before:
        assert 23 == volume.voxels.max()
    again = travel(volume)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()

    assert (2.0, -1.0) == (again.slope, again.intercept)
    assert VOXELS.tolist() == again.voxels.tolist()
    assert (path, sha256) == (again.source.path, again.source.sha256)


def test_a_volume_with_something_replaced(path):
    moved = replace(load_volume(path), slope=3.0)

    assert 3.0 == moved.slope
    assert VOXELS.tolist() == moved.voxels.tolist()


def test_what_was_loaded_is_saved_again(path, tmp_path):
    save_volume(load_volume(path), tmp_path / "again.nii")

    assert path.read_bytes() == (tmp_path / "again.nii").read_bytes()
