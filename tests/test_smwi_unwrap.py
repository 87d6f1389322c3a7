# SPDX-License-Identifier: Apache-2.0
"""Unwrapping: known wraps come off, exactly or up to a harmonic field."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, sparse

from nigroedge.smwi.unwrap import unwrap_exact, unwrap_laplacian, wrap

VOXEL_MM = (0.5, 0.5, 1.0)


def smooth_phase(shape, seed, swing):
    """Bent and tilted by so many radians, or as far as leaves neighbours 0.9 π apart at most."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    a = np.random.default_rng(seed).uniform(-1, 1, 6)
    phase = a[0] * x + a[1] * y + a[2] * z + a[3] * x * y + a[4] * y * z + a[5] * z**2
    steepest = max(np.abs(np.diff(phase, axis=axis)).max() for axis in range(3))
    return (min(swing, 0.9 * math.pi / steepest) * phase).astype(np.float32)


def test_wrap_by_hand():
    given_, expected = [0, 3.5, -3.5, 7, 40], [0, 3.5 - 2 * math.pi, 2 * math.pi - 3.5, None, None]
    got = wrap(np.array(given_, np.float32))

    np.testing.assert_allclose(expected[:3], got[:3], atol=1e-6)
    np.testing.assert_allclose([7 - 2 * math.pi, 40 - 12 * math.pi], got[3:], atol=1e-5)


def test_a_ramp_along_one_axis_by_hand():
    ramp = np.arange(12, dtype=np.float32)[:, None, None] * np.ones((12, 3, 2), np.float32)
    mask = np.ones(ramp.shape, bool)

    exact = unwrap_exact(wrap(ramp), mask, mask.astype(np.float32))

    # Whole turns only, and the median within π of 0.
    np.testing.assert_allclose(np.diff(ramp, axis=0), np.diff(exact, axis=0), atol=1e-5)
    assert abs(np.median(exact)) <= math.pi


def blobs(shape, seed):
    """A mask at random, and the number of the part, from 1, that each of its voxels is in."""
    noise = np.random.default_rng(seed).normal(size=shape)
    smooth = ndimage.gaussian_filter(noise, 1.0)
    labels, _ = ndimage.label(smooth > np.quantile(smooth, 0.45))
    return labels > 0, labels


@given(st.integers(0, 1000), st.floats(1, 40))
def test_exact_unwrapping_finds_the_phase_up_to_whole_turns_of_each_part(seed, swing):
    phase = smooth_phase((14, 12, 8), seed, swing)
    mask, part = blobs(phase.shape, seed)
    trust = np.random.default_rng(seed).uniform(0, 5, phase.shape).astype(np.float32)

    got = unwrap_exact(wrap(phase), mask, trust)

    assert (got[~mask] == 0).all()
    for members in (part == n for n in range(1, part.max() + 1)):
        turns = (got - phase)[members] / (2 * math.pi)
        np.testing.assert_allclose(turns, round(float(turns[0])), atol=1e-4)
        # Whole turns bring a median to half a turn at most; a rounding of float32 beyond.
        assert abs(np.median(got[members])) <= math.pi + 1e-4


@given(st.integers(0, 1000), st.floats(1, 40))
def test_laplacian_unwrapping_finds_the_phase_where_nothing_contradicts(seed, swing):
    phase = smooth_phase((14, 12, 8), seed, swing)

    got = unwrap_laplacian(wrap(phase), np.ones(phase.shape, bool), VOXEL_MM)

    difference = got - phase
    assert np.ptp(difference) < 1e-3
    # The constant is whole turns.
    assert difference.mean() / (2 * math.pi) == pytest.approx(
        round(float(difference.mean()) / (2 * math.pi)), abs=1e-3
    )


