# SPDX-License-Identifier: Apache-2.0
"""`nigroedge evaluate` on tables as they come: read as they are meant, or refused with the line."""

import csv
import io
import json
import re

import pytest

from nigroedge import cli


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = cli.main(["evaluate", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def test_one_person_under_two_spellings_is_refused_with_both_lines(run, shared_cases, tmp_path):
    table = shared_cases / "12-one-person-two-spellings/table.csv"
    code, out, error = run(table, "--out", tmp_path / "out")

    assert (1, "") == (code, out)
    assert (
        "1 problem\n  line 17: expected one spelling of each participant_id, got one that differs "
        "from line 16's in leading zeros alone\n"
    ) in error
    assert not (tmp_path / "out").exists()


def test_n_a_is_no_value_as_bids_has_it(run, shared_cases, tmp_path):
    code, out, _ = run(shared_cases / "21-n-a-cells/table.tsv", "--out", tmp_path, "--json")
    results = json.loads(out)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "predictions.csv").read_text())))

    assert 0 == code
    assert 8 == results["table"]["participants"]
    assert "none: 6 of 16 evaluated rows have no reading" == results["baselines"]["reading"]
    assert {"lost"} == {row["reading"] for row in rows} - {""}


def test_row_names_of_r_are_told_and_what_to_do(run, shared_cases, tmp_path):
    code, _, error = run(shared_cases / "32-small-messages/rownames.csv", "--out", tmp_path / "out")

    assert 1 == code
    assert 2 == error.count("\n")
    assert "line 2: expected 4 cells, got 5 on every line: row names" in error
    assert "(in R: row.names = FALSE)" in error


def test_rho_c_of_one_participant_is_undefined_in_every_output(run, tmp_path):
    columns = "participant_id,side,sbr,predicted,predicted_b,reading,expected_sbr"
    (tmp_path / "one.csv").write_text(
        f"{columns}\nP,left,3.0,3.1,2.9,intact,3.0\nP,right,3.2,3.0,3,lost,3.1\n"
    )
    code, out, error = run(tmp_path / "one.csv", "--out", tmp_path / "out")
    results = json.loads((tmp_path / "out/results.json").read_text())
    report = re.sub(r"<[^>]*>", " ", (tmp_path / "out/report.html").read_text())

    assert (0, "") == (code, error)
    assert re.search(r"^prediction +- +0\.050", out, re.MULTILINE)
    assert out.startswith("1 participant (mean SBR of their sides), 2 sides\n")
    assert "\nOf one participant rho_c, r and C_b are undefined.\n" in out
    for unit in results["results"].values():
        assert {None} == {found["rho_c"]["value"] for found in unit["performance"].values()}
        assert {None} == {found["rho_c"]["value"] for found in unit["comparisons"].values()}
        assert {} == unit["ceiling"]
    assert "Of one participant rho_c" in report
    assert not re.search(r"\bnan\b", report)
