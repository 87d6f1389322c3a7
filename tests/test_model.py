# SPDX-License-Identifier: Apache-2.0
"""Model files: graph, hash, self-test, and the refusal of everything else."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge import model as model_module
from nigroedge.artefact import MAX_MODEL_BYTES, read_artefact
from nigroedge.errors import DegeneratePatchError, InputError, ModelError
from nigroedge.model import load_model, read_spec, selftest_patch
from tests import onnx_files

NET = onnx_files.random_net(seed=1)
SPEC = onnx_files.spec_of(NET)
METADATA = SPEC.to_metadata()


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    path.write_bytes(onnx_files.float_model(NET).SerializeToString())
    return path


@pytest.fixture(scope="module")
def ir_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("ir") / "tiny.xml"
    onnx_files.save_openvino(onnx_files.float_model(NET), path, METADATA)
    return path


def write(tmp_path, metadata=None, change=lambda model: None):
    """Write the tiny model with other metadata, or changed."""
    model = onnx_files.float_model(NET, metadata)
    change(model)
    path = tmp_path / "changed.onnx"
    path.write_bytes(model.SerializeToString())
    return path


# ---- self-test patch


def selftest_by_definition(shape):
    u, values = 1, []
    for _ in range(int(np.prod(shape))):
        u = (1664525 * u + 1013904223) % 2**32
        values.append((u >> 8) / 2**24 + 0.5)
    return np.array(values).reshape(shape)


@given(st.tuples(*3 * [st.integers(1, 12)]))
def test_the_selftest_patch_is_the_one_of_the_contract(shape):
    if shape == (1, 1, 1):
        shape = (2, 1, 1)
    raw = selftest_by_definition(shape)

    np.testing.assert_allclose(selftest_patch(shape, "mean"), raw / raw.mean(), rtol=1e-6)
    np.testing.assert_allclose(
        selftest_patch(shape, "zscore"), (raw - raw.mean()) / raw.std(), atol=1e-5
    )


def test_a_selftest_patch_of_one_voxel_is_refused_not_divided():
    with pytest.raises(DegeneratePatchError):
        selftest_patch((1, 1, 1), "zscore")


# ---- files


def test_loads_a_model_and_says_what_it_is(model_path):
    model = load_model(model_path, threads=1)

    assert model_path == model.path
    assert hashlib.sha256(model_path.read_bytes()).hexdigest() == model.sha256
    assert SPEC == model.spec
    assert ("native", 1) == (model.engine.name, model.engine.threads)
    assert "onnx" == model.artefact.kind
    assert not model.artefact.quantised


def test_the_hash_of_an_openvino_ir_covers_both_files(ir_path):
    model = load_model(ir_path, threads=1)
    both = ir_path.read_bytes() + ir_path.with_suffix(".bin").read_bytes()

    assert hashlib.sha256(both).hexdigest() == model.sha256
    assert SPEC == model.spec
    assert "openvino" == model.engine.name


def test_without_a_path_the_bundled_reference_is_meant(model_path, monkeypatch):
    monkeypatch.setattr(model_module, "REFERENCE", model_path)

    assert model_path == load_model(threads=1).path


def nifti(path):
    header = np.zeros(352, np.uint8)
    header[:4] = np.array([348], "<i4").view(np.uint8)
    header[344:348] = np.frombuffer(b"n+1\0", np.uint8)
    path.write_bytes(header.tobytes())


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "cannot be read: No such file or directory"),
        (lambda path: path.mkdir(), "expected a regular file"),
        (os.mkfifo, "expected a regular file"),
        (
            lambda path: path.write_bytes(b""),
            "expected an ONNX model, got an empty file",
        ),
        (nifti, "expected an ONNX model, got a NIfTI image: `nigroedge predict`"),
        (lambda path: path.write_text("<net/>"), "not a usable ONNX model"),
        (lambda path: path.write_bytes(b"PK\3\4" + bytes(100)), "got a zip archive, as .xlsx"),
    ],
    ids=["missing", "directory", "pipe", "empty", "nifti", "xml", "zip"],
)
def test_refuses_what_is_not_a_model_file(tmp_path, make, reason):
    path = tmp_path / "model.onnx"
    make(path)

    with pytest.raises(ModelError, match=reason) as refused:
        load_model(path)
    assert str(refused.value).startswith(f"model file {path}: ")
    assert "\n" not in str(refused.value)


def test_refuses_a_file_beyond_the_cap_before_reading_it(tmp_path):
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(MAX_MODEL_BYTES + 1)  # sparse: takes no space

    with pytest.raises(ModelError, match=f"expected at most {MAX_MODEL_BYTES} bytes"):
        read_artefact(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file.truncate(1000), "got 1000: it was cut short meanwhile"),
        (lambda file: file.seek(0, os.SEEK_END) and file.write(b"more"), "added to meanwhile"),
        (lambda file: file.seek(99) and file.write(b"x"), "it was written to meanwhile"),
    ],
    ids=["shorter", "longer", "as long"],
)
def test_a_file_that_changes_while_it_is_read_is_refused(
    model_path, tmp_path, monkeypatch, change, words
):
    path = tmp_path / "model.onnx"
    path.write_bytes(model_path.read_bytes())
    os.utime(path, (1e9, 1e9))  # whatever the clock of the file system, it has moved on since
    read = os.pread

    def read_and_change(*arguments):
        content = read(*arguments)
        with path.open("r+b") as file:
            change(file)
        return content

    monkeypatch.setattr(os, "pread", read_and_change)
    with pytest.raises(ModelError, match=rf"model file {path}: .*expected .* bytes.*{words}"):
        read_artefact(path)


def test_refuses_a_path_with_a_null_byte():
    with pytest.raises(ModelError, match="cannot be read"):
        load_model("a\0b")


def rename(ports, name):
    def change(model):
        getattr(model.graph, ports)[0].name = name
        for node in model.graph.node:
            for names in (node.input, node.output):
                names[:] = [
                    name if n == ("patch" if ports == "input" else "sbr") else n for n in names
                ]

    return change


def resize(ports, axis, size):
    def change(model):
        dim = getattr(model.graph, ports)[0].type.tensor_type.shape.dim[axis]
        dim.Clear()
        dim.dim_value = size

    return change


def add_output(model):
    model.graph.output.append(onnx.helper.make_tensor_value_info("flat", 1, ["n", 4]))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (rename("input", "image"), "expected one input 'patch' float (n, 1, 7, 6, 4), got 'image'"),
        (rename("output", "y"), "expected one output 'sbr' float (n, 1), got 'y' float (n, 1)"),
        (resize("input", 2, 8), "got 'patch' float (n, 1, 8, 6, 4)"),
        (resize("input", 0, 1), "got 'patch' float (1, 1, 7, 6, 4)"),
        (resize("output", 1, 2), "got 'sbr' float (n, 2)"),
        (add_output, "expected one output 'sbr' float (n, 1), got 'sbr' float (n, 1); 'flat'"),
    ],
)
def test_refuses_a_graph_that_does_not_take_the_patch(tmp_path, change, reason):
    with pytest.raises(ModelError, match=re.escape(reason)):
        read_spec(read_artefact(write(tmp_path, change=change)))


def test_refuses_a_model_without_metadata(tmp_path):
    with pytest.raises(
        ModelError, match=r"expected metadata nigroedge\.format '1' or '2', got none"
    ):
        load_model(write(tmp_path, {}))


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_refuses_to_serve_when_the_selftest_fails(tmp_path, engine):
    wrong = replace(SPEC, selftest_sbr=SPEC.selftest_sbr + 3e-4).to_metadata()

    with pytest.raises(
        ModelError, match=rf"self-test on engine '{engine}' gives .* within 0\.0001"
    ):
        load_model(write(tmp_path, wrong), engine=engine)


def test_refuses_a_model_whose_weights_are_not_numbers(tmp_path):
    def poison(model):
        bias = next(t for t in model.graph.initializer if t.name == "head_b")
        bias.raw_data = np.array([np.nan], np.float32).tobytes()

    with pytest.raises(ModelError, match=r"self-test .* gives nan SBR"):
        load_model(write(tmp_path, change=poison))


# ---- OpenVINO IR


def edit(ir_path, tmp_path, old, new, count=1):
    """Copy the IR with a change in its XML."""
    text = ir_path.read_text()
    assert re.search(old, text)
    path = tmp_path / "edited.xml"
    path.write_text(re.sub(old, new, text, count=count))
    path.with_suffix(".bin").write_bytes(ir_path.with_suffix(".bin").read_bytes())
    return path


BOMB = '<!DOCTYPE net [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (r"\?>", f"?>{BOMB}", "no markup declaration"),
        (r"\?>", "?><!-- -->", "no markup declaration"),
        (r'version="1.0"\?', 'version="1.0" encoding="utf-16"?', "in UTF-8, got another"),
        (r"<net ", "<web ", "expected the XML of an OpenVINO IR: mismatched tag"),
        (r"(?s)<net .*</net>", "<web/>", "whose root is <net>"),
        (r"(?s)<layers>.*</layers>", "<layers/>", "expected 1 to 4096 layers"),
        ('type="ReLU"', 'type="Loop"', "layer 'Loop' of 'opset1' is not among"),
        (
            'type="ReLU" version="opset1"',
            'type="ReLU" version="extension"',
            "layer 'ReLU' of 'extension' is not among",
        ),
        ("<input>", "<body/><input>", "has a <'body'>, which is not allowed"),
        ('size="324"', 'size="320"', "has dims for 324 bytes, but holds 320"),
        ('offset="0"', 'offset="99999"', "but the .bin has"),
        ('offset="0"', 'offset="-1"', "expected a whole number"),
        ('shape="\\?,1,7,6,4"', 'shape="?,1,8,6,4"', r"got 'patch' float \(n, 1, 8, 6, 4\)"),
        ('shape="\\?,1,7,6,4"', 'shape="?,1,?,6,4"', "expected a whole number"),
        ('shape="\\?,1,7,6,4"', f'shape="{"1," * 9}1"', "at most 8 dims"),
        ('element_type="f32"', 'element_type="string"', "element type 'string' is not allowed"),
        ("<edge [^>]*/>", "", "is computed by no layer"),
        ("<format ", '<format value="1"/><format ', "expected one value of rt_info/nigroedge/"),
        ('<format value="1" ?/>', "<format/>", "expected one value of rt_info/nigroedge/"),
        ("<nigroedge>", "<nigroedge/><nigroedge>", "more than one section nigroedge"),
        ('<format value="1"', '<format value="3"', "nigroedge.format '1' or '2', got '3'"),
    ],
)
def test_refuses_a_broken_openvino_ir(ir_path, tmp_path, old, new, reason):
    path = edit(ir_path, tmp_path, old, new, count=0 if "edge" in old else 1)

    with pytest.raises(ModelError, match=reason):
        read_spec(read_artefact(path))


def test_refuses_an_openvino_ir_without_its_bin(ir_path, tmp_path):
    path = tmp_path / "alone.xml"
    path.write_bytes(ir_path.read_bytes())

    with pytest.raises(ModelError, match=r"cannot be read: No such file .*alone\.bin"):
        read_artefact(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_refuses_xml_that_is_not_utf8(ir_path, tmp_path, encoding):
    path = edit(ir_path, tmp_path, "<net ", "<net ")
    path.write_bytes(path.read_text().encode(encoding))

    with pytest.raises(ModelError, match=r"UTF-8|no markup declaration"):
        read_artefact(path)


@given(data=st.data())
def test_a_mutated_openvino_ir_is_read_or_refused(ir_path, tmp_path_factory, data):
    content = ir_path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    n = data.draw(st.integers(0, 20))
    path = tmp_path_factory.getbasetemp() / "mutated.xml"
    path.write_bytes(content[:at] + data.draw(st.binary(max_size=20)) + content[at + n :])
    path.with_suffix(".bin").write_bytes(ir_path.with_suffix(".bin").read_bytes())

    with contextlib.suppress(ModelError):
        read_spec(read_artefact(path))


# ---- prediction


def test_predicts_patches_as_the_oracle_does(model_path):
    patches = np.random.default_rng(0).uniform(0.5, 1.5, (3, *NET.shape)).astype(np.float32)
    got = load_model(model_path, threads=1).predict_patches(patches)

    assert (np.float32, (3,)) == (got.dtype, got.shape)
    np.testing.assert_allclose(got, onnx_files.oracle(NET, patches), atol=1e-5)


def test_patches_in_any_memory_order_give_the_same_bits(model_path):
    model = load_model(model_path, threads=1)
    patches = np.random.default_rng(0).uniform(0.5, 1.5, (3, *NET.shape)).astype(np.float32)

    assert (
        model.predict_patches(patches).tolist()
        == model.predict_patches(np.asfortranarray(patches)).tolist()
    )


@pytest.mark.parametrize(
    ("patches", "reason"),
    [
        (np.ones((2, 7, 6, 4)), r"expected float32 patches \(n, 7, 6, 4\), got float64"),
        (np.ones((7, 6, 4), np.float32), r"got float32 \(7, 6, 4\)"),
        (np.ones((1, 1, 7, 6, 4), np.float32), r"got float32 \(1, 1, 7, 6, 4\)"),
        (np.ones((2, 7, 6, 5), np.float32), r"got float32 \(2, 7, 6, 5\)"),
        (np.full((2, 7, 6, 4), np.nan, np.float32), "expected finite patches"),
    ],
)
def test_refuses_patches_that_the_model_does_not_take(model_path, patches, reason):
    with pytest.raises(InputError, match=reason):
        load_model(model_path, threads=1).predict_patches(patches)


def test_refuses_an_answer_that_is_not_a_number(model_path):
    model = load_model(model_path, threads=1)
    engine = SimpleNamespace(run=lambda patches: np.full(len(patches), np.inf, np.float32))

    with pytest.raises(ModelError, match="its answer is not a finite number"):
        replace(model, engine=engine).predict_patches(np.ones((1, *NET.shape), np.float32))


def test_predict_hands_over_to_the_pipeline(model_path, monkeypatch):
    monkeypatch.setattr(model_module, "predict", lambda volume, **arguments: (volume, arguments))
    model = load_model(model_path, threads=1)

    assert ("volume", {"left": (1, 2, 3), "right": None, "models": model}) == model.predict(
        "volume", left=(1, 2, 3)
    )
