# SPDX-License-Identifier: Apache-2.0
"""Where the centroid of a mirrored side lies: mirrored about it, or cropped and then flipped."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from nigroedge.errors import GeometryError
from nigroedge.grid import PatchGrid
from nigroedge.model import load_model
from nigroedge.preprocess import crop_on_grid, crop_patch, normalize, prepare_patch
from nigroedge.spec import ModelSpec
from nigroedge.volume import Volume
from tests.model_family import write_family
from tests.onnx_files import CARD, float_model, oracle, random_net, spec_of

#: World axis and direction of each letter: RAS+.
DIRECTIONS = {
    **{"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0)},
    **{"P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)},
}
AXES = [
    "".join(letters)
    for order in itertools.permutations(("RL", "AP", "SI"))
    for letters in itertools.product(*order)
]

axes = st.sampled_from(AXES)
shapes = st.tuples(*[st.integers(1, 9)] * 3)


def spec(grid: PatchGrid, mirror_centre: str, mirror: str = "right") -> ModelSpec:
    return ModelSpec(grid, "mean", "both", mirror, 1.0, CARD, mirror_centre)


# ------------------------------------------------------------------------------------- by hand


def test_both_ways_to_mirror_by_hand():
    """Voxel x holds x + 1; the centroid is at x = 3, which holds 4."""
    volume = Volume(np.arange(1, 8, dtype=np.float32).reshape(7, 1, 1), np.eye(4))
    grid = PatchGrid((4, 1, 1), (1, 1, 1), "LAS")

    def seen(mirror_centre, side):
        of_side = spec(grid, mirror_centre).grid_for(side)
        return crop_on_grid(volume, (3, 0, 0), of_side).ravel().tolist()

    assert [6, 5, 4, 3] == seen("n/2", "left") == seen("n/2-1", "left")  # 4 on voxel n/2 = 2
    assert [2, 3, 4, 5] == seen("n/2", "right")  # 4 on voxel 2 again
    assert [3, 4, 5, 6] == seen("n/2-1", "right")  # the left one's row turned round: 4 on voxel 1


def test_half_way_between_voxels_the_flipped_array_keeps_the_choice_of_the_crop():
    """The centroid lies between the voxels that hold 4 and 5; the crop towards L takes 4."""
    volume = Volume(np.arange(1, 8, dtype=np.float32).reshape(7, 1, 1), np.eye(4))
    grid = PatchGrid((3, 1, 1), (1, 1, 1), "LAS")
    right = {c: spec(grid, c).grid_for("right") for c in ("n/2", "n/2-1")}

    assert [3, 4, 5] == crop_on_grid(volume, (3.5, 0, 0), right["n/2-1"]).ravel().tolist()
    assert [4, 5, 6] == crop_on_grid(volume, (3.5, 0, 0), right["n/2"]).ravel().tolist()


@pytest.mark.parametrize("mirror", ["none", "left", "right"])
def test_only_the_mirrored_side_is_cropped_on_another_grid(mirror):
    grid = PatchGrid((50, 50, 20), (0.5, 0.5, 1.0), "ALI")
    plain = {side: spec(grid, "n/2", mirror).grid_for(side) for side in ("left", "right")}

    assert {side: grid.mirrored() if side == mirror else grid for side in plain} == plain
    if mirror != "none":
        flipped = spec(grid, "n/2-1", mirror)
        other = {"left": "right", "right": "left"}[mirror]
        assert replace(grid.mirrored(), flipped=True) == flipped.grid_for(mirror)
        assert grid == flipped.grid_for(other)


def test_a_spec_has_no_grid_that_is_flipped_already():
    grid = PatchGrid((4, 4, 4), (1, 1, 1), "ALI", flipped=True)

    with pytest.raises(ValueError, match="expected a grid that is not flipped"):
        spec(grid, "n/2")


# ------------------------------------------------------------------------------------- properties


def oblique(spacing_mm, degrees: float) -> np.ndarray:
    affine = np.eye(4)
    turn = Rotation.from_rotvec(np.radians(degrees) * np.array([0.8, 0.0, 0.6])).as_matrix()
    affine[:3, :3] = turn * spacing_mm
    affine[:3, 3] = 3, -20, 7
    return affine


@given(
    shape=shapes,
    axes=axes,
    spacing_mm=st.sampled_from([(0.5, 0.5, 1.0), (0.61, 0.5, 1.2), (0.2, 0.9, 0.4)]),
    degrees=st.sampled_from([0.0, 17.0]),
    index=st.tuples(*[st.integers(36, 60).map(lambda n: n / 4)] * 3),
    dtype=st.sampled_from(["<f4", ">i2", "u1"]),
    at_edge=st.booleans(),
    seed=st.integers(0, 100),
)
def test_n_2_1_is_numpys_flip_of_the_unmirrored_crop(
    shape, axes, spacing_mm, degrees, index, dtype, at_edge, seed
):
    """Copied and interpolated, even and odd, between voxels, and beyond the image's edge."""
    voxels = np.random.default_rng(seed).integers(1, 250, (48, 46, 44)).astype(dtype)
    if at_edge:
        voxels = voxels[6:18, 6:18, 6:18]
        index = np.array(index) - 6
    volume = Volume(voxels, oblique(spacing_mm, degrees), slope=0.37, intercept=2)
    centre = volume.affine[:3, :3] @ index + volume.affine[:3, 3]
    grid = PatchGrid(shape, (0.5, 0.5, 1.0), axes)
    flipped = spec(grid, "n/2-1").grid_for("right")
    try:
        unmirrored = crop_on_grid(volume, centre, grid)
    except GeometryError:  # too little of it is inside the image: refused alike
        with pytest.raises(GeometryError):
            crop_on_grid(volume, centre, flipped)
        return

    patch = crop_on_grid(volume, centre, flipped)

    expected = np.flip(unmirrored, grid.lateral_axis)
    assert expected.tobytes() == patch.tobytes()
    assert patch.flags.c_contiguous


