# SPDX-License-Identifier: Apache-2.0
"""Engines: each gives what a float64 oracle gives, for any batch and threads, in silence."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nigroedge import _core
from nigroedge.artefact import read_artefact
from nigroedge.engine import (
    ENGINES,
    FLOAT_TOLERANCE,
    INT8_TOLERANCE,
    open_engine,
)
from nigroedge.errors import InputError, MissingDependencyError, ModelError
from nigroedge.model import load_model
from tests import onnx_files
from tests.conftest import ROOT

NET = onnx_files.random_net(seed=2)
#: Every engine on every kind of file that it runs.
CASES = [
    ("native", "float.onnx"),
    ("onnx", "float.onnx"),
    ("onnx", "int8.onnx"),
    ("openvino", "float.onnx"),
    ("openvino", "int8.onnx"),
    ("openvino", "float.xml"),
    ("openvino", "int8.xml"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Folder with one tiny network as every kind of file."""
    folder = tmp_path_factory.mktemp("files")
    metadata = onnx_files.spec_of(NET).to_metadata()
    for name, model in (
        ("float", onnx_files.float_model(NET)),
        ("int8", onnx_files.qdq_model(NET)),
    ):
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
        onnx_files.save_openvino(model, folder / f"{name}.xml", metadata)
    return folder


@pytest.fixture(scope="module")
def engines(files):
    """Each case's engine on two threads, opened once."""
    return {case: load_model(files / case[1], case[0], threads=2).engine for case in CASES}


def random_patches(n, seed=0, shape=NET.shape):
    return np.random.default_rng(seed).uniform(0.5, 1.5, (n, *shape)).astype(np.float32)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_agrees_with_the_oracle_for_any_batch(engines, case, n):
    engine = engines[case]
    patches = random_patches(n)
    sbr = engine.run(patches)

    assert (np.float32, (n,)) == (sbr.dtype, sbr.shape)
    np.testing.assert_allclose(
        sbr, onnx_files.oracle(NET, patches), rtol=0, atol=engine.tolerance / 2
    )


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_the_tolerance_follows_from_the_file(engines, case):
    assert (INT8_TOLERANCE if "int8" in case[1] else FLOAT_TOLERANCE) == engines[case].tolerance


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", ENGINES)
def test_agrees_with_the_oracle_for_any_number_of_threads(files, name, threads, monkeypatch):
    monkeypatch.setattr(_core, "usable_processors", lambda: 3)  # more than there may be
    engine = load_model(files / "float.onnx", name, threads).engine
    patches = random_patches(3, seed=threads)

    assert (name, threads) == (engine.name, engine.threads)
    np.testing.assert_allclose(
        engine.run(patches), onnx_files.oracle(NET, patches), rtol=0, atol=FLOAT_TOLERANCE
    )


@settings(max_examples=8)
@given(
    st.integers(0, 2**32),
    st.tuples(*3 * [st.integers(4, 13)]),
    st.lists(st.integers(1, 9), min_size=1, max_size=2),
    st.sampled_from(sorted(ENGINES)),
)
def test_float_engines_agree_with_the_oracle_on_any_network(
    tmp_path_factory, seed, shape, channels, name
):
    net = onnx_files.random_net(seed, shape, channels)
    path = tmp_path_factory.getbasetemp() / "random.onnx"
    path.write_bytes(onnx_files.float_model(net).SerializeToString())
    patches = random_patches(2, seed, shape)

    got = load_model(path, name, threads=1).predict_patches(patches)

    np.testing.assert_allclose(got, onnx_files.oracle(net, patches), rtol=0, atol=FLOAT_TOLERANCE)


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_many_threads_may_share_an_engine(files, case):
    engine = load_model(files / case[1], case[0], threads=1).engine
    inputs = [random_patches(1 + seed % 3, seed) for seed in range(24)]
    expected = [engine.run(patches).tolist() for patches in inputs]

    with ThreadPoolExecutor(4) as pool:
        got = [sbr.tolist() for sbr in pool.map(engine.run, inputs)]

    assert expected == got


def test_the_engine_follows_from_the_file(files):
    names = {
        name: load_model(files / name, threads=1).engine.name
        for name in ("float.onnx", "int8.onnx", "float.xml", "int8.xml")
    }

    assert {
        "float.onnx": "native",
        "int8.onnx": "onnx",
        "float.xml": "openvino",
        "int8.xml": "openvino",
    } == names


def test_an_engine_that_cannot_run_the_file_is_refused_not_replaced(files):
    with pytest.raises(ModelError, match=r"engine 'onnx' runs onnx and .*that run it: openvino"):
        load_model(files / "float.xml", engine="onnx")


def test_an_unknown_engine_is_refused(files):
    with pytest.raises(
        InputError, match="expected an engine among native, onnx, openvino; got 'cuda'"
    ):
        load_model(files / "float.onnx", engine="cuda")


