# SPDX-License-Identifier: Apache-2.0
"""Where nigrosome-1 is, and how that came to be known."""

from __future__ import annotations

from collections.abc import Sequence

#: Millimetres along x between the left and the right nigrosome-1, with the reason in core/model.h.
#: Numbers of their own, so that `--help` needs no compiled part.
MIN_APART_MM, MAX_APART_MM = 8.0, 50.0
#: Somebody gave the point and said which side it is on.
GIVEN = "given"
#: Somebody gave two points and no sides: the one with the smaller x (RAS) is taken for the left.
BY_POSITION = "given, side by position"


class Centroid(tuple[float, float, float]):
    """A centroid of nigrosome-1: x, y, z in RAS+ millimetres; a tuple that knows its source.

    Parameters
    ----------
    xyz : sequence of 3 float
    source : str
        GIVEN or BY_POSITION. A result repeats it.
    """

    source: str

    def __new__(cls, xyz: Sequence[float], source: str = GIVEN) -> Centroid:
        x, y, z = xyz
        point = super().__new__(cls, (x, y, z))
        point.source = source
        return point


def not_apart(left: Sequence[float], right: Sequence[float]) -> str | None:
    """Say what the centroids of one person's two sides should be and are not.

    Parameters
    ----------
    left, right : (float, float, float)
        RAS+ millimetres.

    Returns
    -------
    str or None
        Nothing if the left one lies MIN_APART_MM to MAX_APART_MM to the left of the right one along
        x. Else sides or coordinate systems were exchanged, or the numbers are no millimetres.
    """
    apart = right[0] - left[0]
    if not apart > 0:
        return (
            "expected the left centroid to have a smaller x than the right one (RAS: x grows to "
            "the patient's right)"
        )
    if not MIN_APART_MM <= apart <= MAX_APART_MM:
        return (
            f"expected the left and the right centroid {MIN_APART_MM:g} to {MAX_APART_MM:g} mm "
            f"apart along x (not millimetres, or a slip?)"
        )
    return None
