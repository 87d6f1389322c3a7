# SPDX-License-Identifier: Apache-2.0
"""docs/your-network.md as typed: six commands from a checkpoint to a prediction in C."""

import json
import os
import re
import shlex
import shutil
import sys

import nibabel
import numpy as np
import pytest
import torch

import nigroedge
from docs.site.markdown import code_blocks
from docs.site.stage import DOCS
from export.__main__ import main as export_main
from export.card_file import read_card
from export.commands.arguments import CARD_TOML as CARD_TOML_TO_COPY
from export.from_torch import build
from nigroedge.cli import main as nigroedge_main
from nigroedge.model import load_model
from tests.c_library import run
from tests.conftest import ROOT
from tests.strangers import CARD_TOML

CODE = """
from torch import nn


def vgg():
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.MaxPool3d(2),
        nn.Conv3d(4, 6, 3, padding=1), nn.BatchNorm3d(6), nn.ReLU(), nn.MaxPool3d(2),
        nn.Flatten(), nn.Dropout(), nn.Linear(6 * 12 * 12 * 5, 1)
    )
"""
PROGRAMS = {"python -m export ": export_main, "nigroedge ": nigroedge_main}


def cohort():
    """A table of one image under twelve names: both sides of twelve participants, dealt out."""
    lines = ["participant_id\timage\tside\tx\ty\tz\tsbr\tsplit"]
    for i in range(12):
        split = ("train", "train", "train", "train", "validation", "test")[i % 6]
        for side, x in (("left", -9), ("right", 9)):
            y, sbr = -18 + 0.5 * (i % 5), 1 + i / 6
            lines.append("\t".join(map(str, (f"P{i}", f"{i}.nii", side, x, y, -14, sbr, split))))
    return "\n".join(lines)


def commands():
    """Give the six lines of the page."""
    texts = (text for kind, text in code_blocks((DOCS / "your-network.md").read_text()))
    (block,) = (text for text in texts if "from-torch nets.py" in text)
    return block.splitlines()


def compile_predict(folder):
    """Compile as docs/embedding.md says."""
    block = next(text for _, text in code_blocks((DOCS / "embedding.md").read_text()))
    script = "".join(re.findall(r"^(?:include=|library=|cc ).*\n(?:  .*\n)*", block, re.M))
    assert "-o predict" in script
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    scripts = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])  # noqa: PTH120
    (folder / "examples").symlink_to(ROOT / "examples")
    run("sh", "-ec", script, cwd=folder, PATH=scripts, PYTHONPATH=path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, slab):
    """What a group has, and the program of docs/embedding.md."""
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "nets.py").write_text(CODE)
    (folder / "card.toml").write_text(CARD_TOML)
    (folder / "cohort.tsv").write_text(cohort())
    shutil.copy(slab, folder / "smwi.nii")
    content = slab.read_bytes()
    for i in range(12):  # each with a description of its own: one file for all would be refused
        described = content[:148] + b"%-80d" % i + content[228:]
        (folder / f"{i}.nii").write_bytes(described)
    torch.manual_seed(0)
    network = build(f"{folder}/nets.py:vgg")
    with torch.no_grad():
        network[1].running_mean.uniform_(-0.1, 0.1)
        network[5].running_var.uniform_(0.5, 2)
        network[-1].weight.mul_(0.25)  # patches of one image are alike, and so are their SBR
        network[-1].bias.fill_(2)
    torch.save({"epoch": 9, "state_dict": network.state_dict()}, folder / "best.pt")
    compile_predict(folder)
    return folder


@pytest.mark.filterwarnings("ignore")  # of torch's exporter and nncf, about themselves
def test_from_a_checkpoint_to_c_in_six_commands(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    *lines, in_c = commands()
    said = {}
    for line in lines:
        program = next(each for each in PROGRAMS if line.startswith(each))
        words = shlex.split(line.removeprefix(program))
        assert 0 == PROGRAMS[program](words), (line, capsys.readouterr())
        said[words[0]] = capsys.readouterr()

    assert ["from-torch", "verify", "quantize", "parity", "predict"] == list(said)
    assert "mine.onnx\nruns on native, onnx, openvino\n" == said["from-torch"].out
    assert "" == said["from-torch"].err
    check_model(folder)
    check_c(in_c, lines[-1], capsys)


def block(language):
    """Give the one block of the page in a language."""
    (found,) = (
        text
        for kind, text in code_blocks((DOCS / "your-network.md").read_text())
        if kind == language
    )
    return found


def test_the_card_of_the_page_is_one_and_the_one_to_copy(tmp_path):
    (tmp_path / "card.toml").write_text(block("toml"))

    assert "wolf-vgg" == read_card(tmp_path / "card.toml").name
    assert CARD_TOML_TO_COPY.strip() == block("toml").strip()


def test_the_three_lines_that_compare_a_patch(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    # As a group does it: its axes grow to L, P, S, and the centroid is its voxel (72, 40, 12).
    voxels = nibabel.load("smwi.nii").get_fdata()[72 - 25 : 72 + 25, 16:66, 3:23]
    turned = voxels.transpose(1, 0, 2)[::-1, :, ::-1]  # A, L, I
    low, high = np.percentile(turned, [1, 99])
    np.save("yours.npy", np.clip((turned - low) / (high - low), 0, 1))
    exec(block("python"), {"nigroedge": nigroedge, "np": np})

    assert float(capsys.readouterr().out) < 1e-6  # float32 of numbers up to 1


def check_model(folder):
    """The file answers as torch does, and says what its card says."""
    model = load_model(folder / "mine.onnx", threads=1)
    network = build(f"{folder}/nets.py:vgg").eval()
    network.load_state_dict(torch.load(folder / "best.pt", weights_only=True)["state_dict"])
    values = np.random.default_rng(0).uniform(0, 1, (3, 50, 50, 20)).astype(np.float32)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(values[:, None]))[:, 0].numpy()

    # The promise of float engines.
    np.testing.assert_allclose(model.predict_patches(values), wanted, rtol=0, atol=1e-4)
    assert ("theirs", {"rho_c": 0.7}) == (model.spec.card.name, model.spec.card.metrics)
    assert ("both", "right", "n/2-1", "percentile 1 99 clip") == (
        *(model.spec.side, model.spec.mirror, model.spec.mirror_centre, model.spec.normalize),
    )


def check_c(in_c, in_python, capsys):
    """C prints the bits that Python gives for the same words."""
    words = shlex.split(in_python.removeprefix("nigroedge "))
    assert 0 == nigroedge_main([*words, "--json"])
    sides = json.loads(capsys.readouterr().out)
    printed = [line.split() for line in run(*shlex.split(in_c)).splitlines()]

    assert ["left", "right"] == [side for side, *_ in printed]
    for side, sbr, _ in printed:
        assert np.float32(sbr) == np.float32(sides[side]["sbr"])


def test_there_are_six_commands():
    assert 6 == len(commands())
