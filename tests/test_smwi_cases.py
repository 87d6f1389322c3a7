# SPDX-License-Identifier: Apache-2.0
"""Scans that went wrong, whole, through the command line: refused in one line, or read rightly."""

import json
from pathlib import Path

import numpy as np
import pytest

from nigroedge.cli import main
from nigroedge.io.nifti import load_volume


class Smwi:
    """The command on the case of a number, and what it wrote."""

    def __init__(self, cases, out, capsys):
        self.cases, self._out, self.capsys = cases, out, capsys

    def folder(self, number: str) -> Path:
        """Folder of the one case whose name begins so."""
        (folder,) = self.cases.glob(f"{number}*")
        return folder

    def run(self, number: str, *arguments: str | Path) -> tuple[int, str]:
        """Give exit code and what went to standard error."""
        bids = self.folder(number) / "gre" / "sub-01"
        words = ("smwi", "--bids", bids, "--out", self._out, "--method", "fast", "--threads", "1")
        code = main([str(word) for word in (*words, *arguments)])
        return code, self.capsys.readouterr().err

    def refused(self, number: str, *arguments: str | Path) -> str:
        """Give the one line that says why; nothing is written."""
        code, error = self.run(number, *arguments)
        assert (1, 1) == (code, error.count("\n"))
        assert not self._out.exists()
        return error

    def chi(self, number: str, *arguments: str | Path) -> tuple[np.ndarray, dict]:
        """Give χ in ppm, and the parameters beside it."""
        assert (0, "") == self.run(number, *arguments)
        anat = self._out / "sub-01" / "anat"
        said = json.loads((anat / "sub-01_Chimap.json").read_text())
        return load_volume(anat / "sub-01_Chimap.nii").voxels, said


@pytest.fixture
def smwi(shared_cases, tmp_path, capsys):
    return Smwi(shared_cases, tmp_path / "out", capsys)


@pytest.fixture(scope="module")
def reference(shared_cases, tmp_path_factory):
    """χ of the scan with nothing wrong."""
    out = tmp_path_factory.mktemp("reference")
    bids = shared_cases / "00-base-right" / "gre" / "sub-01"
    words = ("smwi", "--bids", bids, "--out", out, "--method", "fast", "--threads", "1")
    assert 0 == main([str(word) for word in words])
    return load_volume(out / "sub-01/anat/sub-01_Chimap.nii").voxels


def test_the_scan_that_the_others_spoil_is_read(reference):
    assert 0.025 < reference[reference != 0].std() < 0.035  # ppm, of a brain's tissue


def differ_ppb(one, other):
    """Root mean square of the difference of two maps of χ, over where either is known."""
    known = (one != 0) | (other != 0)
    return 1e3 * float(np.sqrt(np.mean((one - other)[known] ** 2.0)))


def test_01_a_mask_is_what_slope_and_intercept_make_of_it(smwi, tmp_path):
    """Before, 1 and 2 were taken for inside both: the mask was everywhere, and 30 ppb off."""
    folder = smwi.folder("01")
    masked, _ = smwi.chi("00", "--mask", folder / "mask.nii")
    other = Smwi(smwi.cases, tmp_path / "good", smwi.capsys)

    assert differ_ppb(masked, other.chi("00", "--mask", folder / "good.nii")[0]) == 0


def test_03_a_field_strength_that_differs_by_echo_is_refused(smwi):
    error = smwi.refused("03")

    assert "one MagneticFieldStrength in all sidecars of a scan, got 7 for 'sub-01_echo-1_" in error


def test_05_magnitude_and_phase_are_paired_by_echo_time(smwi, reference):
    """Before, echoes were paired by number, and χ was 11 ppb off."""
    assert differ_ppb(smwi.chi("05")[0], reference) == 0


def test_06_two_files_of_one_name_are_refused(smwi):
    error = smwi.refused("06")

    assert "one file for echo 3 of part-mag, got 'sub-01_echo-3_part-mag_MEGRE.nii' and" in error


#: What rounding to 8 and to 10 bits makes of χ: 0.67 and 0.19 ppb are measured.
ROUNDING_PPB = {"07": 1.0, "26": 0.3}


@pytest.mark.parametrize("unit", [(), ("--phase-unit", "full-range"), ("--phase-unit", "0..255")])
def test_07_one_turn_from_0_to_255_is_one_turn(smwi, reference, unit):
    """Before, full-range halved it: 31 ppb off; without a name it was refused."""
    assert differ_ppb(smwi.chi("07", *unit)[0], reference) < ROUNDING_PPB["07"]


def test_26_one_turn_from_0_to_1023_is_found(smwi, reference):
    chi, said = smwi.chi("26")

    assert ("0..1023", True) == (said["PhaseUnit"], said["PhaseUnitDetected"])
    assert differ_ppb(chi, reference) < ROUNDING_PPB["26"]


def test_11_negative_magnitude_is_refused(smwi):
    assert "never negative, got -32761: unsigned integers read as signed" in smwi.refused("11")


def test_24_a_fourth_axis_of_one_voxel_is_dropped(smwi, reference):
    assert differ_ppb(smwi.chi("24")[0], reference) == 0


@pytest.mark.parametrize("name", ["20-sidecar-backslash", "20-sidecar-control", "20-sidecar-utf8"])
def test_20_a_bad_byte_that_nobody_needs_is_read_around(smwi, reference, name):
    assert differ_ppb(smwi.chi(name)[0], reference) == 0


def test_28_radians_are_radians(smwi, reference):
    chi, said = smwi.chi("28")

    assert ("rad", False) == (said["PhaseUnit"], said["PhaseUnitDetected"])
    # The reference is stored in steps of 1/1300 rad, which make 0.04 ppb.
    assert differ_ppb(chi, reference) < 0.2


@pytest.mark.parametrize("number", ["30", "34"])
def test_30_34_times_in_the_magnitude_alone_and_in_one_list(smwi, reference, number):
    assert differ_ppb(smwi.chi(number)[0], reference) == 0


def test_37_echo_times_a_thousand_times_too_small_are_refused(smwi):
    assert "at least 0.5 ms apart, got 1e-05, 2e-05, 3e-05" in smwi.refused("37")
