# SPDX-License-Identifier: Apache-2.0
"""What a model file says of itself: metadata and card, read strictly."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge.errors import ModelError
from nigroedge.grid import PatchGrid
from nigroedge.spec import ModelCard, ModelSpec
from tests import onnx_files

NET = onnx_files.random_net(seed=1)
SPEC = onnx_files.spec_of(NET)
METADATA = SPEC.to_metadata()


def test_metadata_are_spelt_as_the_contract_says():
    spec = replace(SPEC, grid=PatchGrid((50, 50, 20), (0.5, 0.5, 1), "ALI"), selftest_sbr=2.3)

    assert {
        "nigroedge.format": "1",
        "nigroedge.patch_shape": "50 50 20",
        "nigroedge.spacing_mm": "0.5 0.5 1",
        "nigroedge.axes": "ALI",
        "nigroedge.normalize": "mean",
        "nigroedge.side": "both",
        "nigroedge.mirror": "right",
        "nigroedge.selftest_sbr": "0x40133333 2.3",
        "nigroedge.card": onnx_files.CARD.to_json(),
    } == spec.to_metadata()


texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1)
cards = st.builds(
    ModelCard,
    **{name: texts for name in ModelCard.__dataclass_fields__ if name != "metrics"},
    metrics=st.dictionaries(texts, st.floats(allow_nan=False, allow_infinity=False) | texts),
)
specs = st.builds(
    ModelSpec,
    grid=st.builds(
        PatchGrid,
        st.tuples(*3 * [st.integers(1, 200)]),
        st.tuples(*3 * [st.floats(0.01, 100)]),
        st.sampled_from(["ALI", "RAS", "LPS", "SRA"]),
    ),
    normalize=st.sampled_from(["mean", "zscore", "none", "percentile 1 99.5 clip"]),
    side=st.sampled_from(["both", "left", "right"]),
    mirror=st.sampled_from(["left", "right"]),
    mirror_centre=st.sampled_from(["n/2", "n/2-1"]),
    selftest_sbr=st.floats(-100, 100, width=32),
    card=cards,
)


@given(specs | specs.map(lambda spec: replace(spec, mirror="none", mirror_centre="n/2")))
def test_a_spec_survives_being_written_and_read(spec):
    metadata = spec.to_metadata()

    assert spec == ModelSpec.from_metadata(metadata | {"producer's own": "key"})
    assert metadata == ModelSpec.from_metadata(metadata).to_metadata()


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("format", None, "expected metadata nigroedge.format '1' or '2', got none"),
        ("format", "3", "expected metadata nigroedge.format '1' or '2', got '3'"),
        ("axes", None, "missing axes; unknown none"),
        ("colour", "red", "of format 1: missing none; unknown colour"),
        ("mirror_centre", "n/2", "of format 1: missing none; unknown mirror_centre"),
        ("patch_shape", "50 50", "patch_shape: expected three sizes"),
        ("patch_shape", "50  50 20", "patch_shape: expected three sizes"),
        ("patch_shape", "50 50 0", "patch_shape: expected three sizes"),
        ("patch_shape", "50 50 -1", "patch_shape: expected three sizes"),
        ("patch_shape", "٥٠ 50 20", "patch_shape: expected three sizes"),
        ("patch_shape", "9999 9999 9999", "patch sizes"),
        ("patch_shape", "1 " * 200, "patch_shape: more than 200 characters"),
        ("spacing_mm", "0.5 0.5 nan", "spacing_mm: expected three spacings"),
        ("spacing_mm", "0.5 0.5 0", "spacing_mm: expected spacings of 0.01 to 100"),
        ("spacing_mm", "0.5 0.5 1e3", "spacing_mm: expected three spacings"),
        ("axes", "ALA", "expected axes"),
        ("axes", "ali", "expected axes"),
        ("normalize", "minmax", "of format 1 to be one of mean, zscore; got 'minmax'"),
        ("normalize", "Mean", "of format 1 to be one of mean, zscore; got 'Mean'"),
        ("side", "Left", "expected side to be one of both, left, right; got 'Left'"),
        ("mirror", "both", "expected mirror to be one of none, left, right; got 'both'"),
        ("selftest_sbr", "2.3", "expected float32 bits and decimal"),
        ("selftest_sbr", "0x40133333 2.4", "bits 40133333 are 2.3, but the decimal is 2.4"),
        ("selftest_sbr", "0x7fc00000 0", "are nan, but the decimal is 0"),
        ("selftest_sbr", "0x7f800000 1e39", "expected a finite selftest_sbr"),
        ("card", "{", "card: "),
        ("card", "[]", "expected the keys name, version"),
        ("card", "{}", "expected the keys name, version"),
        ("card", '{"name": "a", "name": "b"}', "a key is given twice"),
        ("card", '{"metrics": NaN}', "NaN is not a number of JSON"),
        ("card", '{"a": ' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
    ],
)
def test_refuses_metadata_that_break_the_contract(key, value, reason):
    metadata = METADATA | {f"nigroedge.{key}": value}
    metadata = {k: v for k, v in metadata.items() if v is not None}

    with pytest.raises(ModelError, match=re.escape(reason)):
        ModelSpec.from_metadata(metadata)


# ---- format 2

CROPPED_THEN_FLIPPED = replace(SPEC, mirror_centre="n/2-1").to_metadata()


def test_a_file_is_of_format_2_only_where_format_1_cannot_say_it():
    assert METADATA | {"nigroedge.format": "2", "nigroedge.mirror_centre": "n/2-1"} == (
        CROPPED_THEN_FLIPPED
    )
    assert METADATA == replace(SPEC, mirror_centre="n/2").to_metadata()


@pytest.mark.parametrize(
    "optional",
    [
        {},
        {"task": "sbr"},
        {"mirror_centre": "n/2"},
        {"interval": '{"level": 0.9}'},
        {"domain": '{"arrays": "' + "A" * 100_000 + '"}'},
    ],
)
def test_what_format_2_adds_may_be_left_out_or_say_what_is_so_anyhow(optional):
    added = {f"nigroedge.{key}": value for key, value in optional.items()}

    assert SPEC == ModelSpec.from_metadata(METADATA | {"nigroedge.format": "2"} | added)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("axes", None, "of format 2: missing axes; unknown none"),
        ("colour", "red", "of format 2: missing none; unknown colour"),
        ("none", "none", "of format 2: missing none; unknown none"),
        ("mirror", None, "of format 2: missing mirror; unknown none"),
        ("mirror", "none", "expected mirror_centre n/2, since no side is mirrored; got n/2-1"),
        ("mirror_centre", "n/2+1", "expected mirror_centre to be one of n/2, n/2-1; got 'n/2+1'"),
        ("mirror_centre", "", "expected mirror_centre to be one of n/2, n/2-1; got ''"),
        ("mirror_centre", "n/2 -1", "expected mirror_centre to be one of n/2, n/2-1"),
        ("mirror_centre", "24", "expected mirror_centre to be one of n/2, n/2-1; got '24'"),
        ("mirror_centre", "n/2" * 99, "mirror_centre: more than 200 characters"),
        ("task", "find", "nigroedge.task: expected sbr, got 'find': this version runs no other"),
        ("task", "", "nigroedge.task: expected sbr, got ''"),
        ("normalize", "Mean", "expected normalisation none, mean, divide K"),
        ("normalize", "percentile 99 1", "expected normalisation none, mean, divide K"),
        ("interval", "[]", "nigroedge.interval: expected a JSON object, got list"),
        ("interval", '{"level": NaN}', "nigroedge.interval: NaN is not a number of JSON"),
        ("domain", "", "nigroedge.domain: "),
        ("domain", '{"a": ' * 100_000 + "1" + "}" * 100_000, "domain: JSON nested too deeply"),
    ],
)
def test_refuses_metadata_that_break_format_2(key, value, reason):
    metadata = CROPPED_THEN_FLIPPED | {f"nigroedge.{key}": value}
    metadata = {k: v for k, v in metadata.items() if v is not None}

    with pytest.raises(ModelError, match=re.escape(reason)):
        ModelSpec.from_metadata(metadata)


# ---- card


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": ""}, "expected name to be given"),
        ({"limits": None}, "expected limits to be given"),
        ({"metrics": [1]}, "expected metrics to be given"),
        ({"metrics": {"mae": float("nan")}}, "not JSON compliant"),
        ({"metrics": {"mae": 1e400}}, "not JSON compliant"),
        ({"metrics": {"mae": object()}}, "expected what JSON can hold"),
        ({"metrics": {"a": ["\x1b[2J"]}}, "control characters"),
        ({"name": "\x9b2J"}, "control characters"),
        ({"name": "\ud800"}, "surrogates not allowed"),
    ],
)
def test_refuses_a_card_that_is_incomplete_or_cannot_be_shown(change, reason):
    with pytest.raises(ValueError, match=reason):
        replace(onnx_files.CARD, **change)


def test_a_card_is_one_line_of_json_in_the_order_of_its_fields():
    text = onnx_files.CARD.to_json()

    assert list(ModelCard.__dataclass_fields__) == list(json.loads(text))
    assert "\n" not in text
