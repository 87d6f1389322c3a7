# SPDX-License-Identifier: Apache-2.0
"""verify tells engines that keep their promise from engines that do not, or are not there."""

import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest

from nigroedge import cli, command
from nigroedge import verify as verify_module
from nigroedge.engine import ENGINES
from nigroedge.errors import InputError, MissingDependencyError, ModelError
from nigroedge.verify import FIRST_SUBJECT, broken_promise, refusals, verify
from tests.model_family import NET, int8_model, write_family, write_model
from tests.onnx_files import spec_of


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """Time two runs instead of many: nothing here asserts a time."""
    monkeypatch.setattr(verify_module, "N_TIMED", 2)


@pytest.fixture
def family(tmp_path):
    return write_family(tmp_path, mirror="none")


def checks_of(path):
    return {(check.file, check.engine): check for check in verify(path, threads=1, n_patches=2)}


def spoiled(offset):
    """The network with its answers moved by `offset` SBR."""
    head, bias = NET.head
    return replace(NET, head=(head, bias + np.float32(offset)))


def test_every_file_runs_on_every_engine_that_can_run_it(family):
    checks = checks_of(family)
    expected = {
        (file, engine)
        for file, kind in (
            ("tiny.onnx", "onnx"),
            ("tiny.int8.onnx", "onnx-qdq"),
            ("tiny.int8.xml", "openvino"),
        )
        for engine, entry in ENGINES.items()
        if kind in entry.runs
    }

    assert expected == set(checks)
    assert "tiny.onnx" == next(iter(checks))[0]
    assert {"pass"} == {check.status for check in checks.values()}
    assert 0 == checks["tiny.onnx", "native"].worst_difference
    for check in checks.values():
        assert abs(check.selftest_difference) <= (0.15 if check.quantised else 1e-4)
        assert 0 <= check.mean_difference <= check.worst_difference
        assert check.one_side_ms > 0 < check.two_sides_ms
        assert (1, "") == (check.threads, check.reason)


def test_any_of_the_siblings_names_the_family(family):
    expected = set(checks_of(family))

    assert expected == set(checks_of(family.with_name("tiny.int8.onnx")))
    assert expected == set(checks_of(family.with_name("tiny.int8.xml")))


@pytest.mark.parametrize(
    ("offset", "words"),
    [
        (0.3, "self-test on engine 'onnx' gives"),
        (0.1, "SBR from "),
    ],
)
def test_an_int8_file_that_strays_is_found(family, capsys, offset, words):
    metadata = spec_of(NET, mirror="none").to_metadata()
    onnx.save(int8_model(spoiled(offset), metadata), family.with_name("tiny.int8.onnx"))
    checks = checks_of(family)

    assert "fail" == checks["tiny.int8.onnx", "onnx"].status
    assert words in checks["tiny.int8.onnx", "onnx"].reason
    assert "pass" == checks["tiny.onnx", "onnx"].status
    assert 1 == cli.main(["verify", str(family), "--threads", "1"])
    out, err = capsys.readouterr()
    assert " FAIL\n" in out
    assert words in out
    assert "" == err


@pytest.mark.parametrize(
    ("quantised", "mean", "worst", "words"),
    [
        (False, 1e-5, 1e-4, ""),
        (False, 1e-5, 2e-4, "expected at most 0.0001 SBR from the float model, got 0.0002"),
        (True, 0.05, 0.15, ""),
        (True, 0.04, 0.16, "expected at most 0.15 SBR from the float model, got 0.16"),
        (True, 0.06, 0.15, "expected a mean of at most 0.05 SBR from it, got 0.06"),
    ],
)
def test_promises(quantised, mean, worst, words):
    assert words == broken_promise(quantised, mean, worst)


def test_an_engine_that_is_not_installed_is_listed_as_such(family, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "openvino", None)
    check = checks_of(family)["tiny.int8.xml", "openvino"]

    assert "not installed" == check.status
    assert "pip install 'nigroedge[openvino]'" in check.reason
    assert 0 == cli.main(["verify", str(family), "--threads", "1"])
    assert "not installed\n" in capsys.readouterr().out


