# SPDX-License-Identifier: Apache-2.0
"""Every error that nigroedge raises, in one tree, and its one warning.

    NigroedgeError
    ├── InputError                  what was given cannot be used
    │   ├── FormatError             a file is not what it claims to be
    │   ├── GeometryError           the voxels are not where a patch needs them, or nobody can tell
    │   ├── DegeneratePatchError    constant, not finite, or with no mean to divide by
    │   └── TableError              a cohort table has problems; the text lists every one
    ├── ModelError                  a model file breaks the contract, or its self-test
    ├── MissingDependencyError      an optional package is needed; the message has the pip line
    │   └── MissingCoreError        the C++ part was not built where the package was found
    └── InternalError               our own bug

A message says what was expected, what came, and where;
it never holds a patient's name or identifier.
"""

from collections.abc import Sequence


class NigroedgeWarning(UserWarning):
    """What was asked for was done in another way than it says; nothing of a result is changed."""


class NigroedgeError(Exception):
    """Root of every error of this package."""


class InputError(NigroedgeError):
    """What was given cannot be used."""


class FormatError(InputError):
    """A file is not what it claims to be."""


class GeometryError(InputError):
    """The voxels are not where a patch needs them, or nobody can tell where they are."""


class DegeneratePatchError(InputError):
    """The patch is constant, not finite, or has no mean to divide by."""


class TableError(InputError):
    """A cohort table has problems: the text is a heading, and a line for every one of them.

    Parameters
    ----------
    heading : str
        What was read; ends without a colon.
    problems : sequence of str
        In the order of the table's lines; at least one.
    """

    def __init__(self, heading: str, problems: Sequence[str]) -> None:
        self.heading, self.problems = heading, tuple(problems)
        super().__init__(heading, self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        counted = f"{self.heading}: {count} problem{'s' if count > 1 else ''}"
        return "\n  ".join((counted, *self.problems))


class ModelError(NigroedgeError):
    """A model file breaks the contract of a model, or fails its self-test."""


class MissingDependencyError(NigroedgeError):
    """An optional package is not installed; the message says how to install it."""


class MissingCoreError(MissingDependencyError, ImportError):
    """The C++ part was not built where Python found the package; the message says how to."""


class InternalError(NigroedgeError):
    """A bug in nigroedge itself."""