@given(shape=shapes, axes=axes, index=st.tuples(*[st.integers(12, 16)] * 3))
def test_each_voxel_holds_what_lies_where_the_spec_says(shape, axes, index):
    """Against positions in mm, worked out here from the letters alone."""
    voxels = np.random.default_rng(5).integers(1, 30000, (30, 30, 30)).astype(np.int16)
    volume = Volume(voxels, np.diag([0.5, -0.5, 1.0, 1.0]))
    centre = volume.affine[:3, :3] @ index
    grid = PatchGrid(shape, tuple(1.0 if letter in "SI" else 0.5 for letter in axes), axes)
    right = grid.mirrored()
    steps = [
        mm * np.array(DIRECTIONS[c]) for mm, c in zip(right.spacing_mm, right.axes, strict=True)
    ]
    n = shape[grid.lateral_axis]

    for mirror_centre, middle in (("n/2", n // 2), ("n/2-1", n - 1 - n // 2)):
        patch = crop_on_grid(volume, centre, spec(grid, mirror_centre).grid_for("right"))
        on_centroid = np.array(shape) // 2
        on_centroid[grid.lateral_axis] = middle
        for voxel in np.ndindex(*shape):
            mm = centre + (np.array(voxel) - on_centroid) @ steps
            x, y, z = np.rint(mm / (0.5, -0.5, 1.0)).astype(int)
            assert voxels[x, y, z] == patch[voxel]


@given(shape=shapes, axes=axes, seed=st.integers(0, 100))
def test_preparing_is_cropping_and_then_normalising(shape, axes, seed):
    voxels = np.random.default_rng(seed).integers(1, 900, (30, 30, 30)).astype(np.int16)
    volume = Volume(voxels, np.diag([0.6, 0.5, 0.9, 1]))
    grid = PatchGrid(shape, (0.5, 0.5, 1.0), axes, flipped=True)
    assume(np.prod(shape) > 1)  # one voxel is constant, and refused

    prepared = prepare_patch(volume, (8, 7, 13), grid, "zscore")

    assert normalize(crop_on_grid(volume, (8, 7, 13), grid), "zscore").tobytes() == (
        prepared.values.tobytes()
    )


# ------------------------------------------------------------------------------------ model files


@pytest.mark.parametrize("mirror", ["left", "right"])
@pytest.mark.parametrize("mirror_centre", ["n/2", "n/2-1"])
def test_a_model_file_of_either_format_sees_the_patch_of_its_training(
    tmp_path, mirror, mirror_centre
):
    net = random_net(seed=3, shape=(8, 10, 6))
    of_net = spec_of(net, mirror=mirror, mirror_centre=mirror_centre)
    path = tmp_path / "model.onnx"
    path.write_bytes(float_model(net, of_net.to_metadata()).SerializeToString())
    voxels = np.random.default_rng(0).integers(1, 900, (50, 40, 30)).astype(np.int16)
    volume = Volume(voxels, np.diag([0.5, 0.5, 1, 1]))
    centres = {"left": (6.0, 9.0, 14.0), "right": (14.0, 10.0, 15.0)}
    grid = of_net.grid

    result = load_model(path, threads=1).predict(volume, **centres)

    for side, centre in centres.items():
        kind = {"shape": grid.shape, "spacing_mm": grid.spacing_mm}
        patch = crop_patch(volume, centre, **kind, axes="ALI")
        if side == mirror:
            about = crop_patch(volume, centre, **kind, axes="ARI")
            patch = about if mirror_centre == "n/2" else np.ascontiguousarray(np.flip(patch, 1))
        expected = oracle(net, normalize(patch, "mean")[np.newaxis])[0]
        # What the built-in engine promises against float64; the two conventions differ by far more.
        assert pytest.approx(expected, abs=1e-4) == getattr(result, side).sbr


def test_the_two_conventions_are_told_apart_by_more_than_an_engines_tolerance(tmp_path):
    net = random_net(seed=3, shape=(8, 10, 6))
    voxels = np.random.default_rng(0).integers(1, 900, (50, 40, 30)).astype(np.int16)
    volume = Volume(voxels, np.diag([0.5, 0.5, 1, 1]))
    sbr = {}
    for number, mirror_centre in enumerate(("n/2", "n/2-1")):
        path = tmp_path / f"{number}.onnx"
        metadata = spec_of(net, mirror_centre=mirror_centre).to_metadata()
        path.write_bytes(float_model(net, metadata).SerializeToString())
        result = load_model(path, threads=1).predict(volume, left=(6, 9, 14), right=(14, 10, 15))
        sbr[mirror_centre] = result.left.sbr, result.right.sbr

    assert sbr["n/2"][0] == sbr["n/2-1"][0]
    assert 1e-2 < abs(sbr["n/2"][1] - sbr["n/2-1"][1])


def test_every_engine_crops_the_patch_of_the_file(tmp_path):
    path = write_family(tmp_path, mirror_centre="n/2-1")
    volume = Volume(
        np.random.default_rng(1).integers(1, 900, (80, 70, 40)).astype(np.int16),
        np.diag([0.5, 0.5, 1, 1]),
    )
    patch = crop_patch(volume, (20, 17, 20))
    flipped = normalize(np.ascontiguousarray(np.flip(patch, 1)), "mean")[np.newaxis]

    for name in ("tiny.onnx", "tiny.int8.onnx", "tiny.int8.xml"):
        model = load_model(path.with_name(name), threads=1)
        assert model.predict_patches(flipped)[0] == (
            model.predict(volume, right=(20, 17, 20)).right.sbr
        )
