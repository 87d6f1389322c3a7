# SPDX-License-Identifier: Apache-2.0
"""The numeric contract: every preset and the bundled model, on every engine, against torch."""

import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from export.__main__ import main
from export.commands.arguments import PRESET_NAMES
from export.conventions import METHOD, Conventions
from export.from_torch import export
from export.imported import convert
from export.init import random_model
from export.parity import Refusal, Row, parity, table
from export.promise import Errors
from export.quantize import quantize
from export.samples import Samples, simulated_samples
from export.siblings import sibling_paths
from export.to_onnx import write_model
from nigroedge.engine import ENGINES
from nigroedge.model import REFERENCE, load_model
from tests import strangers
from tests.cohorts import save_image
from tests.onnx_files import CARD, float_model, oracle, random_net, spec_of

#: Sums of convolutions are as long on few voxels; the bundled model is tested on all of them.
SHAPES = dict.fromkeys(PRESET_NAMES, (24, 24, 16)) | {"bae2023": (12, 12, 8)}


@cache
def drawn(grid, purpose, n_patches):
    """Draw what presets of one grid share: they are as the method wants its patches."""
    spec = replace(METHOD.spec(grid.shape, CARD), grid=grid)
    return simulated_samples(spec, purpose=purpose, n_patches=n_patches, seed=0)


@pytest.mark.parametrize("preset", PRESET_NAMES)
def test_presets_with_random_weights_keep_every_promise(preset, tmp_path):
    model = tmp_path / f"{preset}.onnx"
    network, spec = random_model(preset, seed=0, shape=SHAPES[preset])
    write_model(model, network, spec)
    quantize(model, drawn(spec.grid, "calibrate", 16))
    checked = drawn(spec.grid, "check", 8)

    rows = parity(model, checked, threads=1)

    print(table(rows))
    assert all(row.passed for row in rows), table(rows)
    ran = {(row.model, row.engine) for row in rows if isinstance(row, Row)}
    assert {(f"{preset}.onnx", "onnx"), (f"{preset}.onnx", "openvino")} <= ran
    assert {(f"{preset}.int8.onnx", "onnx"), (f"{preset}.int8.xml", "openvino")} <= ran


@pytest.mark.skipif(not Path(REFERENCE).is_file(), reason="the reference model is not bundled yet")
def test_the_reference_model_keeps_every_promise():
    spec = load_model().spec
    checked = simulated_samples(spec, purpose="check", n_patches=8, seed=0)

    rows = parity(Path(REFERENCE), checked, threads=1)

    assert all(row.passed for row in rows), table(rows)
    assert {"reference.onnx", "reference.int8.onnx", "reference.int8.xml"} == {
        row.model for row in rows
    }
    assert all(row.errors.rho_c_loss is not None for row in rows if isinstance(row, Row))


NET = random_net(shape=(8, 8, 6))


def tiny(path, **changes):
    path.write_bytes(float_model(NET, spec_of(NET, **changes).to_metadata()).SerializeToString())
    return path


def some_samples(n=6):
    patches = np.random.default_rng(0).normal(1, 0.2, (n, 8, 8, 6)).astype(np.float32)
    return Samples(patches, oracle(NET, patches) + np.linspace(-1, 1, n), "made up")


def test_torch_in_float64_is_the_oracle(tmp_path):
    samples = some_samples()
    rows = parity(tiny(tmp_path / "tiny.onnx"), samples, threads=1)
    got = load_model(tmp_path / "tiny.onnx").predict_patches(samples.patches)

    assert ["torch float32", "torch float64", *ENGINES] == [row.engine for row in rows]
    np.testing.assert_allclose(got, oracle(NET, samples.patches), atol=1e-5)


def test_concordance_is_asked_only_of_models_that_report_scores(tmp_path):
    silent = tiny(tmp_path / "silent.onnx")
    scored = tiny(tmp_path / "scored.onnx", card=replace(CARD, metrics={"rho_c": 0.5}))

    assert all(row.errors.rho_c_loss is None for row in parity(silent, some_samples(), threads=1))
    rows = [r for r in parity(scored, some_samples(), threads=1) if isinstance(r, Row)]
    assert all(abs(row.errors.rho_c_loss) < 1e-4 for row in rows)


def raise_answers(path, by):
    """Add to the bias of a file's last layer."""
    changed = onnx.load(path)
    name = changed.graph.node[-1].input[2]
    bias = next(t for t in changed.graph.initializer if t.name == name)
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(by), name))
    onnx.save(changed, path)


