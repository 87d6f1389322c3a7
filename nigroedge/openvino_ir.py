# SPDX-License-Identifier: Apache-2.0
"""Check an OpenVINO IR and read what it says of itself, from its XML, without OpenVINO.

An IR is an XML file (layers, edges, rt_info) and a .bin with the constants. The XML is parsed by
the standard library after a check that takes away what makes XML dangerous: no markup declaration
(``<!``) may occur, so there is no DTD and there are no entities to expand. Layers must be of a
short list of stateless ones, without bodies, and every constant must lie inside the .bin.

Source: docs.openvino.ai, "Intermediate Representation", and files that OpenVINO 2026.4 wrote.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from nigroedge.errors import ModelError

#: An IR of these networks has less than 1 MB.
MAX_XML_BYTES = 8 << 20
_MAX_LAYERS = 4096
_MAX_RANK = 8

#: Layers of the standard opsets that a feed-forward network may use: no state, no control flow.
_LAYERS = re.compile(
    r"Abs|Add|AvgPool|BatchNormInference|Broadcast|Clamp|Concat|Const|Convert|Convolution|Divide|Elu|"
    r"Erf|Exp|FakeQuantize|Gather|Gelu|GroupConvolution|HSigmoid|HSwish|Log|MVN|MatMul|MaxPool|"
    r"Maximum|Minimum|Mish|Multiply|Negative|PReLU|Pad|Parameter|Power|ReLU|ReduceMax|ReduceMean|"
    r"ReduceSum|Reshape|Result|Selu|ShapeOf|Sigmoid|Slice|SoftMax|SoftPlus|Sqrt|Squeeze|"
    r"StridedSlice|Subtract|Swish|Tanh|Transpose|Unsqueeze"
)
#: Parts of a layer; a body or port_map would be a subgraph.
_LAYER_PARTS = {"data", "input", "output", "rt_info"}

#: An XML declaration of an encoding other than UTF-8, perhaps behind a byte order mark.
_OTHER_ENCODING = re.compile(r"\ufeff?<\?xml[^>]*encoding\s*=\s*[\"'](?!utf-8[\"'])", re.IGNORECASE)

#: Element types: what ONNX calls them, and their size in bytes.
_TYPES = {
    "f64": ("double", 8),
    "f32": ("float", 4),
    "f16": ("float16", 2),
    "bf16": ("bfloat16", 2),
    "i64": ("int64", 8),
    "i32": ("int32", 4),
    "i16": ("int16", 2),
    "i8": ("int8", 1),
    "u64": ("uint64", 8),
    "u32": ("uint32", 4),
    "u16": ("uint16", 2),
    "u8": ("uint8", 1),
    "boolean": ("bool", 1),
}
#: Ports spell types as older IR versions did.
_PRECISIONS = {"FP32": "f32", "FP64": "f64", "FP16": "f16", "BF16": "bf16", "BOOL": "boolean"}

#: (name, type as ONNX spells it, dims, name of the batch dimension), as _core.read_onnx gives them.
Value = tuple[str, str, tuple[int, ...], str]


@dataclass(frozen=True)
class Ir:
    """What an OpenVINO IR says of itself: metadata with ONNX's keys, inputs, outputs, layers."""

    metadata: Mapping[str, str]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    ops: Mapping[str, int]


def read_ir(xml: bytes, n_weight_bytes: int) -> Ir:
    """Check the XML of an IR whose .bin has n_weight_bytes bytes.

    Raises
    ------
    ModelError
        If it is not an IR that the project may run.
    """
    net = _parse(xml)
    layers = net.findall("./layers/layer")
    if not 0 < len(layers) <= _MAX_LAYERS:
        raise ModelError(f"expected 1 to {_MAX_LAYERS} layers of an OpenVINO IR, got {len(layers)}")
    for layer in layers:
        _check_layer(layer)
        if layer.get("type") == "Const":
            _check_constant(layer, n_weight_bytes)
    return Ir(
        metadata=_metadata(net),
        inputs=tuple(_input(layer) for layer in layers if layer.get("type") == "Parameter"),
        outputs=tuple(_outputs(net, layers)),
        ops=Counter(layer.get("type", "") for layer in layers),
    )


def _parse(xml: bytes) -> ElementTree.Element:
    try:
        text = xml.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError("expected the XML of an OpenVINO IR in UTF-8") from error
    if "<!" in text or "\0" in text:
        raise ModelError("expected an OpenVINO IR: no markup declaration (<!) may occur in it")
    if _OTHER_ENCODING.match(text):
        raise ModelError("expected the XML of an OpenVINO IR in UTF-8, got another encoding")
    try:
        net = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ModelError(f"expected the XML of an OpenVINO IR: {error}") from error
    if net.tag != "net":
        raise ModelError(f"expected an OpenVINO IR, whose root is <net>, got <{net.tag[:40]!r}>")
    return net


