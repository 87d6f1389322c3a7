# SPDX-License-Identifier: Apache-2.0
"""An image in another order of axes is turned exactly; one in another place stays there."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.smwi.orientation import turned
from tests.smwi_phantom import tilted_affine

SHAPE = (5, 6, 7)
VALUES = np.arange(5 * 6 * 7 * 2).reshape(*SHAPE, 2)
TARGET = tilted_affine(17.0, SHAPE)
ORIENTATIONS = list(product(permutations(range(3)), product((1, -1), repeat=3)))


def stored(order, signs, values=VALUES, affine=TARGET):
    """The same image with its axes in another order, some of them backwards."""
    values = values.transpose(*order, *range(3, values.ndim))
    affine = affine[:, [*order, 3]].copy()
    for axis, sign in enumerate(signs):
        if sign < 0:
            affine[:, 3] += affine[:, axis] * (values.shape[axis] - 1)
            affine[:, axis] *= -1
            values = np.flip(values, axis)
    return values, affine


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_each_of_48_orientations_comes_back_to_the_bit(order, signs):
    values, affine = turned(*stored(order, signs), TARGET)

    assert np.array_equal(VALUES, values)
    np.testing.assert_allclose(TARGET, affine, atol=1e-12)


def test_by_hand():
    """The second axis runs to the left instead of the first to the right."""
    affine = np.array([[0, -1.0, 0, 2], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])

    values, moved = turned(np.array([[[1], [2], [3]]]), affine, np.eye(4))

    assert [[[3]], [[2]], [[1]]] == values.tolist()
    assert np.eye(4).tolist() == moved.tolist()


@given(
    st.sampled_from(ORIENTATIONS),
    st.tuples(*[st.floats(-0.3, 0.3)] * 3),
    st.tuples(*[st.floats(-9, 9)] * 3),
)
def test_what_is_beyond_a_turn_of_the_axes_is_left(orientation, turn, shift):
    """Each voxel lies where it lay, however the image is turned or shifted besides."""
    a, b, c = turn
    skew = np.array([[0, -c, b, 0], [c, 0, -a, 0], [-b, a, 0, 0], [0, 0, 0, 0]])
    values, affine = stored(*orientation)
    affine = (np.eye(4) + skew) @ affine
    affine[:3, 3] += shift

    after, moved = turned(values, affine, TARGET)

    for value in (0, 101, 418):
        at, before = (np.argwhere(v == value)[0][:3] for v in (after, values))
        np.testing.assert_allclose(affine @ [*before, 1], moved @ [*at, 1], atol=1e-9)