def test_a_late_echo_is_unwrapped_from_an_early_one_by_hand():
    """A ramp of 1 rad a voxel at 10 ms is one of 4 at 40 ms, which by itself reads as 4 − 2π."""
    early = np.arange(12, dtype=np.float32)[:, None, None] * np.ones((12, 3, 2), np.float32)
    late, mask = wrap(4 * early), np.ones(early.shape, bool)

    alone = unwrap_laplacian(late, mask, VOXEL_MM)
    led = unwrap_laplacian(
        late, mask, VOXEL_MM, expected=4 * unwrap_laplacian(early, mask, VOXEL_MM)
    )

    np.testing.assert_allclose(np.diff(alone, axis=0), 4 - 2 * math.pi, atol=1e-3)
    np.testing.assert_allclose(np.diff(led, axis=0), 4, atol=1e-3)


@given(st.integers(0, 1000), st.floats(1, 40), st.floats(0, 1))
def test_what_is_expected_changes_nothing_where_it_is_near(seed, swing, part):
    """Where neither the phase nor its distance from what is expected turns by half."""
    phase = smooth_phase((10, 9, 6), seed, swing)
    mask = np.ones(phase.shape, bool)

    plain = unwrap_laplacian(wrap(phase), mask, VOXEL_MM)
    led = unwrap_laplacian(wrap(phase), mask, VOXEL_MM, expected=np.float32(part) * phase)

    np.testing.assert_allclose(plain, led, atol=1e-3)  # rounding of float32 at 40 rad


def test_outside_a_mask_noise_does_not_leak_into_the_laplacian():
    phase = smooth_phase((24, 24, 12), 1, 8)
    mask = np.zeros(phase.shape, bool)
    mask[4:-4, 4:-4, 2:-2] = True
    noisy = np.where(mask, phase, np.random.default_rng(0).uniform(-3, 3, phase.shape))

    clean = unwrap_laplacian(wrap(phase), mask, VOXEL_MM)
    got = unwrap_laplacian(wrap(noisy.astype(np.float32)), mask, VOXEL_MM)

    np.testing.assert_array_equal(clean, got)
    # What is wrong inside is harmonic: its discrete Laplacian is 0 away from the mask's edge.
    error = (got - phase).astype(float)
    laplacian = sum(
        (np.roll(error, 1, a) + np.roll(error, -1, a) - 2 * error) / h**2
        for a, h in enumerate(VOXEL_MM)
    )
    assert np.abs(laplacian[6:-6, 6:-6, 4:-4]).max() < 1e-3


def test_exact_unwrapping_goes_round_a_patch_of_noise():
    phase = smooth_phase((20, 20, 6), 3, 12)
    trust = np.ones_like(phase)
    noisy = phase.copy()
    noisy[8:12, 8:12] = np.random.default_rng(0).uniform(-3, 3, (4, 4, 6))
    trust[8:12, 8:12] = 0.01

    got = unwrap_exact(wrap(noisy), np.ones(phase.shape, bool), trust)

    turns = ((got - phase) / (2 * math.pi))[trust == 1]
    assert np.ptp(turns) < 1e-4


def test_parts_that_do_not_touch_are_each_brought_near_zero():
    phase = np.zeros((9, 3, 3), np.float32)
    phase[:4], phase[5:] = 1.0, -2.0
    mask = np.ones(phase.shape, bool)
    mask[4] = False

    got = unwrap_exact(phase, mask, mask.astype(np.float32))

    np.testing.assert_allclose(phase * mask, got)


def test_exact_unwrapping_agrees_with_scikit_image():
    restoration = pytest.importorskip("skimage.restoration", reason="pip install scikit-image")
    phase = smooth_phase((20, 18, 10), 7, 7)
    noise = np.random.default_rng(0).normal(scale=0.1, size=phase.shape).astype(np.float32)
    wrapped = wrap(phase + noise)
    mask = np.ones(phase.shape, bool)

    theirs = restoration.unwrap_phase(wrapped.astype(float))
    got = unwrap_exact(wrapped, mask, np.ones_like(phase))

    turns = np.round((got - theirs) / (2 * math.pi))
    assert np.mean(turns == np.median(turns)) == 1


