# SPDX-License-Identifier: Apache-2.0
"""NIfTI in: voxels as stored, slope as the standard has it; and out, as nibabel reads it."""

import gzip
import hashlib
import logging
import struct
import tracemalloc

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import FormatError, InputError
from nigroedge.io import nifti
from nigroedge.io.nifti import load_series, load_volume, save_volume
from nigroedge.volume import STORED_DTYPES, Volume
from tests.nifti_files import LPS_AFFINE, header_bytes, nifti_bytes

VOXELS = np.arange(2 * 3 * 4, dtype="<i2").reshape((2, 3, 4), order="F")


# ----------------------------------------------------------------------------------------- examples


def test_a_header_written_byte_by_byte_is_read_as_the_standard_says(written):
    header = bytearray(348)
    struct.pack_into("<i", header, 0, 348)  # sizeof_hdr
    struct.pack_into("<8h", header, 40, 3, 2, 3, 4, 1, 1, 1, 1)  # dim
    struct.pack_into("<2h", header, 70, 4, 16)  # datatype INT16, bitpix
    struct.pack_into("<8f", header, 76, 1, 0.5, 0.5, 1, 0, 0, 0, 0)  # pixdim
    struct.pack_into("<3f", header, 108, 352, 2, -1)  # vox_offset, scl_slope, scl_inter
    struct.pack_into("<B", header, 123, 2)  # xyzt_units: mm
    struct.pack_into("<h", header, 254, 1)  # sform_code
    struct.pack_into("<12f", header, 280, -0.5, 0, 0, 10, 0, -0.5, 0, 20, 0, 0, 1, -30)  # srow
    header[344:348] = b"n+1\0"
    voxels = struct.pack("<24h", *range(24))
    volume = load_volume(written(bytes(header) + b"\0\0\0\0" + voxels))

    assert (2, 3, 4) == volume.voxels.shape
    assert 1 + 2 * (2 + 3 * 3) == volume.voxels[1, 2, 3]  # x fastest
    assert (2.0, -1.0) == (volume.slope, volume.intercept)
    assert LPS_AFFINE.tolist() == volume.affine.tolist()


