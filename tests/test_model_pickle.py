# SPDX-License-Identifier: Apache-2.0
"""A model that is sent to another process answers there with the same bits, or not at all."""

import copy
import multiprocessing
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import ModelError
from nigroedge.model import load_model
from tests import onnx_files
from tests.model_family import write_family

NET = onnx_files.random_net(seed=1)
PATCHES = np.random.default_rng(0).uniform(0.5, 1.5, (3, *NET.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    path.write_bytes(onnx_files.float_model(NET).SerializeToString())
    return path


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    folder = tmp_path_factory.mktemp("family")
    write_family(folder)
    return folder


def answers(model):
    """Runs in another process."""
    return model.predict_patches(PATCHES).tolist(), model.sha256, str(model.path), model.engine.name


def test_a_process_of_its_own_gives_the_same_bits_without_the_file(path, tmp_path):
    here = tmp_path / "gone.onnx"
    here.write_bytes(path.read_bytes())
    model = load_model(here, threads=1)
    here.unlink()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(answers, (model,))

    assert answers(model) == there


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("tiny.onnx", "native"),
        ("tiny.onnx", "onnx"),
        ("tiny.int8.onnx", "onnx"),
        ("tiny.int8.xml", "openvino"),
    ],
)
def test_every_kind_of_file_travels_with_its_engine(family, name, engine):
    model = load_model(family / name, engine=engine, threads=1)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert (model.sha256, model.spec) == (other.sha256, other.spec)
        assert (engine, 1) == (other.engine.name, other.engine.threads)
        patches = np.ones((1, *model.spec.grid.shape), np.float32)
        assert model.predict_patches(patches) == other.predict_patches(patches)


@given(st.data())
def test_a_byte_that_changed_on_the_way_is_found(path, data):
    model = load_model(path, threads=1)
    make, (name, content, *rest) = model.__reduce__()
    at = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[at] ^= data.draw(st.integers(1, 255))

    with pytest.raises(ModelError):
        make(name, bytes(changed), *rest)


def test_the_hash_is_named(path):
    model = load_model(path, threads=1)
    make, (name, content, weights, sha256, *engine) = model.__reduce__()

    with pytest.raises(ModelError, match=f"expected SHA-256 {'0' * 64}, got {sha256}"):
        make(name, content, weights, "0" * 64, *engine)
