# SPDX-License-Identifier: Apache-2.0
"""Every error that nigroedge raises, in one tree.

    NigroedgeError
    ├── InputError                  what was given cannot be used
    │   ├── FormatError             a file is not what it claims to be
    │   ├── GeometryError           the voxels are not where a patch needs them, or nobody can tell
    │   └── DegeneratePatchError    constant, not finite, or with no mean to divide by
    ├── ModelError                  a model file breaks the contract, or its self-test
    ├── MissingDependencyError      an optional package is needed; the message has the pip line
    └── InternalError               our own bug

A message says what was expected, what came, and where;
it never holds a patient's name or identifier.
"""


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


class ModelError(NigroedgeError):
    """A model file breaks the contract of a model, or fails its self-test."""


class MissingDependencyError(NigroedgeError):
    """An optional package is not installed; the message says how to install it."""


class InternalError(NigroedgeError):
    """A bug in nigroedge itself."""
