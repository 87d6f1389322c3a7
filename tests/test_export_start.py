# SPDX-License-Identifier: Apache-2.0
"""Training may begin with a model file's weights; nothing else that ONNX can hold is one."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from export.init import random_model
from export.network import build
from export.recipe import Recipe
from export.start import Start, random_start
from export.to_onnx import write_model
from export.train import train
from nigroedge.errors import InputError
from nigroedge.model import REFERENCE, load_model
from tests.training_runs import CONFIG

SHAPE = (50, 50, 20)


def test_a_network_drawn_at_random_answers_near_0_and_not_to_the_mean():
    network = random_start("slim", SHAPE, seed=0)
    patches = torch.rand((4, 1, *SHAPE), generator=torch.Generator().manual_seed(0)) + 0.5
    with torch.no_grad():
        first = network[0](torch.ones(1, 1, *SHAPE))[..., 1:-1, 1:-1, 1:-1]
        answers = network(patches)

    # The first layer's bias takes off what a constant patch gives, but for float32 rounding.
    assert first.abs().max() < 1e-4
    assert answers.abs().max() < 0.5  # SDs of the targets
    again = random_start("slim", SHAPE, seed=0)
    assert all(map(torch.equal, network.parameters(), again.parameters()))


def test_a_run_goes_on_from_a_model_file(trained, table, tmp_path):
    recipe = Recipe(epochs=1, batch=8, learning_rate=0.0)  # so that the start is all there is
    config = replace(CONFIG, recipe=recipe, start=trained / "run.onnx")
    started = load_model(train(config, table, tmp_path / "on", cache=tmp_path))
    patches = np.random.default_rng(0).uniform(0.5, 1.5, (4, *SHAPE)).astype(np.float32)

    # Standardising and folding back rounds the last layer twice: a few float32 steps of 2 SBR.
    before = load_model(trained / "run.onnx")
    np.testing.assert_allclose(
        started.predict_patches(patches), before.predict_patches(patches), atol=2e-6
    )
    learned_from = before.spec.card.training_data
    assert started.spec.card.training_data.endswith(
        f"; before that, its weights had learned from: {learned_from}"
    )
    assert before.spec.card.limits == started.spec.card.limits


def write_random(path, preset="mri-dat"):
    write_model(path, *random_model(preset, seed=0))
    return path


@pytest.mark.parametrize("key", [None, "nigroedge.card", "nigroedge.format"])
def test_an_onnx_file_that_does_not_say_what_it_is_is_refused(key, tmp_path):
    model = onnx.load(write_random(tmp_path / "m.onnx"))
    kept = [p for p in model.metadata_props if key is not None and p.key != key]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, tmp_path / "bare.onnx")

    with pytest.raises(InputError, match=r"expected a model file to start from: model file .*bare"):
        Start.read(tmp_path / "bare.onnx")


def test_what_is_no_float_model_file_is_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(InputError, match=r"expected a model file to start from: .*text"):
        Start.read(tmp_path / "text.onnx")
    with pytest.raises(InputError, match=r"expected a model file to start from: .*No such file"):
        Start.read(tmp_path / "absent.onnx")
    for ending, kind in (("int8.onnx", "onnx-qdq"), ("int8.xml", "openvino")):
        with pytest.raises(InputError, match=f"a float32 ONNX model file .*is of kind {kind}"):
            Start.read(tmp_path / REFERENCE.replace("onnx", ending))


def test_another_preset_is_refused_before_anything_is_made(table, tmp_path):
    config = replace(CONFIG, start=write_random(tmp_path / "m.onnx"))
    with pytest.raises(InputError, match=r"a model of preset slim to start from, got '.*m\.onnx'"):
        train(config, table, tmp_path / "run", cache=tmp_path / "cache")

    assert ["m.onnx"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("preset", ["slim", "mri-dat", "resnet"])
def test_every_preset_is_read_back_to_the_bit(preset, tmp_path):
    network, spec = random_model(preset, seed=1)
    write_model(tmp_path / "m.onnx", network, spec)
    again = Start.read(tmp_path / "m.onnx").network(preset, SHAPE)

    assert str(build(preset, SHAPE)) == str(again)
    assert all(map(torch.equal, network.parameters(), again.parameters()))
