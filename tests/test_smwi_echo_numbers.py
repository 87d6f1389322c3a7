# SPDX-License-Identifier: Apache-2.0
"""The numbers of echoes: those of their names, and EchoNumber of their sidecars."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import InputError
from nigroedge.smwi.acquisition import Acquisition
from nigroedge.smwi.agreement import check_given
from nigroedge.smwi.echo_image import EchoImage

TIMES = (0.01, 0.02, 0.03)


def images(part, names=(1, 2, 3), numbers=(None,) * 3, times=TIMES):
    """Of the numbers in their names, EchoNumbers and EchoTimes; None says nothing."""
    made = []
    for name, number, time in zip(names, numbers, times, strict=True):
        said = {"MagneticFieldStrength": 3, "EchoNumber": number, "EchoTime": time}
        path = Path(f"sub-1_echo-{name}_part-{part}_MEGRE.nii")
        made.append(EchoImage(path, part, {k: v for k, v in said.items() if v is not None}))
    return made


@pytest.mark.parametrize(
    "numbers",
    [
        (1, 2, 3),
        (2, 4, 6),
        (0, 1.0, 7),
        (1, None, 2),
        (1, 1, 1),
        ("3", [2], True),
        (10**400, float("nan"), 1),
    ],
)
def test_numbers_that_rise_with_time_or_say_nothing_are_taken(numbers):
    phase = images("phase", numbers=numbers)

    assert TIMES == Acquisition.of(images("mag"), phase).echo_times_s
    check_given(images("mag"), phase, TIMES, 3)


@given(st.permutations([1, 2, 3]).filter(lambda numbers: numbers != [1, 2, 3]))
def test_echo_numbers_in_another_order_than_the_times_are_refused(numbers):
    """Before, EchoNumber was not read."""
    with pytest.raises(InputError, match="EchoNumber to rise with the echo time, got"):
        Acquisition.of(images("mag", numbers=numbers), images("phase"))
    with pytest.raises(InputError, match=r"EchoNumber .* got . for 'sub-1_echo-._part-phase_"):
        Acquisition.of(images("mag"), images("phase", numbers=numbers))
    with pytest.raises(InputError, match="EchoNumber to rise"):
        check_given(images("mag", numbers=numbers), images("phase"), TIMES, 3)


def test_echo_numbers_in_another_order_than_the_names_are_refused():
    phase = images("phase", names=(2, 1, 3), numbers=(1, 2, 3))

    with pytest.raises(
        InputError, match=r"'echo-' in its name to rise with the echo time, got 2 for"
    ):
        Acquisition.of(images("mag"), phase)


@given(st.permutations([1, 2, 3]).filter(lambda names: names != [1, 2, 3]))
def test_files_in_another_order_than_the_numbers_of_their_names_are_refused(names):
    """Before, the order that was typed was believed, and the names were not read."""
    typed = images("phase", names, times=(None,) * 3)

    with pytest.raises(InputError, match="'echo-' in its name to rise with the echo time"):
        check_given(images("mag", times=(None,) * 3), typed, TIMES, 3)


def test_an_order_that_sidecars_bear_out_is_taken_whatever_the_names():
    backwards = images("mag", names=(3, 2, 1))

    assert TIMES == Acquisition.of(backwards, images("phase")).echo_times_s
    check_given(backwards, images("phase"), TIMES, 3)
