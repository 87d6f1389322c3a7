# SPDX-License-Identifier: Apache-2.0
"""Files that change between opening and reading: one error that says so, never a dead process.

Whatever is cut short here is so after it was opened and before it is read. A mapped file would end
the process with SIGBUS.
"""

import gzip
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nigroedge.errors import InputError
from nigroedge.io.nifti import load_series, load_volume, save_volume
from nigroedge.model import load_model
from nigroedge.phantom import simulate
from nigroedge.smwi.stack import read_stack
from tests.cohorts import write_cohort
from tests.conftest import ROOT
from tests.nifti_files import header_bytes, nifti_bytes

PATIENT = simulate(3)
POINTS = {"left": PATIENT.left_mm, "right": PATIENT.right_mm}


@pytest.fixture
def scan(tmp_path) -> Path:
    path = tmp_path / "scan.nii"
    save_volume(PATIENT.volume, path)
    return path


@pytest.fixture(scope="module")
def model():
    return load_model()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ----------------------------------------------------------------------------- in another process

#: A command line whose reader cuts one file short when it has opened it; all else is as ever.
CUT = """
import importlib, os, sys
from nigroedge.io import nifti

path, size, name, module, *arguments = sys.argv[1:]
load = getattr(nifti, name)

def load_and_cut(given, **options):
    loaded = load(given, **options)
    if os.path.samefile(given, path):
        os.truncate(path, int(size))
    return loaded

setattr(nifti, name, load_and_cut)
sys.exit(importlib.import_module(module).main(arguments))
"""


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def complaint(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Give the lines of a refusal, once it is one."""
    assert (1, "") == (done.returncode, done.stdout), done.stderr
    return done.stderr.splitlines()


@pytest.mark.parametrize("size", [0, 352, 100_000, -1])
def test_an_image_cut_short_before_it_is_predicted(scan, size):
    whole = scan.stat().st_size
    size %= whole  # -1: all but the last byte, which no patch needs
    points = [f"--{side}={','.join(map(str, xyz))}" for side, xyz in POINTS.items()]
    done = run(CUT, scan, size, "load_volume", "nigroedge.cli", "predict", scan, *points)

    assert [
        f"nigroedge: {str(scan)!r}: expected {whole} bytes, as when it was opened, got {size}: "
        f"it was cut short meanwhile"
    ] == complaint(done)


def test_echoes_cut_short_before_smwi_is_made(tmp_path):
    paths = [tmp_path / f"{part}.nii" for part in ("mag", "phase")]
    for path in paths:
        path.write_bytes(nifti_bytes(np.ones((64, 64, 16, 3), np.float32)))
    whole = paths[1].stat().st_size
    scan = ("--magnitude", paths[0], "--phase", paths[1], "--echo-times", 0.01, 0.02, 0.03)
    smwi = ("smwi", *scan, "--field-strength", 3, "--out", tmp_path / "out")
    (line,) = complaint(run(CUT, paths[1], 4096, "load_series", "nigroedge.cli", *smwi))

    assert line.startswith(f"nigroedge: {str(paths[1])!r}: expected {whole} bytes")
    assert "got 4096" in line


def test_a_mask_cut_short_before_smwi_is_made(tmp_path):
    paths = {part: tmp_path / f"{part}.nii" for part in ("magnitude", "phase", "mask")}
    for part, path in paths.items():
        shape = (64, 64, 16) if part == "mask" else (64, 64, 16, 3)
        values = 2 * np.pi * (np.random.default_rng(1).random(shape, np.float32) - 0.5)
        path.write_bytes(nifti_bytes(np.abs(values) if part == "magnitude" else values))
    files = [word for part, path in paths.items() for word in (f"--{part}", path)]
    times = ("--echo-times", 0.01, 0.02, 0.03, "--field-strength", 3, "--phase-unit", "rad")
    smwi = ("smwi", *files, *times, "--out", tmp_path / "out")
    (line,) = complaint(run(CUT, paths["mask"], 4096, "load_series", "nigroedge.cli", *smwi))

    assert line.startswith(f"nigroedge: {str(paths['mask'])!r}: expected 262496 bytes")


def test_an_image_of_a_cohort_cut_short_before_it_is_checked_or_predicted(tmp_path):
    table = write_cohort(tmp_path / "cohort", 3)
    image = table.parent / "1-left.nii"
    cut = (CUT, image, 1000, "load_volume")
    said = (
        f"line 4: image: expected {image.stat().st_size} bytes, as when it was opened, got 1000: "
        f"it was cut short meanwhile"
    )
    checked = complaint(run(*cut, "export.__main__", "cohort", "--table", table, "-o", tmp_path))
    assert ["export cohort: images of the table: 1 problem", f"  {said}"] == checked[-2:]

    write_cohort(tmp_path / "cohort", 3)
    evaluate = ("evaluate", table, "--model", "nigroedge/models/reference.onnx")
    predicted = complaint(run(*cut, "nigroedge.cli", *evaluate, "--out", tmp_path / "out"))
    assert f"  {said.replace('image: ', '')}" == predicted[-1]


def test_a_volume_cut_short_in_a_program_is_an_error_that_it_can_catch(scan):
    code = (
        "import os, sys\n"
        "from nigroedge import load_volume\n"
        "from nigroedge.errors import InputError\n"
        "volume = load_volume(sys.argv[1])\n"
        "os.truncate(sys.argv[1], 1000)\n"
        "try: volume.voxels.mean()\n"
        "except InputError as error: sys.exit(str(error))"
    )

    assert "got 1000" in complaint(run(code, scan))[0]


# ------------------------------------------------------------------------------- what may happen


def test_a_file_that_is_removed_replaced_or_locked_stays_what_it_was(scan, model):
    before = sha256(scan)
    expected = model.predict(load_volume(scan), **POINTS)
    volumes = [load_volume(scan) for _ in range(3)]
    scan.chmod(0)
    locked = model.predict(volumes[0], **POINTS)
    scan.unlink()
    removed = model.predict(volumes[1], **POINTS)
    save_volume(simulate(4).volume, scan)
    replaced = model.predict(volumes[2], **POINTS)

    for result in (locked, removed, replaced):
        assert (expected.left, expected.right) == (result.left, result.right)
        assert before == result.input.sha256
    assert before != sha256(scan)


def test_a_compressed_file_that_is_removed_or_replaced_stays_what_it_was(scan, model):
    packed = scan.with_name("scan.nii.gz")
    packed.write_bytes(gzip.compress(scan.read_bytes(), 1))
    before = sha256(packed)
    volume = load_volume(packed)
    packed.unlink()
    packed.write_bytes(b"another")
    result = model.predict(volume, **POINTS)

    assert model.predict(PATIENT.volume, **POINTS).left == result.left
    assert before == result.input.sha256


@pytest.mark.parametrize("pack", [bytes, lambda content: gzip.compress(content, 1)])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file.seek(0, os.SEEK_END) and file.write(b"more"), "added to meanwhile"),
        (lambda file: file.truncate(5000), "got 5000: it was cut short meanwhile"),
        (lambda file: file.seek(400) and file.write(b"\1"), "it was written to meanwhile"),
    ],
    ids=["longer", "shorter", "as long"],
)
def test_a_file_that_is_written_to_is_refused(scan, model, pack, change, words):
    scan.write_bytes(pack(scan.read_bytes()))
    os.utime(scan, (1e9, 1e9))  # whatever the clock of the file system, it has moved on since
    volume = load_volume(scan)
    with scan.open("r+b") as file:
        change(file)

    with pytest.raises(InputError, match=words) as caught:
        model.predict(volume, **POINTS)
    assert str(caught.value).startswith(f"{str(scan)!r}: expected ")
    with pytest.raises(InputError, match=words):
        volume.source.sha256  # noqa: B018


def test_a_pair_is_refused_whichever_file_is_written_to(tmp_path, model):
    paths = [tmp_path / "scan.hdr", tmp_path / "scan.img"]
    voxels = PATIENT.volume.voxels
    contents = [
        header_bytes(voxels.shape, voxels.dtype, PATIENT.volume.affine, single=False),
        voxels.tobytes(order="F"),
    ]
    for which in (0, 1):
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        volume = load_volume(paths[1])
        os.truncate(paths[which], 100)
        with pytest.raises(InputError, match=r"scan\.img': expected .* bytes.*, got 100"):
            model.predict(volume, **POINTS)


def test_smwi_names_the_hash_of_what_it_read(scan):
    """Reconstruction takes minutes: what happens to the files in the meantime is not its affair."""
    stack = read_stack([scan])
    before = sha256(scan)
    scan.write_bytes(b"another")

    assert [before] == [source.sha256 for source in stack.sources]


def test_a_series_is_read_as_it_was_opened(scan):
    series = load_series(scan)
    scan.unlink()

    np.testing.assert_array_equal(PATIENT.volume.voxels, series.values())
