# SPDX-License-Identifier: Apache-2.0
"""A scan by its sidecars: paired by time, and refused where they contradict each other."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import InputError
from nigroedge.smwi.acquisition import Acquisition
from nigroedge.smwi.agreement import agreed_phase_unit, check_given
from nigroedge.smwi.echo_image import EchoImage

TIMES = (0.01, 0.02, 0.03)


def images(part, times=TIMES, **said):
    """One image a time; a value that is a list has one for each image."""
    said = {"MagneticFieldStrength": 3, **said}
    made = []
    for n, time in enumerate(times):
        own = {key: value[n] if isinstance(value, list) else value for key, value in said.items()}
        own |= {} if time is None else {"EchoTime": time}
        made.append(EchoImage(Path(f"{part}{n}.nii"), part, own))
    return made


def names(paths):
    return [path.stem for path in paths]


# ----------------------------------------------------------------------------------------- pairing


def test_magnitude_numbered_backwards_is_paired_by_time():
    found = Acquisition.of(images("mag", TIMES[::-1]), images("phase"))

    assert ["mag2", "mag1", "mag0"] == names(found.magnitude)
    assert ["phase0", "phase1", "phase2"] == names(found.phase)
    assert (TIMES, 3.0, None) == (found.echo_times_s, found.field_strength_t, found.phase_unit)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=8, unique=True), st.randoms())
def test_any_order_of_files_gives_the_same_pairs(milliseconds, shuffle: random.Random):
    mags, phases = (images(part, [ms / 1000 for ms in milliseconds]) for part in ("mag", "phase"))
    expected = Acquisition.of(mags, phases)
    shuffle.shuffle(mags)
    shuffle.shuffle(phases)

    assert expected == Acquisition.of(mags, phases)
    assert [name[5:] for name in names(expected.phase)] == [
        n[3:] for n in names(expected.magnitude)
    ]


@pytest.mark.parametrize("silent", ["mag", "phase"])
def test_what_one_part_does_not_say_the_other_does(silent):
    said = {part: TIMES[::-1] if part != silent else [None] * 3 for part in ("mag", "phase")}

    found = Acquisition.of(images("mag", said["mag"]), images("phase", said["phase"]))

    assert TIMES == found.echo_times_s
    assert (["mag2", "mag1", "mag0"], ["phase2", "phase1", "phase0"]) == (
        names(found.magnitude),
        names(found.phase),
    )


def test_times_rounded_to_a_tenth_of_a_millisecond_are_the_same():
    rounded = images("mag", (0.0023, 0.0046)), images("phase", (0.00234, 0.00456))

    assert (0.00234, 0.00456) == Acquisition.of(*rounded).echo_times_s


def test_a_list_of_times_is_of_one_file_of_all_echoes():
    stacks = [images(part, [list(TIMES)]) for part in ("mag", "phase")]

    assert TIMES == Acquisition.of(*stacks).echo_times_s
    assert TIMES == Acquisition.of(images("mag", [None]), stacks[1]).echo_times_s
    assert TIMES == Acquisition.of(stacks[0], images("phase", [None])).echo_times_s


@pytest.mark.parametrize(
    ("mag", "phase", "message"),
    [
        ((0.01, 0.02, 0.03), (0.01, 0.02, 0.04), "got 0.01, 0.02, 0.03 s and 0.01, 0.02, 0.04 s"),
        ((0.01, 0.01, 0.03), TIMES, r"0\.01 s for 'mag0\.nii' and for 'mag1\.nii'"),
        (([0.01, 0.02], 0.02, 0.03), TIMES, r"a file of one echo, .* got 2 in .*'mag0\.nii'"),
        (([0.01, 0.02],), ([0.02, 0.01],), "got 0.01, 0.02 s and 0.02, 0.01 s"),
        ((None, 0.02), (None, 0.02), r"expected EchoTime in a sidecar of 'phase0\.nii', got none$"),
        (("0.01", 0.02), (0.01, 0.02), r"EchoTime in a sidecar of 'mag0\.nii', got '0\.01'"),
        ((0.01, True), (0.01, 0.02), r"EchoTime in a sidecar of 'mag1\.nii', got True"),
        ((0.01, float("nan")), (0.01, 0.02), "got nan"),
        ((0.01, 10**400), (0.01, 0.02), "EchoTime in a sidecar"),
    ],
)  # fmt: skip
def test_times_that_leave_a_doubt_are_refused(mag, phase, message):
    with pytest.raises(InputError, match=message):
        Acquisition.of(images("mag", mag), images("phase", phase))


# --------------------------------------------------------------------------------- what all share


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"MagneticFieldStrength": [7, 3, 3]}, r"got 7 for 'mag0\.nii' and 3 for 'mag1\.nii'"),
        ({"RepetitionTime": [0.088, 0.088, 0.05]}, r"0\.088 for 'mag0\.nii' and 0\.05 for 'mag2"),
        ({"RepetitionTime": 0.03}, r"longer than the last echo time, 0\.03 s, got 0\.03 s .*mag0"),
        ({"RepetitionTime": 0}, r"longer than the last echo time"),
        ({"FlipAngle": [10, 20, 10]}, "one FlipAngle in all sidecars of a scan, got 10"),
        ({"ImagingFrequency": 63.87}, r"127\.7 MHz with a Magnetic.* of 3 T, got 63\.87"),
        ({"ImageType": ["P"]}, r"ImageType of magnitude in a sidecar of 'mag0\.nii', got \['P'\]"),
        ({"ImageType": "ORIGINAL\\PRIMARY\\P\\ND"}, "ImageType of magnitude"),
        ({"ImageType": ["ORIGINAL", "PHASE_MAP"]}, "ImageType of magnitude"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "R_FFE"]}, "ImageType of magnitude"),
        ({"MagneticFieldStrength": "3"}, "MagneticFieldStrength.*got '3'"),
    ],
)  # fmt: skip
def test_magnitude_of_another_scan_or_kind_is_refused(said, message):
    if isinstance(said.get("ImageType"), list):
        said = {"ImageType": [said["ImageType"]] * 3}

    with pytest.raises(InputError, match=message):
        Acquisition.of(images("mag", **said), images("phase"))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"ImageType": [["ORIGINAL", "M"]] * 3}, r"ImageType of phase .*'phase0\.nii'"),
        ({"MagneticFieldStrength": 1.5}, r"got 3 for 'mag0\.nii' and 1\.5 for 'phase0\.nii'"),
        ({"EchoTime1": 0.01, "EchoTime2": 0.02}, "a difference of two echoes is no phase"),
        ({"Units": "Hz"}, "got 'Hz' .* a field map is no phase"),
        ({"Units": "furlong"}, "Units 'rad', 'mrad', 'deg' or 'arbitrary', got 'furlong'"),
        ({"Units": 5}, "Units .* got 5"),
        ({"Units": ["rad", "mrad", "rad"]}, r"Units 'rad' .*'phase0\.nii' and 'mrad' .*'phase1"),
    ],
)
def test_phase_of_another_scan_or_kind_is_refused(said, message):
    with pytest.raises(InputError, match=message):
        Acquisition.of(images("mag"), images("phase", **said))


@pytest.mark.parametrize(
    "said",
    [
        {"MagneticFieldStrength": [3, 2.89362, 3]},
        {"ImagingFrequency": 123.25483},
        {"ImageType": [["ORIGINAL", "PRIMARY", "M", "FFE", "M", "FFE", "MAGNITUDE"]] * 3},
        {"ImageType": [["ORIGINAL", "PRIMARY", "OTHER"], 5, [None]]},
        {"ImageType": "DERIVED\\PRIMARY\\M_FFE"},
        {"RepetitionTime": ["?", [1], None], "FlipAngle": "ten"},
        {"Units": "arbitrary"},
    ],
)
def test_what_converters_write_of_a_magnitude_is_taken(said):
    assert TIMES == Acquisition.of(images("mag", **said), images("phase")).echo_times_s


@pytest.mark.parametrize(
    ("word", "unit"),
    [
        *((word, "rad") for word in ("rad", "radian", "radians", "Radians", " RAD ")),
        *((word, "mrad") for word in ("mrad", "milliradians")),
        *((word, "deg") for word in ("deg", "degrees")),
        *((word, None) for word in ("arbitrary", "Arbitrary", "a.u.")),
    ],
)
def test_words_for_the_unit_of_a_phase(word, unit):
    assert unit == agreed_phase_unit(images("phase", Units=word))


def test_no_field_strength_is_refused():
    silent = [images(part, MagneticFieldStrength=None) for part in ("mag", "phase")]

    with pytest.raises(InputError, match=r"MagneticFieldStrength in a sidecar of 'phase0\.nii'"):
        Acquisition.of(*silent)
    assert 3 == Acquisition.of(images("mag"), silent[1]).field_strength_t


# -------------------------------------------------------------------------- beside what was named


def test_sidecars_that_bear_out_what_is_given_are_taken():
    check_given(images("mag"), images("phase"), TIMES, 2.89)
    check_given(images("mag", [None] * 3), images("phase", [None] * 3), TIMES, 3)
    stacks = [images(part, [list(TIMES)]) for part in ("mag", "phase")]
    check_given(*stacks, TIMES, 3)
    of_one_echo = [images(part, [0.02]) for part in ("mag", "phase")]
    check_given(*of_one_echo, TIMES, 3)


@pytest.mark.parametrize(
    ("mag", "given", "tesla", "message"),
    [
        (TIMES[::-1], TIMES, 3, r"given, 0\.01 s, in every sidecar, got 0\.03 s .*'mag0\.nii'"),
        (TIMES, (0.004, 0.008, 0.012), 3, r"given, 0\.004 s, in every sidecar, got 0\.01 s"),
        (TIMES, (0.01, 0.02, 0.09), 3, r"RepetitionTime longer than the last echo time, 0\.09 s"),
        (TIMES, TIMES, 7, r"the field strength that is given, 7 T, in every sidecar, got 3"),
    ],
)
def test_sidecars_that_contradict_what_is_given_are_refused(mag, given, tesla, message):
    with pytest.raises(InputError, match=message):
        check_given(images("mag", mag), images("phase", RepetitionTime=0.088), given, tesla)


def test_a_phase_beside_which_it_says_magnitude_is_refused():
    phase = images("phase", ImageType=[["ORIGINAL", "M"]] * 3)

    with pytest.raises(InputError, match=r"ImageType of phase in a sidecar of 'phase0\.nii'"):
        check_given(images("mag"), phase, TIMES, 3)


@pytest.mark.parametrize("said", [[0.01, 0.02], [0.01, 0.02, 0.04], [0.03, 0.02, 0.01], [0.05]])
def test_a_stack_whose_sidecar_has_other_times_is_refused(said):
    with pytest.raises(InputError, match=r"the echo times that are given, 0\.01, 0\.02, 0\.03 s"):
        check_given(images("mag", [said]), images("phase", [None]), TIMES, 3)


@pytest.mark.parametrize("part", ["mag", "phase"])
def test_a_list_of_all_times_beside_each_file_bears_out_what_is_given(part):
    every = [EchoImage(Path(f"{n}.nii"), part, {"EchoTime": list(TIMES)}) for n in range(3)]
    silent = images("phase" if part == "mag" else "mag", [None] * 3)

    check_given(*((every, silent) if part == "mag" else (silent, every)), TIMES, 3.0)
    with pytest.raises(InputError, match=r"the echo times that are given, 0\.01, 0\.02, 0\.04 s"):
        check_given(*((every, silent) if part == "mag" else (silent, every)), (0.01, 0.02, 0.04), 3)


@pytest.mark.parametrize(("part", "word"), [("mag", "REAL"), ("phase", "IMAGINARY")])
def test_a_real_or_imaginary_part_is_told_how_to_become_magnitude_and_phase(part, word):
    mags, phases = images("mag"), images("phase")
    spoiled = mags if part == "mag" else phases
    spoiled[1] = EchoImage(spoiled[1].path, part, {**spoiled[1].said, "ImageType": [word]})

    with pytest.raises(InputError, match=r"magnitude is hypot\(real, imag\), phase atan2"):
        Acquisition.of(mags, phases)