def turns_along_scipys_tree(phase, mask, trust):
    """Turns of each voxel of a connected mask beyond its first, along scipy's spanning tree."""
    number = np.full(mask.shape, -1)
    number[mask] = np.arange(mask.sum())
    heads, tails, costs = [], [], []
    for axis in range(3):
        n = mask.shape[axis]
        here, there = (np.take(number, i, axis) for i in (range(n - 1), range(1, n)))
        both = (here >= 0) & (there >= 0)
        heads.append(here[both])
        tails.append(there[both])
    heads, tails = np.concatenate(heads), np.concatenate(tails)
    values, weights = phase[mask], trust[mask] / trust[mask].max()
    jump = np.abs(wrap(values[tails] - values[heads])) / np.float32(math.pi)
    least = np.minimum(weights[heads], weights[tails])
    costs = (jump + np.float32(1e-3)) / np.maximum(least, np.float32(1e-6))
    graph = sparse.coo_array((costs.astype(float), (heads, tails)), shape=(len(values),) * 2)
    tree = sparse.csgraph.minimum_spanning_tree(graph.tocsr())
    order, parent = sparse.csgraph.breadth_first_order(tree, 0, directed=False)
    turns = np.zeros(len(values))
    for voxel in order[1:]:
        above = parent[voxel]
        turns[voxel] = turns[above] + np.rint((values[above] - values[voxel]) / (2 * math.pi))
    return turns


@given(st.integers(0, 1000), st.floats(0.1, 2))
def test_exact_unwrapping_of_noise_follows_scipys_spanning_tree(seed, noise):
    """Contradictions everywhere, so that the tree alone decides; all costs differ."""
    rng = np.random.default_rng(seed)
    phase = smooth_phase((9, 8, 7), seed, 20)
    wrapped = wrap(phase + rng.normal(scale=noise, size=phase.shape).astype(np.float32))
    trust = rng.uniform(0.1, 5, phase.shape).astype(np.float32)
    part = blobs(phase.shape, seed)[1]
    mask = part == np.bincount(part[part > 0]).argmax()

    got = ((unwrap_exact(wrapped, mask, trust) - wrapped)[mask] / (2 * math.pi)).round()

    np.testing.assert_array_equal(turns_along_scipys_tree(wrapped, mask, trust), got - got[0])


def square(a, b, c, d):
    """Four voxels in a ring: a and b above, d and c below them."""
    return np.array([[[a], [b]], [[d], [c]]], np.float32)


def test_a_shortcut_of_little_reliability_is_not_taken():
    """The phase rises by 2, 2 and 1 along a, b, c, d; from d back to a it seems to by 1.28.

    Costs where all are trusted: c–d 1, d–a 1.28, a–b 2, b–c 2; where d is by a tenth: a–b 2, b–c 2,
    c–d 10, d–a 12.8. The dearest edge of the ring is the one that is not taken.
    """
    phase = wrap(square(0, 2, 4, 5))
    mask = np.ones(phase.shape, bool)

    trusted = unwrap_exact(phase, mask, square(1, 1, 1, 0.1))
    misled = unwrap_exact(phase, mask, square(1, 1, 1, 1))

    turn = 2 * math.pi  # the medians, 3 and 0.64, are within π of 0
    np.testing.assert_allclose(square(0, 2, 4, 5), trusted, atol=1e-6)
    np.testing.assert_allclose(square(0, 2, 4 - turn, 5 - turn), misled, atol=1e-6)


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        # a–d (axis 0) and a–b (axis 1) are the dearest and cost the same: axis 0 is taken.
        (square(0, 1.75, 3, -1.75), square(0, 1.75 - 2 * math.pi, 3 - 2 * math.pi, -1.75)),
        # a–b and b–c are: that with the lower voxel is taken, though it is along the later axis.
        (square(1.75, 0, -1.75, 3), square(1.75, 0, 2 * math.pi - 1.75, 3)),
    ],
)
def test_edges_of_equal_cost_are_taken_by_voxel_then_axis(phase, expected):
    mask = np.ones(phase.shape, bool)

    np.testing.assert_allclose(expected, unwrap_exact(phase, mask, np.ones_like(phase)), atol=1e-6)


