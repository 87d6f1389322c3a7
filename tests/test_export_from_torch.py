# SPDX-License-Identifier: Apache-2.0
"""A checkpoint and the code that builds its network become a model file; nothing else is run."""

import pickle
import re
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from export.__main__ import main
from export.card_file import read_card
from export.conventions import Conventions
from export.from_torch import build, export
from export.imported import convert
from export.weights import load_weights
from nigroedge.errors import InputError, ModelError
from nigroedge.model import load_model
from tests.onnx_files import CARD as CARD_OF
from tests.strangers import CARD_TOML

CODE = """
from torch import nn


def small(width=4):
    return nn.Sequential(
        nn.Conv3d(1, width, 3, padding=1), nn.BatchNorm3d(width), nn.ReLU(), nn.MaxPool3d(2),
        nn.Flatten(), nn.Dropout(), nn.Linear(width * 3 * 2 * 2, 1)
    )


def broken():
    raise ValueError("no such layer")


def number():
    return 3
"""
SHAPE = (6, 5, 4)


@pytest.fixture
def code(tmp_path):
    path = tmp_path / "their nets.py"
    path.write_text(CODE)
    (tmp_path / "card.toml").write_text(CARD_TOML)
    return path


@pytest.fixture
def network(code):
    torch.manual_seed(0)
    return build(f"{code}:small").eval()


def command(code, weights, output, *more):
    return [
        *("from-torch", f"{code}:small", "--weights", str(weights), "-o", str(output)),
        *("--card", str(code.parent / "card.toml"), "--side", "both", "--normalize", "zscore"),
        *("--axes", "ALI", "--scale", "2", "--offset", "-0.5", "--shape", "6,5,4", *more),
    ]


@pytest.mark.filterwarnings("ignore")
def test_from_a_checkpoint_to_an_answer(code, network, tmp_path, capsys):
    # By the older exporter; tests/test_your_network.py goes the same way by the current one, which
    # takes ten times as long.
    torch.save({"epoch": 3, "state_dict": network.state_dict()}, tmp_path / "best.pt")
    output = tmp_path / "model.onnx"
    code_of_exit = main(command(code, tmp_path / "best.pt", output, "--exporter", "torchscript"))
    said = capsys.readouterr()

    assert (0, "") == (code_of_exit, said.err)
    assert [str(output), "runs on native, onnx, openvino"] == said.out.splitlines()
    values = np.random.default_rng(0).normal(size=(3, *SHAPE)).astype(np.float32)
    with torch.inference_mode():
        want = 2 * network(torch.from_numpy(values[:, None]))[:, 0].numpy() - 0.5
    model = load_model(output)
    np.testing.assert_allclose(model.predict_patches(values), want, atol=1e-6)
    assert ("theirs", {"rho_c": 0.7}) == (model.spec.card.name, model.spec.card.metrics)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "net.model."])
def test_safetensors_and_the_prefix_of_parallel_training(network, tmp_path, prefix):
    stored = {prefix + name: value + 1 for name, value in network.state_dict().items()}
    save_file(stored, tmp_path / "w.safetensors")
    load_weights(network, tmp_path / "w.safetensors")

    assert torch.equal(network.state_dict()["6.bias"], stored[prefix + "6.bias"])


@pytest.mark.filterwarnings("ignore")  # of torch.compile, about itself
@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel])
def test_what_training_wrapped_is_taken_out(code, network, tmp_path, wrap):
    code.write_text(
        CODE + f"\n\ndef wrapped():\n    import torch\n    return {WRAPS[wrap]}(small())\n"
    )
    built = build(f"{code}:wrapped")
    torch.save(wrap(network).state_dict(), tmp_path / "w.pt")
    load_weights(built, tmp_path / "w.pt")

    assert type(built) is nn.Sequential
    assert torch.equal(built[6].weight, network[6].weight)


WRAPS = {torch.compile: "torch.compile", nn.DataParallel: "nn.DataParallel"}


# ---------------------------------------------------------------------------------------- refused


def test_weights_that_are_there_twice_are_refused(network, tmp_path):
    state = network.state_dict()
    twice = {prefix + name: value for prefix in ("net.", "ema.") for name, value in state.items()}
    torch.save({"state_dict": twice}, tmp_path / "w.pt")

    with pytest.raises(ModelError, match=r"holds the weights 2 times, under ema\. and net\.: save"):
        load_weights(network, tmp_path / "w.pt")


def test_what_a_module_of_training_holds_besides_is_named(network, tmp_path):
    stored = {f"net.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": stored | {"loss.weight": torch.ones(1)}}, tmp_path / "w.pt")

    with pytest.raises(ModelError, match=r"do not fit the network; unexpected: loss\.weight$"):
        load_weights(network, tmp_path / "w.pt")


