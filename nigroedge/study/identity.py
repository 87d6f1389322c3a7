# SPDX-License-Identifier: Apache-2.0
"""Whether two spellings of a participant's identity may be one person.

A spreadsheet makes 7 of 007, 7.0 of 7, 100000 of 1E5 and 007 of '007; people write sub-07, SUB-07,
sub.7 and sub_07 for one another; a Mac composes an umlaut in another way than Windows. Taken for
two persons they end on both sides of a split, and no score says so.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

#: Cyrillic and Greek letters that look like Latin ones, large or small (of Unicode's confusables).
_ALIKE = {
    ord(form(other)): form(latin)
    for other, latin in zip(
        "авекмнорстухіјѕαβεζηικμνορτυχ", "abekmhopctyxijsabezhikmnoptyx", strict=True
    )
    for form in (str.lower, str.upper)
}
#: Letters that are typed for digits beside digits.
_FOR_DIGITS = str.maketrans("oil", "011")

#: What may differ between two spellings of one identity, in the order in which it is taken away.
#: Folding case may leave a text that is not composed, so that is done again.
_STEPS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("Unicode form", lambda text: _composed(text)),
    ("case", str.casefold),
    ("Unicode form", lambda text: _composed(text)),
    ("letters that look alike", lambda text: text.translate(_ALIKE)),
    ("spaces", lambda text: "".join(text.split())),
    ("an apostrophe", lambda text: re.sub(r"^['\u2019](?=[0-9])", "", text)),
    ("a hyphen or underscore", lambda text: re.sub(r"(?<!^sub)[-_]+", "-", text)),
    ("a sub- prefix", lambda text: re.sub(r"^(?:sub(?:[-_.]+(?=.)|(?=[0-9])))+", "", text)),
    ("an exponent", lambda text: re.sub(r"^([0-9]+)e\+?([0-9])$", _written_out, text)),
    ("a decimal zero", lambda text: re.sub(r"^([0-9]+)[.,]0*$", r"\1", text)),
    ("leading zeros", lambda text: re.sub(r"(?<![0-9.,])0+(?=[0-9])", "", text)),
)


def person(identity: str) -> str:
    """Give what all spellings of an identity have in common.

    >>> person("sub-007"), person("7"), person("SUB 7")
    ('7', '7', '7')
    """
    return _without(identity, None)


def looks(identity: str) -> str:
    """Give an identity with digits for the letters that are typed for them, O for 0 and l for 1.

    >>> looks("PO7"), looks("P07"), looks("Polly")
    ('p07', 'p07', 'polly')
    """
    text = _composed(_composed(identity).casefold())
    return re.sub(
        r"[oil]+(?=[0-9])|(?<=[0-9])[oil]+", lambda found: found[0].translate(_FOR_DIGITS), text
    )


def differences(one: str, other: str) -> list[str]:
    """Name what tells two spellings of one identity apart, such as ['case', 'leading zeros']."""
    names = dict.fromkeys(name for name, _ in _STEPS)
    found = [name for name in names if _without(one, name) != _without(other, name)]
    return found or ["spelling"]  # what several steps would take away, such as a no-break space


def _without(identity: str, left_out: str | None) -> str:
    """Take all away that may differ, but for one thing."""
    for name, step in _STEPS:
        if name != left_out:
            identity = step(identity)
    return identity


def _composed(text: str) -> str:
    """Give a text in compatibility form NFKC, with one hyphen for every dash, digits 0 to 9."""
    return "".join(map(_plain, unicodedata.normalize("NFKC", text)))


def _plain(character: str) -> str:
    """Give the digit or the hyphen that a character is in another script."""
    if unicodedata.category(character) == "Pd" or character == "\u2212":
        return "-"
    return str(unicodedata.decimal(character, character))


def _written_out(number: re.Match[str]) -> str:
    """Give what a spreadsheet has read as a number with an exponent without it."""
    return number[1] + "0" * int(number[2])
