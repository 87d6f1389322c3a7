# SPDX-License-Identifier: Apache-2.0
"""Tell which of the points that people marked is the left one, and which the right one.

A label names a side by one of its words, in one of some languages: `left`, `N1_L`, `links`, `右`.
Two points whose labels name none and are alike but for a number, such as 3-D Slicer's own F-1 and
F-2, are told apart by position, and say so. What fits neither is refused: a point that is passed
over may be the one that was meant, and a word that nobody here knows may name a side.
"""

from __future__ import annotations

import difflib
import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from nigroedge.centroid import BY_POSITION, MIN_APART_MM, Centroid, not_apart
from nigroedge.errors import GeometryError, InputError

Point = tuple[float, float, float]

Side = Literal["left", "right"]

#: Words that name a side and nothing else: docs/predict.md lists them. `lh` and `rh` are the
#: hemispheres of FreeSurfer. Letters are English (and German, Dutch) alone: of other languages one
#: letter is another's other side, as D (droite) and L (Polish: lewy) show.
_SIDES: dict[str, Side] = {
    **dict.fromkeys(
        (
            *("left", "l", "lt", "lh"),
            *("links", "linke", "linker", "linkes"),  # German, Dutch
            "gauche",  # French
            *("izquierda", "izquierdo"),  # Spanish
            *("esquerda", "esquerdo"),  # Portuguese
            *("sinistra", "sinistro", "sinister"),  # Italian, Latin
            *("左", "좌", "좌측", "왼쪽"),  # Chinese and Japanese, Korean
        ),
        "left",
    ),
    **dict.fromkeys(
        (
            *("right", "r", "rt", "rh"),
            *("rechts", "rechte", "rechter", "rechtes"),
            *("droite", "droit"),
            *("derecha", "derecho"),
            *("direita", "direito"),
            *("destra", "destro", "dexter", "dextra"),
            *("右", "우", "우측", "오른쪽"),
        ),
        "right",
    ),
}
#: What 3-D Slicer calls a point that nobody has named, without its number.
_NAMELESS = ("", "f", "n", "fiducial", "markupsfiducial", "point")
_NUMBER = re.compile(r"[\s_.#()-]*\d+[\s_.)]*")
#: A word so like `left` or `right` may be a slip of the pen: `rigth`, `letf`, `rihgt` have 0.75 to
#: 0.8. One that is so by chance costs a message, never a side.
_SLIP = 0.7
#: More of a label than this does not help to find it.
_MAX_SHOWN = 40


class Labelled(NamedTuple):
    """One point of a file: where it stands there, its label, and its position, RAS+ mm."""

    where: str
    label: str
    position: Point


def by_side(points: Sequence[Labelled]) -> dict[str, Centroid]:
    """Give each point its side.

    Returns
    -------
    dict
        'left' and 'right', or one of them.

    Raises
    ------
    InputError
        If a label names both sides, or none where another does; if a side is named twice; if there
        is no point, or no label names a side and there are not two that differ in a number alone.
    GeometryError
        If labels contradict positions, or two points are not as far apart as two nigrosomes.
    """
    if not points:
        raise InputError("expected one point or two, labelled left and right, found none")
    sides = [side_of(point.label, point.where) for point in points]
    if any(sides):
        return _by_label(points, sides)
    for point in points:
        _refuse_slip(point)
    if len(points) == 2:
        _refuse_words(*points)
    return _by_position(points)


def _by_label(points: Sequence[Labelled], sides: Sequence[str | None]) -> dict[str, Centroid]:
    found: dict[str, Labelled] = {}
    for point, side in zip(points, sides, strict=True):
        if side is None:
            raise InputError(
                f"{point.where}: expected a label that names a side, as others of this file do, "
                f"got {shown(point.label)}"
            )
        if side in found:
            raise InputError(
                f"{point.where}: expected one {side} point, got a second one, "
                f"{shown(point.label)} after {shown(found[side].label)}"
            )
        found[side] = point
    if len(found) == 2:
        _check_apart(found["left"], found["right"])
    return {side: Centroid(point.position) for side, point in found.items()}