class Evil:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_that_would_run_code_does_not(network, tmp_path):
    proof = tmp_path / "was-here"
    torch.save({"state_dict": network.state_dict(), "more": Evil(proof)}, tmp_path / "evil.pt")
    (tmp_path / "evil.bin").write_bytes(pickle.dumps(Evil(proof)))

    torch.save(network, tmp_path / "whole.pt")
    for name, named in {
        "evil.pt": "it names io.open",
        "evil.bin": "it is a pickle of other things",
        "whole.pt": r"it names torch.nn.modules.\w+.Sequential",
    }.items():
        said = rf"asks for more than weights, and is not run: {named}; save .*state_dict\(\), '"
        with pytest.raises(ModelError, match=said) as no:
            load_weights(network, tmp_path / name)
        assert "\n" not in str(no.value)
        assert "weights_only" not in str(no.value)  # torch's advice is to run it
    assert not proof.exists()


def test_all_that_does_not_fit_is_said_at_once(network, tmp_path):
    stored = network.state_dict()
    stored["7.weight"] = stored.pop("6.weight")
    stored["6.bias"] = torch.zeros(2)
    stored["0.weight"] = torch.zeros(1).expand(10**9)  # declared; one is there
    stored["0.bias"] = torch.tensor([0, np.nan, 0, 0])
    stored["1.running_var"] = torch.tensor([1.0, -1, 1, 1])
    stored["1.weight"] = torch.ones(4, dtype=torch.int8)
    torch.save(stored, tmp_path / "w.pt")

    with pytest.raises(ModelError) as no:
        load_weights(network, tmp_path / "w.pt")
    assert str(no.value).endswith(
        "do not fit the network; missing: 6.weight; unexpected: 7.weight; "
        "shape: 0.weight [1000000000] for [4, 1, 3, 3, 3], 6.bias [2] for [1]; "
        "type: 1.weight int8 for float32; not finite: 0.bias; below 0: 1.running_var"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no weights .*, got an empty file: write or download it again"),
        (b"not a pickle", r"holds no weights that can be read: save .*network.state_dict\(\)"),
        (b"<html>", "holds no weights .*, got a web page"),
    ],
)
def test_files_that_hold_no_weights(network, tmp_path, content, message):
    for name in ("w.pt", "w.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=message):
            load_weights(network, tmp_path / name)


def test_a_zip_of_something_else_is_no_checkpoint(network, tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as file:
        file.writestr("a.txt", "words")

    with pytest.raises(ModelError, match="is cut short, or another zip archive than torch"):
        load_weights(network, tmp_path / "w.pt")
    torch.save(network.state_dict(), tmp_path / "w.pt")
    with (tmp_path / "w.pt").open("r+b") as file:
        file.truncate(2000)
    with pytest.raises(ModelError, match="is cut short, or another zip archive than torch"):
        load_weights(network, tmp_path / "w.pt")


def test_weights_under_the_name_of_another_format_are_said_to_be(network, tmp_path):
    save_file(network.state_dict(), tmp_path / "w.pt")
    torch.save(network.state_dict(), tmp_path / "w.safetensors")

    with pytest.raises(ModelError, match=r"looks like safetensors: call it \.safetensors"):
        load_weights(network, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"got a zip archive: call it \.pt if torch\.save"):
        load_weights(network, tmp_path / "w.safetensors")


def test_a_missing_file_is_said(network, tmp_path):
    with pytest.raises(InputError, match="No such file"):
        load_weights(network, tmp_path / "absent.pt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "expected a callable absent in"),
        ("broken", "failed: ValueError: no such layer"),
        ("number", "expected .* to give an nn.Module, got int"),
        ("small.x", "expected package.module:callable or file.py:callable"),
    ],
)
def test_a_factory_that_is_none_is_refused(code, name, message):
    with pytest.raises(InputError, match=message):
        build(f"{code}:{name}")


def test_modules_that_are_not_there_are_refused(tmp_path):
    for factory in (f"{tmp_path}/absent.py:net", "absent_package.nets:net", "small", ":small"):
        with pytest.raises(InputError):
            build(factory)


def test_a_network_that_torch_cannot_export_is_one_line():
    class Asks(nn.Module):
        def forward(self, x):
            raise RuntimeError("two\nlines")

    with pytest.raises(ModelError, match=r"the network does not run on .*two lines; --shape") as no:
        export(Asks(), SHAPE, "torchscript")
    assert "\n" not in str(no.value)


@pytest.mark.filterwarnings("ignore")
def test_what_an_exporter_lacks_is_one_line_and_no_graph_is_printed(capfd):
    network = nn.Sequential(nn.Conv3d(1, 2, 3), nn.AdaptiveAvgPool3d((3, 2, 1)), nn.Flatten())

    with pytest.raises(ModelError, match=r"try --exporter dynamo, or write that part") as no:
        export(network, SHAPE, "torchscript")
    assert "\n" not in str(no.value)
    assert ("", "") == tuple(capfd.readouterr())  # of C++ too


def test_layers_that_do_not_know_their_sizes_are_refused(code):
    code.write_text("from torch import nn\n\n\ndef lazy():\n    return nn.LazyLinear(1)\n")

    with pytest.raises(
        InputError, match=r"layers that know their sizes, got lazy ones: weight, bi"
    ):
        build(f"{code}:lazy")


def mean(x):
    return x.mean((2, 3, 4))


def by_the_batch(x):
    return mean(nn.functional.batch_norm(x, None, None, training=True))


#: What eval() does not make a function of one patch, or is none.
UNFIT = {
    "if": (lambda x: mean(x) if x.sum() > 0 else 2 * mean(x), "times -1 are off .* no `if` on"),
    "chance": (lambda x: mean(nn.functional.dropout(x, 0.5)), "another network: .* no chance"),
    "noise": (lambda x: mean(x + torch.randn(1)), "another network: .* no chance"),
    "others": (lambda x: mean(x) - x.mean(), "no look at other patches"),
    "others, a little": (lambda x: 1e-3 * mean(x / x.mean()), "no look at other patches"),
    "no axis left": (lambda x: mean(x).squeeze(), r"got \(\): forward\(\) ends without squeeze"),
    "dict": (lambda x: {"sbr": mean(x)}, "expected the network to give a tensor, got dict"),
    "batch": (by_the_batch, "torch cannot export the network|no look at other patches"),
    "two outputs": (lambda x: (mean(x), mean(x)), "expected one input and one output, got 1 and 2"),
    "maps": (lambda x: x, "expected one number for each patch, got an output of"),
    "constant": (lambda x: torch.ones(2, 1), "depend on the patch, got a constant: forward"),
    "larger": (
        lambda x: mean(nn.functional.interpolate(x, scale_factor=2)),
        "no model file may hold this graph .*operator 'Resize' .* that part with convolutions",
    ),
}


@pytest.mark.filterwarnings("ignore")  # of torch's exporter, about itself
@pytest.mark.parametrize("name", UNFIT)
def test_what_is_no_function_of_one_patch_is_refused(name, tmp_path):
    function, message = UNFIT[name]

    class Unfit(nn.Module):
        def forward(self, x):
            return function(x)

    with pytest.raises(ModelError, match=message) as no:
        convert(
            *(export(Unfit(), SHAPE, "torchscript"), tmp_path / "m.onnx"),
            *(Conventions(side="both", normalize="none", axes="ALI"), CARD_OF),
            shape=SHAPE,
        )
    assert "\n" not in str(no.value)
    assert not list(tmp_path.iterdir())


#: With and without its last axis: what losses of (n,) leave behind.
ENDS = {
    "squeeze": lambda x: mean(x).squeeze(-1),
    "index": lambda x: mean(x)[:, 0],
    "view": lambda x: mean(x).view(-1),
    "flatten": lambda x: mean(x).flatten(),
}


@pytest.mark.filterwarnings("ignore")  # of torch's exporter, about itself
@pytest.mark.parametrize("name", ENDS)
def test_answers_without_an_axis_are_answers(name, tmp_path):
    class Ends(nn.Module):
        def forward(self, x):
            return ENDS[name](x)

    said = Conventions(side="both", normalize="none", axes="ALI")
    content = export(Ends(), SHAPE, "torchscript")
    convert(content, tmp_path / "m.onnx", said, CARD_OF, shape=SHAPE)
    values = np.random.default_rng(0).uniform(0, 1, (3, *SHAPE)).astype(np.float32)

    got = load_model(tmp_path / "m.onnx", threads=1).predict_patches(values)
    np.testing.assert_allclose(got, values.mean((1, 2, 3)), rtol=1e-6)


def test_a_network_of_two_inputs_is_refused():
    class Two(nn.Module):
        def forward(self, x, y):
            return mean(x) + y

    with pytest.raises(ModelError, match=r"the one argument of forward\(\): .* argument: 'y'"):
        export(Two(), SHAPE, "torchscript")


def test_batch_normalisation_without_statistics_is_refused_by_name(network):
    network[1] = nn.BatchNorm3d(4, track_running_stats=False)

    with pytest.raises(ModelError, match=r"layer '1': expected .* running statistics, got none"):
        export(network, SHAPE, "torchscript")


def test_without_a_card_one_to_copy_is_shown(code, tmp_path, capsys):
    words = command(code, "absent.pt", tmp_path / "m.onnx")
    at = words.index("--card")

    assert 1 == main([*words[:at], *words[at + 2 :]])
    out, err = capsys.readouterr()
    assert ("", "# --card is missing") == (err, out.partition(":")[0])
    (tmp_path / "shown.toml").write_text(out)
    assert "wolf-vgg" == read_card(tmp_path / "shown.toml").name


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("name = 3", r"missing: version \(of the model\), licence"),
        (CARD_TOML.replace('"2"', '""'), r"missing: version \(of the model\)$"),
        (CARD_TOML + "[more]\n", r"\.toml: unknown: more$"),
        ("name = ", "is no TOML"),
    ],
)
def test_a_card_must_say_all_of_it(code, network, tmp_path, capsys, card, message):
    torch.save(network.state_dict(), tmp_path / "w.pt")
    (tmp_path / "card.toml").write_text(card)

    assert 1 == main(command(code, tmp_path / "w.pt", tmp_path / "m.onnx"))
    said = capsys.readouterr().err
    assert 1 == said.count("\n")
    assert re.search(message, said)
