# SPDX-License-Identifier: Apache-2.0
"""A process that gets so many threads and no more, as under a limit of processes (RLIMIT_NPROC).

That limit does not bind root, so pthread_create is stood in for by a library that is loaded first.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

static int given;

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                   void* argument) {
    const char* most = getenv("TEST_MOST_THREADS");
    if (most != NULL && __atomic_add_fetch(&given, 1, __ATOMIC_RELAXED) > atoi(most)) return EAGAIN;
    int (*create)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*) =
        (int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*))dlsym(
            RTLD_NEXT, "pthread_create");
    return create(thread, attributes, start, argument);
}
"""


def environment(folder: Path, most: int) -> dict[str, str]:
    """The environment of a process that may start `most` threads beside its first."""
    compiler = shutil.which("cc")
    if compiler is None or not Path("/proc/self/maps").exists():
        pytest.skip("needs Linux and a C compiler, to refuse threads")
    source, library = folder / "no_threads.c", folder / "no_threads.so"
    source.write_text(_SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return {**os.environ, "LD_PRELOAD": str(library), "TEST_MOST_THREADS": str(most)}
