# SPDX-License-Identifier: Apache-2.0
"""The built-in engine on networks that are no chains: branches, any window, any activation."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nigroedge import _core
from nigroedge.errors import ModelError
from tests import networks
from tests.networks import Build
from tests.test_network import ISAS, bits, filled, run

ACTIVATIONS = ["Relu", "LeakyRelu", "Elu", "Sigmoid", "Softplus"]

# ---------------------------------------------------------------------------------------- examples


@pytest.mark.parametrize("isa", ISAS)
def test_a_shortcut_of_ones_by_hand(isa):
    # On 2 x 2 x 2 ones the first convolution gives 8 + 1; the second 8 x 9 + 1, plus the shortcut's
    # 9 is 82; its maximum is that, and the last layer adds 1.
    build = Build((2, 2, 2))
    first = build.node("Relu", build.conv("patch", 1))
    total = build.node("Relu", build.node("Add", first, build.conv(first, 1)))
    flat = build.node("Flatten", build.pool("MaxPool", total), shape=(1,))
    content = filled(build.file(build.gemm(flat, 1)), 1)

    assert run(content, np.ones((1, 2, 2, 2), np.float32), isa=isa).tolist() == [83.0]


def test_a_mean_counts_the_padding_or_not():
    # Of a window of 2 x 2 x 2 with one voxel of 8 inside: 8, or 8 / 8.
    for counted, mean in ((0, 8.0), (1, 1.0)):
        build = Build((1, 1, 1))
        value = build.pool("AveragePool", "patch", pad=(1, 1, 1), count_include_pad=counted)
        content = build.file(build.node("Flatten", value, shape=(1,)))

        assert run(content, np.full((1, 1, 1, 1), 8, np.float32)).tolist() == [mean]


def test_the_output_may_be_a_mean_without_a_dense_layer():
    build = Build((3, 2, 2))
    value = build.node("GlobalAveragePool", "patch", shape=(1, 1, 1, 1))
    patch = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)

    assert run(build.file(build.node("Flatten", value, shape=(1,))), patch).tolist() == [5.5]


def test_an_activation_may_be_scaled_and_moved():
    # Sigmoid of 0 is a half, times 6.5 is 3.25, plus 1.
    build = Build((1, 1, 1))
    value = build.node("Sigmoid", build.node("Flatten", "patch", shape=(1,)))
    for op, number in (("Mul", 6.5), ("Add", 1)):
        weight = build.weight(1, sd=1)
        build._weights[-1].raw_data = np.float32(number).tobytes()
        value = build.node(op, value, weight)

    assert run(build.file(value), np.zeros((1, 1, 1, 1), np.float32)).tolist() == [4.25]


@pytest.mark.parametrize("flat_first", [False, True])
@pytest.mark.parametrize("op", ACTIVATIONS)
def test_activations_are_right_to_the_last_bit_but_one(op, flat_first):
    build = Build((1, 1, 1))
    steps = [("Flatten", {"shape": (1,)}), (op, {})][:: 1 if flat_first else -1]
    value = "patch"
    for step, more in steps:
        value = build.node(step, value, **more)
    x = np.linspace(-30, 30, 601, dtype=np.float32).reshape(-1, 1, 1, 1)
    content = build.file(value)
    want, _ = networks.forward(content, x)
    got = run(content, x)

    # One rounding to float32 of what is right to 1e-15 (csrc/core/activation.h).
    assert (np.abs(got - want) <= np.spacing(np.abs(want).astype(np.float32)) + 2e-15).all()


# ------------------------------------------------------------------------------------------- bits

triples = st.tuples(*[st.sampled_from([1, 2, 3, 5])] * 3)
strides = st.tuples(*[st.sampled_from([1, 1, 2])] * 3)


@st.composite
def graphs(draw):
    """Draw a network: a few blocks, each a convolution, a pool, an activation or a shortcut."""
    shape = tuple(draw(st.integers(2, 11)) for _ in range(3))
    build = Build(shape, channels=draw(st.sampled_from([1, 1, 3])), seed=draw(st.integers(0, 999)))
    value = "patch"
    for _ in range(draw(st.integers(1, 4))):
        value = draw(st.sampled_from([convolve, shorten, pool, activate]))(draw, build, value)
    if draw(st.booleans()):
        width = build.shapes[value][0]
        value = build.node("GlobalAveragePool", value, shape=(width, 1, 1, 1))
    flat = build.node("Flatten", value, shape=(int(np.prod(build.shapes[value])),))
    if draw(st.booleans()):
        flat = build.node(draw(st.sampled_from(ACTIVATIONS)), build.gemm(flat, 17))
    return build.file(build.gemm(flat, 1)), build.shapes["patch"]


def window(draw, sides):
    """Draw kernel, stride and pad that leave something of a map."""
    kernel = tuple(min(k, n) for k, n in zip(draw(triples), sides, strict=True))
    pad = tuple(draw(st.integers(0, k - 1)) for k in kernel)
    return kernel, draw(strides), pad


def convolve(draw, build, value):
    width = draw(st.sampled_from([1, 5, 16, 17]))
    if draw(st.booleans()):
        return build.conv(value, width)
    return build.conv(value, width, *window(draw, build.shapes[value][1:]))


def activate(draw, build, value):
    return build.node(draw(st.sampled_from(ACTIVATIONS)), value)


def pool(draw, build, value):
    sides = build.shapes[value][1:]
    if draw(st.booleans()) and min(sides) > 1:
        return build.pool("MaxPool", value)
    op = draw(st.sampled_from(["MaxPool", "AveragePool"]))
    more = {"count_include_pad": draw(st.integers(0, 1))} if op == "AveragePool" else {}
    return build.pool(op, value, *window(draw, sides), **more)


def shorten(draw, build, value):
    """Add a branch to its input, or to a convolution of it."""
    width = build.shapes[value][0]
    branch = value
    for _ in range(draw(st.integers(0, 2))):
        branch = activate(draw, build, build.conv(branch, draw(st.sampled_from([3, 16]))))
    branch = build.conv(branch, width)
    other = build.conv(value, width, (1, 1, 1), pad=(0, 0, 0)) if draw(st.booleans()) else value
    pair = (branch, other) if draw(st.booleans()) else (other, branch)
    total = build.node("Add", *pair)
    return activate(draw, build, total) if draw(st.booleans()) else total


@given(graphs(), st.integers(0, 2**16))
@settings(max_examples=60)
def test_bits_are_the_same_for_every_isa_thread_count_and_batch(drawn, seed):
    content, (channels, *shape) = drawn
    patches = networks.patches(5, shape, channels=channels, seed=seed)
    want = bits(run(content, patches, isa="scalar"))

    for isa, threads in itertools.product(ISAS, (1, 3)):
        network = _core.Network(content, threads=threads, isa=isa)
        assert bits(network.run(patches)) == want
        assert bits(network.run(patches[:1])) + bits(network.run(patches[1:3])) == want[:3]


@given(graphs(), st.integers(0, 2**16))
@settings(max_examples=60)
def test_outputs_are_near_float64(drawn, seed):
    content, (channels, *shape) = drawn
    patches = networks.patches(2, shape, channels=channels, seed=seed)
    want, _ = networks.forward(content, patches)
    got = _core.Network(content, threads=2).run(patches)

    # As for chains: some ten roundings of 6e-8 of values near 1, and what tiles of six lose.
    assert np.abs(got - want).max() <= 3e-5 * max(1, np.abs(want).max())


# -------------------------------------------------------------------------------------- refusals


def test_a_sum_of_maps_of_two_shapes_is_refused():
    build = Build()
    total = build.node("Add", "patch", build.conv("patch", 1, pad=(0, 0, 0)))
    content = build.file(build.node("Flatten", total, shape=(1,)))

    with pytest.raises(ModelError, match="expected the sum of two maps of one shape"):
        _core.Network(content, threads=1)


def test_a_sum_with_a_constant_is_refused():
    build = Build()
    total = build.node("Add", "patch", build.weight(1, sd=1))
    content = build.file(build.node("Flatten", total, shape=(1,)))

    with pytest.raises(ModelError, match="expected input 1 to be maps that another node makes"):
        _core.Network(content, threads=1)


def test_two_flattens_are_refused():
    build = Build((1, 1, 1))
    build.node("Flatten", "patch", shape=(1,))
    content = build.file(build.node("Flatten", "patch", shape=(1,)))

    with pytest.raises(ModelError, match="expected one Flatten, got two"):
        _core.Network(content, threads=1)


def test_an_output_before_the_end_is_refused():
    build = Build((1, 1, 1))
    flat = build.node("Flatten", "patch", shape=(1,))
    build.gemm(flat, 1)

    with pytest.raises(ModelError, match="which is the graph's"):
        _core.Network(build.file(flat), threads=1)
