# SPDX-License-Identifier: Apache-2.0
"""The whole chain on a simulated slab: frequency, susceptibility, contrast, and what is written."""

from dataclasses import replace

import numpy as np
import pytest

from nigroedge.errors import GeometryError, InputError
from nigroedge.preprocess import crop_patch
from nigroedge.smwi import METHODS, MultiEcho, reconstruct
from nigroedge.smwi.frequency import hz_per_ppm
from nigroedge.volume import Volume
from tests.smwi_phantom import (
    ECHO_TIMES_S,
    FIELD_T,
    NAMES,
    make_head,
    simulate_echoes,
    total_field,
)
from tests.test_smwi_dipole import nrmse

SNR = 50
#: Half the padding, to be quick.
QUICK = {name: replace(method, margin_mm=12.0) for name, method in METHODS.items()}


@pytest.fixture(scope="module")
def head():
    return make_head((96, 96, 30), tilt_degrees=20.0)


@pytest.fixture(scope="module")
def field(head):
    return total_field(head)


@pytest.fixture(scope="module")
def scan(head, field):
    magnitude, phase = simulate_echoes(head, field, SNR, offset=0.7)
    return MultiEcho(magnitude, phase, head.affine, ECHO_TIMES_S, FIELD_T)


@pytest.fixture(scope="module", params=METHODS)
def result(request, scan, head):
    return reconstruct(scan, method=QUICK[request.param], mask=head.mask, workers=1)


@pytest.fixture(scope="module")
def best(scan, head):
    return reconstruct(scan, method=QUICK["best"], mask=head.mask, workers=1)


def test_frequency_is_right_to_half_a_hertz_but_by_the_papers_unwrapping(result, head, field):
    """SNR > 20 at the third echo, the middle one."""
    good = head.mask & (head.density * np.exp(-head.r2star * ECHO_TIMES_S[2]) * SNR > 20)
    unwrapping = result.parameters["Method"]["unwrap"]

    error = np.abs((result.frequency_hz - field * hz_per_ppm(FIELD_T))[good])

    assert good.sum() > 10_000
    if result.parameters["Method"]["dipole"] == "ilsqr":  # the paper's
        # A smooth error, as the docs warn: about 1 Hz, or 10 ppb.
        assert "laplacian" == unwrapping
        assert 0.5 < np.median(error) < 5
    else:
        assert "exact" == unwrapping
        assert np.median(error) < 0.5
        # No voxel is a turn off: that would be 100 Hz between the first two echoes.
        assert error.max() < 10


def test_best_recovers_susceptibility_and_the_contrast_of_nigrosome_1(best, head):
    inside = best.eroded_mask
    nigra, nigrosome = (inside & head.where(name) for name in ("nigra", "nigrosome"))

    def contrast(chi):
        return chi[nigra].mean() - chi[nigrosome].mean()

    assert nrmse(best.chi_ppm, head.chi, inside) < 45
    assert contrast(best.chi_ppm) == pytest.approx(contrast(head.chi), abs=0.008)


def test_every_method_keeps_what_it_promises(result, head):
    inside = result.eroded_mask

    assert isinstance(result, Volume)
    assert head.chi.shape == result.voxels.shape
    assert np.isfinite(result.voxels).all()
    assert (result.voxels >= 0).all()
    assert (result.voxels <= result.magnitude).all()
    assert (inside <= result.mask).all()
    assert 0.4 < inside.sum() / result.mask.sum() < 1
    assert (result.chi_ppm[~inside] == 0).all()
    # Outside the eroded mask nothing is known of χ, and SMWI is the magnitude.
    np.testing.assert_array_equal(result.magnitude[~inside], result.voxels[~inside])
    assert np.corrcoef(result.chi_ppm[inside], head.chi[inside])[0, 1] > 0.7


