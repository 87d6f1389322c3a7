# SPDX-License-Identifier: Apache-2.0
"""The built-in engine: the same bits everywhere, close to float64, and clear refusals."""

import os
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from nigroedge import _core
from nigroedge.errors import ModelError
from tests import networks

ISAS = _core.available_isas()
SLIM = "c16 c16 p c32 c32 p c64 c64 p f128 f1"
MRI_DAT = "c16 c16 p c32 c32 p c64 c64 p c128 c128 p f1"
RESNET = "c16 ( c16 d16 ) p c32 ( c32 d32 ) p c64 ( c64 d64 ) p f128 f1"


def bits(values: np.ndarray) -> list[int]:
    return values.view(np.uint32).ravel().tolist()


def run(content: bytes, patches: np.ndarray, *, threads=1, isa=None) -> np.ndarray:
    return _core.Network(content, threads=threads, isa=isa).run(patches)


# ---------------------------------------------------------------------------------------- examples


def filled(content: bytes, value: float) -> bytes:
    """The same network with every weight and bias equal to value."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(content)
    for stored in model.graph.initializer:
        array = np.full_like(numpy_helper.to_array(stored), value)
        stored.CopyFrom(numpy_helper.from_array(array, stored.name))
    return model.SerializeToString()


@pytest.mark.parametrize("isa", ISAS)
def test_a_network_of_ones_counts_taps(isa):
    # A 2 x 2 x 2 patch of ones: every voxel sees all 8, so the convolution gives 8 + 1 everywhere,
    # its maximum is 9, and the last layer adds 1.
    content = filled(networks.chain("c1 p f1", (2, 2, 2)), 1)

    assert run(content, np.ones((1, 2, 2, 2), np.float32), isa=isa).tolist() == [10.0]


def test_relu_cuts_what_is_negative():
    content = filled(networks.chain("c1 c1 f1", (2, 2, 2)), -1)

    assert run(content, np.ones((1, 2, 2, 2), np.float32)).tolist() == [-1.0]


def test_features_are_the_last_maps_before_the_pool():
    content = filled(networks.chain("c1 c2 p f1", (3, 2, 2)), 1)
    features = _core.Network(content, threads=1).features(np.ones((1, 3, 2, 2), np.float32))

    # First convolution: 9, 13, 9 along x; second: the sums of what each sees over 4 voxels, plus 1.
    assert features.shape == (1, 2, 3, 2, 2)
    assert np.abs(features - np.array([89, 125, 89]).reshape(3, 1, 1)).max() < 1e-4


@pytest.mark.parametrize("isa", ISAS)
def test_maps_may_be_one_voxel_deep(isa):
    content = filled(networks.chain("c1 p c1 c1 f1", (4, 4, 3)), 1)
    patch = np.zeros((1, 4, 4, 3), np.float32)

    # Biases alone: 1 in 2 x 2 x 1 voxels, then 4 + 1, then 20 + 1, and 4 of these plus 1.
    assert run(content, patch, isa=isa).tolist() == pytest.approx([85.0], abs=1e-4)


def test_no_patches_give_no_outputs():
    assert run(networks.chain("c2 p f1"), np.empty((0, 6, 5, 4), np.float32)).shape == (0,)


# ------------------------------------------------------------------------------------------ bits

sides = st.integers(2, 13)
widths = st.sampled_from([1, 2, 5, 16, 17, 33])


@st.composite
def plans(draw):
    steps, left = [], min(shape := [draw(sides) for _ in range(3)])
    for _ in range(draw(st.integers(1, 3))):
        steps += [f"c{draw(widths)}" for _ in range(draw(st.integers(1, 2)))]
        if left >= 2 and draw(st.booleans()):
            steps.append("p")
            left //= 2
    if draw(st.booleans()):
        steps.append(f"f{draw(widths)}")
    return " ".join([*steps, "f1"]), tuple(shape), draw(st.sampled_from([1, 1, 3]))


@given(plans(), st.integers(0, 2**16))
@settings(max_examples=30, deadline=None)
def test_bits_are_the_same_for_every_isa_thread_count_and_batch(drawn, seed):
    plan, shape, channels = drawn
    content = networks.chain(plan, shape, channels=channels, seed=seed)
    patches = networks.patches(7, shape, channels=channels, seed=seed)
    want = bits(run(content, patches, isa="scalar"))

    for isa in ISAS:
        network = _core.Network(content, threads=1, isa=isa)
        assert bits(network.run(patches)) == want
        assert bits(network.run(patches[:1])) + bits(network.run(patches[1:3])) == want[:3]
    for threads in (2, 3, 8):
        assert bits(run(content, patches, threads=threads)) == want


@given(plans(), st.integers(0, 2**16))
@settings(max_examples=25, deadline=None)
def test_outputs_and_features_are_near_float64(drawn, seed):
    plan, shape, channels = drawn
    content = networks.chain(plan, shape, channels=channels, seed=seed)
    patches = networks.patches(2, shape, channels=channels, seed=seed)
    sbr, features = networks.forward(content, patches)
    network = _core.Network(content, threads=2)

    assert np.abs(network.run(patches) - sbr).max() <= 2e-5 * max(1, np.abs(sbr).max())
    assert np.abs(network.features(patches) - features).max() <= 3e-5 * max(1, features.max())


@pytest.mark.parametrize("plan", [SLIM, MRI_DAT, RESNET])
def test_presets_give_the_same_bits_everywhere(plan):
    content = networks.chain(plan, (50, 50, 20))
    patches = networks.patches(3, (50, 50, 20))
    want = bits(run(content, patches, isa=ISAS[-1]))

    assert bits(run(content, patches[:1], isa="scalar")) == want[:1]
    for isa in ISAS[1:]:
        for threads in (1, 2, 3, 8):
            assert bits(run(content, patches, threads=threads, isa=isa)) == want


@pytest.mark.parametrize("plan", [SLIM, MRI_DAT, RESNET, "c16 c16 p c32 c32 p c64 c64 p f1"])
def test_presets_are_nearer_to_float64_than_promised(plan):
    content = networks.chain(plan, (50, 50, 20), seed=3)
    patches = networks.patches(2, (50, 50, 20), seed=4)
    want, _ = networks.forward(content, patches)
    torch32, _ = networks.forward(content, patches, "float32")
    got = run(content, patches, threads=2)

    assert np.abs(got - want).max() <= 1e-5  # 5e-5 is the promise over 1,000 patches
    assert np.abs(got - torch32).max() <= 2e-5  # 1e-4


def test_a_network_may_be_used_by_many_threads_at_once():
    content = networks.chain("c5 c5 p c9 p f1", (13, 11, 9))
    patches = networks.patches(6, (13, 11, 9))
    network = _core.Network(content, threads=2)
    want, got = bits(network.run(patches)), {}

    def work(i):
        got[i] = [bits(network.run(patches)) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {i: [want] * 5 for i in range(4)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_network_still_runs_after_a_fork():
    network = _core.Network(networks.chain("c3 p f1"), threads=3)
    patches = networks.patches(2)
    want = bits(network.run(patches))

    if (child := os.fork()) == 0:
        os._exit(0 if bits(network.run(patches)) == want else 1)
    assert os.waitpid(child, 0)[1] == 0


# -------------------------------------------------------------------------------------- refusals


def change(op, **attributes):
    """An edit that sets attributes of the first node of that type."""

    def edit(nodes):
        found = next(node for node in nodes if node.op_type == op)
        kept = [each for each in found.attribute if each.name not in attributes]
        del found.attribute[:]
        found.attribute.extend(kept + [helper.make_attribute(*each) for each in attributes.items()])

    return edit


def rename(old, new):
    def edit(nodes):
        next(node for node in nodes if node.op_type == old).op_type = new

    return edit


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (rename("Relu", "Selu"), r"Selu 'relu1'.*engine 'onnx'"),
        (rename("Relu", "Tanh"), "it knows Conv, MaxPool, .*, Gemm only"),
        (change("Conv", strides=[0, 1, 1]), r"strides of 3 sides from 1 to 16, got \[0, 1, 1\]"),
        (change("Conv", strides=[1, 1]), r"strides of 3 sides from 1 to 16, got \[1, 1\]"),
        (change("Conv", pads=[1, 1, 1, 1, 1, 0]), r"same at both ends.*\[1, 1, 1, 1, 1, 0\]"),
        (change("Conv", pads=[3] * 6), r"below the kernel's \[3, 3, 3\], got \[3, 3, 3, 3, 3, 3\]"),
        (change("Conv", pads=[-1] * 6), "pads"),
        (change("Conv", kernel_shape=[3, 3, 1]), r"kernel_shape \[3, 3, 3\] as the weights"),
        (change("Conv", dilations=[2, 2, 2]), "dilations"),
        (change("Conv", group=2), "group"),
        (change("MaxPool", kernel_shape=[3, 3]), "kernel_shape of 3 sides"),
        (change("MaxPool", kernel_shape=[2, 2, 5]), "nothing is left"),
        (change("MaxPool", ceil_mode=1), "ceil_mode"),
        (change("Gemm", alpha=2.0), "alpha"),
        (change("Gemm", transA=1), "transA"),
        (change("Flatten", axis=2), "axis"),
    ],
)
def test_what_the_engine_does_not_run_is_refused_by_name(edit, said):
    with pytest.raises(ModelError, match=said):
        _core.Network(networks.chain("c2 p f2 f1", edit=edit), threads=1)


def test_a_patch_that_pools_away_is_refused():
    def pool_again(nodes):  # 4 voxels along z, halved three times
        for i in range(2):
            again = helper.make_node("MaxPool", [f"again{i - 1}"], [f"again{i}"])
            again.attribute.extend(nodes[2].attribute)
            nodes.insert(3 + i, again)
        nodes[3].input[0], nodes[5].input[0] = "maxpool2", "again1"

    with pytest.raises(ModelError, match="nothing is left"):
        _core.Network(networks.chain("c2 p f1", edit=pool_again), threads=1)


def test_more_than_one_output_is_refused():
    with pytest.raises(ModelError, match="1 output"):
        _core.Network(networks.chain("c2 p f2"), threads=1)


@pytest.mark.parametrize(
    "patches",
    [
        np.zeros((1, 6, 5, 4)),
        np.zeros((1, 6, 5, 4), np.float32, order="F"),
        np.zeros((1, 6, 5, 8), np.float32)[..., ::2],
    ],
    ids=["float64", "Fortran order", "strided"],
)
def test_patches_of_another_type_or_layout_are_a_type_error(patches):
    network = _core.Network(networks.chain("c2 p f1"), threads=1)

    with pytest.raises(TypeError):
        network.run(patches)


def test_patches_of_another_shape_are_a_value_error():
    network = _core.Network(networks.chain("c2 p f1"), threads=1)

    with pytest.raises(ValueError, match=r"n patches of shape \(6, 5, 4\), got n of \(6, 5, 3\)"):
        network.run(np.zeros((1, 6, 5, 3), np.float32))


@pytest.mark.parametrize("threads", [0, 1025])
def test_a_number_of_threads_out_of_range_is_a_value_error(threads):
    with pytest.raises(ValueError, match="1 to 1024 threads"):
        _core.Network(networks.chain("c2 p f1"), threads=threads)


def test_an_unknown_instruction_set_is_a_value_error():
    with pytest.raises(ValueError, match="sse9"):
        _core.Network(networks.chain("c2 p f1"), threads=1, isa="sse9")