def _by_position(points: Sequence[Labelled]) -> dict[str, Centroid]:
    if len(points) != 2:
        labels = ", ".join(shown(point.label) for point in points[:4])
        more = ", …" if len(points) > 4 else ""
        raise InputError(
            f"expected labels that name a side, or two points alone, which their positions tell "
            f"apart; got {len(points)} point{'s' if len(points) > 1 else ''} without a side: "
            f"{labels}{more}"
        )
    left, right = sorted(points, key=lambda point: point.position[0])
    apart = right.position[0] - left.position[0]
    if not apart >= MIN_APART_MM:
        raise GeometryError(
            f"expected labels that name a side, or two points at least {MIN_APART_MM:g} mm apart "
            f"along x, got {shown(points[0].label)} and {shown(points[1].label)}, {apart:.1f} mm "
            f"apart"
        )
    _check_apart(left, right)
    return {
        side: Centroid(point.position, BY_POSITION)
        for side, point in (("left", left), ("right", right))
    }


def _check_apart(left: Labelled, right: Labelled) -> None:
    problem = not_apart(left.position, right.position)
    if problem:
        raise GeometryError(
            f"{left.where}, {right.where}: {problem}, got left {left.position} and right "
            f"{right.position}"
        )


def side_of(label: str, where: str) -> Side | None:
    """Give the side that a label names, None if it names none.

    Raises
    ------
    InputError
        If it names both.
    """
    sides = sides_in(label)
    if len(sides) > 1:
        raise InputError(
            f"{where}: expected a label that names one side, got both in {shown(label)}"
        )
    return next(iter(sides), None)


@lru_cache(maxsize=64)  # a cohort table has two texts in thousands of lines
def sides_in(label: str) -> frozenset[Side]:
    """Give every side that a label names; whatever tells sides of a text asks here."""
    return frozenset(_SIDES[word] for word in _words(label) if word in _SIDES)


def _refuse_words(one: Labelled, other: Labelled) -> None:
    """Refuse two labels whose words differ: these may be sides, in a language not known here."""
    names = [_without_number(point.label) for point in (one, other)]
    if names[0] != names[1] and not {*names} <= {*_NAMELESS}:
        raise InputError(
            f"{one.where}, {other.where}: expected labels that name a side, such as left or right, "
            f"or differ in a number alone, got {shown(one.label)} and {shown(other.label)}"
        )


def _without_number(label: str) -> str:
    return _NUMBER.sub("", unicodedata.normalize("NFKC", label)).strip().casefold()


def _refuse_slip(point: Labelled) -> None:
    named = ("left", "right")
    for word in _words(point.label):
        glued = any(side in word for side in named)
        if glued or difflib.get_close_matches(word, named, cutoff=_SLIP):
            raise InputError(
                f"{point.where}: expected a label that names a side, such as left or right, or "
                f"none, got {shown(point.label)}"
            )


def _words(label: str) -> Iterator[str]:
    """Give the words of a label in lower case: it is split at all but letters, and at capitals.

    Each ideograph is a word.

    >>> [*_words("N1_L"), *_words("leftNigrosome-1"), *_words("SNr"), *_words("él"), *_words("左N")]
    ['n', 'l', 'left', 'nigrosome', 's', 'nr', 'él', '左', 'n']
    """
    word = ""
    # Composed, so that an accent belongs to its letter.
    text = unicodedata.normalize("NFKC", label) + " "
    for here, following in itertools.pairwise(itertools.chain(text, " ")):
        inside = unicodedata.category(here)[0] in "LM"
        humped = here.isupper() and (word[-1:].islower() or (word and following.islower()))
        whole = _is_ideograph(here) or _is_ideograph(word[-1:])
        if word and (humped or whole or not inside):
            yield word.casefold()
            word = ""
        if inside:
            word += here


def _is_ideograph(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff"  # CJK Unified Ideographs: those of 左 and 右


def shown(label: str) -> str:
    """Give a label between quotes, escaped and cut, for a message."""
    return repr(label if len(label) <= _MAX_SHOWN else label[:_MAX_SHOWN] + "…")
