# SPDX-License-Identifier: Apache-2.0
"""What a patch is cut from: no more than it needs comes into memory, and no bit depends on it."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nigroedge.window
from nigroedge import _core
from nigroedge.errors import GeometryError, InputError
from nigroedge.grid import PatchGrid
from nigroedge.io.nifti import load_volume
from nigroedge.preprocess import crop_on_grid, prepare_patch
from nigroedge.volume import STORED_DTYPES, Volume
from nigroedge.window import Window, hold, window_of
from tests.nifti_files import nifti_bytes

PATCH = PatchGrid((50, 50, 20), (0.5, 0.5, 1.0), "ALI")


def load(path, voxels, affine, **fields) -> Volume:
    path.write_bytes(nifti_bytes(voxels, affine, **fields))
    return load_volume(path)


def test_the_window_of_a_patch_by_hand():
    volume = Volume(np.zeros((20, 20, 20), np.uint8), np.eye(4))
    grid = PatchGrid((4, 5, 6), (1, 1, 1), "RAS")

    # Voxel n/2 on the centroid: from 10 − 2, 10 − 2 and 10 − 3 on.
    assert ([8, 8, 7], [12, 13, 13]) == window_of(volume, (10, 10, 10), grid)
    # At patch voxels twice as long, one with half a voxel of the image on either side.
    coarse = PatchGrid((4, 5, 6), (2, 1, 1), "RAS")
    assert ([5, 8, 7], [14, 13, 13]) == window_of(volume, (10, 10, 10), coarse)
    assert 4 * 5 * 6 == window_of(volume, (10, 10, 10), grid).n_voxels


def test_what_lies_outside_the_image_is_no_part_of_it():
    volume = Volume(np.zeros((20, 20, 20), np.uint8), np.eye(4))
    grid = PatchGrid((20, 5, 5), (1, 1, 1), "RAS")

    assert ([2, 8, 8], [20, 13, 13]) == window_of(volume, (12, 10, 10), grid)


@st.composite
def places(draw):
    """An image in a file, a grid, and two centroids within the image."""
    dtype = draw(st.sampled_from("<>")) + draw(st.sampled_from(STORED_DTYPES))
    shape = tuple(draw(st.lists(st.integers(12, 30), min_size=3, max_size=3)))
    voxels = np.random.default_rng(draw(st.integers(0, 99))).integers(1, 99, shape).astype(dtype)
    signs = draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    axes = draw(st.permutations(range(3)))
    spacing = draw(st.tuples(*[st.sampled_from([0.3, 0.5, 0.502, 0.8, 1.0])] * 3))
    affine = np.eye(4)
    affine[:3, :3] = np.diag(np.multiply(signs, spacing))[list(axes)]
    grid = PatchGrid(
        tuple(draw(st.lists(st.integers(1, 9), min_size=3, max_size=3))),
        (0.5, 0.5, 1.0),
        draw(st.sampled_from(["ALI", "RAS", "SRP"])),
        flipped=draw(st.booleans()),
    )
    index = st.tuples(*[st.floats(0.2, 0.8)] * 3)
    centres = [affine[:3, :3] @ np.multiply(draw(index), shape) for _ in range(2)]
    slope = draw(st.sampled_from([0.0, 0.25]))
    return voxels, affine, {"scl_slope": slope, "scl_inter": -3.5}, grid, centres


@given(places())
def test_patches_from_a_file_are_those_from_memory_to_the_bit(tmp_path_factory, place):
    voxels, affine, fields, grid, centres = place
    volume = load(tmp_path_factory.mktemp("scan") / "scan.nii", voxels, affine, **fields)
    in_memory = Volume(voxels, volume.affine, volume.slope, volume.intercept)

    def cut(held_by):
        cuts = []
        for number, centre in enumerate(centres):
            try:
                windows = [window_of(held_by, centre, grid) for centre in centres]
                held = hold(held_by, windows)[number]
                patch = prepare_patch(held_by, centre, grid, "mean", held)
                cuts.append((patch.values.tobytes(), patch.coverage))
                cuts.append(crop_on_grid(held_by, centre, grid).tobytes())
            except InputError as error:
                cuts.append(str(error))
        return cuts

    assert cut(in_memory) == cut(volume)
    assert not isinstance(volume.stored, np.ndarray)


def test_the_core_reads_the_window_and_nothing_beside_it():
    voxels = np.random.default_rng(0).integers(1, 99, (30, 30, 30)).astype(np.uint8)
    for spacing_mm in ((0.5, 0.5, 1.0), (0.7, 0.4, 1.3)):
        affine = np.diag([*spacing_mm, 1])
        where = (tuple(15 * mm for mm in spacing_mm), (6, 6, 4), (0.5, 0.5, 1.0), "ALI", False)
        begin, end = _core.patch_window(voxels.shape, affine, *where)
        whole, _ = _core.crop_patch(voxels, (0, 0, 0), voxels.shape, affine, 1.0, 0.0, *where)

        def cut(begin, end, affine=affine, where=where):
            part = voxels[tuple(slice(b, e) for b, e in zip(begin, end, strict=True))].copy()
            return _core.crop_patch(part, begin, voxels.shape, affine, 1.0, 0.0, *where)[0]

        assert whole.tobytes() == cut(begin, end).tobytes()
        for axis in range(3):
            for less in (begin, [e - 1 for e in end]):
                one = [less[i] if i == axis else begin[i] for i in range(3)]
                short = [less[i] + 1 if i == axis else end[i] for i in range(3)]
                with pytest.raises(ValueError, match=rf"image axis {axis} in memory, got"):
                    cut(one, short)


def test_the_core_takes_no_voxels_beyond_the_image():
    voxels = np.zeros((4, 4, 4), np.uint8)
    where = ((1.0, 1.0, 1.0), (1, 1, 1), (1.0, 1.0, 1.0), "RAS", False)

    for begin, shape in (((0, 0, 1), (4, 4, 4)), ((0, 0, 0), (4, 3, 4)), ((2**63, 0, 0), (4,) * 3)):
        with pytest.raises(ValueError, match="expected voxels within an image of"):
            _core.crop_patch(voxels, begin, shape, np.eye(4), 1.0, 0.0, *where)


def test_rows_that_hold_both_sides_are_read_once(tmp_path, monkeypatch):
    read = []
    window = nigroedge.window.FileArray.window
    monkeypatch.setattr(
        nigroedge.window.FileArray,
        "window",
        lambda array, *bounds: read.append(bounds) or window(array, *bounds),
    )
    slab = load(tmp_path / "a.nii", np.ones((128, 128, 30), np.uint8), np.diag([0.5, 0.5, 1, 1]))
    near = [window_of(slab, (x, 30, 15), PATCH) for x in (23, 41)]
    far = [Window((0, 0, 0), (3, 3, 3)), Window((100, 100, 20), (103, 103, 23))]

    one, same = hold(slab, near)
    assert one is same
    assert [(near[0].begin, near[1].end)] == read
    del read[:]
    first, last = hold(slab, far)
    assert (far[0].begin, far[1].begin) == (first.begin, last.begin)
    assert 2 == len(read)


def test_of_a_volume_in_memory_nothing_is_copied():
    volume = Volume(np.zeros((9, 9, 9), np.uint8), np.eye(4))
    (held,) = hold(volume, [Window((1, 1, 1), (2, 2, 2))])

    assert held.voxels is volume.voxels
    assert (0, 0, 0) == held.begin


def test_a_patch_of_a_file_needs_the_memory_of_its_rows(tmp_path):
    voxels = np.random.default_rng(0).integers(0, 2000, (384, 384, 30)).astype(np.int16)
    volume = load(tmp_path / "slab.nii", voxels, np.diag([0.5, 0.5, 1, 1]))
    prepare_patch(volume, (96, 96, 15), PATCH, "mean")
    tracemalloc.start()
    prepare_patch(volume, (96, 96, 15), PATCH, "mean")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    # 50 rows of 768 bytes in 20 slices, and the patch of 200 kB; the volume has 8.4 MiB.
    assert peak < 1 << 20


def test_a_patch_that_needs_more_than_a_gigabyte_is_refused_before_it_is_read(tmp_path):
    """A file with a hole: 0.05 mm voxels, of which a large patch needs 1000 × 1000 × 800."""
    path = tmp_path / "fine.nii"
    head = nifti_bytes(
        np.zeros((2, 2, 2), np.int16),
        np.diag([0.05, 0.05, 0.05, 1]),
        dim=[3, 1100, 1100, 900, 1, 1, 1, 1],
    )
    with path.open("wb") as file:
        file.write(head)
        file.truncate(352 + 1100 * 1100 * 900 * 2)
    volume, grid = load_volume(path), PatchGrid((100, 100, 40), (0.5, 0.5, 1.0), "RAS")

    with pytest.raises(InputError, match="at most 1073741824 bytes of the image, got one that"):
        prepare_patch(volume, (27, 27, 22), grid, "mean")


def test_a_patch_that_is_none_has_no_window():
    volume = Volume(np.zeros((9, 9, 9), np.uint8), np.eye(4))

    with pytest.raises(GeometryError, match="inside the image of 9 x 9 x 9"):
        window_of(volume, (20, 0, 0), PATCH)
    with pytest.raises(InputError, match="three coordinates"):
        window_of(volume, (1, 2), PATCH)
