# SPDX-License-Identifier: Apache-2.0
"""What a file is where another was expected: as the programs that write such files write them."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from nigroedge.errors import FormatError, InputError, ModelError
from nigroedge.io.kind import N_BYTES, NIFTI, kind_of
from nigroedge.io.landmarks import load_landmarks
from nigroedge.io.nifti import load_volume
from nigroedge.model import REFERENCE, load_model
from nigroedge.smwi.sidecar import read_sidecar
from nigroedge.study.table import read_table
from tests.conftest import ROOT
from tests.nifti_files import nifti_bytes

VOXELS = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 1\n"


def written(write):
    """What a writer writes into a file."""
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def zipped(buffer):
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("smwi.nii", nifti_bytes(VOXELS))


def tarred(buffer):
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(ROOT / "LICENSE")


def drawn(suffix):
    return written(lambda buffer: Figure().savefig(buffer, format=suffix))


FILES = {
    "git-lfs": LFS,
    "git-annex": b"/annex/objects/SHA256E-s1--00.nii.gz\n",
    "zip": written(zipped),
    ".npz": written(lambda buffer: np.savez(buffer, VOXELS)),
    "NumPy": written(lambda buffer: np.save(buffer, VOXELS)),
    "MATLAB": written(lambda buffer: scipy.io.savemat(buffer, {"voxels": VOXELS})),
    "tar": written(tarred),
    "gzip": gzip.compress(b"1"),
    "bzip2": bz2.compress(b"1"),
    "xz": lzma.compress(b"1"),
    "PNG": drawn("png"),
    "JPEG": drawn("jpg"),
    "TIFF": drawn("tif"),
    "PDF": drawn("pdf"),
    "MGH": nib.MGHImage(VOXELS, np.eye(4)).to_bytes(),
    "DICOM": bytes(128) + b"DICM\2\0\0\0UL\4\0",
    "empty file": b"",
    "zeros": bytes(1 << 20),
    "web page": b"\xef\xbb\xbf\r\n<!doctype HTML>\n<title>Log in",
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_other_programs_are_known_by_their_first_bytes(name):
    said = kind_of(FILES[name][:N_BYTES])

    assert said is not None
    assert name in said
    assert name in (kind_of(FILES[name]) or "")  # more of it does not matter
    assert said.isascii()
    assert "\n" not in said


@pytest.mark.parametrize(
    "content",
    [
        Path(REFERENCE).read_bytes(),
        b"side,x,y,z\nleft,1,2,3\n",
        b'{"markups": []}',
        b"# Markups fiducial file version = 4.11\n",
        b"participant_id\tside\n",
        b'<?xml version="1.0"?>\n<net name="model" version="11">',
    ],
)
def test_files_that_are_served_are_none_of_those(content):
    assert kind_of(content[:N_BYTES]) is None


@given(st.binary(max_size=2 * N_BYTES), st.sampled_from(sorted(FILES)), st.integers(0, N_BYTES))
def test_whatever_a_file_begins_with_there_is_an_answer(noise, name, n):
    for start in (noise, FILES[name][:n], FILES[name][:n] + noise):
        assert isinstance(kind_of(start), str | None)


@pytest.mark.parametrize("name", ["git-lfs", "zip", "empty file", "web page"])
def test_a_model_that_is_none_says_what_it_is(tmp_path, name):
    (tmp_path / "model.onnx").write_bytes(FILES[name])
    with pytest.raises(ModelError, match=f"model.onnx: expected an ONNX model, got .*{name}"):
        load_model(tmp_path / "model.onnx")


@pytest.mark.parametrize("part", [".xml", ".bin"])
def test_a_part_of_an_openvino_model_that_is_a_pointer_says_so(tmp_path, models, part):
    for suffix in (".xml", ".bin"):
        content = LFS if suffix == part else (models / f"tiny.int8{suffix}").read_bytes()
        (tmp_path / f"model{suffix}").write_bytes(content)

    with pytest.raises(ModelError, match=r"expected an OpenVINO model, .xml and .bin, got a git-"):
        load_model(tmp_path / "model.xml")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (".git/annex/objects/Xq/7P/SHA256E-s1--0.nii.gz", "it is in git-annex and not here: run"),
        ("../elsewhere.nii", "it is a link that leads nowhere"),
        (None, "No such file or directory$"),
    ],
)
@pytest.mark.parametrize("name", ["image.nii.gz", "model.onnx"])
def test_a_link_that_leads_nowhere_is_told_from_no_file(tmp_path, name, target, words):
    path = tmp_path / name
    if target is not None:
        path.symlink_to(target)
    if name == "model.onnx":
        with pytest.raises(ModelError, match=words.replace("$", " ")):
            load_model(path)
    else:
        with pytest.raises(InputError, match=words):
            load_volume(path)


@pytest.mark.parametrize("name", ["points.csv", "image.nii", "model.onnx"])
def test_a_folder_is_called_one(tmp_path, name):
    path = tmp_path / name
    path.mkdir()
    read = {"points.csv": load_landmarks, "image.nii": load_volume, "model.onnx": load_model}[name]

    with pytest.raises((InputError, ModelError), match="expected a regular file, got a folder"):
        read(path)


@pytest.mark.parametrize("name", ["git-lfs", "gzip", "web page", "empty file"])
def test_a_sidecar_that_is_none_says_what_it_is(tmp_path, name):
    (tmp_path / "sub-01_MEGRE.json").write_bytes(FILES[name])

    with pytest.raises(FormatError, match=f"sub-01_MEGRE.json'?: expected JSON, got .*{name}"):
        read_sidecar(tmp_path / "sub-01_MEGRE.json")


def test_a_table_that_is_none_says_what_it_is(tmp_path):
    (tmp_path / "table.csv").write_bytes(FILES["zip"])

    with pytest.raises(
        InputError, match=r"table.csv'?: expected a table, got a zip archive, as .x"
    ):
        read_table(tmp_path / "table.csv")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("magic", [b"n+1\0", b"ni1\0"])
def test_an_image_where_another_file_was_expected_is_named(tmp_path, pack, magic):
    path = tmp_path / "x.nii"
    path.write_bytes(pack(nifti_bytes(VOXELS, magic=magic)))

    with pytest.raises(
        ModelError, match=r"expected an ONNX model, got a NIfTI image: `nigroedge pr"
    ):
        load_model(path)
    with pytest.raises(FormatError, match="got a NIfTI image"):
        read_sidecar(path)


@pytest.mark.parametrize(
    "content",
    [
        *(nifti_bytes(VOXELS, version=version) for version in (1, 2)),
        nifti_bytes(VOXELS.astype(">f4")),
        nib.Nifti2Image(VOXELS, np.eye(4)).to_bytes(),
    ],
)
def test_an_image_of_either_version_and_order_is_one(content):
    assert NIFTI == kind_of(content[:N_BYTES]) == kind_of(gzip.compress(content)[:N_BYTES])


def test_an_image_with_a_broken_header_is_not_told_to_be_one(tmp_path):
    (tmp_path / "x.nii").write_bytes(nifti_bytes(VOXELS, sizeof_hdr=5))

    with pytest.raises(
        FormatError, match="expected a NIfTI-1 or NIfTI-2 file, found no such header"
    ):
        load_volume(tmp_path / "x.nii")


def test_a_model_in_place_of_an_image_is_named():
    with pytest.raises(FormatError, match=r"got an ONNX model: --model takes it$"):
        load_volume(REFERENCE)
