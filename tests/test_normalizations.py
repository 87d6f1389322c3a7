# SPDX-License-Identifier: Apache-2.0
"""Each normalisation by hand, against numpy in float64, and on patches that have no answer."""

import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from nigroedge import _core
from nigroedge.errors import DegeneratePatchError
from nigroedge.preprocess import keeps_signs, normalize

METHODS = [
    *("none", "mean", "divide 255", "zscore", "zscore-nonzero", "minmax"),
    *("percentile 1 99", "percentile 2.5 97.5 clip", "percentile 0 100"),
]


def expected(patch: np.ndarray, method: str) -> np.ndarray:
    """What numpy makes of a patch in float64."""
    x = patch.astype(np.float64)
    word, *numbers = method.split()
    if word == "divide":
        return x / float(numbers[0])
    if word == "percentile":
        low, high = np.percentile(x, [float(number) for number in numbers[:2]])
        scaled = (x - low) / (high - low)
        return scaled.clip(0, 1) if "clip" in numbers else scaled
    if word == "zscore-nonzero":
        kept = x[x != 0]
        return np.where(x != 0, (x - kept.mean()) / kept.std(), 0)
    return {
        "none": lambda: x,
        "mean": lambda: x / x.mean(),
        "zscore": lambda: (x - x.mean()) / x.std(),
        "minmax": lambda: (x - x.min()) / (x.max() - x.min()),
    }[word]()


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("none", [0, 2, 4, 10]),
        ("divide 4", [0, 0.5, 1, 2.5]),
        ("minmax", [0, 0.2, 0.4, 1]),
        # Ranks 0.75 and 2.25 of 0, 2, 4, 10: 1.5 and 5.5.
        ("percentile 25 75", [-0.375, 0.125, 0.625, 2.125]),
        ("percentile 25 75 clip", [0, 0.125, 0.625, 1]),
        ("percentile 0 50", [0, 2 / 3, 4 / 3, 10 / 3]),
    ],
)
def test_by_hand(method, result):
    patch = np.array([0, 2, 4, 10], np.float32)

    assert normalize(patch, method).tolist() == np.float32(result).tolist()


def test_zeros_stay_zero_beside_a_zscore_of_the_rest():
    patch = np.array([0, 1, 3, -0.0], np.float32)

    assert normalize(patch, "zscore-nonzero").tolist() == [0, -1, 1, 0]


#: Integers with ties and zeros, as images are stored, or anything.
values = st.one_of(
    npst.arrays(np.float32, st.integers(2, 300), elements=st.integers(0, 20).map(float)),
    npst.arrays(np.float32, st.integers(2, 300), elements=st.floats(-1000, 1000, width=32)),
)


@given(patch=values, method=st.sampled_from(METHODS))
@example(patch=np.float32([1, 1, 1, 1e30]), method="percentile 1 99")  # one bin holds the rest
def test_every_method_is_numpy_in_float64(patch, method):
    try:
        got = normalize(patch, method)
    except DegeneratePatchError:
        with np.errstate(all="ignore"):
            unfit = expected(patch, method)
        mean = patch.astype(np.float64).mean()
        same = np.ptp(patch) == 0 or (method == "zscore-nonzero" and np.ptp(patch[patch != 0]) == 0)
        assert same or not np.isfinite(unfit).all() or (method == "mean" and mean < 1e-30)
        return
    want = expected(patch, method)

    # A rounding to float32, and of what is subtracted the rounding in float64, times the gain.
    spread = np.abs(want).max()
    np.testing.assert_allclose(got, want, rtol=1.2e-7, atol=1e-12 * spread + 1e-45)


@given(patch=values, method=st.sampled_from(METHODS))
def test_bits_do_not_depend_on_where_the_answer_goes(patch, method):
    try:
        first = normalize(patch, method)
    except DegeneratePatchError:
        return
    again = normalize(patch.reshape(1, -1, 1).copy(), method)

    assert first.tobytes() == again.tobytes()
    if method in ("minmax", "percentile 2.5 97.5 clip"):
        assert first.min() >= 0
        assert first.max() <= 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ([7, 7, 7], "3 voxels of the same value, 7"),
        ([1, np.nan, 2], "got NaN or infinity"),
        ([np.inf, 1, 2], "got NaN or infinity"),
        ([], "at least one voxel"),
    ],
)
def test_a_patch_without_contrast_is_refused_by_each(method, patch, message):
    with pytest.raises(DegeneratePatchError, match=message):
        normalize(np.array(patch, np.float32), method)


@pytest.mark.parametrize(
    ("method", "patch", "message"),
    [
        ("zscore-nonzero", [0, 5, 5], "2 voxels of the same value, 5"),
        ("percentile 25 75", [1, 2, 2, 2, 2, 3], "expected percentiles that differ, got 2 twice"),
        ("percentile 0 50", [0, 0, 0, 3e38], "percentiles that differ"),
        ("percentile 0 40", [0, 1e-38, 1e-38, 3e38], "expected a patch fit to be scaled"),
        ("divide 0.001", [1, 3e38], "values from 1 to 3e"),
        ("mean", [-3, 1], "mean above 0"),
    ],
)
def test_what_one_method_cannot_divide_by_is_refused(method, patch, message):
    with pytest.raises(DegeneratePatchError, match=message):
        normalize(np.array(patch, np.float32), method)


@pytest.mark.parametrize(
    "method",
    [
        *(
            "",
            "Mean",
            "mean ",
            " mean",
            "divide",
            "divide 0",
            "divide -1",
            "divide 1e3",
            "divide x",
        ),
        *("divide  2", "divide 2 3", "divide .5", "divide 5.", "divide nan", "divide 1,5"),
        *("percentile", "percentile 1", "percentile 99 1", "percentile 1 1", "percentile 1 101"),
        *("percentile -1 99", "percentile 1 99 Clip", "percentile 1 99 clip ", "minmax 0 1"),
        *("percentile 1 99 clip clip", "zscore nonzero", "divide 1\u0660", "none\0"),
        "divide " + "9" * 400,
    ],
)
def test_what_is_no_method_is_refused_with_all_there_are(method):
    with pytest.raises(ValueError, match=re.escape("zscore-nonzero, minmax or percentile LOW")):
        normalize(np.arange(3, dtype=np.float32), method)


def test_signs_are_kept_where_nothing_is_subtracted():
    kept = [method for method in METHODS if keeps_signs(method)]

    assert kept == ["none", "mean", "divide 255"]
    assert _core.keeps_signs("mean")
