# SPDX-License-Identifier: Apache-2.0
"""Where a NIfTI image lies: sform and qform as the standard has them, and nothing in doubt."""

import gzip

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from nigroedge.errors import FormatError, GeometryError, InputError
from nigroedge.io.nifti import load_volume
from tests.nifti_files import LPS_AFFINE, nifti_bytes, qform_fields

VOXELS = np.arange(2 * 3 * 4, dtype="<i2").reshape((2, 3, 4), order="F")


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