@pytest.mark.parametrize("threads", [0, -1, 1025, True, 1.0, "2"])
def test_a_number_of_threads_that_makes_no_sense_is_refused(files, threads):
    with pytest.raises(InputError, match="threads, got"):
        load_model(files / "float.onnx", threads=threads)


@pytest.mark.parametrize(("name", "package"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_a_missing_package_is_named_with_its_pip_line(files, monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingDependencyError, match=rf"pip install 'nigroedge\[{name}\]"):
        load_model(files / "float.onnx", engine=name)


def break_conv(model):
    """Make a graph that the reader cannot see through: a convolution of another rank."""
    attribute = next(a for a in model.graph.node[0].attribute if a.name == "pads")
    attribute.ints[:] = [1, 1]


def fix_batch(model):
    """Make a graph that takes one patch only; OpenVINO would mend it when it sets the batch."""
    flatten = model.graph.node[-2]
    flatten.op_type = "Reshape"
    del flatten.attribute[:]
    flatten.input.append("one")
    one = onnx.numpy_helper.from_array(np.array([1, NET.head[0].size]), "one")
    model.graph.initializer.append(one)


@pytest.mark.parametrize(
    ("name", "change"), [("onnx", break_conv), ("openvino", break_conv), ("onnx", fix_batch)]
)
def test_what_a_package_refuses_is_one_line_that_names_the_file(tmp_path, name, change):
    model = onnx_files.float_model(NET)
    change(model)
    path = tmp_path / "broken.onnx"
    path.write_bytes(model.SerializeToString())

    with pytest.raises(ModelError) as refused:
        load_model(path, engine=name, threads=1).predict_patches(random_patches(2))
    assert "\n" not in str(refused.value)
    assert f"engine '{name}' cannot run {path}: " in str(refused.value)


def test_an_output_of_another_shape_is_refused(tmp_path):
    model = onnx_files.float_model(NET)
    for tensor in model.graph.initializer[-2:]:  # weight and bias of the head, twice
        doubled = np.concatenate(2 * [onnx.numpy_helper.to_array(tensor)])
        tensor.CopyFrom(onnx.numpy_helper.from_array(doubled, tensor.name))
    path = tmp_path / "two.onnx"
    path.write_bytes(model.SerializeToString())

    engine = open_engine(read_artefact(path), NET.shape, name="openvino", threads=1)
    with pytest.raises(ModelError, match=r"expected the network to give float32 \(1, 1\), got"):
        engine.run(random_patches(1))


#: Makes whatever would leave the process fail, and keeps a list of it.
WATCH = """
    import sys

    LEAVING = ("socket.", "subprocess.", "os.fork", "os.posix_spawn", "os.exec", "os.system")
    heard = []

    def watch(event, arguments):
        if event.startswith(LEAVING):
            heard.append(event)
            raise OSError(f"stopped: {event}")

    sys.addaudithook(watch)
"""

#: Loads and runs a file, and is refused another.
QUIET = """
    import os
    import numpy as np
    from nigroedge.errors import ModelError
    from nigroedge.model import load_model

    path, broken, engine = sys.argv[1:]
    model = load_model(path, engine, threads=2)
    model.predict_patches(np.ones((3, *model.spec.grid.shape), np.float32))
    try:
        load_model(broken, engine, threads=2)
    except ModelError:
        heard.append("refused")
    open_files = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    links = [os.readlink(link) for link in open_files if os.path.lexists(link)]
    heard += [link for link in links if link.startswith("socket:")]
    if sys.modules.get("openvino_telemetry") is not None:
        heard.append("openvino_telemetry")
    if heard != ["refused"]:
        raise SystemExit(repr(heard))
"""

#: What the test would hear of OpenVINO if nothing were blocked: it forks a process that reports.
LOUD = """
    import openvino
    from concurrent.futures import thread
    thread._python_exit()  # waits for the thread that reports
    print(*heard)
"""


def run_python(code, *arguments, home):
    """Run code in a fresh Python; without CI, where OpenVINO and ONNX Runtime report less."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
    )


@pytest.mark.parametrize("name", ENGINES)
def test_nothing_is_printed_and_nothing_leaves_the_process(files, tmp_path, name):
    model = onnx_files.float_model(NET)
    break_conv(model)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(model.SerializeToString())

    done = run_python(WATCH + QUIET, str(files / "float.onnx"), str(broken), name, home=tmp_path)

    assert ("", "", 0) == (done.stdout, done.stderr, done.returncode)
    assert [broken] == list(tmp_path.iterdir())  # no identifier of this user was written


def test_openvino_left_alone_would_have_been_heard(tmp_path):
    assert "os.fork" in run_python(WATCH + LOUD, home=tmp_path).stdout
