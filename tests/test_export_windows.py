# SPDX-License-Identifier: Apache-2.0
"""Windows of a table: their middle is nigroedge's own patch, of scans and of cut-outs."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from export import windows
from export.spec import make_card, method_spec
from export.windows import MARGIN, cut_window, load_windows, prepared, windows_name
from nigroedge.errors import InputError, TableError
from nigroedge.io.nifti import load_volume
from nigroedge.phantom import simulate
from nigroedge.preprocess import crop_patch, prepare_patch
from nigroedge.study.table import Row, read_table
from nigroedge.volume import Volume
from tests.cohorts import save_image, write_cohort
from tests.conftest import ROOT

SPEC = method_spec(
    make_card(name="test", licence="test", training_data="none", limits="means nothing")
)
CROPPED_THEN_FLIPPED = replace(SPEC, mirror_centre="n/2-1")
INNER = tuple(slice(m, -m) for m in MARGIN)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("cohort"), 3)


@pytest.mark.parametrize("spec", [SPEC, CROPPED_THEN_FLIPPED], ids=["n/2", "n/2-1"])
def test_the_middle_of_a_window_is_the_patch_in_use(table, tmp_path, spec):
    rows = read_table(table)
    windows = load_windows(rows, spec, tmp_path)

    assert 6 == len(windows)
    for row, patch in zip(rows, prepared(windows, np.arange(6), spec), strict=True):
        volume = load_volume(row.image)
        expected = prepare_patch(volume, row.centre_mm, spec.grid_for(row.side), "mean")
        np.testing.assert_array_equal(expected.values, patch)


def test_windows_mirrored_in_another_way_are_others():
    rows = [Row("P", "right", centre_mm=(0.0, 0.0, 0.0), image=Path("absent.nii"))]

    assert windows_name(rows, SPEC) != windows_name(rows, CROPPED_THEN_FLIPPED)


def test_a_window_of_a_whole_scan_reaches_as_far_as_the_scan():
    scan = simulate(3)
    row = Row("P", "left", centre_mm=scan.left_mm)
    window = cut_window(scan.volume, row, SPEC)
    wider = crop_patch(scan.volume, scan.left_mm, shape=(60, 60, 20))

    np.testing.assert_array_equal(wider, window[:, :, 3:-3])


def test_beyond_the_image_its_edge_is_repeated():
    voxels = np.random.default_rng(0).integers(1, 900, (50, 50, 20)).astype(np.int16)
    volume = Volume(voxels, np.diag([-0.5, -0.5, -1.0, 1.0]))  # axes grow to L, P, I
    row = Row("P", "left", centre_mm=tuple(volume.affine[:3, :3] @ (25, 24, 10)))
    window = cut_window(volume, row, SPEC)

    patch = np.flip(voxels, 1).swapaxes(0, 1)  # to A, L, I
    np.testing.assert_array_equal(np.pad(patch, [(m, m) for m in MARGIN], mode="edge"), window)


@pytest.mark.parametrize("spacing", [(0.6, 0.45, 1.2), (0.25, 0.25, 0.5)])
def test_an_image_of_another_spacing_is_resampled_once(spacing):
    shape = [int(40 / s) for s in spacing]
    voxels = np.random.default_rng(1).integers(1, 900, shape).astype(np.float32)
    volume = Volume(voxels, np.diag([*spacing, 1.0]))
    centre = (19.7, 20.3, 19.1)
    window = cut_window(volume, Row("P", "right", centre_mm=centre), SPEC)
    patch = prepare_patch(volume, centre, SPEC.grid_for("right"), "mean").values

    middle = window[INNER]
    # The window's affine is that of a padded image: coordinates differ by 1e-14, values by 1e-5 of
    # a step between neighbours.
    np.testing.assert_allclose(middle / middle.mean(dtype=np.float64), patch, rtol=1e-5)


def test_windows_are_cut_once_until_an_image_changes(table, tmp_path):
    rows = read_table(table)
    load_windows(rows, SPEC, tmp_path)
    (folder,) = tmp_path.iterdir()
    written = (folder / "voxels.npy").stat().st_mtime_ns
    load_windows(rows, SPEC, tmp_path)
    assert written == (folder / "voxels.npy").stat().st_mtime_ns

    os.utime(rows[0].image, ns=(1, 1))
    load_windows(rows, SPEC, tmp_path)
    assert 2 == len(list(tmp_path.iterdir()))
    moved = [replace(rows[0], centre_mm=(0.0, 0.0, 0.0)), *rows[1:]]
    with pytest.raises(TableError):
        load_windows(moved, SPEC, tmp_path)
    assert 2 == len(list(tmp_path.iterdir()))


def test_every_image_that_cannot_be_used_is_listed_without_its_name(table, tmp_path):
    rows = read_table(table)
    constant = tmp_path / "JaneDoe.nii"
    volume = nibabel.load(rows[0].image)
    save_image(constant, np.full(volume.shape, 7, np.int16), volume.affine)
    (tmp_path / "text.nii").write_text("not an image")
    bad = [
        replace(rows[0], image=constant),
        replace(rows[1], image=tmp_path / "absent.nii"),
        replace(rows[2], image=tmp_path / "text.nii"),
        replace(rows[3], centre_mm=(900.0, 0.0, 0.0)),
        *rows[4:],
    ]

    with pytest.raises(TableError) as refused:
        load_windows(bad, SPEC, tmp_path / "cache")
    text = str(refused.value)
    assert all(f"line {n}: " in text for n in (2, 3, 4, 5))
    assert "line 6" not in text
    assert not any(name in text for name in ("JaneDoe", "absent.nii", "text.nii"))
    assert [] == list((tmp_path / "cache").iterdir())


# ------------------------------------------------------------------------- the file of the windows


def test_windows_cut_short_while_they_are_learned_from_are_an_error(table, tmp_path):
    """In another process: a mapped file that shrinks would end it."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from export.windows import load_windows, prepared\n"
        "from nigroedge.errors import InputError\n"
        "from nigroedge.study.table import read_table\n"
        "from tests.test_export_windows import SPEC\n"
        "windows = load_windows(read_table(Path(sys.argv[1])), SPEC, Path(sys.argv[2]))\n"
        "(file,) = Path(sys.argv[2]).glob('*/voxels.npy')\n"
        "os.truncate(file, 1000)\n"
        "try: prepared(windows, np.arange(6), SPEC)\n"
        "except InputError as error: sys.exit(str(error))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, table, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 1 == done.returncode, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "voxels.npy" in line]
    assert "as when it was opened, got 1000: it was cut short meanwhile" in line


