# SPDX-License-Identifier: Apache-2.0
"""Where nigrosome-1 is, and how that came to be known."""

from __future__ import annotations

from collections.abc import Sequence

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