def test_smwi_shows_nigrosome_1_better_than_magnitude_and_that_better_than_swi(scan, best, head):
    """As in Nam 2017 (contrast to noise 1.45 against 1.04 and 0.86).

    SWI here: magnitude times the fourth power of a phase mask, from the local field at 30 ms; from
    that of `fast`, which is measured, where that of `best` is made from its χ.
    """
    fast = reconstruct(scan, method=QUICK["fast"], mask=head.mask, workers=1)
    inside = best.eroded_mask
    nigra, nigrosome = (inside & head.where(name) for name in ("nigra", "nigrosome"))

    def contrast_to_noise(image):
        spread = np.sqrt((image[nigra].var() + image[nigrosome].var()) / 2)
        return (image[nigrosome].mean() - image[nigra].mean()) / spread

    phase = 2 * np.pi * hz_per_ppm(FIELD_T) * fast.local_field_ppm * ECHO_TIMES_S[2]
    swi = best.magnitude * np.clip(1 - np.maximum(phase, 0) / np.pi, 0, 1) ** 4

    smwi, magnitude, swi = map(contrast_to_noise, (best.voxels, best.magnitude, swi))
    assert smwi > 1.3 * magnitude, (smwi, magnitude)
    assert magnitude > swi, (magnitude, swi)


def test_the_result_is_cropped_for_prediction_as_any_volume_is(best):
    plain = Volume(best.voxels, best.affine)

    patch = crop_patch(best, (0.0, 0.0, 0.0))

    np.testing.assert_array_equal(crop_patch(plain, (0.0, 0.0, 0.0)), patch)
    assert patch.std() > 0


def test_parameters_say_how_it_was_made(best, scan):
    said = best.parameters

    assert "nigroedge" == said["Software"]["Name"]
    assert (1.0, 4.0) == (said["Method"]["chi_threshold_ppm"], said["Method"]["power"])
    assert ("rad", True) == (said["PhaseUnit"], said["PhaseUnitDetected"])
    np.testing.assert_allclose(scan.b0, said["B0Direction"], atol=1e-6)


def test_a_phase_of_the_other_sign_gives_the_same_with_its_sign_said(scan, head):
    turned = MultiEcho(
        scan.magnitude, -scan.phase, scan.affine, ECHO_TIMES_S, FIELD_T, phase_sign=-1
    )

    first, second = (
        reconstruct(s, method=QUICK["fast"], mask=head.mask, workers=1) for s in (scan, turned)
    )

    np.testing.assert_array_equal(first.voxels, second.voxels)


def test_channels_are_combined_to_what_one_channel_gives(scan, head):
    """Two channels, with offsets of their own, of one signal without more noise."""
    sensitivities = np.linspace(0.5, 1.5, 96)[:, None, None, None]
    magnitude = np.stack([sensitivities, 2 - sensitivities], -1) * scan.magnitude[..., None]
    phase = scan.phase[..., None] + np.array([0.3, -2.0])
    phase = np.angle(np.exp(1j * phase))
    both = MultiEcho(magnitude, phase, scan.affine, ECHO_TIMES_S, FIELD_T)

    one, two = (
        reconstruct(s, method=QUICK["fast"], mask=head.mask, workers=1) for s in (scan, both)
    )

    inside = one.eroded_mask
    assert nrmse(two.chi_ppm, one.chi_ppm, inside) < 5


def test_progress_names_every_stage_in_order(scan, head):
    stages = []

    reconstruct(
        scan,
        method=QUICK["fast"],
        mask=head.mask,
        workers=1,
        progress=lambda stage, done: stages.append((stage, done)),
    )

    names = list(dict.fromkeys(stage for stage, _ in stages))
    assert ["mask", "channels", "unwrap", "frequency", "background", "dipole", "smwi"] == names
    assert all(0 <= done <= 1 for _, done in stages)


def test_a_mask_is_found_where_none_is_given(scan, head):
    result = reconstruct(scan, method=QUICK["fast"], workers=1)

    # All that is bright and not bone, up to the skull.
    brain = head.labels >= NAMES.index("white")
    overlap = 2 * (result.mask & brain).sum() / (result.mask.sum() + brain.sum())
    assert overlap > 0.9