def _check_layer(layer: ElementTree.Element) -> None:
    kind, version = layer.get("type", ""), layer.get("version", "")
    if not _LAYERS.fullmatch(kind) or not re.fullmatch(r"opset\d{1,2}", version):
        raise ModelError(
            f"layer {kind[:40]!r} of {version[:40]!r} is not among the stateless standard layers "
            f"that a model may use"
        )
    for part in layer:
        if part.tag not in _LAYER_PARTS:
            raise ModelError(f"layer {kind!r} has a <{part.tag[:40]!r}>, which is not allowed")


def _check_constant(layer: ElementTree.Element, n_weight_bytes: int) -> None:
    """Check that a constant lies in the .bin and has the size that its shape says."""
    data = layer.find("data")
    attributes = {} if data is None else data.attrib
    name = layer.get("name", "")[:40]
    offset, size = (_integer(attributes.get(key, "")) for key in ("offset", "size"))
    _, item_bytes = _element_type(attributes.get("element_type", ""))
    n_elements = math.prod(_dims(attributes.get("shape", "?"), open_batch=False))
    if offset + size > n_weight_bytes:
        raise ModelError(
            f"constant {name!r} ends at byte {offset + size}, but the .bin has {n_weight_bytes}"
        )
    if size != n_elements * item_bytes:
        raise ModelError(
            f"constant {name!r} has dims for {n_elements * item_bytes} bytes, but holds {size}"
        )


def _input(layer: ElementTree.Element) -> Value:
    data, port = layer.find("data"), layer.find("./output/port")
    if data is None or port is None:
        raise ModelError("expected a type and a shape for each input")
    dtype, _ = _element_type(data.get("element_type", ""))
    return port.get("names", ""), dtype, _dims(data.get("shape", "")), ""


def _outputs(net: ElementTree.Element, layers: list[ElementTree.Element]) -> list[Value]:
    """Follow the edge into each Result back to the port that computes it, and take its name."""
    ports = {
        (layer.get("id"), port.get("id")): port
        for layer in layers
        for port in layer.findall("./output/port")
    }
    sources = {
        edge.get("to-layer"): (edge.get("from-layer"), edge.get("from-port"))
        for edge in net.findall("./edges/edge")
    }
    outputs = []
    for layer in layers:
        if layer.get("type") != "Result":
            continue
        port = ports.get(sources.get(layer.get("id"), (None, None)))
        if port is None:
            raise ModelError(f"output {layer.get('name', '')[:40]!r} is computed by no layer")
        outputs.append(_output(layer, port))
    return outputs


def _output(layer: ElementTree.Element, port: ElementTree.Element) -> Value:
    precision = port.get("precision", "")
    dtype, _ = _element_type(_PRECISIONS.get(precision, precision.lower()))
    shape = ",".join((dim.text or "").replace("-1", "?") for dim in port.findall("dim"))
    return layer.get("output_names", port.get("names", "")), dtype, _dims(shape), ""


def _metadata(net: ElementTree.Element) -> dict[str, str]:
    """Read the nigroedge section of rt_info; its tags are the tails of ONNX's keys."""
    metadata: dict[str, str] = {}
    sections = net.findall("./rt_info/nigroedge")
    if len(sections) > 1:
        raise ModelError("rt_info has more than one section nigroedge")
    for entry in sections[0] if sections else ():
        key, value = f"nigroedge.{entry.tag}", entry.get("value")
        if value is None or key in metadata:
            raise ModelError(f"expected one value of rt_info/nigroedge/{entry.tag[:40]!r}")
        metadata[key] = value
    return metadata


def _element_type(name: str) -> tuple[str, int]:
    if name not in _TYPES:
        raise ModelError(f"element type {name[:40]!r} is not allowed")
    return _TYPES[name]


def _integer(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise ModelError(f"expected a whole number of at most 12 digits, got {text[:40]!r}")
    return int(text)


def _dims(text: str, *, open_batch: bool = True) -> tuple[int, ...]:
    """Read '?,1,50,50,20'; only the first may be open, as −1."""
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if len(parts) > _MAX_RANK:
        raise ModelError(f"expected at most {_MAX_RANK} dims, got {len(parts)}")
    is_open = open_batch and parts[:1] == ["?"]
    sizes = [_integer(part) for part in (parts[1:] if is_open else parts)]
    return (-1, *sizes) if is_open else tuple(sizes)
