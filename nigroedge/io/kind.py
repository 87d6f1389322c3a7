# SPDX-License-Identifier: Apache-2.0
"""What a file is where another was expected, by its first bytes or its mode, and what to do then.

Nothing of its content is ever said: it may name a person.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

from nigroedge.errors import InputError

#: As many bytes from the start of a file as it takes to tell.
N_BYTES = 512

#: Place and bytes → what begins so. Places and bytes are those of each format's own manual.
_SIGNATURES: Mapping[tuple[int, bytes], str] = {
    (0, b"version https://git-lfs"): (
        "a git-lfs pointer in place of the file that it stands for: run `git lfs pull`"
    ),
    (0, b"/annex/objects/"): (
        "a git-annex pointer in place of the file that it stands for: run `datalad get` or "
        "`git annex get`"
    ),
    (128, b"DICM"): "DICOM: convert the series, for instance with dcm2niix",
    (0, b"# === DATA DESCRIPTION FILE"): "Philips PAR: convert it, for instance with dcm2niix",
    (0, b"NRRD000"): "NRRD: save it as NIfTI, in 3-D Slicer for instance",
    (0, b"ObjectType = Image"): "MetaImage: save it as NIfTI, in 3-D Slicer for instance",
    (0, b"CDF\x01"): "MINC 1: convert it with mnc2nii",
    (0, b"\x89HDF\r\n\x1a\n"): "HDF5, as MINC 2, MATLAB 7.3 and Keras write: convert it",
    (0, b"MATLAB 5.0 MAT-file"): "MATLAB: save what it holds as the file expected",
    (0, b"\x93NUMPY"): "a NumPy array: save it as the file expected",
    (0, b"PK\x03\x04"): (
        "a zip archive, as .xlsx, .npz and PyTorch's .pt are too: unpack it, or save what it holds "
        "as the file expected"
    ),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"): "an old Office file, such as .xls: save it as CSV",
    (257, b"ustar"): "a tar archive: unpack it",
    (0, b"7z\xbc\xaf\x27\x1c"): "a 7-Zip archive: unpack it",
    (0, b"Rar!\x1a\x07"): "a RAR archive: unpack it",
    (0, b"\x1f\x8b"): "gzip: unpack it with gunzip",
    (0, b"BZh"): "bzip2: unpack it with bunzip2",
    (0, b"\xfd7zXZ\x00"): "xz: unpack it with unxz",
    (0, b"\x28\xb5\x2f\xfd"): "Zstandard: unpack it with unzstd",
    (0, b"\x89PNG\r\n\x1a\n"): "a PNG picture",
    (0, b"\xff\xd8\xff"): "a JPEG picture",
    (0, b"II*\x00"): "a TIFF picture",
    (0, b"MM\x00*"): "a TIFF picture",
    (0, b"%PDF-"): "a PDF document",
}
NIFTI = "a NIfTI image: `nigroedge predict` and `nigroedge smwi` read it, with --help for how"
#: Place and bytes of nifti1.h and nifti2.h, of single files and headers of pairs.
_NIFTI_MAGIC = ((344, b"n+1\0"), (344, b"ni1\0"), (4, b"n+2\0"), (4, b"ni2\0"))
_WEB_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head)\b", re.IGNORECASE)
#: Types of voxels that mghFormat of FreeSurfer's wiki lists: uchar, int, float, short.
_MGH_TYPES = (0, 1, 3, 4)


def kind_of(start: bytes) -> str | None:
    """Say what a file is that begins so, and what to do with it; None if nobody knows.

    Parameters
    ----------
    start : bytes
        N_BYTES of the file, or all of it.

    >>> kind_of(b"")
    'an empty file: write or download it again'
    """
    if _is_nifti(start) or _is_nifti(_gunzipped(start)):
        return NIFTI
    return _kind_but_nifti(start)


def kind_of_no_image(start: bytes) -> str | None:
    """Say what a file is where a NIfTI image was expected and none came."""
    return "an ONNX model: --model takes it" if _is_onnx(start) else _kind_but_nifti(start)


def _kind_but_nifti(start: bytes) -> str | None:
    for (place, magic), said in _SIGNATURES.items():
        if start[place : place + len(magic)] == magic:
            return said
    return next((said for said, fits in _PATTERNS.items() if fits(start)), None)


def check_regular(mode: int) -> None:
    """Make sure that a file's mode, as stat() gives it, is that of a file with bytes in it.

    Raises
    ------
    InputError
        If it is a folder, a pipe or a device.
    """
    if stat.S_ISDIR(mode):
        raise InputError("expected a regular file, got a folder: name a file in it")
    if not stat.S_ISREG(mode):
        raise InputError("expected a regular file, got a pipe or a device")


def reason_of(error: OSError, path: str | os.PathLike[str]) -> str:
    """Say why the system could not open a file; a link that leads nowhere is told from no file."""
    reason = error.strerror or type(error).__name__
    link = Path(path)
    if not (isinstance(error, FileNotFoundError) and link.is_symlink()):
        return reason
    if "annex" in link.readlink().parts:
        return f"{reason}: it is in git-annex and not here: run `datalad get` or `git annex get`"
    return f"{reason}: it is a link that leads nowhere"


def _is_nifti(start: bytes) -> bool:
    return any(start[place : place + len(magic)] == magic for place, magic in _NIFTI_MAGIC)


def _gunzipped(start: bytes) -> bytes:
    """Give the first bytes that gzip holds, nothing if it is none."""
    if not start.startswith(b"\x1f\x8b"):
        return b""
    import zlib  # where something is wrong already

    try:
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(start, N_BYTES)
    except zlib.error:
        return b""


def _is_mgh(start: bytes) -> bool:
    """Version 1, four dimensions and a type of voxels, 32 bit integers, the last byte least."""
    if len(start) < 24:
        return False
    version, *dims, voxel_type = struct.unpack(">6i", start[:24])
    return version == 1 and all(1 <= n < 1 << 16 for n in dims) and voxel_type in _MGH_TYPES


def _is_onnx(start: bytes) -> bool:
    """ModelProto of onnx.proto: ir_version (field 1), a small number, and a field of bytes."""
    return len(start) > 2 and start[0] == 0x08 and start[1] < 0x40 and start[2] in _ONNX_TAGS


#: Tags of ModelProto's producer_name, producer_version, domain, graph and opset_import.
_ONNX_TAGS = (0x12, 0x1A, 0x22, 0x3A, 0x42)

#: What is no fixed text at a fixed place.
_PATTERNS: Mapping[str, Callable[[bytes], object]] = {
    "an empty file: write or download it again": lambda start: not start,
    "nothing but zeros where it begins: it was cut short as it was written or downloaded": (
        lambda start: not start.strip(b"\0")
    ),
    "a web page, perhaps one to log in, in place of the file: download it again": _WEB_PAGE.match,
    "FreeSurfer's MGH: convert it with mri_convert": _is_mgh,
}
