# SPDX-License-Identifier: Apache-2.0
"""Whether the numbers of echoes, in names and in sidecars, rise with their times."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from nigroedge.errors import InputError
from nigroedge.smwi.echo_image import EchoImage


def check_numbers(images: Sequence[EchoImage]) -> None:
    """Refuse echoes whose numbers contradict the order of their times.

    Parameters
    ----------
    images : sequence of EchoImage
        One an echo, of one part, in the order of the echo times.

    Raises
    ------
    InputError
        If EchoNumber, where it tells echoes apart, does not rise; or the number in the names, where
        EchoNumber has to agree with it or no EchoTime bears the order out.
    """
    numbers = [image.echo_number for image in images]
    is_said = len(set(numbers) - {None}) > 1
    if is_said:
        _check_rising("an EchoNumber", images, numbers)
    names = [
        image.echo_in_name
        if (is_said and number is not None) or image.echo_times_s() is None
        else None
        for image, number in zip(images, numbers, strict=True)
    ]
    _check_rising("a number behind 'echo-' in its name", images, names)


def _check_rising(what: str, images: Sequence[EchoImage], numbers: Sequence[float | None]) -> None:
    known = [(n, image) for n, image in zip(numbers, images, strict=True) if n is not None]
    for (one, before), (other, after) in pairwise(known):
        if other <= one:
            raise InputError(
                f"expected {what} to rise with the echo time, got {one:g} for {before.name} and "
                f"{other:g} for {after.name}, the later one"
            )
