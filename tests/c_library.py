# SPDX-License-Identifier: Apache-2.0
"""The C library from Python, for tests: what ctypes has to know of it, and programs in C."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
from ctypes import POINTER, byref, c_char, c_double, c_float, c_int32, c_int64, c_size_t, c_void_p
from pathlib import Path

import numpy as np

from examples.predict_ctypes import SIDES, load_library, volume_of
from nigroedge.errors import NigroedgeError
from nigroedge.volume import Volume
from tests.conftest import ROOT

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
OK, BAD_ARGUMENT, BAD_MODEL, BAD_GEOMETRY, SIDE_NOT_SERVED = 0, 1, 3, 5, 7


class NigroModelInfo(ctypes.Structure):
    """struct nigro_model_info of nigroedge.h."""

    _fields_ = (
        ("sizeof_info", c_size_t),
        ("patch_shape", c_int64 * 3),
        ("spacing_mm", c_double * 3),
        ("axes", c_char * 4),
        ("sides", c_int32),
        ("mirrored", c_int32),
        ("num_threads", c_int32),
        ("normalize", ctypes.c_char_p),
        ("isa", ctypes.c_char_p),
        ("card", ctypes.c_char_p),
    )


def run(*command: str | Path, cwd: Path | None = None, **environment: str) -> str:
    """Run a program that must succeed, and give what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | environment,
    )
    assert 0 == done.returncode, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class CModel:
    """A model opened through the C library."""

    def __init__(self, library: ctypes.CDLL, content: bytes) -> None:
        self.library = library
        self.pointer = c_void_p()
        status = library.nigro_model_open_memory(content, len(content), None, byref(self.pointer))
        if status != OK:
            raise NigroedgeError(status, library.nigro_last_error().decode())

    def predict(self, image: Volume, **centres_mm) -> tuple[list[float], list[float]]:
        n = len(centres_mm)
        sbr, coverage = (c_float * n)(), (c_double * n)()
        status = self.library.nigro_predict(
            self.pointer,
            byref(volume_of(image)),
            n,
            (c_int32 * n)(*(SIDES[side] for side in centres_mm)),
            (c_double * (3 * n))(*np.ravel(list(centres_mm.values()))),
            sbr,
            coverage,
        )
        if status != OK:
            raise NigroedgeError(status, self.library.nigro_last_error().decode())
        return list(sbr), list(coverage)

    def info(self) -> NigroModelInfo:
        info = NigroModelInfo(ctypes.sizeof(NigroModelInfo))
        assert OK == self.library.nigro_get_model_info(self.pointer, byref(info))
        return info

    def close(self) -> None:
        self.library.nigro_model_free(self.pointer)


def opened(path: str | Path) -> ctypes.CDLL:
    """Open a library (with dlopen) and declare what the example leaves out."""
    library = load_library(str(path))
    library.nigro_model_open_memory.argtypes = (
        *(ctypes.c_char_p, c_size_t, c_void_p, POINTER(c_void_p)),
    )
    library.nigro_get_model_info.argtypes = (c_void_p, POINTER(NigroModelInfo))
    library.nigro_version.restype = ctypes.c_char_p
    return library


def scan(seed=0, dtype="<i2", shape=(36, 22, 16)) -> Volume:
    """Draw a volume whose voxel (i, j, k) lies at (i/2, j/2, k) − (9, 5, 8) mm."""
    voxels = np.random.default_rng(seed).integers(1, 100, shape).astype(dtype)
    affine = np.diag([0.5, 0.5, 1, 1])
    affine[:3, 3] = -9, -5, -8
    return Volume(voxels, affine)


def exported(path: str | Path) -> set[str]:
    lines = run("nm", "-D", "--defined-only", path).splitlines()
    return {line.split()[-1] for line in lines}


def declared() -> set[str]:
    header = (ROOT / "csrc/include/nigroedge.h").read_text()
    return set(re.findall(r"^NIGRO_API [^;(]*?(nigro_\w+)\(", header, re.M))
