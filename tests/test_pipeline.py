# SPDX-License-Identifier: Apache-2.0
"""From a volume to SBR: the right patch reaches the right model, and the result says what ran."""

import hashlib
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nigroedge
from nigroedge.centroid import BY_POSITION, GIVEN, Centroid
from nigroedge.errors import DegeneratePatchError, GeometryError, InputError
from nigroedge.grid import PatchGrid
from nigroedge.io.nifti import load_volume
from nigroedge.pipeline import models_by_side, predict
from nigroedge.preprocess import crop_patch
from nigroedge.result import CentroidUsed, EngineUsed, InputUsed, ModelUsed
from nigroedge.spec import ModelSpec
from nigroedge.volume import Volume
from tests.nifti_files import nifti_bytes
from tests.onnx_files import CARD

GRID = PatchGrid((4, 6, 2), (1.0, 1.0, 1.0), "ALI")

#: 20 × 24 × 10 voxels of 1 mm about the origin; x grows to the patient's right, as in RAS.
AFFINE = np.array([[1.0, 0, 0, -10], [0, 1, 0, -12], [0, 0, 1, -5], [0, 0, 0, 1]])
LEFT, RIGHT = (-5.0, 0.0, 0.0), (5.0, 0.0, 0.0)


def spec(side="both", mirror="none", normalize="mean", grid=GRID, card=CARD):
    return ModelSpec(grid, normalize, side, mirror, selftest_sbr=1.0, card=card)


@dataclass(frozen=True)
class StubEngine:
    name: str = "stub"
    isa: str = "none"
    threads: int = 1


@dataclass(frozen=True, eq=False)
class StubModel:
    """Answers with a weighted sum of the patch; by default the voxel on the centroid."""

    spec: ModelSpec = field(default_factory=spec)
    sha256: str = "0" * 64
    engine: StubEngine = StubEngine()
    weights: np.ndarray | None = None
    batches: list = field(default_factory=list)

    def predict_patches(self, patches):
        assert patches.dtype == np.float32
        assert patches.flags.c_contiguous
        self.batches.append(len(patches))
        if self.weights is None:
            return patches[:, 2, 3, 1]
        return (patches.astype(np.float64) * self.weights).sum(axis=(1, 2, 3)).astype(np.float32)


def bumps(left=10.0, right=5.0):
    """A volume of ones with a higher voxel on either centroid."""
    voxels = np.ones((20, 24, 10), np.float32)
    for centre, height in ((LEFT, left), (RIGHT, right)):
        voxels[tuple(np.subtract(centre, AFFINE[:3, 3]).astype(int))] = height
    return Volume(voxels, AFFINE)


def noise(seed=0, affine=AFFINE):
    return Volume(np.random.default_rng(seed).uniform(1, 2, (20, 24, 10)).astype("f4"), affine)


# ---------------------------------------------------------------------------------------- examples


def test_the_centroid_voxel_over_the_mean_of_the_patch():
    result = predict(bumps(), left=LEFT, models=StubModel())

    assert pytest.approx(10 / ((47 * 1 + 10) / 48)) == result.left.sbr
    assert LEFT == result.left.centre_mm
    assert 1.0 == result.left.coverage
    assert result.right is None


def test_the_source_of_a_centroid_reaches_the_result_and_its_bits_stay():
    plain = predict(bumps(), left=LEFT, right=RIGHT, models=StubModel())
    known = predict(
        bumps(), left=Centroid(LEFT, BY_POSITION), right=np.array(RIGHT), models=StubModel()
    )

    assert (BY_POSITION, GIVEN) == (known.left.centroid.source, known.right.centroid.source)
    assert plain.left == replace(known.left, centroid=CentroidUsed(GIVEN))
    assert plain.right == known.right
    assert type(known.left.centre_mm) is tuple


def test_both_sides_of_one_model_run_as_one_batch():
    model = StubModel()
    result = predict(bumps(), left=LEFT, right=RIGHT, models=model)

    assert [2] == model.batches
    assert pytest.approx([10 * 48 / 57, 5 * 48 / 52]) == [result.left.sbr, result.right.sbr]


def test_each_side_may_have_its_own_model():
    left = StubModel(spec("left", card=replace(CARD, name="a")), sha256="a" * 64)
    right = StubModel(spec("right", card=replace(CARD, name="b")), engine=StubEngine("other"))
    result = predict(bumps(), left=LEFT, right=RIGHT, models=models_by_side([right, left]))

    assert [1] == left.batches == right.batches
    assert {"left": ModelUsed("a", "a" * 64), "right": ModelUsed("b", "0" * 64)} == result.model
    assert ("stub", "other") == (result.engine["left"].name, result.engine["right"].name)
    assert pytest.approx([10 * 48 / 57, 5 * 48 / 52]) == [result.left.sbr, result.right.sbr]


