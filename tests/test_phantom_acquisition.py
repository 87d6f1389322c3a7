# SPDX-License-Identifier: Apache-2.0
"""The physical scan: what the reconstruction finds again of what the scene was painted with."""

from dataclasses import replace

import numpy as np
import pytest

from nigroedge.errors import GeometryError
from nigroedge.phantom import SIDES, draw_subject, patch_grid, render, susceptibility
from nigroedge.phantom.acquisition import (
    _coils,
    _scene,
    acquire,
    scan_physically,
    scan_windows,
)
from nigroedge.phantom.echoes import FIELD_STRENGTH_T
from nigroedge.phantom.scan import SIGNAL_UNIT
from nigroedge.phantom.shapes import blob_depth
from nigroedge.smwi.fourier import FourierGrid
from nigroedge.smwi.frequency import hz_per_ppm
from nigroedge.smwi.kernels import dipole_kernel, field_direction

SHAPE = (64, 64, 28)
#: The part of the box in which the patch lies.
MIDDLE = (slice(31, -31), slice(13, -13), slice(11, -11))
#: State and visibility of the average healthy side, and of one whose nigra is gone.
ENDS = {"healthy": (0.9, 0.87), "diseased": (0.0, 0.0)}


def at_an_end(seed, word):
    """Give a subject whose sides are both at one end of health, no spread of iron."""
    state, visibility = ENDS[word]
    subject = draw_subject(seed)
    sides = {
        name: replace(getattr(subject, name), state=state, visibility=visibility, iron=1.0)
        for name in SIDES
    }
    return replace(subject, **sides)


def depths(subject, side, affine, shape):
    to_midbrain = np.linalg.inv(subject.to_patient) @ affine
    xyz = np.tensordot(to_midbrain[:3, :3], np.indices(shape), 1)
    points = [(v + t).astype(np.float32) for v, t in zip(xyz, to_midbrain[:3, 3], strict=True)]
    anatomy = subject.side(side).anatomy
    return {
        name: blob_depth(points, getattr(anatomy, name))
        for name in ("nigra", "nigrosome", "red_nucleus", "subthalamic")
    }


@pytest.fixture(scope="module")
def scans():
    """Physical scans of one box around the left side, three seeds at either end of health."""
    found = {}
    for word in ENDS:
        for seed in range(3):
            subject = at_an_end(seed, word)
            grid = patch_grid(subject, "left", (112, 76, 42))  # about the box of both windows
            found[word, seed] = subject, grid, scan_physically(subject, *grid)
    return found


def means(chi, depth):
    """Give mean χ of nigra, nigrosome-1 and red nucleus, ppb."""
    places = {
        "nigra": (depth["nigra"] > 0.5) & (depth["nigrosome"] < -0.5) & (depth["red_nucleus"] < 0),
        "nigrosome": depth["nigrosome"] > 0.3,
        "red_nucleus": depth["red_nucleus"] > 0.5,
    }
    return {name: 1e3 * float(chi[place].mean()) for name, place in places.items()}


def measured(scans, word):
    """Give mean over seeds of χ / gain, as reconstructed."""
    rows = [
        {
            name: value / subject.contrast.chi_gain
            for name, value in means(scan.chi_ppm, depths(subject, "left", *grid)).items()
        }
        for (end, _), (subject, grid, scan) in scans.items()
        if end == word
    ]
    return {name: np.mean([row[name] for row in rows]) for name in rows[0]}


def test_nigrosome_1_stands_out_of_the_nigra_as_in_published_maps(scans):
    healthy, diseased = measured(scans, "healthy"), measured(scans, "diseased")

    # 37 ± 16 ppb (Nam 2017).
    assert 21 < healthy["nigra"] - healthy["nigrosome"] < 53
    assert diseased["nigra"] - diseased["nigrosome"] < 5


def test_reconstructed_susceptibilities_are_the_published_ones(scans):
    healthy, diseased = measured(scans, "healthy"), measured(scans, "diseased")

    # Healthy 98.4 ± 11.7, Parkinson's 125.8 ± 16.3 ppb (Kim 2018): within those spreads of people.
    assert 98.4 == pytest.approx(healthy["nigra"], abs=11.7)
    assert 125.8 == pytest.approx(diseased["nigra"], abs=16.3)
    assert 102 == pytest.approx(healthy["red_nucleus"], abs=16)


def test_the_total_field_is_the_scenes(scans):
    for subject, grid, scan in scans.values():
        field_ppm = _scene(subject, *grid).field_ppm.reshape(*grid[1], 2).mean(axis=-1)
        error = scan.frequency_hz - field_ppm * hz_per_ppm(FIELD_STRENGTH_T)

        # Noise and motion leave 0.27–0.33 Hz; unwrapping by the Laplacian up to 0.56 (seed 1).
        assert error.std() < 0.45, (subject.seed, error.std())


