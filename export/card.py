# SPDX-License-Identifier: Apache-2.0
"""The card of a model that was trained here, for those who will use it: no file of ours is named.

A model that goes on from another has learned from what that one had learned from; its card says so,
and that of the one after it too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.spec import make_card
from export.split import Rows
from nigroedge.spec import ModelCard

if TYPE_CHECKING:
    from export.course import Course

#: What the card says of a model, by whether its training participants were simulated.
LIMITS = {
    True: "learned from simulated images alone: its scores show that the software works and say "
    "nothing about patients",
    False: "learned from one table's participants: valid for their scanner and protocol and on "
    "their SBR scale alone",
}
LICENCE = {True: "Apache-2.0", False: "unknown: that of the training data"}


def trained_card(course: Course) -> ModelCard:
    """Write the card of what a course makes, without its scores."""
    return make_card(
        name=course.name,
        licence=_with_start(LICENCE[course.simulated], course, "licence"),
        training_data=_training_data(course),
        limits=_with_start(LIMITS[course.simulated], course, "limits"),
    )


def _training_data(course: Course) -> str:
    config, split = course.config, course.split
    recipe = config.recipe
    chosen = "watched" if recipe.schedule == "one-cycle" else "chosen"
    others = course.count(split.validation)
    own = (
        f"{people(course, split.train)} (batch {recipe.batch}, AdamW {recipe.learning_rate:g} "
        f"{recipe.schedule}, seed {config.seed}); the epochs were {chosen} on {others} "
        f"other{'s' if others > 1 else ''}"
    )
    if course.start is None:
        return own
    return f"{own}; before that, its weights had learned from: {course.start.card.training_data}"


def _with_start(own: str, course: Course, field: str) -> str:
    """Give a text of the card, and beside it that of the model it went on from, if it differs."""
    before = own if course.start is None else str(getattr(course.start.card, field))
    return own if before == own else f"{own}; of the model that it went on from: {before}"


def people(course: Course, part: Rows) -> str:
    """Say how many participants some rows are of, and whether they were simulated."""
    n = course.count(part)
    return f"{n} {'simulated ' if course.simulated else ''}participant{'s' if n > 1 else ''}"