def test_an_uncompressed_image_is_read_when_its_voxels_are_asked_for(written):
    voxels = np.zeros((128, 128, 64), np.float64)  # 8 MiB
    path = written(nifti_bytes(voxels))
    tracemalloc.start()
    volume = load_volume(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 1 << 18
    assert volume.voxels.flags.f_contiguous
    assert volume.voxels.flags.aligned
    assert not volume.voxels.flags.writeable


def test_the_source_says_path_hash_and_time(written):
    path = written(nifti_bytes(VOXELS))
    source = load_volume(path).source

    assert path == source.path
    assert hashlib.sha256(path.read_bytes()).hexdigest() == source.sha256
    assert source.read_ms > 0


@pytest.mark.parametrize("name", ["image.hdr", "image.img"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_either_file_of_a_pair_reads_the_pair(written, name, suffix):
    pack = gzip.compress if suffix else bytes
    header = written(pack(header_bytes((2, 3, 4), "<i2", single=False)), "image.hdr" + suffix)
    image = written(pack(VOXELS.tobytes(order="F")), "image.img" + suffix)
    volume = load_volume(header.parent / (name + suffix))

    assert VOXELS.tolist() == volume.voxels.tolist()
    both = header.read_bytes() + image.read_bytes()
    assert hashlib.sha256(both).hexdigest() == volume.source.sha256


@pytest.mark.parametrize("trailing", [(1,), (1, 1, 1, 1)])
def test_a_four_dimensional_file_of_one_volume_is_that_volume(written, trailing):
    path = written(nifti_bytes(VOXELS.reshape((2, 3, 4, *trailing), order="F")))

    assert VOXELS.tolist() == load_volume(path).voxels.tolist()


def test_content_counts_and_not_the_name(written):
    assert (2, 3, 4) == load_volume(written(nifti_bytes(VOXELS), "scan.dat")).voxels.shape
    compressed = written(gzip.compress(nifti_bytes(VOXELS)), "scan.nii")
    assert (2, 3, 4) == load_volume(compressed).voxels.shape


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_a_slope_of_zero_or_nan_means_none(written, slope):
    volume = load_volume(written(nifti_bytes(VOXELS, scl_slope=slope, scl_inter=7)))

    assert (1.0, 0.0) == (volume.slope, volume.intercept)


def test_extensions_before_the_voxels_are_passed_over(written):
    head = bytearray(header_bytes((2, 3, 4), "<i2", vox_offset=352 + 32))
    head[348] = 1
    extension = struct.pack("<2i", 32, 6) + b"Patient^Name".ljust(24)
    path = written(bytes(head) + extension + VOXELS.tobytes(order="F"))

    assert VOXELS.tolist() == load_volume(path).voxels.tolist()


def test_gzip_of_several_members_padded_with_zeros(written):
    content = nifti_bytes(VOXELS)
    members = [gzip.compress(content[i : i + 100]) for i in range(0, len(content), 100)]
    path = written(b"".join(members) + gzip.compress(b"") + bytes(1000), "image.nii.gz")

    assert VOXELS.tolist() == load_volume(path).voxels.tolist()


def test_a_block_of_padding_after_the_voxels_is_allowed(written):
    voxels = np.arange(128 * 128 * 20, dtype="<i2").reshape(128, 128, 20)  # a slice has 5120 bytes
    content = nifti_bytes(voxels) + bytes(nifti.MAX_TRAILING_BYTES)

    assert (voxels == load_volume(written(content)).voxels).all()
    assert (voxels == load_volume(written(gzip.compress(content))).voxels).all()


@pytest.mark.parametrize("axis", range(3))
def test_a_header_that_leaves_a_slice_out_is_refused_however_small(written, axis):
    """Before, up to 4096 bytes of voxels passed for padding."""
    voxels = np.arange(8 * 7 * 6, dtype="<i2").reshape(8, 7, 6)
    whole = nifti_bytes(voxels)
    less = nifti_bytes(np.delete(voxels, -1, axis))

    load_volume(written(less + bytes(7 * 6 * 2 - 20)))
    with pytest.raises(FormatError, match=r"more than \d+ bytes beyond them"):
        load_volume(written(less[:352] + whole[352:]))


def test_nothing_of_the_header_reaches_a_log_or_the_terminal(written, caplog, capfd):
    fields = {"descrip": b"Patient^Name", "db_name": b"Patient^Name", "glmax": 7, "extents": 3}
    caplog.set_level(logging.DEBUG)
    volume = load_volume(written(nifti_bytes(VOXELS, **fields, xyzt_units=2, slice_code=9)))

    assert "Patient" not in repr(volume)
    assert [] == caplog.records
    assert ("", "") == capfd.readouterr()


# ------------------------------------------------------------------------------------------- parity


@st.composite
def images(draw):
    order = draw(st.sampled_from("<>"))
    dtype = np.dtype(order + draw(st.sampled_from(STORED_DTYPES)))
    shape = draw(st.tuples(*[st.integers(1, 6)] * 3))
    seed = draw(st.integers(0, 2**32 - 1))
    voxels = np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)
    slope = draw(st.sampled_from([0.0, 1.0, 0.25, -2.0]))
    return voxels, {
        "version": draw(st.sampled_from([1, 2])),
        "scl_slope": slope,
        "scl_inter": draw(st.sampled_from([0.0, -3.5])),
    }


@given(images(), st.sampled_from(["image.nii", "image.nii.gz"]))
def test_volume_equals_what_nibabel_reads(tmp_path_factory, image, name):
    voxels, fields = image
    content = nifti_bytes(voxels, **fields)
    path = tmp_path_factory.mktemp("image") / name
    path.write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
    volume = load_volume(path)
    theirs = nibabel.load(path)

    assert voxels.dtype == volume.voxels.dtype
    assert np.array_equal(theirs.dataobj.get_unscaled(), volume.voxels)
    assert np.array_equal(
        theirs.get_fdata(), volume.voxels.astype(np.float64) * volume.slope + volume.intercept
    )
    assert np.array_equal(theirs.affine, volume.affine)


@given(images(), st.sampled_from(["image.nii", "image.nii.gz"]))
def test_what_is_saved_is_what_is_loaded(tmp_path_factory, image, name):
    voxels, fields = image
    path = tmp_path_factory.mktemp("saved") / name
    volume = Volume(voxels, LPS_AFFINE, fields["scl_slope"] or 1.0, fields["scl_inter"])
    save_volume(volume, path)
    again = load_volume(path)

    assert volume.voxels.tobytes() == np.ascontiguousarray(again.voxels).tobytes()
    assert volume.voxels.dtype.itemsize == again.voxels.dtype.itemsize
    assert (volume.slope, volume.intercept) == (again.slope, again.intercept)
    assert volume.affine.tolist() == again.affine.tolist()


@pytest.mark.parametrize(("name", "is_gzip"), [("image.nii", False), ("image.nii.gz", True)])
def test_a_file_is_gzip_where_its_name_says_so_as_nibabel_reads_it(tmp_path, name, is_gzip):
    voxels = np.zeros((20, 20, 20), "<i2")
    voxels[3, 4, 5] = 7
    save_volume(Volume(voxels, LPS_AFFINE), tmp_path / name)
    content = (tmp_path / name).read_bytes()

    assert is_gzip == content.startswith(b"\x1f\x8b")
    assert len(content) < 1000 if is_gzip else len(content) == 352 + voxels.nbytes
    theirs = nibabel.load(tmp_path / name)
    assert np.array_equal(voxels, theirs.dataobj)
    assert np.array_equal(LPS_AFFINE, theirs.affine)


def test_saving_never_overwrites(written):
    path = written(b"precious")
    with pytest.raises(InputError, match="expected a new file"):
        save_volume(Volume(VOXELS, LPS_AFFINE), path)

    assert b"precious" == path.read_bytes()


@pytest.mark.parametrize(
    ("shape", "name", "words"),
    [((2, 2, 2), "image.png", "ends in .nii"), ((40000, 1, 1), "image.nii", "32767")],
)
def test_what_the_format_cannot_say_is_not_saved(tmp_path, shape, name, words):
    with pytest.raises(InputError, match=words):
        save_volume(Volume(np.zeros(shape, np.uint8), LPS_AFFINE), tmp_path / name)


def test_values_of_a_series_are_rounded_once(tmp_path):
    """Stored voxels around 1e9, whose float32 steps are 64, less an intercept of as much."""
    voxels = (1_000_000_000 + np.arange(4096).reshape(16, 16, 16)).astype("<i4")
    path = tmp_path / "phase.nii"
    path.write_bytes(nifti_bytes(voxels, np.eye(4), scl_slope=1, scl_inter=-1e9))

    assert np.array_equal(np.arange(4096).reshape(16, 16, 16), load_series(path).values())
