# SPDX-License-Identifier: Apache-2.0
"""Bad input, each with its own error, before any arithmetic."""

import math

import numpy as np
import pytest

from nigroedge.errors import GeometryError, InputError
from nigroedge.smwi import MultiEcho
from nigroedge.smwi.scan import same_place

PHASE = np.random.default_rng(0).uniform(-math.pi, math.pi, (12, 12, 8, 3))
GOOD = {
    "magnitude": np.ones(PHASE.shape),
    "phase": PHASE,
    "affine": np.diag([0.5, 0.5, 1, 1]),
    "echo_times_s": (0.01, 0.02, 0.03),
    "field_strength_t": 3.0,
}
RNG = np.random.default_rng(1)
MAGNITUDE = RNG.uniform(1, 2, PHASE.shape)


def echoes(values, changes):
    """Echoes of an array, some of them replaced."""
    return np.stack([changes.get(echo, values[..., echo]) for echo in range(3)], axis=3)


SHEARED = np.eye(4)
SHEARED[0, 2] = 0.5


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"echo_times_s": ()}, InputError, "expected 3 echo times.*none: give them in seconds"),
        ({"echo_times_s": (0.01, 0.02)}, InputError, "expected 3 echo times.*got 2"),
        ({"echo_times_s": (0.02, 0.01, 0.03)}, InputError, r"rising.*0\.02, 0\.01, 0\.03"),
        ({"echo_times_s": (0.01, 0.01, 0.03)}, InputError, "rising"),
        ({"echo_times_s": (10, 20, 30)}, InputError, "10, 20, 30: these look like milliseconds"),
        ({"echo_times_s": (0, 0.01, 0.02)}, InputError, "positive echo times"),
        ({"echo_times_s": (0.01, math.nan, 0.02)}, InputError, "positive echo times"),
        ({"field_strength_t": 0}, InputError, "field strength in tesla"),
        ({"field_strength_t": 3e4}, InputError, "field strength in tesla"),
        ({"field_strength_t": 0.03}, InputError, r"0\.2 to 12 .* got 0\.03"),
        ({"field_strength_t": 123.25}, InputError, r"got 123\.25"),
        ({"field_strength_t": math.nan}, InputError, "got nan"),
        ({"echo_times_s": (1e-5, 2e-5, 3e-5)}, InputError, r"0\.5 ms apart, got 1e-05, 2e-05, 3e"),
        ({"echo_times_s": (0.01, 0.0101, 0.03)}, InputError, r"0\.5 ms apart"),
        ({"phase_sign": 2}, InputError, "phase sign of 1 or -1"),
        ({"magnitude": np.ones((12, 12, 7, 3))}, GeometryError, "magnitude and phase of one shape"),
        (
            {"magnitude": np.ones((12, 12, 3)), "phase": PHASE[..., 0, :]},
            GeometryError,
            r"\(nx, ny, nz, echoes\)",
        ),
        (
            {"magnitude": np.ones((12, 12, 8, 1)), "phase": PHASE[..., :1], "echo_times_s": [0.01]},
            InputError,
            "at least two echoes, got one",
        ),
        ({"phase": np.zeros(PHASE.shape)}, InputError, "0 in every voxel"),
        (
            {"phase": 40 * np.random.default_rng(1).normal(size=PHASE.shape)},
            InputError,
            "name the unit",
        ),
        ({"magnitude": np.zeros(PHASE.shape)}, InputError, "none above 0"),
        ({"magnitude": MAGNITUDE - 1.001}, InputError, r"never negative, got -0\.0"),
        (
            {"magnitude": (40000 * MAGNITUDE).astype(np.uint16).view(np.int16)},
            InputError,
            "never negative, got -.*unsigned integers read as signed",
        ),
        ({"magnitude": echoes(MAGNITUDE, {1: 0 * PHASE[..., 1]})}, InputError, "none in echo 2"),
        (
            {"phase": echoes(PHASE, {2: np.full(PHASE.shape[:3], np.nan)})},
            InputError,
            "in every voxel of echo 3",
        ),
        (
            {"phase": echoes(PHASE, {2: PHASE[..., 0]})},
            InputError,
            "the same phase in echoes 1 and 3",
        ),
        (
            {"magnitude": echoes(MAGNITUDE, {1: MAGNITUDE[..., 2]})},
            InputError,
            "the same magnitude in echoes 2 and 3",
        ),
        ({"b0_world": (0, 0, 0)}, GeometryError, "expected a direction of B0"),
        ({"b0_world": (0, math.nan, 1)}, GeometryError, "expected a direction of B0"),
        ({"affine": SHEARED}, GeometryError, "sheared"),
        ({"affine": np.diag([0.5, 0.5, 8, 1])}, GeometryError, "no kernel supports it"),
        ({"affine": np.diag([500, 500, 1000, 1])}, GeometryError, "got 500 × 500 × 1e.03 mm"),
        ({"affine": np.diag([5e-4, 5e-4, 1e-3, 1])}, GeometryError, "not in millimetres"),
    ],
)
def test_bad_input_is_refused_by_name(changes, kind, message):
    with pytest.raises(kind, match=message) as caught:
        MultiEcho(**{**GOOD, **changes})

    assert type(caught.value) is kind


def test_what_is_given_is_kept_and_the_rest_derived():
    scan = MultiEcho(**GOOD)

    assert (0.5, 0.5, 1.0) == scan.voxel_size_mm
    assert (0.0, 0.0, 1.0) == scan.b0
    assert (12, 12, 8, 3, 1) == scan.magnitudes.shape == scan.radians.shape
    np.testing.assert_allclose(PHASE[..., None], scan.radians, atol=1e-6)


def test_the_sign_turns_the_phase_round():
    scan = MultiEcho(**GOOD, phase_sign=-1)

    np.testing.assert_allclose(-PHASE[..., None], scan.radians, atol=1e-6)


def test_b0_may_run_elsewhere_than_along_z_of_the_world():
    assert (0.0, 0.6, 0.8) == MultiEcho(**GOOD, b0_world=(0, 3, 4)).b0


def test_echoes_that_weigh_alike_are_no_repetition():
    assert (MultiEcho(**GOOD).magnitudes == 1).all()


def test_nan_in_magnitude_or_phase_weighs_nothing():
    magnitude, phase = np.ones(PHASE.shape), PHASE.copy()
    magnitude[1, 2, 3, 0] = np.nan
    phase[4, 5, 6, 1] = np.inf

    scan = MultiEcho(**{**GOOD, "magnitude": magnitude, "phase": phase})

    assert [[1, 2, 3, 0, 0], [4, 5, 6, 1, 0]] == np.argwhere(scan.magnitudes == 0).tolist()
    assert np.isfinite(scan.radians).all()


def test_images_in_different_places_are_refused_by_number():
    moved = np.eye(4)
    moved[0, 3] = 0.5

    assert same_place((np.eye(4), np.eye(4)), (5, 5, 5)).tolist() == np.eye(4).tolist()
    with pytest.raises(GeometryError, match=r"image 2 lies 0\.50 mm from the first"):
        same_place((np.eye(4), moved), (5, 5, 5))
