# SPDX-License-Identifier: Apache-2.0
"""Cards speak to whoever will use a model: what it learned from, and never of a file of ours."""

import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from export.__main__ import main
from export.init import random_model
from export.quantize import quantize
from export.recipe import Recipe
from export.samples import Samples
from export.siblings import sibling_paths
from export.to_onnx import write_model
from export.train import train
from nigroedge.artefact import read_artefact
from nigroedge.model import REFERENCE, load_model, read_spec
from nigroedge.spec import _texts
from nigroedge.study.table import read_table, write_table
from tests.onnx_files import float_model, random_net, spec_of
from tests.training_runs import CONFIG

#: A name with an ending, or a path. Numbers and plain English have neither.
FILE = re.compile(r"\b[\w-]+\.(?=[a-z])\w{1,8}\b|[/\\]\w")
ONE_EPOCH = replace(CONFIG, recipe=Recipe(epochs=1, batch=8))


def card_of(path):
    return read_spec(read_artefact(path)).card


def names_a_file(card):
    return [text for text in _texts(asdict(card)) if FILE.search(text)]


def test_what_names_a_file_is_found():
    card = random_model("mri-dat", seed=0)[1].card

    for said in ("from n10000.onnx", "see docs/study", "of patients_2.csv", r"C:\models"):
        assert [said] == names_a_file(replace(card, training_data=said))
    for said in ("learned 0.5 of it. Not for diagnosis.", "AdamW 0.001 one-cycle; 1.5 mm"):
        assert [] == names_a_file(replace(card, training_data=said))


@pytest.mark.parametrize("name", ["reference.onnx", "reference.int8.onnx", "reference.int8.xml"])
def test_the_bundled_cards_name_no_file(name):
    card = card_of(Path(REFERENCE).with_name(name))

    assert [] == names_a_file(card)
    assert card == card_of(REFERENCE)


@pytest.fixture(scope="module")
def made(trained, table, tmp_path_factory):
    """Model files of every command that writes one, by how they were made."""
    folder = tmp_path_factory.mktemp("made")
    start = replace(ONE_EPOCH, start=trained / "run.onnx")
    tiny = folder / "tiny.onnx"
    net = random_net(shape=(8, 8, 6))
    tiny.write_bytes(float_model(net, spec_of(net).to_metadata()).SerializeToString())
    patches = np.random.default_rng(0).normal(1, 0.2, (8, 8, 8, 6)).astype(np.float32)
    quantize(tiny, Samples(patches, np.zeros(8), "made up"))
    random = folder / "random.onnx"
    write_model(random, *random_model("slim", seed=0))
    run = ["onnx", str(trained), "--cohort", str(table), "--cache", str(folder)]
    assert 0 == main([*run, "-o", str(folder / "best.onnx")])
    return {
        "train": trained / "run.onnx",
        "onnx": folder / "best.onnx",
        "train --start": train(start, table, folder / "on", cache=folder),
        "train --start random": train(
            replace(start, start=random), table, folder / "off", cache=folder
        ),
        "init": random,
        **{f"quantize {engine}": path for engine, path in sibling_paths(tiny).items()},
    }


def test_no_card_names_a_file(made):
    assert {how: [] for how in made} == {how: names_a_file(card_of(p)) for how, p in made.items()}


def test_a_released_network_has_a_card_that_names_no_file(shared_data, tmp_path):
    folder = str(shared_data / "mri_dat/net_vgg_left")
    command = ["from-savedmodel", folder, "--side", "left", "--normalize", "mean", "--axes", "ALI"]
    assert 0 == main([*command, "--scale", "6.84", "-o", str(tmp_path / "left.onnx")])

    assert [] == names_a_file(card_of(tmp_path / "left.onnx"))


def test_a_model_that_goes_on_says_what_the_one_before_had_learned_from(made):
    before, card = card_of(made["train"]), card_of(made["train --start"])

    assert card.training_data == (
        "4 simulated participants (batch 8, AdamW 0.0001 constant, seed 0); the epochs were chosen "
        f"on 1 other; before that, its weights had learned from: {before.training_data}"
    )
    assert (before.licence, before.limits) == (card.licence, card.limits)


def test_limits_and_licence_of_the_one_before_are_kept_where_they_differ(table, tmp_path):
    """Nobody may take for simulated, or for free, what began with a model of real patients."""
    network, spec = random_model("slim", seed=0)
    real = replace(
        spec.card,
        licence="GPL-3.0",
        limits="one hospital's patients",
        training_data="30 participants",
    )
    write_model(tmp_path / "real.onnx", network, replace(spec, card=real))
    config = replace(ONE_EPOCH, start=tmp_path / "real.onnx")
    card = card_of(train(config, table, tmp_path / "run", cache=tmp_path))

    assert "Apache-2.0; of the model that it went on from: GPL-3.0" == card.licence
    assert card.limits.endswith("; of the model that it went on from: one hospital's patients")
    assert card.training_data.endswith("its weights had learned from: 30 participants")


def test_a_cohort_without_readings_or_hidden_states_is_a_real_one(table, tmp_path):
    bare = [replace(row, reading=None, expected_sbr=None, split=None) for row in read_table(table)]
    path = table.with_name("bare.tsv")
    write_table(path, bare)
    card = load_model(train(ONE_EPOCH, path, tmp_path / "run", cache=tmp_path)).spec.card

    assert {"network", "constant", "data", "epochs"} == set(card.metrics)
    assert "simulated" not in f"{card.training_data} {card.limits} {card.metrics['data']}"
    assert "unknown" in card.licence