def test_a_mask_that_misses_the_slab_is_refused(scan):
    with pytest.raises(GeometryError, match="misses"):
        reconstruct(scan, mask=np.zeros(scan.magnitude.shape[:3]))


def test_a_mask_too_thin_for_background_removal_is_refused(scan, head):
    thin = head.mask.copy()
    thin[:, :, 3:] = False

    with pytest.raises(GeometryError, match="too thin"):
        reconstruct(scan, method=QUICK["fast"], mask=thin, workers=1)


def test_no_workers_are_refused(scan):
    with pytest.raises(InputError, match="expected 1 to 1024 threads, got 0"):
        reconstruct(scan, workers=0)


def test_thresholds_reach_the_mask(scan, head):
    sharper = replace(QUICK["fast"], chi_threshold_ppm=0.5)
    plain, sharp = (
        reconstruct(scan, method=m, mask=head.mask, workers=1) for m in (QUICK["fast"], sharper)
    )

    positive = plain.chi_ppm > 0.01
    assert (sharp.voxels[positive] < plain.voxels[positive]).all()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("best", {"tv_lambda": 1e-5}),
        ("best", {"tv_iterations": 3}),
        ("fast", {"tkd_threshold": 0.3}),
        ("fast", {"vsharp_radii_mm": (4.0, 2.0)}),
        ("fast", {"vsharp_threshold": 0.2}),
        ("fast", {"offset_sigma_voxels": (2.0, 2.0, 1.0)}),
        ("fast", {"unwrap": "laplacian"}),
        ("fast", {"power": 2.0}),
        ("resharp", {"resharp_radius_mm": 2.0}),
        ("resharp", {"resharp_lambda": 0.1}),
    ],
)
def test_every_choice_reaches_its_step(scan, head, name, changes):
    inner = slice(32, 64)
    small = MultiEcho(
        scan.magnitude[inner, inner], scan.phase[inner, inner], scan.affine, ECHO_TIMES_S, FIELD_T
    )
    plain = replace(QUICK.get(name, QUICK["fast"]), tv_iterations=2)
    if name == "resharp":
        plain = replace(plain, background="resharp", resharp_radius_mm=3.0)

    first, second = (
        reconstruct(small, method=method, mask=head.mask[inner, inner], workers=1)
        for method in (plain, replace(plain, **changes))
    )

    assert not np.array_equal(first.voxels, second.voxels)
    if name == "best":
        assert [2, changes.get("tv_iterations", 2)] == [
            found.parameters["Solver"]["iterations"] for found in (first, second)
        ]


def test_the_opening_reaches_the_mask(scan):
    """A wide ball fits into fewer corners of the brain."""
    wider = replace(QUICK["fast"], mask_opening_mm=8.0)

    first, second = (reconstruct(scan, method=m, workers=1).mask for m in (QUICK["fast"], wider))

    assert 0.5 * first.sum() < second.sum() < first.sum()


def test_real_in_vivo_data_gives_a_plausible_map(shared_data):
    """40 × 40 × 20, three echoes, phase stored over ±0.0037: veins positive, no turns left."""
    from nigroedge.io.nifti import load_series

    magnitude, phase = (
        load_series(shared_data / "gre3echo" / f"{n}.nii") for n in ("Mag", "Phase")
    )
    scan = MultiEcho(magnitude.values(), phase.values(), phase.affine, (0.004, 0.008, 0.012), 7.0)
    whole = np.ones(magnitude.voxels.shape[:3])

    result = reconstruct(scan, method=QUICK["best"], mask=whole, workers=1)

    assert "full-range" == result.parameters["PhaseUnit"]
    chi = result.chi_ppm[result.eroded_mask]
    # Veins are the long positive tail: 0.1 … 0.4 ppm.
    assert 0.05 < np.percentile(chi, 99.5) < 0.5
    assert abs(np.percentile(chi, 0.5)) < np.percentile(chi, 99.5) * 1.5
    steps = np.abs(np.diff(result.unwrapped, axis=0))
    assert np.mean(steps > np.pi) < 0.01
