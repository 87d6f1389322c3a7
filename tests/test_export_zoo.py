# SPDX-License-Identifier: Apache-2.0
"""Networks as other groups write them, through both commands: their answers, in Python and C."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import export.from_torch
import nigroedge
from export.__main__ import main
from export.conventions import Conventions
from export.network import PRESETS, fold_scale
from export.network import build as build_preset
from export.onnx_network import read_network
from export.to_onnx import write_model
from nigroedge.errors import ModelError
from nigroedge.model import load_model
from tests import strangers
from tests.c_library import CModel, opened, scan
from tests.onnx_files import CARD

#: What the built-in engine runs.
NATIVE_OPS = {
    *("Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "Add", "Relu", "LeakyRelu", "Elu"),
    *("Sigmoid", "Softplus", "Flatten", "Gemm", "Mul"),
}
SAID = ("--side", "both", "--normalize", "minmax", "--axes", "ALI")
CARD_FILE = "".join(
    f'{name} = "{getattr(CARD, name)}"\n'
    for name in (
        *("name", "version", "licence", "intended_use", "training_data", "limits", "calibration"),
    )
)
N_PATCHES = 6


@dataclass
class Made:
    """A model file of a network, and what torch says of some patches, in SBR."""

    factory: object
    network: nn.Module
    path: Path
    again: Path
    patches: np.ndarray
    scale: float
    offset: float

    def wanted(self, dtype: torch.dtype) -> np.ndarray:
        return self.scale * raw_answers(self.network, self.patches, dtype) + self.offset


def raw_answers(network, patches, dtype):
    with torch.inference_mode():
        answers = network.to(dtype)(torch.from_numpy(patches[:, None]).to(dtype))
    network.float()
    return answers.reshape(-1).double().numpy()


def draw_patches(shape):
    """Patches as minmax leaves them, dark ones and bright ones, so that answers differ."""
    uniform = np.random.default_rng(0).uniform(0, 1, (N_PATCHES, *shape))
    powers = np.linspace(0.5, 2, N_PATCHES).reshape(-1, 1, 1, 1)
    return (uniform**powers).astype(np.float32)


def units(raw):
    """Scale and offset that make answers as SBR are: SD near 1, mean near 2.

    Of few bits, so that folding them rounds nothing.
    """
    scale = 2.0 ** np.round(-np.log2(raw.std()))
    return scale, np.round(4 * (2 - scale * raw.mean())) / 4


def make(factory, folder) -> Made:
    """Export a network by `from-torch`, and the graph that torch exported by `from-onnx`."""
    network, shape = strangers.build(factory), strangers.shape_of(factory)
    patches = draw_patches(shape)
    scale, offset = units(raw_answers(network, patches, torch.float64))
    save_file(network.state_dict(), folder / "weights.safetensors")
    (folder / "card.toml").write_text(CARD_FILE)
    exporter = "dynamo" if factory in strangers.BY_DYNAMO else "torchscript"
    said = [
        *(*SAID, "--card", f"{folder}/card.toml", "--shape", ",".join(map(str, shape))),
        *("--scale", str(scale), f"--offset={offset}"),
    ]
    with pytest.MonkeyPatch.context() as patch:

        def keeping(*arguments, by=export.from_torch.export):
            (folder / "graph.onnx").write_bytes(content := by(*arguments))
            return content

        patch.setattr(export.from_torch, "export", keeping)
        code = main(
            [
                *("from-torch", f"{strangers.__file__}:{factory.__name__}", *said),
                *("--weights", f"{folder}/weights.safetensors", "--exporter", exporter),
                *("-o", f"{folder}/model.onnx"),
            ]
        )
    assert 0 == code
    assert 0 == main(["from-onnx", f"{folder}/graph.onnx", *said, "-o", f"{folder}/again.onnx"])
    return Made(
        *(factory, network, folder / "model.onnx", folder / "again.onnx", patches, scale, offset)
    )


@pytest.fixture(scope="module")
def made(request, tmp_path_factory):
    return make(request.param, tmp_path_factory.mktemp("zoo"))


def each_of(factories):
    return pytest.mark.parametrize(
        "made", factories, indirect=True, scope="module", ids=lambda each: each.__name__
    )


def operators(path):
    return {node.op_type for node in onnx.load(path).graph.node}


def check_answers(made, engine, record_property):
    """Hold an engine to torch float32, in units of the answers' SD, and record float64's."""
    got = load_model(made.path, engine=engine, threads=1).predict_patches(made.patches)
    wanted = made.wanted(torch.float32)
    off = np.abs(got - made.wanted(torch.float64)).max() / wanted.std()
    record_property(f"{engine}_from_float64_in_sd", float(off))

    # The promise of float engines: 1e-4 SBR where the answers' SD is 1.
    assert np.abs(got - wanted).max() <= 1e-4 * wanted.std()


def check_rebuilt(made):
    """Hold what parity compares engines with to the network that was exported, in float64."""
    rebuilt = raw_answers(read_network(made.path), made.patches, torch.float64)
    wanted = made.wanted(torch.float64)

    # Weights were rounded to float32 once (6e-8 each), which some dozen layers make larger.
    assert np.abs(rebuilt - wanted).max() <= 1e-5 * wanted.std()


pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporters and MONAI, on themselves


@each_of(strangers.NATIVE)
def test_networks_of_others_run_natively_and_give_their_answers(made, record_property):
    assert operators(made.path) <= NATIVE_OPS
    assert made.path.read_bytes() == made.again.read_bytes()
    check_rebuilt(made)
    for engine in ("native", "onnx", "openvino"):
        check_answers(made, engine, record_property)


@pytest.fixture(scope="module")
def library():
    return opened(nigroedge.get_library())


@each_of(strangers.NATIVE)
def test_networks_of_others_give_the_same_bits_in_c(made, library):
    image = scan(shape=(60, 60, 40))
    points = {"left": (0, 9, 12), "right": (9.3, 9.4, 12.6)}
    expected = load_model(made.path, threads=1).predict(image, **points)
    model = CModel(library, made.path.read_bytes())

    sbr, coverage = model.predict(image, **points)
    model.close()

    assert [expected.left.sbr, expected.right.sbr] == sbr
    assert [1.0, 1.0] == coverage


@each_of(strangers.METHOD.values())
def test_a_preset_as_a_stranger_writes_it_gives_our_bits(made, tmp_path):
    (preset,) = (name for name, each in strangers.METHOD.items() if each is made.factory)
    shape = strangers.PRESET_SHAPES[preset]
    ours = build_preset(preset, shape)
    values = [each.detach().clone() for each in made.network.parameters()]
    with torch.no_grad():
        for mine, theirs in zip(ours.parameters(), values, strict=True):
            mine.copy_(theirs)
    fold_scale(ours, scale=made.scale, offset=made.offset)
    said = Conventions(side="both", normalize="minmax", axes="ALI")
    write_model(tmp_path / "ours.onnx", ours, said.spec(shape, CARD))

    theirs, ours = (
        load_model(path, threads=1).predict_patches(made.patches)
        for path in (made.path, tmp_path / "ours.onnx")
    )
    assert theirs.tobytes() == ours.tobytes()


def test_every_preset_is_in_the_zoo():
    assert PRESETS.keys() == strangers.METHOD.keys()


@each_of(strangers.OTHERS)
def test_what_the_built_in_engine_lacks_runs_on_others(made, record_property):
    node = {
        "densenet": "BatchNormalization",
        "Concatenated": "Concat",
        "grouped": "Reshape",
    }[made.factory.__name__]

    with pytest.raises(
        ModelError, match=rf"does not run node {node} '.+'.*engine 'onnx' .* or 'openvino'"
    ) as no:
        load_model(made.path)
    assert "\n" not in str(no.value)
    assert made.path.read_bytes() == made.again.read_bytes()
    check_rebuilt(made)
    for engine in ("onnx", "openvino"):
        check_answers(made, engine, record_property)
