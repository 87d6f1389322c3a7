# SPDX-License-Identifier: Apache-2.0
"""NIfTI files for tests, written field by field so that any field may lie."""

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header

#: Voxels of 0.5 × 0.5 × 1 mm whose axes grow to the patient's left, posterior and superior.
LPS_AFFINE = np.array([[-0.5, 0, 0, 10], [0, -0.5, 0, 20], [0, 0, 1, -30], [0, 0, 0, 1.0]])


def header_bytes(shape, dtype, affine=LPS_AFFINE, *, version=1, single=True, **fields):
    """A header, with sform code 1 unless the affine is None; `fields` overwrite any of it."""
    dtype = np.dtype(dtype)
    header_class = {1: Nifti1Header, 2: Nifti2Header}[version]
    header = header_class(endianness=">" if dtype.str[0] == ">" else "<")
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    if affine is not None:
        header.set_sform(affine, code=1)
        header["pixdim"][1:4] = np.linalg.norm(np.array(affine)[:3, :3], axis=0)
    header.set_xyzt_units("mm")
    if not single:
        header["magic"] = header_class.pair_magic
    header["vox_offset"] = header_class.single_vox_offset if single else 0
    for name, value in fields.items():
        header.structarr[name] = value
    return header.binaryblock + b"\0\0\0\0"


def nifti_bytes(voxels, affine=LPS_AFFINE, **fields):
    """A single file: header, no extensions, voxels in Fortran order."""
    return header_bytes(voxels.shape, voxels.dtype, affine, **fields) + voxels.tobytes(order="F")


def qform_fields(affine, code=1):
    """The header fields that say `affine`, a rotation with zooms, as qform."""
    header = Nifti1Header()
    header.set_qform(affine, code=code, strip_shears=False)
    names = ("qform_code", "quatern_b", "quatern_c", "quatern_d")
    fields = {name: header[name] for name in (*names, "qoffset_x", "qoffset_y", "qoffset_z")}
    return {**fields, "pixdim": header["pixdim"]}
