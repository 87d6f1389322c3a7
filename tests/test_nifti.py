# SPDX-License-Identifier: Apache-2.0
"""NIfTI in: voxels as stored, slope and transform as the standard has them, nothing believed."""

import contextlib
import gzip
import hashlib
import logging
import os
import struct
import tracemalloc

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from nigroedge.errors import FormatError, GeometryError, InputError
from nigroedge.io import gunzip, nifti
from nigroedge.io.nifti import load_volume, save_volume
from nigroedge.volume import STORED_DTYPES, Volume
from tests.nifti_files import LPS_AFFINE, header_bytes, nifti_bytes, qform_fields

VOXELS = np.arange(2 * 3 * 4, dtype="<i2").reshape((2, 3, 4), order="F")


@pytest.fixture
def written(tmp_path):
    """Write bytes to a file called image.nii, or as told, and give its path."""

    def write(content, name="image.nii"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


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
    content = nifti_bytes(VOXELS) + bytes(nifti.MAX_TRAILING_BYTES)

    assert VOXELS.tolist() == load_volume(written(content)).voxels.tolist()
    assert VOXELS.tolist() == load_volume(written(gzip.compress(content))).voxels.tolist()


def test_nothing_of_the_header_reaches_a_log_or_the_terminal(written, caplog, capfd):
    fields = {"descrip": b"Patient^Name", "db_name": b"Patient^Name", "glmax": 7, "extents": 3}
    caplog.set_level(logging.DEBUG)
    volume = load_volume(written(nifti_bytes(VOXELS, **fields, xyzt_units=2, slice_code=9)))

    assert "Patient" not in repr(volume)
    assert [] == caplog.records
    assert ("", "") == capfd.readouterr()


# ---------------------------------------------------------------------------------------- transform


def moved(affine, mm):
    other = affine.copy()
    other[0, 3] += mm
    return other


def test_sform_is_taken_where_both_agree(written):
    path = written(nifti_bytes(VOXELS, **qform_fields(moved(LPS_AFFINE, 0.9))))

    assert LPS_AFFINE.tolist() == load_volume(path).affine.tolist()


def test_qform_is_taken_where_sform_has_no_code(written):
    path = written(nifti_bytes(VOXELS, None, **qform_fields(LPS_AFFINE)))

    np.testing.assert_allclose(load_volume(path).affine, LPS_AFFINE, atol=1e-6)


@pytest.mark.parametrize(
    ("qform", "words"),
    [
        (moved(LPS_AFFINE, 1.5), "1.5 mm"),
        (LPS_AFFINE * [[-1], [1], [1], [1]], "handedness"),
        (LPS_AFFINE * [[1], [-1], [1], [1]], "handedness"),
    ],
)
def test_transforms_that_disagree_are_refused_unless_one_is_named(written, qform, words):
    path = written(nifti_bytes(VOXELS, **qform_fields(qform)))

    with pytest.raises(GeometryError, match=words):
        load_volume(path)
    assert LPS_AFFINE.tolist() == load_volume(path, transform="sform").affine.tolist()
    np.testing.assert_allclose(load_volume(path, transform="qform").affine, qform, atol=1e-6)


def test_transforms_that_part_at_the_far_corner_only_are_refused(written):
    voxels = np.zeros((100, 100, 2), np.uint8)
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("z", 0.75, degrees=True).as_matrix()  # 141 mm · 0.0131
    flat = np.eye(4)

    with pytest.raises(GeometryError, match=r"1\.8 mm at a corner"):
        load_volume(written(nifti_bytes(voxels, flat, **qform_fields(turn))))
    load_volume(written(nifti_bytes(voxels[:40, :40], flat, **qform_fields(turn))))


def test_no_transform_is_refused(written):
    with pytest.raises(GeometryError, match="sform_code and qform_code are 0"):
        load_volume(written(nifti_bytes(VOXELS, None)))


def test_a_transform_that_is_named_must_be_there(written):
    with pytest.raises(GeometryError, match="expected a qform, got none"):
        load_volume(written(nifti_bytes(VOXELS)), transform="qform")
    with pytest.raises(ValueError, match="'best'"):
        load_volume(written(nifti_bytes(VOXELS)), transform="best")


@given(
    st.sampled_from(["<i8", ">i8", "<u8", ">u8"]),
    st.lists(st.integers(0, 62), min_size=24, max_size=24),
    st.booleans(),
    st.booleans(),
)
def test_integers_of_64_bits_keep_their_values(tmp_path_factory, dtype, bits, signs, pack):
    values = np.array([(1 << n) - 1 for n in bits], dtype).reshape(2, 3, 4)
    if signs and np.dtype(dtype).kind == "i":
        values[0] *= -1
    path = tmp_path_factory.mktemp("wide") / "image.nii"
    content = nifti_bytes(values, scl_slope=2, scl_inter=1)
    path.write_bytes(gzip.compress(content) if pack else content)
    if max(bits) > 53:
        with pytest.raises(InputError, match=r"expected 64 bit integers within 2\^53"):
            load_volume(path)
        return
    volume = load_volume(path)

    assert values.tolist() == volume.voxels.tolist()
    assert (2, 1) == (volume.slope, volume.intercept)
    assert volume.voxels.dtype == (np.int32 if max(bits) <= 31 else np.float64)
    np.testing.assert_array_equal(
        nibabel.load(path).get_fdata(), volume.voxels.astype(np.float64) * 2 + 1
    )


@pytest.mark.parametrize("bitpix", [0, 8, 32, 64, -16])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_wrong_bitpix_counts_only_where_the_size_is_wrong_too(written, bitpix, pack, version):
    content = nifti_bytes(VOXELS, bitpix=bitpix, version=version)

    np.testing.assert_array_equal(VOXELS, load_volume(written(pack(content))).voxels)
    for other in (content + b"\0", content[:-1]):
        with pytest.raises(FormatError, match="expected bitpix 16 with int16 voxels, got"):
            load_volume(written(pack(other)))


@pytest.mark.parametrize(("code", "word"), [(1, "metres"), (3, "micrometres"), (5, "unit code 5")])
def test_lengths_must_be_millimetres(written, code, word):
    with pytest.raises(GeometryError, match=f"expected lengths in millimetres, got {word}"):
        load_volume(written(nifti_bytes(VOXELS, xyzt_units=code)))


def test_lengths_without_a_unit_are_millimetres(written):
    assert (
        LPS_AFFINE.tolist()
        == load_volume(written(nifti_bytes(VOXELS, xyzt_units=0))).affine.tolist()
    )


@pytest.mark.parametrize(
    ("pixdim", "agrees"),
    [
        ((0.5, 0.5, 1), True),
        ((0.5, 0.5, 1.009), True),  # rounded, or of another arithmetic
        ((0.5, 0.5, 1.011), False),
        ((1, 1, 1), False),
        ((0, 0, 0), True),  # says nothing
        ((0, 0.5, 0), True),
        ((-0.5, 0.5, 1), True),  # an old way to say mirrored
        ((np.nan, 0.5, 1), False),
        ((0.5, np.inf, 1), False),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_the_columns_of_an_sform_are_as_long_as_pixdim_says(written, pixdim, agrees, version):
    content = nifti_bytes(VOXELS, pixdim=[1, *pixdim, 0, 0, 0, 0], version=version)
    if not agrees:
        with pytest.raises(GeometryError, match=r"columns of the sform are 0\.5 0\.5 1 mm"):
            load_volume(written(content))
    volume = load_volume(written(content), transform="sform" if not agrees else None)

    assert LPS_AFFINE.tolist() == volume.affine.tolist()


def test_the_sizes_that_a_qform_has_are_those_of_pixdim(written):
    fields = {**qform_fields(np.diag([0.5, 0.5, 1, 1])), "sform_code": 0}
    affine = load_volume(written(nifti_bytes(VOXELS, np.eye(4), **fields))).affine

    assert np.diag([0.5, 0.5, 1, 1]).tolist() == affine.tolist()


@given(
    st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1),
    st.tuples(*[st.floats(0.2, 3)] * 3),
    st.integers(0, 2),
    st.floats(-0.5, 0.5),
)
def test_lengths_are_held_against_each_other_however_an_image_is_turned(
    tmp_path_factory, quaternion, mm, axis, gap
):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_quat(quaternion).as_matrix() * mm
    sizes = np.array(mm)
    sizes[axis] *= 1 + gap
    path = tmp_path_factory.mktemp("turned") / "image.nii"
    path.write_bytes(nifti_bytes(VOXELS, affine, pixdim=[1, *sizes, 0, 0, 0, 0]))
    try:
        load_volume(path)
        agrees = True
    except GeometryError:
        agrees = False

    relative = abs(gap) / (1 + gap)  # of what pixdim says
    # Both are float32, whose rounding is far below a thousandth of the 1 %.
    assert agrees == (relative <= 0.01) or abs(relative - 0.01) < 1e-5


def test_qfac_of_zero_means_one(written):
    affine = np.diag([0.5, 0.5, 1, 1])
    fields = qform_fields(affine)
    fields["pixdim"][0] = 0

    assert (
        affine.tolist() == load_volume(written(nifti_bytes(VOXELS, None, **fields))).affine.tolist()
    )


quaternions = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1)


@given(quaternions, st.sampled_from([-1, 1]), st.tuples(*[st.floats(0.2, 3)] * 3))
def test_qform_equals_the_rotation_that_scipy_makes_of_the_quaternion(
    tmp_path_factory, q, qfac, mm
):
    q = np.array(q) / np.linalg.norm(q)
    b, c, d = q[1:] if q[0] >= 0 else -q[1:]
    path = tmp_path_factory.mktemp("q") / "image.nii"
    fields = {"qform_code": 1, "quatern_b": b, "quatern_c": c, "quatern_d": d}
    path.write_bytes(
        nifti_bytes(VOXELS, None, **fields, pixdim=[qfac, *mm, 1, 1, 1, 1], qoffset_x=5)
    )
    linear = Rotation.from_quat([b, c, d, np.sqrt(max(0, 1 - b * b - c * c - d * d))]).as_matrix()

    # Float32 fields: near half turns the fourth component is the root of a rounding error.
    np.testing.assert_allclose(
        load_volume(path).affine[:3, :3], linear * [mm[0], mm[1], qfac * mm[2]], atol=5e-3
    )


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


# ------------------------------------------------------------------------------------ hostile files


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
