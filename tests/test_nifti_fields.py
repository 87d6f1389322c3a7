# SPDX-License-Identifier: Apache-2.0
"""The fields of a NIfTI header and its transforms, beside nibabel's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.nifti1 import Nifti1Header, data_type_codes
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError

from nigroedge.errors import GeometryError
from nigroedge.io.nifti_fields import DATATYPES, qform, read_fields, sform


# nibabel keeps the quaternion's first component exactly 0 within 3 ε of float32, as we do; what is
# left are sums in another order, of numbers up to 1000.
@given(
    st.sampled_from([1, 2]),
    st.sampled_from("<>"),
    st.lists(st.floats(-1000, 1000, width=32), min_size=15, max_size=15),
    st.tuples(*[st.floats(-0.75, 0.75, width=32)] * 3),
    st.sampled_from([-1, 0, 1, 2]),
    st.tuples(*[st.floats(-1, 4, width=32)] * 3),
)
def test_both_transforms_are_nibabels(version, order, numbers, quaternion, qfac, sizes):
    header = {1: Nifti1Header, 2: Nifti2Header}[version](endianness=order)
    header["srow_x"], header["srow_y"], header["srow_z"] = np.reshape(numbers[:12], (3, 4))
    header["quatern_b"], header["quatern_c"], header["quatern_d"] = quaternion
    header["qoffset_x"], header["qoffset_y"], header["qoffset_z"] = numbers[12:]
    header["pixdim"][:4] = [qfac, *sizes]
    ours = read_fields(header.binaryblock, version=version, order=order)
    header["pixdim"][0] = qfac or 1  # nifti1.h counts 0 as 1; nibabel refuses it

    assert np.array_equal(header.get_sform(), sform(ours))
    try:
        theirs = header.get_qform()
    except (HeaderDataError, ValueError):
        with pytest.raises(GeometryError, match="qform"):
            qform(ours)
    else:
        assert np.allclose(theirs, qform(ours), rtol=0, atol=1e-11)


@pytest.mark.parametrize("version", [1, 2])
def test_every_field_lies_where_nibabel_has_it(version):
    header = {1: Nifti1Header, 2: Nifti2Header}[version]
    theirs = header.template_dtype.fields
    for name, (dtype, offset) in read_fields(
        bytes(540), version=version, order="<"
    ).dtype.fields.items():
        first = {"quatern": "quatern_b", "qoffset": "qoffset_x", "srow": "srow_x"}.get(name, name)

        assert offset == theirs[first][1]
        assert dtype.base.str[1:] == theirs[first][0].base.str[1:] or name == "xyzt_units"


def test_datatypes_are_nibabels():
    codes = {code for code in data_type_codes.label if isinstance(code, int)} - {255}  # "all"

    assert codes == set(DATATYPES)
    for code in codes - {0}:
        assert data_type_codes.label[code] == DATATYPES[code].name
        if DATATYPES[code].numpy:
            assert data_type_codes.dtype[code] == np.dtype(DATATYPES[code].numpy)
