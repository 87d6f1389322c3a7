# SPDX-License-Identifier: Apache-2.0
"""NIfTI files that lie, are damaged or are none: refused before anything is allocated for them."""

import contextlib
import gzip
import os
import tracemalloc

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import FormatError, GeometryError, InputError
from nigroedge.io import gunzip, nifti
from nigroedge.io.nifti import load_volume
from tests.nifti_files import header_bytes, nifti_bytes

VOXELS = np.arange(2 * 3 * 4, dtype="<i2").reshape((2, 3, 4), order="F")


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"magic": b"abc"}, FormatError, "ANALYZE 7.5"),
        ({"magic": b""}, FormatError, "ANALYZE 7.5"),
        ({"magic": b"", "version": 2}, FormatError, "magic of NIfTI-2"),
        ({"sizeof_hdr": 349}, FormatError, "no such header"),
        ({"dim": [0, 2, 3, 4, 1, 1, 1, 1]}, FormatError, r"1 to 7 dimensions in dim\[0\], got 0"),
        ({"dim": [9, 2, 3, 4, 1, 1, 1, 1]}, FormatError, "got 9"),
        ({"dim": [-3, 2, 3, 4, 1, 1, 1, 1]}, FormatError, "got -3"),
        ({"dim": [3, -2, 3, 4, 1, 1, 1, 1]}, FormatError, r"at least 1, got \[-2, 3, 4\]"),
        ({"dim": [3, 2, 0, 4, 1, 1, 1, 1]}, FormatError, "at least 1"),
        ({"dim": [4, 2, 3, 4, 0, 1, 1, 1]}, FormatError, "at least 1"),
        ({"dim": [2, 2, 3, 4, 1, 1, 1, 1]}, InputError, "3 dimensions"),
        ({"dim": [4, 2, 3, 2, 2, 1, 1, 1]}, InputError, "expected one volume, got 2"),
        ({"dim": [5, 2, 3, 2, 1, 2, 1, 1]}, InputError, "expected one volume, got 2"),
        ({"dim": [3, 2, 3, 5, 1, 1, 1, 1]}, FormatError, "cut short, or the header is wrong"),
        ({"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]}, FormatError, "cut short"),
        ({"dim": [3, 10**4, 10**4, 10**4, 1, 1, 1, 1]}, FormatError, "cut short"),
        ({"dim": [3, 2**62, 2**62, 2**62, 1, 1, 1, 1], "version": 2}, FormatError, "cut short"),
        ({"datatype": 999}, FormatError, "unknown code 999"),
        ({"datatype": 0}, InputError, "datatype 0"),
        ({"datatype": 1, "bitpix": 1}, InputError, "binary"),
        ({"datatype": 32, "bitpix": 64}, InputError, "complex64"),
        ({"datatype": 128, "bitpix": 24}, InputError, "RGB"),
        ({"datatype": 2304, "bitpix": 32}, InputError, "RGBA"),
        ({"datatype": 1536, "bitpix": 128}, InputError, "float128"),
        ({"datatype": 1792, "bitpix": 128}, InputError, "complex128"),
        (
            {"bitpix": 32, "dim": [3, 2, 3, 3, 1, 1, 1, 1]},
            FormatError,
            "expected bitpix 16 with int16 voxels, got 32, and a file of another size",
        ),
        ({"vox_offset": 0}, FormatError, "vox_offset of at least 352"),
        ({"vox_offset": -352}, FormatError, "vox_offset"),
        ({"vox_offset": 353}, FormatError, "multiple of the voxel's 2 bytes, got 353"),
        ({"vox_offset": 352.5}, FormatError, "vox_offset"),
        ({"vox_offset": np.nan}, FormatError, "vox_offset"),
        ({"vox_offset": np.inf}, FormatError, "vox_offset"),
        ({"vox_offset": 1e30}, FormatError, "cut short"),
        ({"vox_offset": 400}, FormatError, "cut short"),
        ({"scl_slope": np.inf}, FormatError, "finite scl_slope"),
        ({"scl_slope": 1, "scl_inter": np.nan}, FormatError, "finite scl_slope"),
        ({"scl_slope": 1, "scl_inter": -np.inf}, FormatError, "finite scl_slope"),
        ({"srow_x": np.nan}, GeometryError, "finite affine"),
        ({"srow_x": 0}, GeometryError, "invertible affine"),
        (
            {"srow_x": 3e38, "srow_y": 3e38, "srow_z": 3e38, "pixdim": 0},
            GeometryError,
            "invertible affine",
        ),
        ({"srow_x": 1e300, "version": 2}, GeometryError, "invertible affine"),
        ({"sform_code": 0, "qform_code": 1, "quatern_b": 2}, GeometryError, "valid qform"),
        ({"sform_code": 0, "qform_code": 1, "quatern_b": np.nan}, GeometryError, "finite affine"),
        ({"sform_code": 0, "qform_code": 1, "pixdim": [5] + [1] * 7}, GeometryError, "qfac"),
        ({"sform_code": 0, "qform_code": 1, "pixdim": [1] + [-1] * 7}, GeometryError, "positive"),
        ({"sform_code": -1}, GeometryError, "got none"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_header_that_lies_is_refused_by_name(written, fields, error, words, pack):
    path = written(pack(nifti_bytes(VOXELS, **fields)))

    with pytest.raises(error, match=words) as caught:
        load_volume(path)
    assert error is caught.type
    assert str(caught.value).startswith(repr(str(path)))


def test_a_trillion_voxels_are_refused_before_any_allocation(written):
    head = nifti_bytes(VOXELS, dim=[3, 10**4, 10**4, 10**4, 1, 1, 1, 1])
    for content in (head, gzip.compress(head), gzip.compress(head + bytes(1 << 20))):
        path = written(content)
        tracemalloc.start()
        with pytest.raises(FormatError, match="header is wrong"):
            load_volume(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 << 20


def test_a_zip_bomb_is_refused_without_inflating_it(written):
    bomb = gzip.compress(nifti_bytes(VOXELS) + bytes(64 << 20), 9)
    path = written(bomb, "image.nii.gz")
    tracemalloc.start()
    with pytest.raises(FormatError, match="beyond them: the header is wrong"):
        load_volume(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 4 << 20


def test_a_bomb_that_its_header_admits_is_refused(written, monkeypatch):
    monkeypatch.setattr(nifti, "MAX_GUNZIPPED_BYTES", 1 << 20)
    path = written(gzip.compress(nifti_bytes(np.zeros((128, 128, 65), np.uint8))))

    with pytest.raises(InputError, match="at most 1048576 bytes gunzipped"):
        load_volume(path)


def test_more_voxels_than_the_header_says_are_refused(written):
    with pytest.raises(FormatError, match="beyond them"):
        load_volume(written(nifti_bytes(VOXELS) + bytes(nifti.MAX_TRAILING_BYTES + 1)))


@given(cut=st.integers(0, 399), flip=st.integers(0, 399))
def test_a_damaged_gzip_is_refused_or_read_right(tmp_path_factory, cut, flip):
    noise = np.random.default_rng(0).integers(0, 256, (4, 8, 8)).astype(np.uint8)
    content = gzip.compress(nifti_bytes(noise), mtime=0)
    path = tmp_path_factory.mktemp("damaged") / "image.nii.gz"
    path.write_bytes(content[: cut % len(content)])
    with pytest.raises(FormatError):
        load_volume(path)
    damaged = bytearray(content)
    damaged[flip % len(content)] ^= 0x10
    path.write_bytes(damaged)
    try:
        read = load_volume(path).voxels
    except InputError:
        return
    assert np.array_equal(noise, read)  # only bits that do not matter: time stamp, system


def test_garbage_after_the_gzip_stream_is_refused(written):
    with pytest.raises(FormatError, match="valid gzip"):
        load_volume(written(gzip.compress(nifti_bytes(VOXELS)) + b"garbage"))


def test_too_many_gzip_members_are_refused(written, monkeypatch):
    monkeypatch.setattr(gunzip, "MAX_MEMBERS", 5)
    path = written(gzip.compress(b"") * 6 + gzip.compress(nifti_bytes(VOXELS)))

    with pytest.raises(FormatError, match="at most 5 gzip members"):
        load_volume(path)


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"text", bytes(347), b"\x5c\1\0\0"])
def test_what_is_no_nifti_is_refused(written, content):
    with pytest.raises(FormatError):
        load_volume(written(content))


@given(st.binary(max_size=700))
def test_any_bytes_give_a_volume_or_our_error(tmp_path_factory, content):
    head = nifti_bytes(VOXELS)
    path = tmp_path_factory.mktemp("bytes") / "image.nii"
    for hostile in (content, head[:40] + content + head[40 + len(content) :]):
        path.write_bytes(hostile)
        with contextlib.suppress(InputError):
            volume = load_volume(path)
            assert volume.voxels.ndim == 3
            assert volume.voxels.nbytes <= len(hostile)
            assert np.isfinite(volume.affine).all()


def test_files_that_are_none_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "absent.nii", "absent.hdr", "absent.img", "nul\0.nii", "x" * 300):
        with pytest.raises(InputError) as caught:
            load_volume(tmp_path / name)
        assert "\0" not in str(caught.value)


def test_a_pair_needs_both_files_and_their_names(written):
    header = header_bytes((2, 3, 4), "<i2", single=False)

    with pytest.raises(InputError, match=r"found no 'image\.img'"):
        load_volume(written(header, "image.hdr"))
    with pytest.raises(FormatError, match=r"to be named \.hdr"):
        load_volume(written(header, "image.nii"))
    written(nifti_bytes(VOXELS), "image.hdr")
    with pytest.raises(FormatError, match=r"'image\.hdr' to be the header of a pair"):
        load_volume(written(b"", "image.img"))


def test_an_odd_name_stays_on_one_line(tmp_path):
    path = tmp_path / os.fsdecode(b"a\nb\xff.nii")
    path.write_bytes(b"text")
    with pytest.raises(FormatError) as caught:
        load_volume(path)

    assert r"a\nb\udcff.nii" in str(caught.value)


def test_real_images_are_read(shared_data):
    patch = load_volume(shared_data / "mri_dat/left_patch.nii.gz")
    nuclei = load_volume(shared_data / "cit168/CIT168_subcortex.nii.gz")

    assert (50, 50, 20) == patch.voxels.shape
    assert [[0, -0.5, 0, 3.5], [0.5, 0, 0, -30.5], [0, 0, -1, -4], [0, 0, 0, 1]] == (
        patch.affine.tolist()
    )
    labels = nibabel.load(shared_data / "cit168/CIT168_subcortex.nii.gz")
    assert np.array_equal(np.asarray(labels.dataobj), nuclei.voxels)
    with pytest.raises(InputError, match="expected one volume, got 3"):
        load_volume(shared_data / "gre3echo/Mag.nii")
