# SPDX-License-Identifier: Apache-2.0
"""Names that are imported when they are used: each is where its package says, and none before."""

import importlib
import subprocess
import sys

import pytest

from nigroedge.lazy import lazily


def test_a_name_comes_from_its_home():
    get = lazily("collections", {"Mapping": "abc"})

    assert importlib.import_module("collections.abc").Mapping is get("Mapping")
    with pytest.raises(AttributeError, match="module 'collections' has no attribute 'Nothing'"):
        get("Nothing")


@pytest.mark.parametrize("package", ["nigroedge.smwi", "nigroedge.study"])
def test_every_public_name_of_a_package_is_there(package):
    module = importlib.import_module(package)

    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        module.nothing  # noqa: B018


@pytest.mark.parametrize("package", ["nigroedge.smwi", "nigroedge.study"])
def test_importing_a_package_imports_none_of_its_modules(package):
    code = f"import sys, {package}; print(*(m for m in sys.modules if m.startswith('{package}.')))"

    assert "" == subprocess.check_output([sys.executable, "-c", code], text=True).strip()