def test_a_sibling_with_another_bias_breaks_its_promise(tmp_path, capsys):
    model = tiny(tmp_path / "tiny.onnx")
    assert 0 == main(["quantize", str(model), "--patches", "8"])
    sibling = sibling_paths(model)["onnx"]
    raise_answers(sibling, 0.2)
    capsys.readouterr()

    assert 1 == main(["parity", str(model), "--patches", "4", "--threads", "1"])
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith(sibling.name)]
    assert line.endswith("FAIL")
    assert sibling.exists()  # its promise was not asked for on anybody's patches


@pytest.fixture
def cohort(tmp_path):
    """A cohort table: both sides of twelve participants, dealt out; images of all but one noise."""
    voxels = np.random.default_rng(0).integers(100, 900, (40, 40, 24)).astype(np.int16)
    affine = np.diag([-0.5, -0.5, 1.0, 1.0])
    lines = ["participant_id,image,side,x,y,z,sbr,split"]
    for i in range(12):
        split = ("train", "train", "train", "train", "validation", "test")[i % 6]
        y, z = -7 - 0.5 * (i % 4), 10 + i % 4
        voxels[0, 0, 0] = i  # one file for all would be refused
        save_image(tmp_path / f"{i}.nii", voxels, affine)
        lines += [f"P{i},{i}.nii,left,-14,{y},{z},{1 + i / 6},{split}"]
        lines += [f"P{i},{i}.nii,right,-6,{y},{z},2,{split}"]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(lines))
    return table


def test_a_sibling_that_breaks_its_promise_on_a_table_is_removed(tmp_path, cohort, capsys):
    model = tiny(tmp_path / "tiny.onnx")
    assert 0 == main(["quantize", str(model), "--table", str(cohort)])
    lost, kept = sibling_paths(model).values()
    for path in (lost, kept):  # which are compared with the float file
        assert 1 == main(["parity", str(path), "--patches", "2"])
        assert f"model file {path.name}: expected the float32 .onnx" in capsys.readouterr().err
    raise_answers(lost, 1)
    capsys.readouterr()

    assert 1 == main(["parity", str(model), "--table", str(cohort), "--threads", "1"])
    said = capsys.readouterr().out.splitlines()
    assert (kept.exists(), lost.exists()) == (True, False)
    why = "worst 1 > 0.15 SBR, mean 1 > 0.05 SBR, self-test 1 > 0.15 SBR"
    assert f"removed {lost}: {why}, on 4 patches of table.csv, split test" == said[-1]
    assert "the promise of int8 holds for tiny.int8.xml on openvino" in said
    assert f"the promise of float32 holds for tiny.onnx on {', '.join(ENGINES)}" in said


def test_a_table_without_splits_serves_twice_and_that_is_said(tmp_path, cohort, capsys):
    model = tiny(tmp_path / "tiny.onnx")
    rows = [line.rpartition(",")[0] for line in cohort.read_text().splitlines()]
    cohort.write_text("\n".join(rows))
    assert 0 == main(["quantize", str(model), "--table", str(cohort)])
    said = capsys.readouterr().out
    assert "24 patches of table.csv, which has no splits, and checked on the same\n" in said

    assert 0 == main(["parity", str(model), "--table", str(cohort), "--threads", "1"])
    note = "table.csv has no splits: INT8 that was calibrated with it was compared on the same"
    assert capsys.readouterr().out.splitlines()[-1] == note
    cohort.write_text("\n".join(rows[:2]))
    assert 1 == main(["quantize", str(model), "--table", str(cohort)])
    assert "got 1 (1 patch of table.csv, which has no splits)" in capsys.readouterr().err


def test_the_siblings_of_the_bundled_model_stay(tmp_path, cohort, monkeypatch):
    model = tiny(tmp_path / "tiny.onnx")
    assert 0 == main(["quantize", str(model), "--table", str(cohort)])
    raised, _ = sibling_paths(model).values()
    raise_answers(raised, 1)
    monkeypatch.setattr("export.parity.REFERENCE", str(model))

    assert 1 == main(["parity", str(model), "--table", str(cohort), "--threads", "1"])
    assert raised.exists()