@pytest.mark.parametrize("size", [0, 100, 5000, -4])
def test_windows_of_another_size_are_refused_with_what_to_do(table, tmp_path, size):
    rows = read_table(table)
    load_windows(rows, SPEC, tmp_path)
    (file,) = tmp_path.glob("*/voxels.npy")
    os.truncate(file, size % file.stat().st_size)

    with pytest.raises(InputError, match=r"voxels\.npy': expected 6 windows .*remove the folder"):
        load_windows(rows, SPEC, tmp_path)


def test_windows_are_a_numpy_file(table, tmp_path):
    windows = load_windows(read_table(table), SPEC, tmp_path)
    (file,) = tmp_path.glob("*/voxels.npy")
    stored = np.load(file)

    assert ((6, 60, 60, 26), np.float32) == (stored.shape, stored.dtype)
    for index in range(6):
        np.testing.assert_array_equal(stored[index], windows.window(index))


def test_a_full_disk_is_an_error_that_names_the_folder(table, tmp_path):
    """A limit on the size of files stands for it; a mapped file would end the process."""
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from export.windows import load_windows\n"
        "from nigroedge.errors import InputError\n"
        "from nigroedge.study.table import read_table\n"
        "from tests.test_export_windows import SPEC\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: load_windows(read_table(Path(sys.argv[1])), SPEC, Path(sys.argv[2]))\n"
        "except InputError as error: sys.exit(str(error))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, table, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 1 == done.returncode, done.stderr
    assert done.stderr.rstrip().endswith("': File too large")
    assert "Traceback" not in done.stderr
    assert [] == list(tmp_path.iterdir())


def test_two_runs_that_cut_the_same_share_it(table, tmp_path, monkeypatch):
    rows = read_table(table)
    cut = windows._cut_rows

    def cut_after_another(*arguments):
        monkeypatch.setattr(windows, "_cut_rows", cut)
        load_windows(rows, SPEC, tmp_path)  # the other run is quicker
        yield from cut(*arguments)

    monkeypatch.setattr(windows, "_cut_rows", cut_after_another)
    expected = [cut_window(load_volume(row.image), row, SPEC) for row in rows]

    cached = load_windows(rows, SPEC, tmp_path)
    for index, window in enumerate(expected):
        np.testing.assert_array_equal(window, cached.window(index))
    assert [windows_name(rows, SPEC)] == [path.name for path in tmp_path.iterdir()]