def test_without_an_engine_for_the_float_model_there_is_nothing_to_compare(family, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    family.unlink()  # the built-in engine runs it wherever nigroedge does
    family.with_name("tiny.int8.onnx").unlink()
    family = family.with_name("tiny.int8.xml")

    with pytest.raises(MissingDependencyError, match="pip install"):
        checks_of(family)


def not_native(path):
    """Write a model that ends in an operator of which the built-in engine knows nothing."""
    made = onnx.load(write_model(path, mirror="none"))
    made.graph.node[-1].output[0] = "before"
    made.graph.node.append(onnx.helper.make_node("Identity", ["before"], ["sbr"], "end"))
    onnx.save(made, path)
    return path


def test_engines_that_run_a_file_are_named_and_can_be_asked_for(tmp_path, capsys):
    path = not_native(tmp_path / "tiny.onnx")

    assert ["", ""] == [refusals(path)[name] for name in ("onnx", "openvino")]
    assert 1 == cli.main(["verify", str(path), "--threads", "1"])
    said = capsys.readouterr().err
    assert "does not run node Identity 'end'" in said
    assert said.endswith("; here it can be verified with --engine onnx or --engine openvino\n")
    for engine in ("onnx", "openvino"):
        assert 0 == cli.main(["verify", str(path), "--threads", "1", "--engine", engine])
        row = capsys.readouterr().out.splitlines()[-1].split()
        assert ["tiny.onnx", engine, "PASS"] == [*row[:2], row[-1]]


def test_an_engine_that_is_asked_for_runs_all_it_can_and_no_other_does(family):
    checks = [*verify(family, engine="openvino", threads=1, n_patches=2)]

    assert {"openvino"} == {check.engine for check in checks}
    assert ["tiny.onnx", "tiny.int8.onnx", "tiny.int8.xml"] == [check.file for check in checks]
    assert {"pass"} == {check.status for check in checks}


def test_no_engine_runs_a_file_that_fails_its_self_test(tmp_path, capsys):
    family = write_model(tmp_path / "lone.onnx", mirror="none")
    changed = onnx.load(family)
    wrong = replace(spec_of(NET, mirror="none"), selftest_sbr=0.0)
    onnx.helper.set_model_props(changed, wrong.to_metadata())
    onnx.save(changed, family)

    assert all("self-test on engine" in refusal for refusal in refusals(family).values())
    assert 1 == cli.main(["verify", str(family), "--threads", "1"])
    assert "verified with" not in capsys.readouterr().err
    with pytest.raises(InputError, match="expected an engine among native, onnx, openvino"):
        next(verify(family, engine="onnxruntime"))


def test_siblings_must_say_the_same(family):
    other = spec_of(NET, mirror="left").to_metadata()
    onnx.save(int8_model(NET, other), family.with_name("tiny.int8.onnx"))

    with pytest.raises(ModelError, match="expected the same nigroedge"):
        checks_of(family)


def test_a_file_of_another_name_has_no_family(family, tmp_path):
    lone = write_model(tmp_path / "weights.bin", mirror="none")

    assert {"weights.bin"} == {file for file, _ in checks_of(lone)}


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_model_for_one_side_is_checked_on_that_side(tmp_path, side):
    path = write_model(tmp_path / "model.onnx", side=side, mirror="none")

    assert {"pass"} == {check.status for check in checks_of(path).values()}


def test_one_patch_is_too_few(family):
    with pytest.raises(InputError, match="at least 2 patches, got 1"):
        next(verify(family, n_patches=1))


def test_the_subjects_are_nobody_elses():
    samples = pytest.importorskip("export.samples")
    last = samples.subject_seed(
        "check", samples.SEEDS_PER_PURPOSE - 1, samples.SUBJECTS_PER_SEED - 1
    )

    assert last < FIRST_SUBJECT < command._DEMO_FIRST_SUBJECT