def test_a_map_follows_the_true_one(scans):
    for subject, grid, scan in scans.values():
        truth = susceptibility(subject, *grid).voxels[MIDDLE]
        # Noise, point spread and inversion leave 0.86–0.94; with the tilt ignored it is 0.59–0.66.
        assert np.corrcoef(truth.ravel(), scan.chi_ppm[MIDDLE].ravel())[0, 1] > 0.8


def test_disease_darkens_and_hides_nigrosome_1(scans):
    for seed in range(3):
        subject, grid, healthy = scans["healthy", seed]
        _, _, diseased = scans["diseased", seed]
        depth = depths(subject, "left", *grid)
        comma = depth["nigrosome"] > 0.3
        bands = (depth["nigra"] > 0.3) & (depth["nigrosome"] < -0.4) & (depth["nigrosome"] > -1.5)

        assert healthy.voxels[comma].mean() > 1.2 * healthy.voxels[bands].mean()
        assert diseased.voxels[comma].mean() < 1.1 * diseased.voxels[bands].mean()
        assert diseased.voxels[comma].mean() < 0.75 * healthy.voxels[comma].mean()


def test_the_fast_path_looks_like_the_physical_one(scans):
    for subject, grid, scan in scans.values():
        physical, fast = scan.voxels[MIDDLE], render(subject, *grid).voxels[MIDDLE]

        # One scene, other noise, and χ by inversion: two scans of one person correlate so.
        assert np.corrcoef(physical.ravel(), fast.ravel())[0, 1] > 0.8
        for share in (0.05, 0.5, 0.95):
            ours, theirs = (np.quantile(v, share) / v.mean() for v in (physical, fast))
            assert ours == pytest.approx(theirs, abs=0.12)


def test_the_scan_is_not_what_the_inversions_own_model_would_give():
    subject = at_an_end(1, "healthy")
    affine, shape = patch_grid(subject, "left", (48, 48, 20))
    field = _scene(subject, affine, shape).field_ppm.reshape(*shape, 2).mean(-1)
    chi = susceptibility(subject, affine, shape).voxels
    grid = FourierGrid(shape, (0.5, 0.5, 1.0), 8.0)
    own = grid.convolve(chi - chi.mean(), dipole_kernel(grid, field_direction(affine)))
    inner = (slice(8, -8), slice(8, -8), slice(4, -4))

    # Surround, air and shim make up most of the difference; the finer grid the rest.
    assert np.corrcoef(field[inner].ravel(), own[inner].ravel())[0, 1] < 0.99
    assert (field - own)[inner].std() > 0.2 * own[inner].std()


def test_windows_are_those_of_both_sides_and_the_same_bits_again():
    subject = draw_subject(5)
    windows, again = (scan_windows(subject, SHAPE) for _ in range(2))
    other = scan_windows(subject, SHAPE, repeat=1)
    for side in SIDES:
        affine, shape = patch_grid(subject, side, SHAPE)
        np.testing.assert_array_equal(affine, windows[side].affine)
        assert (shape, np.float32) == (windows[side].voxels.shape, windows[side].voxels.dtype)
        np.testing.assert_array_equal(windows[side].voxels, again[side].voxels)
        assert (windows[side].voxels != other[side].voxels).mean() > 0.99
        assert np.isfinite(windows[side].voxels).all()
        assert windows[side].voxels.min() >= 0


def test_a_peduncle_is_near_the_unit_and_snr_is_what_the_contrast_says():
    subject = draw_subject(2)
    grid = patch_grid(subject, "left", (40, 40, 16))
    clean, noisy = (acquire(subject, *grid, noise=noise) for noise in (False, True))
    rss = [np.sqrt((scan.magnitudes[..., 0] ** 2).sum(-1)) for scan in (clean, noisy)]
    bright = rss[0] > np.median(rss[0])
    spread = (rss[1] - rss[0])[bright].std()

    assert 0.7 * SIGNAL_UNIT < np.median(rss[0]) < 1.3 * SIGNAL_UNIT
    # To first order, the SD of a root of a sum of squares is that of each part.
    assert subject.contrast.noise * SIGNAL_UNIT == pytest.approx(spread, rel=0.1)


def test_coils_share_one_sensitivity_out_and_lead_to_the_same_image():
    subject = draw_subject(4)
    grid = patch_grid(subject, "left", (48, 48, 24))
    coils = _coils(subject, grid[1], 4)
    one, four = (acquire(subject, *grid, channels=n, noise=False) for n in (1, 4))
    rss = [np.sqrt((scan.magnitudes**2).sum((-1, -2))) for scan in (one, four)]

    np.testing.assert_allclose((abs(coils) ** 2).sum(-1), 1, rtol=1e-5)
    assert (48, 48, 24, 5, 4) == four.magnitude.shape
    # The point spread meets each coil's smooth sensitivity before they are combined.
    np.testing.assert_allclose(rss[1], rss[0], rtol=0.02, atol=5)


def test_a_flat_grid_is_refused():
    with pytest.raises(GeometryError, match="invertible"):
        acquire(draw_subject(0), np.diag([1.0, 1, 0, 1]), (4, 4, 4))