def test_partial_coverage_is_reported():
    wide = PatchGrid((4, 10, 2), (1.0, 1.0, 1.0), "ALI")
    result = predict(noise(), left=(-7, 0, 0), right=(4, 0, 0), models=StubModel(spec(grid=wide)))

    assert (0.9, 1.0) == (result.left.coverage, result.right.coverage)


def test_the_result_says_what_ran_on_what(tmp_path):
    path = tmp_path / "smwi.nii"
    path.write_bytes(nifti_bytes(noise().voxels, AFFINE))
    result = predict(load_volume(path), right=RIGHT, models=StubModel())

    assert ModelUsed("tiny", "0" * 64) == result.model
    assert EngineUsed("stub", "none", 1) == result.engine
    assert InputUsed(str(path), hashlib.sha256(path.read_bytes()).hexdigest()) == result.input
    assert ["read", "crop", "predict"] == list(result.timing_ms)
    assert min(result.timing_ms.values()) > 0
    assert nigroedge.__version__ == result.version
    assert "Research use only. Not for diagnosis." == result.notice


def test_a_volume_of_no_file_has_no_input():
    result = predict(noise(), left=LEFT, models=StubModel())

    assert result.input is None
    assert ["crop", "predict"] == list(result.timing_ms)


# ------------------------------------------------------------------------------------------- sides

MIRROR_WORLD = np.diag([-1.0, 1, 1, 1])
#: Not symmetric; positive, and 1/8 in the mean of 48 voxels: an SBR of about 6.
LATERAL = np.random.default_rng(1).uniform(0, 0.25, GRID.shape)

#: Half a voxel off the grid in no axis, so that no tie is broken by a direction.
inside = st.tuples(st.integers(-6, -4), st.integers(-6, 6), st.integers(-2, 2))


@given(
    st.integers(0, 2**32 - 1),
    inside,
    inside,
    st.permutations(range(3)),
    st.tuples(*[st.sampled_from([1, -1])] * 3),
    st.sampled_from(["left", "right"]),
)
def test_mirroring_the_world_swaps_the_sides_to_the_bit(seed, a, b, axes, flips, mirror):
    stored = np.eye(4)
    stored[:3, :3] = np.diag(flips)[:, axes]
    stored[:3, 3] = np.random.default_rng(seed).uniform(-0.4, 0.4, 3) - stored[:3, :3] @ [9, 9, 9]
    voxels = np.random.default_rng(seed).integers(1, 1000, (20, 20, 20)).astype(np.int16)
    left, right = np.array(a, float), np.array(b, float) * [-1, 1, 1]
    model = StubModel(spec(mirror=mirror), weights=LATERAL)
    original = predict(Volume(voxels, stored), left=left, right=right, models=model)
    swapped = predict(
        Volume(voxels, MIRROR_WORLD @ stored),
        left=right * [-1, 1, 1],
        right=left * [-1, 1, 1],
        models=model,
    )

    assert original.left.sbr == swapped.right.sbr
    assert original.right.sbr == swapped.left.sbr


def symmetric():
    """A volume whose halves mirror each other about x = 0, and are not symmetric themselves."""
    half = np.random.default_rng(2).uniform(1, 2, (10, 24, 10)).astype(np.float32)
    affine = AFFINE.copy()
    affine[0, 3] = -9.5
    return Volume(np.concatenate([half, half[::-1]]), affine)


@pytest.mark.parametrize("mirror", ["left", "right"])
def test_mirror_makes_the_sides_of_a_symmetric_head_alike(mirror):
    centres = {"left": (-4.5, 0, 0), "right": (4.5, 0, 0)}
    mirrored = predict(
        symmetric(), **centres, models=StubModel(spec(mirror=mirror), weights=LATERAL)
    )
    plain = predict(symmetric(), **centres, models=StubModel(weights=LATERAL))

    assert mirrored.left.sbr == mirrored.right.sbr
    assert plain.left.sbr != plain.right.sbr
    assert getattr(plain, mirror).sbr != getattr(mirrored, mirror).sbr  # the one that was flipped
    other = {"left": "right", "right": "left"}[mirror]
    assert getattr(plain, other).sbr == getattr(mirrored, other).sbr


def test_the_flipped_patch_is_what_numpy_flips():
    seen = []

    class Recorder(StubModel):
        def predict_patches(self, patches):
            seen.append(patches.copy())
            return np.ones(len(patches), np.float32)

    odd = PatchGrid((3, 5, 3), (1.0, 1.0, 1.0), "ALI")
    model = Recorder(spec(mirror="right", grid=odd))
    predict(noise(), left=LEFT, right=RIGHT, models=model)
    (left, right) = seen[0]
    for patch, centre, flip in ((left, LEFT, 1), (right, RIGHT, -1)):
        crop = crop_patch(noise(), centre, shape=(3, 5, 3), spacing_mm=(1, 1, 1), axes="ALI")
        np.testing.assert_allclose(patch, (crop / crop.mean())[:, ::flip], rtol=1e-6)


