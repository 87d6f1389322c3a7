# SPDX-License-Identifier: Apache-2.0
"""Transforms on a padded grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.smwi.fourier import FourierGrid

shapes = st.tuples(*[st.integers(2, 12)] * 3)


@given(shapes, st.floats(0, 5))
def test_there_and_back_is_the_volume_with_zeros_behind(shape, margin):
    grid = FourierGrid(shape, (0.5, 0.5, 1.0), margin)
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    padded = grid.inverse(grid.forward(values))

    np.testing.assert_allclose(grid.pad(values), padded, atol=1e-5)
    np.testing.assert_allclose(values, grid.crop(padded), atol=1e-5)
    assert padded.dtype == np.float32


@given(shapes, st.floats(0, 5))
def test_the_margin_is_kept_on_every_axis(shape, margin):
    grid = FourierGrid(shape, (0.5, 0.5, 1.0), margin)

    for n, m, h in zip(shape, grid.padded, (0.5, 0.5, 1.0), strict=True):
        assert (m - n) * h >= margin


def test_transforms_agree_with_numpy_in_double_precision():
    values = np.random.default_rng(0).normal(size=(6, 8, 10))
    grid = FourierGrid((6, 8, 10), (1.0, 1.0, 1.0), 0.0)

    np.testing.assert_allclose(np.fft.rfftn(values), grid.forward(values.astype("f4")), atol=1e-4)


def test_a_shift_does_not_wrap_around_within_the_margin():
    grid = FourierGrid((4, 4, 4), (1.0, 1.0, 1.0), 2.0)
    kx = grid.frequencies[0]
    values = np.zeros((4, 4, 4), np.float32)
    values[3] = 1

    shifted = grid.crop(grid.inverse(grid.forward(values) * np.exp(-2j * np.pi * kx * 2)))

    assert np.abs(shifted).max() == pytest.approx(0, abs=1e-6)
