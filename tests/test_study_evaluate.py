# SPDX-License-Identifier: Apache-2.0
"""`nigroedge evaluate`, end to end: images and models in; results, rows and a report out."""

import csv
import io
import json
import re
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from nigroedge import cli
from nigroedge.io.nifti import load_volume, save_volume
from nigroedge.model import load_model
from nigroedge.phantom import SIDES, draw_subject, patch_grid, render
from nigroedge.study.evaluation import SIMULATED, evaluate
from nigroedge.study.figure import figures
from nigroedge.study.outputs import predictions_csv
from nigroedge.study.report import report_html
from nigroedge.study.rho_c import concordance
from nigroedge.study.table import Row, read_table, write_table
from nigroedge.volume import Volume
from tests.model_family import write_model

#: A name that would be run as a script, and one that a spreadsheet would run.
HOSTILE = '<script>alert("x")</script>&'


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """A table of 8 simulated participants, 6 of them for the test, with an image for each side."""
    folder = tmp_path_factory.mktemp("cohort")
    rows = []
    for i in range(8):
        subject = draw_subject(7_000_000 + i, prevalence=i % 2)  # both in the training split
        for side in SIDES:
            state, path = getattr(subject, side), folder / f"{i}-{side}.nii"
            volume = render(subject, *patch_grid(subject, side, (60, 60, 26)))
            save_volume(Volume(np.rint(volume.voxels).astype(np.int16), volume.affine), path)
            rows.append(
                Row(
                    f"sub-{i}",
                    side,
                    image=path,
                    centre_mm=tuple(map(float, state.centroid_mm)),
                    sbr=float(state.sbr),
                    reading="intact" if state.intact else "lost",
                    spect="abnormal" if subject.diseased else "normal",
                    split="test" if i < 6 else "train",
                    expected_sbr=float(state.expected_sbr),
                )
            )
    write_table(folder / "table.tsv", rows)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "a.onnx")
    write_model(folder / "b.onnx", bias=0.5)
    write_model(folder / "left.onnx", side="left", mirror="none")
    write_model(folder / "right.onnx", side="right", mirror="none")
    return folder


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = cli.main(["evaluate", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def evaluated(cohort, models, tmp_path_factory):
    """What --json printed, and the folder that was written."""
    folder = tmp_path_factory.mktemp("evaluated") / "out"
    arguments = (cohort / "table.tsv", "--model", models / "a.onnx", "--model", models / "b.onnx")
    with redirect_stdout(io.StringIO()) as out:
        code = cli.main(
            ["evaluate", *map(str, arguments), "--out", str(folder), "--threads", "1", "--json"]
        )
    assert 0 == code
    return json.loads(out.getvalue()), folder


def rows_of(folder):
    """Read predictions.csv."""
    return list(csv.DictReader(io.StringIO((folder / "predictions.csv").read_text())))


# ---------------------------------------------------------------------------------------- main job


def test_images_become_results_rows_and_a_report(evaluated, cohort, models):
    said, out = evaluated
    results = json.loads((out / "results.json").read_text())

    assert {"report.html", "results.json", "predictions.csv"} == {p.name for p in out.iterdir()}
    assert {**results, "written": said["written"]} == said
    assert "Research use only. Not for diagnosis." == results["notice"]
    assert ("test", 12, True) == (
        *(results["split"], results["evaluated_rows"], results["simulated"]),
    )
    assert ["participant", "left", "right", "side"] == list(results["results"])
    by_participant = results["results"]["participant"]
    assert (6, 6) == (by_participant["n"], by_participant["participants"])
    assert ["a", "b", "constant", "reading", "oracle"] == list(by_participant["performance"])
    assert ["a - b", "a - baseline: reading"] == list(by_participant["comparisons"])
    assert [load_model(models / "a.onnx").sha256, load_model(models / "b.onnx").sha256] == [
        model["files"][0]["sha256"] for model in results["models"]
    ]


def test_every_row_is_predicted_as_predict_would(evaluated, cohort, models):
    _, out = evaluated
    rows = rows_of(out)
    model = load_model(models / "a.onnx", threads=1)
    table = [row for row in read_table(cohort / "table.tsv") if row.split == "test"]

    assert [(row.participant_id, row.side) for row in table] == [
        (row["participant_id"], row["side"]) for row in rows
    ]
    for row, written in zip(table, rows, strict=True):
        volume = load_volume(row.image)
        side = getattr(model.predict(volume, **{row.side: row.centre_mm}), row.side)
        assert side.sbr == float(written["predicted_a"])
        assert row.sbr == float(written["measured"])
        assert side.sbr - row.sbr == float(written["residual_a"])
        assert row.expected_sbr == float(written["baseline_oracle"])


def test_the_scores_are_those_of_the_rows(evaluated):
    results, out = evaluated
    rows = rows_of(out)
    measured, predicted = (
        np.array([float(row[name]) for row in rows]) for name in ("measured", "predicted_b")
    )
    # Both sides of a participant follow one another.
    by_participant = concordance(
        predicted.reshape(-1, 2).mean(axis=1), measured.reshape(-1, 2).mean(axis=1)
    )

    found = results["results"]["participant"]["performance"]["b"]["rho_c"]["value"]
    assert found == pytest.approx(by_participant)
    found = results["results"]["side"]["performance"]["b"]["residuals"]["mae"]["value"]
    assert found == pytest.approx(np.abs(predicted - measured).mean())


def test_predictions_of_the_table_give_what_the_model_gave(run, evaluated, cohort, tmp_path):
    before, out = evaluated
    predicted = {int(row["line"]): float(row["predicted_a"]) for row in rows_of(out)}
    rows = [
        replace(row, image=None, centre_mm=None, predicted={"a": predicted.get(row.line, 9.0)})
        for row in read_table(cohort / "table.tsv")
    ]
    write_table(tmp_path / "predicted.tsv", rows)
    code, out, err = run(tmp_path / "predicted.tsv", "--out", tmp_path / "again", "--json")

    assert (0, "") == (code, err)
    for unit, result in json.loads(out)["results"].items():
        for name in ("a", "constant", "reading", "oracle"):
            assert before["results"][unit]["performance"][name] == result["performance"][name]


def test_models_of_one_side_each_count_as_one(run, cohort, models, tmp_path):
    command = (cohort / "table.tsv", "--out", tmp_path / "out", "--json")
    code, out, _ = run(*command, "--model", models / "right.onnx", "--model", models / "left.onnx")
    assert (0, ["left+right"]) == (code, [model["name"] for model in json.loads(out)["models"]])

    command = (cohort / "table.tsv", "--out", tmp_path / "other")
    code, _, err = run(*command, "--model", models / "left.onnx")
    assert (1, True) == (code, "expected models for both sides, got one for the left" in err)


def test_the_terminal_shows_models_baselines_and_what_they_are_worth(run, cohort, models, tmp_path):
    code, out, err = run(
        *(cohort / "table.tsv", "--model", models / "a.onnx", "--out", tmp_path / "out")
    )

    assert (0, "") == (code, err)
    for part in ("a ", "baseline: constant", "baseline: reading", "baseline: oracle", SIMULATED):
        assert part in out
    assert out.endswith("Research use only. Not for diagnosis.\n")


def test_all_rows_are_evaluated_on_demand_and_said_to_be_trained_on(run, cohort, models, tmp_path):
    code, out, _ = run(
        *(cohort / "table.tsv", "--model", models / "a.onnx", "--split", "all"),
        *("--out", tmp_path / "out", "--json"),
    )
    results = json.loads(out)

    assert (0, 16) == (code, results["evaluated_rows"])
    assert "4 of the 16 evaluated rows are of the training or validation" in results["notes"][0]
    assert "leaving out" in results["baselines"]["constant"]


def test_rows_that_are_not_evaluated_need_no_image(run, evaluated, cohort, models, tmp_path):
    rows = read_table(cohort / "table.tsv")
    bare = [row if row.split == "test" else replace(row, image=None) for row in rows]
    write_table(cohort / "bare.tsv", bare)
    arguments = (cohort / "bare.tsv", "--model", models / "a.onnx")
    code, out, _ = run(*arguments, "--out", tmp_path / "test", "--json")
    refused, _, err = run(*arguments, "--split", "all", "--out", tmp_path / "all")

    assert (0, 1) == (code, refused)
    found = json.loads(out)["results"]["side"]["performance"]
    wanted = evaluated[0]["results"]["side"]["performance"]
    for name in ("a", "constant", "reading", "oracle"):  # means of labels without an image
        assert wanted[name]["residuals"] == found[name]["residuals"]
    assert ["line 14", "line 15", "line 16", "line 17"] == [
        line.strip().partition(":")[0] for line in err.splitlines()[1:]
    ]


# ----------------------------------------------------------------------------------------- refusals


def test_broken_rows_give_one_list_and_nothing_is_written(run, cohort, models, tmp_path):
    lines = (cohort / "table.tsv").read_text().splitlines()
    lines[1] = lines[1].replace("\tleft\t", "\tvasen\t")
    lines[4] = "\t".join([*lines[4].split("\t")[:6], "high", *lines[4].split("\t")[7:]])
    (cohort / "broken.tsv").write_text("\n".join(lines) + "\n")
    code, out, err = run(
        *(cohort / "broken.tsv", "--model", models / "a.onnx", "--out", tmp_path / "out")
    )

    assert (1, "") == (code, out)
    assert [
        f"nigroedge: {str(cohort / 'broken.tsv')!r}: 2 problems",
        "  line 2: expected side left or right, got something else",
        "  line 5: expected sbr to be a finite number, got another text",
    ] == err.splitlines()
    assert not (tmp_path / "out").exists()


def test_broken_images_give_one_list_without_a_name(run, cohort, models, tmp_path):
    rows = read_table(cohort / "table.tsv")
    secret = cohort / "Smith-John.nii"
    secret.write_bytes(rows[0].image.read_bytes()[:-1000])
    rows[0] = replace(rows[0], image=secret)
    rows[1] = replace(rows[1], image=cohort / "Smith-Jane.nii")
    rows[2] = replace(rows[2], centre_mm=(0.0, 500.0, 0.0))
    write_table(cohort / "images.tsv", rows)
    code, out, err = run(
        *(cohort / "images.tsv", "--model", models / "a.onnx", "--out", tmp_path / "out")
    )

    assert (1, "", False) == (code, out, "Smith" in err)
    assert ["  line 2", "  line 3", "  line 4"] == [
        line.partition(":")[0] for line in err.splitlines()[1:]
    ]


@pytest.mark.parametrize(
    ("table", "arguments", "code", "message"),
    [
        ("participant_id,side,sbr\nA,left,2\n", (), 1, "expected --model, or a column predicted"),
        (
            "participant_id,side,sbr,predicted\nA,left,2,1\nA,right,2,\n",
            (),
            1,
            "line 3: expected predicted, got nothing",
        ),
        (
            "participant_id,side,sbr,predicted,split\nA,left,2,1,train\n",
            (),
            1,
            "expected rows of split test, found none",
        ),
        ("participant_id,side,sbr\nA,left,2\n", ("--threads", 2), 2, "expected --model beside"),
        ("participant_id,side,predicted\nA,left,2\n", (), 1, "line 1: expected a column sbr"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(run, tmp_path, table, arguments, code, message):
    (tmp_path / "table.csv").write_text(table)
    got, out, err = run(tmp_path / "table.csv", "--out", tmp_path / "out", *arguments)

    assert (code, "") == (got, out)
    assert message in err


def test_nothing_is_overwritten(run, tmp_path):
    (tmp_path / "t.csv").write_text("participant_id,side,sbr,predicted\nA,left,2,1\nB,left,3,3\n")
    assert 0 == run(tmp_path / "t.csv", "--out", tmp_path / "out")[0]
    before = (tmp_path / "out/report.html").read_bytes()
    code, _, err = run(tmp_path / "t.csv", "--out", tmp_path / "out")

    assert (1, True) == (code, "expected a new file" in err)
    assert before == (tmp_path / "out/report.html").read_bytes()


@pytest.mark.parametrize("module", ["scipy", "matplotlib"])
def test_without_a_package_the_pip_line_is_said(tmp_path, module):
    (tmp_path / "t.csv").write_text("participant_id,side,sbr,predicted\nA,left,2,1\n")
    code = (
        f"import sys; sys.modules[{module!r}] = None; from nigroedge.cli import main; "
        f"sys.exit(main(['evaluate', {str(tmp_path / 't.csv')!r}, '--out', {str(tmp_path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert 1 == done.returncode
    assert "pip install 'nigroedge[plots]'" in done.stderr


def test_a_missing_baseline_is_said_with_its_reason(run, tmp_path):
    (tmp_path / "t.csv").write_text("participant_id,side,sbr,predicted\nA,left,2,1\nB,left,3,3\n")
    _, out, _ = run(tmp_path / "t.csv", "--out", tmp_path / "out")

    assert re.search("baseline: reading +none: 2 of 2 evaluated rows have no reading", out)
    assert re.search("baseline: oracle +none: expected_sbr is not given", out)
    page = Reader((tmp_path / "out/report.html").read_text())
    assert "2 of 2 evaluated rows have no reading" in page.text


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_however_few_participants_there_is_a_report(run, tmp_path, n):
    lines = [f"P{i},left,{2 + i},{2.5 - 0.5 * i}" for i in range(n)]
    (tmp_path / "t.csv").write_text("participant_id,side,sbr,predicted\n" + "\n".join(lines))
    code, out, err = run(tmp_path / "t.csv", "--out", tmp_path / "out", "--json")

    assert (0, "") == (code, err)
    assert "NaN" not in out
    assert n == json.loads(out)["results"]["participant"]["n"]


# ------------------------------------------------------------------------------------------- report


class Reader(HTMLParser):
    """Gathers the tags and addresses of a page, and whether it is well formed."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.text, self._open = set(), [], "", []
        self.feed(text)
        assert [] == self._open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert tag == self._open.pop()

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def hostile():
    """An evaluation in which every name is hostile."""
    n = 30
    rng = np.random.default_rng(0)
    rows = [
        Row(
            HOSTILE + str(i // 2),
            SIDES[i % 2],
            sbr=float(rng.uniform(1, 5)),
            reading=("intact", "lost")[i % 3 == 0],
            line=i + 2,
        )
        for i in range(n)
    ]
    values = np.array([row.sbr for row in rows])
    models = {HOSTILE: values + rng.normal(0, 1, n), "$a_b^$ \u202e": values}
    return evaluate(rows, rows, models, resamples=99)


PROVENANCE = {
    "version": "0",
    "split": "all",
    "notes": [HOSTILE],
    "table": {"name": HOSTILE, "sha256": "0"},
    "models": [
        {
            "name": HOSTILE,
            "files": [{"card": HOSTILE, "sha256": "0", "engine": "e", "isa": "i", "threads": 1}],
        }
    ],
}


@pytest.fixture(scope="module")
def report(hostile):
    return report_html(hostile, PROVENANCE)


def test_a_report_is_one_file_that_loads_and_runs_nothing(report):
    page = Reader(report)

    assert set() == page.tags & {"script", "link", "iframe", "object", "form"}
    assert page.addresses
    assert all(address.startswith("data:image/svg+xml;base64,") for address in page.addresses)
    assert not re.search(r"(?<!data:image/svg\+xml;base64,)https?://", report)
    assert "Research use only. Not for diagnosis." in page.text


def test_hostile_names_are_text_and_participants_do_not_appear(report):
    assert "<script" not in report
    assert "&lt;script&gt;" in report
    assert "\u202e" not in report
    # The participants' names are that of the model with a number after it.
    assert HOSTILE + "1" not in Reader(report).text


def test_a_simulated_cohort_is_never_compared_with_published_scores(evaluated, hostile, report):
    _, out = evaluated
    page = Reader((out / "report.html").read_text())

    assert SIMULATED in page.text
    for published in ("0.7443", "0.744", "0.6837", "0.9078"):
        assert published not in page.text
    assert not hostile.simulated
    assert SIMULATED not in Reader(report).text


def test_every_figure_is_drawn_and_the_same_every_time(hostile):
    first, second = figures(hostile), figures(hostile)

    assert first == second
    assert 1 + 4 * 2 == len(first)
    assert all(svg.lstrip().startswith("<?xml") and "</svg>" in svg for svg in first.values())


def test_rows_as_csv_survive_hostile_names(hostile):
    rows = list(csv.reader(predictions_csv(hostile).splitlines()))

    assert 31 == len(rows)
    assert [row.participant_id for row in hostile.rows] == [row[0] for row in rows[1:]]
    assert not any(cell[:1] in "=@" for row in rows for cell in row if cell)