# ---------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("centres", "error", "words"),
    [
        ({}, InputError, "at least one side, got none"),
        ({"left": RIGHT, "right": LEFT}, GeometryError, "left centroid to have a smaller x"),
        ({"left": LEFT, "right": LEFT}, GeometryError, "left centroid to have a smaller x"),
        (
            {"left": LEFT, "right": (2.9, 0, 0)},
            GeometryError,
            r"8 to 50 mm apart.*\(not millimetres",
        ),
        ({"left": (-0.9, 0, 0), "right": (1.4, 0, 0)}, GeometryError, "8 to 50 mm apart"),
        ({"left": (-45, 0, 0), "right": (5.1, 0, 0)}, GeometryError, "8 to 50 mm apart"),
        ({"left": (-0.0047, 0.0027, -0.0039)}, GeometryError, r"in millimetres, .*: metres\?"),
        ({"right": (0, 0, 0.099)}, GeometryError, "in millimetres"),
        ({"left": (1, 2)}, InputError, "the left centroid as 3 finite numbers"),
        ({"right": (1, 2, np.nan)}, InputError, "the right centroid as 3 finite numbers"),
        ({"right": (1, 2, np.inf)}, InputError, "the right centroid as 3 finite numbers"),
        ({"left": "abc"}, InputError, "the left centroid as 3 finite numbers"),
        ({"left": [[1], [2, 3]]}, InputError, "the left centroid as 3 finite numbers"),
        ({"left": (-50, 0, 0)}, GeometryError, "left side: expected a centroid inside"),
        ({"left": LEFT, "right": (9.4, 0, 0)}, GeometryError, "right side: .*inside"),
    ],
)
def test_centroids_that_cannot_be_are_refused(centres, error, words):
    with pytest.raises(error, match=words):
        predict(noise(), **centres, models=StubModel())


@pytest.mark.parametrize(("side", "other"), [("left", "right"), ("right", "left")])
def test_a_side_that_the_model_does_not_serve_is_refused(side, other):
    with pytest.raises(InputError, match=f"serves the {other} side, but 'tiny' serves the {side}"):
        predict(noise(), left=LEFT, right=RIGHT, models=StubModel(spec(side)))
    with pytest.raises(InputError, match=f"a model for the {other} side, got none"):
        predict(noise(), left=LEFT, right=RIGHT, models={side: StubModel(spec(side))})
    with pytest.raises(InputError, match="serves the"):
        predict(noise(), left=LEFT, right=RIGHT, models={s: StubModel(spec(side)) for s in SIDES})


SIDES = ("left", "right")


@pytest.mark.parametrize(
    "sides", [("left", "left"), ("both", "left"), ("both", "both"), ("left", "right", "both")]
)
def test_models_that_leave_open_which_serves_a_side_are_refused(sides):
    with pytest.raises(InputError, match=" and ".join(sides)):
        models_by_side([StubModel(spec(side)) for side in sides])


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_patches_that_hold_nothing_are_refused_with_their_side(value):
    voxels = noise().voxels.copy()
    voxels[:10] = value

    with pytest.raises(DegeneratePatchError, match="left side"):
        predict(Volume(voxels, AFFINE), left=LEFT, models=StubModel())


@dataclass(frozen=True, eq=False)
class Answering(StubModel):
    """Answers the same, whatever it is asked."""

    answer: float = 0.0

    def predict_patches(self, patches):
        return np.full(len(patches), self.answer, np.float32)


@pytest.mark.parametrize("answer", [-1.0, -0.5, 0.0, 15.0])
def test_what_a_scan_can_measure_is_given_as_it_came(answer):
    assert answer == predict(noise(), right=RIGHT, models=Answering(answer=answer)).right.sbr


@given(st.floats(width=32).filter(lambda sbr: not -1 <= sbr <= 15))
def test_an_answer_that_no_scan_can_measure_is_refused_with_its_side(answer):
    with pytest.raises(DegeneratePatchError, match="right side: expected an SBR of -1 to 15"):
        predict(noise(), left=LEFT, right=RIGHT, models=_right_only(answer))


def _right_only(answer):
    return {"left": Answering(answer=2.0), "right": Answering(answer=answer)}


def test_an_image_with_negative_voxels_is_no_smwi():
    voxels = noise().voxels.copy()
    voxels[5, 12, 5] = -0.001
    volume = Volume(voxels, AFFINE)

    with pytest.raises(InputError, match="left side: expected SMWI, which is never negative"):
        predict(volume, left=LEFT, models=StubModel())
    predict(volume, right=RIGHT, models=StubModel())
    predict(volume, left=LEFT, models=Answering(spec(normalize="zscore"), answer=2.0))