def test_exact_unwrapping_of_nothing_and_of_one_voxel():
    phase = np.full((3, 4, 5), 7.0, np.float32)
    one = np.zeros(phase.shape, bool)
    one[1, 2, 3] = True

    assert (unwrap_exact(phase, one & False, phase) == 0).all()
    np.testing.assert_allclose(one * (7 - 2 * math.pi), unwrap_exact(phase, one, phase), atol=1e-6)
    for shape in ((0, 3, 3), (1 << 40, 3, 0)):
        empty = np.zeros(shape, np.float32)
        assert shape == unwrap_exact(empty, empty > 0, empty).shape


@given(st.integers(0, 100))
def test_the_layout_in_memory_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    phase = rng.uniform(-3, 3, (6, 5, 4)).astype(np.float32)
    trust = rng.uniform(0, 1, phase.shape).astype(np.float32)
    mask = rng.random(phase.shape) < 0.8

    def spread(values):
        return np.repeat(values[::-1], 2, axis=1)[::-1, ::2]

    expected = unwrap_exact(phase, mask, trust)

    for laid_out in (np.asfortranarray, spread):
        got = unwrap_exact(laid_out(phase), laid_out(mask), laid_out(trust))
        np.testing.assert_array_equal(expected, got)


@pytest.mark.parametrize(
    ("phase", "trust", "said"),
    [
        (math.nan, 1, r"expected a phase within 100000 radians .*, got nan at voxel \(1, 2, 3\)"),
        (1e6, 1, r"got 1000000\.0* at voxel \(1, 2, 3\)"),
        (-math.inf, 1, r"got -inf at voxel \(1, 2, 3\)"),
        (0, math.nan, r"expected a finite reliability .*, got nan at voxel \(1, 2, 3\)"),
        (0, math.inf, r"got inf at voxel"),
        (0, -1, r"got -1\.0* at voxel"),
    ],
)
def test_what_is_no_number_is_refused_inside_the_mask_alone(phase, trust, said):
    values, reliability = np.zeros((2, 3, 4), np.float32), np.ones((2, 3, 4), np.float32)
    values[1, 2, 3], reliability[1, 2, 3] = phase, trust
    mask = np.ones(values.shape, bool)

    with pytest.raises(ValueError, match=said):
        unwrap_exact(values, mask, reliability)
    mask[1, 2, 3] = False
    assert (unwrap_exact(values, mask, reliability) == 0).all()


@pytest.mark.parametrize("wrong", range(3))
def test_arrays_of_another_shape_or_type_are_refused(wrong):
    arrays = [np.zeros((2, 3, 4), kind) for kind in (np.float32, bool, np.float32)]
    for shape in ((2, 3, 5), (2, 3), (2, 3, 4, 1)):
        other = arrays.copy()
        other[wrong] = np.zeros(shape, arrays[wrong].dtype)
        with pytest.raises(ValueError, match=r"of one shape \(nx, ny, nz\), got \(2, 3"):
            unwrap_exact(*other)
    arrays[wrong] = arrays[wrong].astype(np.float64)
    with pytest.raises(TypeError):
        unwrap_exact(*arrays)


def test_exact_unwrapping_needs_no_scipy(monkeypatch):
    for name in ("scipy", "scipy.sparse", "scipy.fft"):
        monkeypatch.setitem(sys.modules, name, None)
    phase = np.zeros((4, 4, 4), np.float32)

    assert (unwrap_exact(phase, phase == 0, phase) == 0).all()
