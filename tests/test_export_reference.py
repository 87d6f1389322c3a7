# SPDX-License-Identifier: Apache-2.0
"""The whole chain in miniature: from nothing to a bundled model and its scores, and on again."""

import json
import re
from dataclasses import asdict

import pytest

from export.__main__ import main as export
from export.chain import MINIATURE, REFERENCE, Chain
from export.cohort import deal
from export.reference import bundle, reference
from nigroedge.artefact import read_artefact
from nigroedge.cli import main as nigroedge
from nigroedge.errors import NigroedgeError
from nigroedge.model import REFERENCE as REFERENCE_FILE
from nigroedge.model import load_model, read_spec
from tests.conftest import ROOT

#: As the command line prints it, and as JSON, where pages cut it short.
QUOTED = re.compile(r'\breference"?, "?sha256"?:? "?([0-9a-f]+)')


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A chain that was cut off after its first model, and run again."""
    folder = tmp_path_factory.mktemp("chain")
    with pytest.raises(NigroedgeError, match="train resnet: exit code 1"):
        run(folder, export=lambda line: 1 if "resnet" in line else export(line))
    run(folder, export=export)
    return folder


def run(folder, export=export, nigroedge=nigroedge):
    return reference(Chain(MINIATURE, folder, 1, export, nigroedge))


def test_the_chain_leaves_scores_with_every_baseline_beside_them(folder):
    results = json.loads((folder / "results.json").read_text())

    for cohort, n, models in (
        ("study", 2, ["reference", "reference.int8"]),
        ("large", 2, ["reference", "reference.int8", "n0003", "n0006"]),
        ("contest", 2, ["n0003", "resnet"]),
    ):
        people = results[cohort]["participant"]
        assert n == people["n"]
        assert {*models, "constant", "oracle"} == set(people["scores"]) - {"reading"}
        assert f"{models[0]} - {models[1]}" in people["comparisons"]
    curve = results["learning_curve"]["participant"]
    assert [3, 6] == [point["participants"] for point in curve["points"]]
    assert {"constant", "oracle"} == set(curve["baselines"]) - {"reading"}
    assert "not comparable with any published score" in results["notice"][0]
    assert {"fast cohort", "physical cohort", "train reference", "train resnet", "quantise"} <= set(
        results["seconds"]
    )
    assert "<svg" in (folder / "learning-curve.svg").read_text()


def test_the_report_is_written_for_every_evaluation(folder):
    for name in ("study", "large", "contest"):
        assert "not comparable" in (folder / name / "report.html").read_text()


def test_the_command_prints_one_object(folder, capsys):
    (folder / "reference" / "reference.int8.onnx").unlink()  # so that a command runs, which prints

    assert 0 == export(["reference", "--miniature", "--json", "--threads", "1", "-o", str(folder)])
    assert {"written": [str(folder / "results.json")]} == json.loads(capsys.readouterr().out)


def test_what_is_there_is_not_done_again(folder):
    def never(line):
        raise AssertionError(f"ran {line}")

    assert folder / "results.json" == run(folder, export=never, nigroedge=never)


def test_a_run_that_was_begun_is_resumed(folder, monkeypatch):
    (folder / "n0003" / "n0003.onnx").unlink()
    lines = []

    def listed(line):
        lines.append(line)
        return export(line)

    run(folder, export=listed)
    assert ["train"] == [line[0] for line in lines]
    assert "--resume" in lines[0]


def test_the_bundle_is_the_model_with_its_siblings(folder, tmp_path):
    (tmp_path / "models").mkdir()
    bundle(MINIATURE, folder, tmp_path / "models", tmp_path / "study")

    assert {f"reference.{end}" for end in ("onnx", "int8.onnx", "int8.xml", "int8.bin")} == {
        path.name for path in (tmp_path / "models").iterdir()
    }
    assert "reference" == load_model(tmp_path / "models" / "reference.onnx").spec.card.name
    logs = {f"{name}-log.svg" for name in ("n0006", "reference", "resnet")}
    assert {"results.json", "learning-curve.svg", *logs} == {
        path.name for path in (tmp_path / "study").iterdir()
    }


def test_what_is_quoted_of_the_bundled_model_is_of_the_bundled_files():
    results = json.loads((ROOT / "docs/study/results.json").read_text())
    for name in ("reference", "reference.int8"):
        artefact = read_artefact(ROOT / f"nigroedge/models/{name}.onnx")
        assert [artefact.sha256] == [file["sha256"] for file in results["models"][name]]
        assert results["card"] == asdict(read_spec(artefact).card)
    sha256 = read_artefact(REFERENCE_FILE).sha256
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    quoted = [hexadecimal for page in pages for hexadecimal in QUOTED.findall(page.read_text())]

    assert len(quoted) >= 2
    assert [] == [text for text in quoted if not sha256.startswith(text)]


def test_the_reference_plan_is_that_of_the_study():
    learners = [split for split in deal(REFERENCE.fast, 0) if split != "test"]

    assert (50, 100, 200, 293, 1000, 2000, len(learners)) == REFERENCE.curve
    assert 10000 == len(learners)
    assert 962 == deal(REFERENCE.tested, 0).count("test")
    assert 74 == deal(REFERENCE.study, 0).count("test")


@pytest.mark.parametrize("plan", [REFERENCE, MINIATURE])
def test_nobody_who_is_tested_was_learned_from(plan):
    fast, physical, tested = (deal(n, 0) for n in (plan.fast, plan.physical, plan.tested))
    in_test = {n for n, split in enumerate(tested) if split == "test"}

    assert all(fast[n] == "test" for n in in_test)
    assert all(split == "test" for n, split in enumerate(physical) if n in in_test)
    if plan is REFERENCE:  # the miniature cuts inside a block
        assert physical[: plan.study] == deal(plan.study, 0)
