# SPDX-License-Identifier: Apache-2.0
"""Reading volumes along a fourth axis and a fifth: echoes and channels."""

import nibabel as nib
import numpy as np
import pytest

from nigroedge.errors import GeometryError, InputError
from nigroedge.io.nifti import load_series, load_volume
from tests.nifti_files import nifti_bytes


def save(path, shape, dtype="<i2"):
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    image = nib.Nifti1Image(values, np.diag([-0.5, 0.5, 2, 1]))
    image.header.set_slope_inter(2.0, -1.0)
    nib.save(image, path)
    return values


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 4, 5, 2), (3, 4, 5, 2, 3)])
def test_values_of_every_volume_are_read_as_nibabel_reads_them(tmp_path, name, shape):
    save(tmp_path / name, shape)

    series = load_series(tmp_path / name)

    np.testing.assert_array_equal(nib.load(tmp_path / name).get_fdata(), series.values())
    np.testing.assert_array_equal(np.diag([-0.5, 0.5, 2, 1]), series.affine)
    assert series.values().flags.c_contiguous


def test_more_dimensions_and_a_series_where_one_volume_is_meant_are_refused(tmp_path):
    save(tmp_path / "six.nii", (2, 2, 2, 2, 2, 2))
    save(tmp_path / "four.nii", (2, 2, 2, 2))

    with pytest.raises(InputError, match="up to 5 dimensions"):
        load_series(tmp_path / "six.nii")
    with pytest.raises(InputError, match="expected one volume, got 2"):
        load_volume(tmp_path / "four.nii")


def test_sizes_that_contradict_each_other_are_refused_in_a_series_too(tmp_path):
    echoes = np.zeros((2, 2, 2, 3), np.int16)
    path = tmp_path / "echoes.nii"
    path.write_bytes(nifti_bytes(echoes, np.eye(4), pixdim=[1, 0.5, 0.5, 1, 0, 0, 0, 0]))

    with pytest.raises(GeometryError, match=r"pixdim says 0\.5 0\.5 1 mm and the columns .* 1 1 1"):
        load_series(path)
    assert load_series(path, transform="sform").affine.tolist() == np.eye(4).tolist()
