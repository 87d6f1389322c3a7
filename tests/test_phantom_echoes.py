# SPDX-License-Identifier: Apache-2.0
"""Complex echoes: two voxels by hand, noise by its moments, parity with an independent signal."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.phantom.canvas import ECHO_TIMES_MS
from nigroedge.phantom.echoes import HZ_PER_PPM, Motion, Scene, echo_signals, measured, moved
from nigroedge.phantom.noise import ACROSS, IN_PLANE, shares_of, spread, unit_noise
from nigroedge.phantom.subject import generator

STILL = Motion(0.0, (0, 0, 0))


def scene(density, r2star, field_ppm):
    """Make a scene of the parts of voxels along the slice."""
    fields = (np.array(v, np.float32).reshape(1, 1, -1) for v in (density, r2star, field_ppm))
    return Scene(*fields)


def test_five_echoes_of_one_voxel_by_hand():
    # 0.1 ppm is 12.77 Hz: 45.98° in 10 ms. R2* 30 /s leaves exp(−0.3) = 0.7408 of 2 then.
    echoes = [e[0, 0, 0] for e in echo_signals(scene([2, 2], [30, 30], [0.1, 0.1]))]

    np.testing.assert_allclose(np.abs(echoes), 2 * 0.74081822 ** np.arange(1, 6), rtol=1e-5)
    np.testing.assert_allclose(
        np.angle(echoes, deg=True), [45.98, 91.97, 137.95, -176.06, -130.07], atol=0.02
    )


def test_what_the_parts_of_a_voxel_differ_by_dephases_it():
    # ± 25 / 127.73 ppm is ± 25 Hz: cos(2π · 25 Hz · TE) is 0 at 10 ms and −1 at 20 ms.
    field = [25 / HZ_PER_PPM, -25 / HZ_PER_PPM]
    echoes = [e[0, 0, 0] for e in echo_signals(scene([1, 1], [0, 0], field))]

    np.testing.assert_allclose(echoes, [0, -1, 0, 1, 0], atol=1e-5)


def test_a_head_elsewhere_for_a_quarter_of_the_scan_mixes_in_by_a_quarter():
    signal = np.array([0, 4, 8], np.complex64).reshape(3, 1, 1)
    mixed = moved(signal, Motion(0.25, (1, 0, 0)))

    assert [0, 3, 7] == mixed.ravel().tolist()
    assert moved(signal, STILL) is signal


def test_the_point_spread_of_one_voxel_by_hand():
    values = np.zeros((5, 5, 5), np.float32)
    values[2, 2, 2] = 1.0
    got = spread(values)
    line = np.array([IN_PLANE, 1, IN_PLANE]) / (1 + 2 * IN_PLANE)
    across = np.array([ACROSS, 1, ACROSS]) / (1 + 2 * ACROSS)

    np.testing.assert_allclose(
        got[1:4, 1:4, 1:4], np.einsum("i,j,k->ijk", line, line, across), rtol=1e-5
    )
    assert 1 == pytest.approx(got.sum(), rel=1e-5)


@given(st.integers(0, 2**32), st.floats(-5, 5))
def test_the_point_spread_keeps_what_is_constant_and_spreads_the_rest(seed, level):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(6, 5, 4)).astype(np.float32)
    constant = np.full((6, 5, 4), level, np.float32)

    np.testing.assert_allclose(spread(constant), constant, rtol=1e-5)
    assert np.ptp(spread(values)) < np.ptp(values)


@pytest.mark.parametrize(
    ("edges", "expected"),
    [((0.5, 0.5, 1.0), (IN_PLANE, IN_PLANE, ACROSS)), ((2, 1, 1), (ACROSS, IN_PLANE, IN_PLANE))],
)
def test_slices_lie_across_the_longest_edge(edges, expected):
    assert expected == shares_of(np.diag([*edges, 1.0]))


def test_noise_is_complex_gaussian_of_the_sd_asked_for_in_each_channel():
    flat = np.full((40, 40, 2 * 24), 100.0, np.float32)
    quiet = Scene(flat, np.zeros_like(flat), np.zeros_like(flat))
    coils = np.full((40, 40, 24, 2), 1 / math.sqrt(2), np.complex64)
    noise = measured(quiet, coils, STILL, 5.0, generator(1)) - 100 / math.sqrt(2)

    # 40 · 40 · 24 voxels, 10 draws of each: the SD's standard error is under half a per cent, more
    # by what neighbours share.
    assert 5 == pytest.approx(noise.real.std(), rel=0.02)
    assert 5 == pytest.approx(noise.imag.std(), rel=0.02)
    assert abs(noise.mean()) < 0.1
    assert abs(np.corrcoef(noise.real.ravel(), noise.imag.ravel())[0, 1]) < 0.01
    echoes = noise.real[..., 0].reshape(-1, 5).T
    assert abs(np.corrcoef(echoes) - np.eye(5)).max() < 0.03


def test_noise_is_the_same_for_a_seed_and_another_for_another():
    one, again, other = (unit_noise(generator(s), (6, 6, 4)) for s in (1, 1, 2))

    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


@given(st.floats(0.1, 10), st.integers(0, 2**32))
def test_echoes_scale_with_density_and_never_grow(gain, seed):
    rng = np.random.default_rng(seed)
    density, r2star = rng.uniform(0.1, 2, 8), rng.uniform(1, 60, 8)
    field = np.repeat(rng.normal(0, 0.2, 4), 2)
    once = list(echo_signals(scene(density, r2star, field)))
    scaled = list(echo_signals(scene(gain * density, r2star, field)))

    np.testing.assert_allclose(np.array(scaled), gain * np.array(once), rtol=1e-4, atol=1e-5)
    sizes = np.abs(once)
    assert (np.diff(sizes, axis=0) <= 1e-6).all()  # both parts of a voxel in one field


def test_echoes_are_those_of_qsm_forward():
    qsm_forward = pytest.importorskip("qsm_forward", reason="pip install qsm-forward")
    rng = np.random.default_rng(3)
    shape = (4, 3, 6)
    density, r2star = rng.uniform(0.5, 1, shape), rng.uniform(5, 40, shape)
    field = rng.normal(0, 0.1, shape)
    fine = [np.repeat(v, 2, axis=2).astype(np.float32) for v in (density, r2star, field)]
    for te_ms, ours in zip(ECHO_TIMES_MS, echo_signals(Scene(*fine)), strict=True):
        theirs = qsm_forward.generate_signal(
            field, B0=3, TE=te_ms / 1000, R2star=r2star, M0=density, flip_angle=90, TR=1e9
        )
        # Their gyromagnetic ratio has four digits: 2e-5 of up to 10 turns.
        np.testing.assert_allclose(np.abs(ours), np.abs(theirs), rtol=1e-4)
        assert abs(np.angle(ours * np.conj(theirs))).max() < 2e-3