@pytest.mark.filterwarnings("ignore")  # of torch's exporter, about itself
@pytest.mark.parametrize(
    "factory", [strangers.sfcn, strangers.leaky_strided], ids=lambda f: f.__name__
)
def test_networks_of_others_keep_every_promise_on_a_table(factory, tmp_path, cohort, capsys):
    model, shape = tmp_path / "theirs.onnx", strangers.shape_of(factory)
    said = Conventions(side="both", normalize="minmax", axes="ALI", scale=2.0)
    content = export(strangers.build(factory), shape, "torchscript")
    convert(content, model, said, CARD, shape=shape, offset=0.5)

    assert 0 == main(["quantize", str(model), "--table", str(cohort)])
    siblings = sibling_paths(model)
    said = capsys.readouterr()
    *written, note = said.out.splitlines()
    assert [str(path) for path in siblings.values()] == written
    assert (
        "calibrated with 16 patches of table.csv, split train; "
        "checked on 4 patches of table.csv, split validation"
    ) == note
    assert (
        "warning: 16 patches are few to calibrate with: of those that follow, one in 17" in said.err
    )
    assert 0 == main(["parity", str(model), "--table", str(cohort), "--threads", "1", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert {"4 patches of table.csv, split test"} == {row["patches"] for row in rows}
    assert {(model.name, name) for name in ENGINES} | {
        (path.name, engine) for engine, path in siblings.items()
    } <= {(row["model"], row["engine"]) for row in rows if row["passed"]}
    quantised = onnx.load(siblings["onnx"]).graph
    assert {"Conv", "QuantizeLinear"} <= {node.op_type for node in quantised.node}


def test_where_torch_lacks_an_operator_onnx_itself_is_compared_with(tmp_path, capsys):
    made = float_model(NET, spec_of(NET).to_metadata())
    made.graph.node[-1].output[0] = "before"
    made.graph.node.append(onnx.helper.make_node("HardSwish", ["before"], ["sbr"], "end"))
    onnx.save(made, tmp_path / "tiny.onnx")

    # Of the self-test too, whose value in the file is of the graph without it.
    asked = ["parity", str(tmp_path / "tiny.onnx"), "--patches", "2", "--json"]
    assert 1 == main(asked)
    torch_row, reference, native, *others = json.loads(capsys.readouterr().out)
    assert "model file tiny.onnx: node HardSwish 'end': torch cannot" in torch_row["reason"]
    assert ("onnx float64", 0.0) == (reference["engine"], reference["worst"])
    assert "does not run node HardSwish" in native["reason"]
    assert ["onnx", "openvino"] == [row["engine"] for row in others]


def test_answers_that_are_no_sbr_are_said_to_be_measured_in_their_sd():
    errors = Errors(worst=3e-4, mean=1e-4, selftest=0.0, rho_c_loss=None)
    row = Row("m.onnx", "native", "float32", errors, spread=4.0, unit=4.0, patches="2 patches")
    head, _, line, verdict = table([row]).splitlines()

    assert head.startswith("on 2 patches: the answers have an SD of 4 SBR, and some are")
    assert "≤ 0.0004, 0.0004, ρc 0.0001" in line
    assert "the promise of float32 holds for m.onnx on native" == verdict


def test_a_number_that_is_none_is_null_in_json():
    errors = Errors(worst=math.nan, mean=math.inf, selftest=0.0, rho_c_loss=None)
    row = Row("m", "e", "int8", errors)
    said = json.loads(json.dumps(row.to_dict(), allow_nan=False))

    assert (None, None, 0.0, None) == tuple(
        said[k] for k in ("worst", "mean", "selftest", "rho_c_loss")
    )
    assert not said["passed"]


def test_quantize_then_parity_by_command(tmp_path, capsys):
    path = tiny(tmp_path / "tiny.onnx")

    # Enough to see the range of values that others have: a random net promises nothing by itself.
    assert 0 == main(["quantize", str(path), "--patches", "64"])
    *written, note = capsys.readouterr().out.splitlines()
    assert written == [str(sibling) for sibling in sibling_paths(path).values()]
    assert (
        "calibrated with 64 simulated patches, seed 0 for calibrate, and checked on the same"
        == note
    )
    assert 0 == main(["parity", str(path), "--patches", "8", "--threads", "1", "--json"])
    said = capsys.readouterr()
    rows = json.loads(said.out)
    assert {"tiny.onnx", "tiny.int8.onnx", "tiny.int8.xml"} == {row["model"] for row in rows}
    assert all(row["passed"] for row in rows)
    assert "tiny.int8.xml, openvino: 100%" in said.err  # how far it is


def test_the_table_shows_a_refusal_and_its_reason():
    refusal = Refusal("m.onnx", "native", "no kernel for Add")

    assert "not run: no kernel for Add" in table([refusal])
    assert refusal.passed


@pytest.fixture(autouse=True)
def same_threads():
    """Parity sets torch's threads; give them back to the other tests."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
