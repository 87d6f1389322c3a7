// The reader of ONNX models; see onnx_reader.h.
//
// One function for each message of onnx.proto, each with the table of its fields above it; then the
// checks that need the whole graph. Nothing here recurses: subgraphs and functions are refused, so
// the depth of a file is that of this code.
// SPDX-License-Identifier: Apache-2.0
#include "core/onnx_reader.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string>

#include "core/error.h"
#include "core/onnx_tensor.h"
#include "core/protobuf.h"

namespace nigro {
namespace {

using namespace protobuf;

// IR 3 brought today's metadata; 14 is the newest that was known when this was written.
constexpr std::int64_t kMinIrVersion = 3;
constexpr std::int64_t kMaxIrVersion = 14;
// Opset 7 brought today's broadcasting; 28 is the newest that was known when this was written. An
// operator may change its meaning in a later one.
constexpr std::int64_t kMinOpset = 7;
constexpr std::int64_t kMaxOpset = 28;

// Operators of the standard domain that a feed-forward network may use: no state, no random
// numbers, no control flow, and no output whose size is computed from data.
// clang-format off: one to a line would take a page
constexpr std::string_view kOperators[] = {
    "Abs", "Add", "AveragePool", "BatchNormalization", "Cast", "Ceil", "Clip", "Concat",
    "Constant", "Conv", "DequantizeLinear", "Div", "Elu", "Erf", "Exp", "Flatten", "Floor",
    "Gather", "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "GroupNormalization",
    "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "LayerNormalization",
    "LeakyRelu", "Log", "MatMul", "Max", "MaxPool", "Min", "Mish", "Mul", "Neg", "PRelu", "Pad",
    "Pow", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "Reciprocal", "ReduceMax",
    "ReduceMean", "ReduceSum", "Relu", "Reshape", "Selu", "Shape", "Sigmoid", "Slice", "Softmax",
    "Softplus", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "Transpose", "Unsqueeze"};
// clang-format on

constexpr bool is_sorted(const std::string_view* begin, const std::string_view* end) noexcept {
    for (const std::string_view* at = begin + 1; at < end; ++at)
        if (!(at[-1] < *at)) return false;
    return true;
}
static_assert(is_sorted(std::begin(kOperators), std::end(kOperators)), "for the binary search");

bool is_operator(std::string_view op_type) noexcept {
    return std::binary_search(std::begin(kOperators), std::end(kOperators), op_type);
}

// ------------------------------------------------------------------------------------- attributes

constexpr Rule kAttributeRules[] = {
    {1, Wire::kBytes, Use::kOne, "name"},
    {2, Wire::kFixed32, Use::kOne, "f"},
    {3, Wire::kVarint, Use::kOne, "i"},
    {4, Wire::kBytes, Use::kOne, "s"},
    {5, Wire::kBytes, Use::kOne, "t"},
    {6, Wire::kBytes, Use::kRefused, "a subgraph"},
    {7, Wire::kFixed32, Use::kNumbers, "floats"},
    {8, Wire::kVarint, Use::kNumbers, "ints"},
    {9, Wire::kBytes, Use::kRefused, "a list of texts"},
    {10, Wire::kBytes, Use::kRefused, "a list of tensors"},
    {11, Wire::kBytes, Use::kRefused, "a list of subgraphs"},
    {13, Wire::kBytes, Use::kSkipped, "doc_string"},
    {14, Wire::kBytes, Use::kRefused, "a type"},
    {15, Wire::kBytes, Use::kRefused, "a list of types"},
    {20, Wire::kVarint, Use::kOne, "type"},
    {21, Wire::kBytes, Use::kRefused, "a reference to a function's attribute"},
    {22, Wire::kBytes, Use::kRefused, "a sparse tensor"},
    {23, Wire::kBytes, Use::kRefused, "a list of sparse tensors"},
};

// The field that holds the value of each type of attribute.
struct AttributeRule {
    AttributeType type;
    std::uint32_t field;
};
constexpr AttributeRule kAttributeTypes[] = {
    {AttributeType::kFloat, 2},  {AttributeType::kInt, 3},    {AttributeType::kString, 4},
    {AttributeType::kTensor, 5}, {AttributeType::kFloats, 7}, {AttributeType::kInts, 8}};

float as_float(const unsigned char* at) noexcept {
    float value = 0;
    std::memcpy(&value, at, sizeof value);
    return value;
}

void take_floats(const Field& field, const Place& place, std::vector<float>& floats) {
    check_whole_items(field, sizeof(float), place);
    for (const unsigned char* at = field.bytes.begin; at != field.bytes.end; at += sizeof(float))
        append(floats, as_float(at), kMaxListItems, field, place);
}

void take_attribute_value(OnnxDecoded& decoded, const Field& field, const Place& place,
                          OnnxAttribute& attribute) {
    switch (field.number()) {
        case 2:
            attribute.f = as_float(field.bytes.begin);
            break;
        case 3:
            attribute.i = as_int(field);
            break;
        case 4:
            attribute.s = as_text(field, kMaxNameBytes, place);
            break;
        case 5:
            attribute.t = read_tensor(decoded, field.bytes, place.inside("t"));
            break;
        case 7:
            take_floats(field, place, attribute.floats);
            break;
        default:  // 8, the last that the rules let through
            for_each_int(field, place, [&](std::int64_t value) {
                append(attribute.ints, value, kMaxListItems, field, place);
            });
    }
}

// The type says which field holds the value; a value in any other is refused. A missing number or
// text is the default of its type, which some writers leave out.
void check_attribute_type(const OnnxAttribute& attribute, std::int64_t type,
                          std::uint32_t value_fields, Span bytes, const Place& place) {
    for (const AttributeRule& rule : kAttributeTypes) {
        if (static_cast<std::int64_t>(rule.type) != type) continue;
        const std::uint32_t own = std::uint32_t{1} << rule.field;
        const bool missing = rule.type == AttributeType::kTensor && value_fields == 0;
        if ((value_fields & ~own) == 0 && !missing) return;
        refuse(place, bytes.begin,
               "the value of attribute " + quoted(attribute.name) + " is not of its type " +
                   std::to_string(type));
    }
    refuse(place, bytes.begin,
           "attribute " + quoted(attribute.name) + " has type " + std::to_string(type) +
               ", which is not allowed; expected numbers, text or one tensor");
}

OnnxAttribute read_attribute(OnnxDecoded& decoded, Span bytes, const Place& place) {
    OnnxAttribute attribute;
    std::int64_t type = 0;
    std::uint32_t value_fields = 0;  // a bit for each field number below 10 that has come
    Message message(bytes, kAttributeRules, place);
    for (Field field; message.next(field);) {
        if (field.number() == 1) {
            attribute.name = as_text(field, kMaxNameBytes, place);
        } else if (field.number() == 20) {
            type = as_int(field);
        } else {
            take_attribute_value(decoded, field, place, attribute);
            value_fields |= std::uint32_t{1} << field.number();
        }
    }
    check_attribute_type(attribute, type, value_fields, bytes, place);
    attribute.type = static_cast<AttributeType>(type);
    if (attribute.name.empty()) refuse(place, bytes.begin, "expected a name, got none");
    return attribute;
}

// ------------------------------------------------------------------------------------------ nodes

constexpr Rule kNodeRules[] = {
    {1, Wire::kBytes, Use::kMany, "input"},
    {2, Wire::kBytes, Use::kMany, "output"},
    {3, Wire::kBytes, Use::kOne, "name"},
    {4, Wire::kBytes, Use::kOne, "op_type"},
    {5, Wire::kBytes, Use::kMany, "attribute"},
    {6, Wire::kBytes, Use::kSkipped, "doc_string"},
    {7, Wire::kBytes, Use::kOne, "domain"},
    {8, Wire::kBytes, Use::kRefused, "an overload of a function"},
    {9, Wire::kBytes, Use::kSkipped, "metadata_props"},
    {10, Wire::kBytes, Use::kRefused, "a device configuration"},
};

bool is_standard_domain(std::string_view domain) noexcept {
    return domain.empty() || domain == "ai.onnx";
}

void take_attribute(OnnxDecoded& decoded, const Field& field, const Place& place, OnnxNode& node) {
    const Place at = place.inside("attribute", node.attributes.size());
    OnnxAttribute attribute = read_attribute(decoded, field.bytes, at);
    if (node.attribute(attribute.name) != nullptr)
        refuse(at, field.bytes.begin, "attribute " + quoted(attribute.name) + " is given twice");
    append(node.attributes, std::move(attribute), kMaxAttributes, field, place);
}

void check_operator(const OnnxNode& node, std::string_view domain, Span bytes, const Place& place) {
    if (!is_standard_domain(domain))
        refuse(place, bytes.begin,
               "operator " + quoted(node.op_type) + " is of the domain " + quoted(domain) +
                   "; expected standard ONNX operators only");
    if (!is_operator(node.op_type))
        refuse(place, bytes.begin,
               "operator " + quoted(node.op_type) +
                   " is not among the stateless ONNX operators that a model may use");
}

OnnxNode read_node(OnnxDecoded& decoded, Span bytes, const Place& place) {
    OnnxNode node;
    std::string_view domain;
    Message message(bytes, kNodeRules, place);
    for (Field field; message.next(field);) {
        switch (field.number()) {
            case 1:  // input
                append(node.inputs, as_text(field, kMaxNameBytes, place), kMaxValues, field, place);
                break;
            case 2:  // output
                append(node.outputs, as_text(field, kMaxNameBytes, place), kMaxValues, field,
                       place);
                break;
            case 3:  // name
                node.name = as_text(field, kMaxNameBytes, place);
                break;
            case 4:  // op_type
                node.op_type = as_text(field, kMaxNameBytes, place);
                break;
            case 5:  // attribute
                take_attribute(decoded, field, place, node);
                break;
            default:  // 7
                domain = as_text(field, kMaxNameBytes, place);
        }
    }
    check_operator(node, domain, bytes, place);
    return node;
}

// ------------------------------------------------------------------------------ inputs and outputs

constexpr Rule kDimensionRules[] = {
    {1, Wire::kVarint, Use::kOne, "dim_value"},
    {2, Wire::kBytes, Use::kOne, "dim_param"},
    {3, Wire::kBytes, Use::kSkipped, "denotation"},
};
constexpr Rule kShapeRules[] = {{1, Wire::kBytes, Use::kMany, "dim"}};
constexpr Rule kTensorTypeRules[] = {
    {1, Wire::kVarint, Use::kOne, "elem_type"},
    {2, Wire::kBytes, Use::kOne, "shape"},
};
constexpr Rule kTypeRules[] = {
    {1, Wire::kBytes, Use::kOne, "tensor_type"},
    {4, Wire::kBytes, Use::kRefused, "a sequence"},
    {5, Wire::kBytes, Use::kRefused, "a map"},
    {6, Wire::kBytes, Use::kSkipped, "denotation"},
    {7, Wire::kBytes, Use::kRefused, "an opaque type"},
    {8, Wire::kBytes, Use::kRefused, "a sparse tensor"},
    {9, Wire::kBytes, Use::kRefused, "an optional type"},
};
constexpr Rule kValueRules[] = {
    {1, Wire::kBytes, Use::kOne, "name"},
    {2, Wire::kBytes, Use::kOne, "type"},
    {3, Wire::kBytes, Use::kSkipped, "doc_string"},
    {4, Wire::kBytes, Use::kSkipped, "metadata_props"},
};

void read_dimension(Span bytes, const Place& place, OnnxValue& value) {
    std::int64_t size = kAnyBatch;
    bool is_fixed = false;
    bool is_named = false;
    Message message(bytes, kDimensionRules, place);
    for (Field field; message.next(field);) {
        if (field.number() == 1) {
            is_fixed = true;
            size = as_int(field);
        } else {
            is_named = true;
            value.batch_name = as_text(field, kMaxNameBytes, place);
        }
    }
    if (is_fixed && is_named) refuse(place, bytes.begin, "both dim_value and dim_param are given");
    if (is_fixed && size < 1)
        refuse(place, bytes.begin, "expected a size of at least 1, got " + std::to_string(size));
    if (!is_fixed && !value.dims.empty())
        refuse(place, bytes.begin, "only the first dimension, the batch, may be left open");
    value.dims.push_back(size);
}

void read_shape(Span bytes, const Place& place, OnnxValue& value) {
    Message message(bytes, kShapeRules, place);
    for (Field field; message.next(field);) {
        if (value.dims.size() == kMaxRank)
            refuse(place, field.bytes.begin, "more than " + std::to_string(kMaxRank) + " dims");
        read_dimension(field.bytes, place.inside("dim", value.dims.size()), value);
    }
}

void read_tensor_type(Span bytes, const Place& place, OnnxValue& value) {
    bool has_type = false;
    bool has_shape = false;
    Message message(bytes, kTensorTypeRules, place);
    for (Field field; message.next(field);) {
        if (field.number() == 1) {
            has_type = true;
            value.type = as_data_type(field, place);
        } else {
            has_shape = true;
            read_shape(field.bytes, place.inside("shape"), value);
        }
    }
    if (!has_type || !has_shape) refuse(place, bytes.begin, "expected an elem_type and a shape");
}

OnnxValue read_value_info(Span bytes, const Place& place) {
    OnnxValue value;
    bool has_type = false;
    Message message(bytes, kValueRules, place);
    for (Field field; message.next(field);) {
        if (field.number() == 1) {
            value.name = as_text(field, kMaxNameBytes, place);
            continue;
        }
        const Place at = place.inside("type");
        Message type(field.bytes, kTypeRules, at);
        for (Field tensor; type.next(tensor); has_type = true)
            read_tensor_type(tensor.bytes, at.inside("tensor_type"), value);
    }
    if (value.name.empty()) refuse(place, bytes.begin, "expected a name, got none");
    if (!has_type) refuse(place, bytes.begin, "expected a tensor type for " + quoted(value.name));
    return value;
}

// ------------------------------------------------------------------------------------------ graph

constexpr Rule kGraphRules[] = {
    {1, Wire::kBytes, Use::kMany, "node"},
    {2, Wire::kBytes, Use::kOne, "name"},
    {5, Wire::kBytes, Use::kMany, "initializer"},
    {10, Wire::kBytes, Use::kSkipped, "doc_string"},
    {11, Wire::kBytes, Use::kMany, "input"},
    {12, Wire::kBytes, Use::kMany, "output"},
    // Shapes of values between nodes: hints that every user of this reader computes for itself.
    {13, Wire::kBytes, Use::kSkipped, "value_info"},
    {14, Wire::kBytes, Use::kRefused, "a quantization annotation"},
    {15, Wire::kBytes, Use::kRefused, "a sparse initializer"},
    {16, Wire::kBytes, Use::kSkipped, "metadata_props"},
};

void take_value(const Field& field, const Place& place, std::vector<OnnxValue>& values) {
    const Place at = place.inside(field.rule->name, values.size());
    append(values, read_value_info(field.bytes, at), kMaxValues, field, place);
}

void read_graph(OnnxModel& model, Span bytes, const Place& place) {
    Message message(bytes, kGraphRules, place);
    for (Field field; message.next(field);) {
        switch (field.number()) {
            case 1: {  // node
                const Place at = place.inside("node", model.nodes.size());
                append(model.nodes, read_node(model.decoded, field.bytes, at), kMaxNodes, field,
                       place);
                break;
            }
            case 2:  // name
                model.graph_name = as_text(field, kMaxNameBytes, place);
                break;
            case 5: {  // initializer
                const Place at = place.inside("initializer", model.initializers.size());
                append(model.initializers, read_tensor(model.decoded, field.bytes, at),
                       kMaxInitializers, field, place);
                break;
            }
            case 11:  // input
                take_value(field, place, model.inputs);
                break;
            default:  // 12
                take_value(field, place, model.outputs);
        }
    }
}

using Names = std::set<std::string_view>;

void define(Names& names, std::string_view name, const Place& place) {
    if (name.empty()) refuse(place, nullptr, "expected a name, got none");
    if (!names.insert(name).second)
        refuse(place, nullptr, "the name " + quoted(name) + " is defined twice");
}

void check_node(const OnnxNode& node, const Place& place, Names& values, Names& node_names) {
    if (!node.name.empty()) define(node_names, node.name, place);
    for (const std::string_view input : node.inputs)
        if (!input.empty() && values.count(input) == 0)
            refuse(place, nullptr,
                   "input " + quoted(input) +
                       " is not a graph input, an initializer or an output of an earlier node");
    bool has_output = false;
    for (const std::string_view output : node.outputs) {
        if (output.empty()) continue;
        define(values, output, place);
        has_output = true;
    }
    if (!has_output) refuse(place, nullptr, "expected at least one output, got none");
}

// Every value is defined once and before its use; so the order of the nodes is an order to run
// them.
void check_graph(const OnnxModel& model, const Place& place) {
    Names values;
    Names node_names;
    for (std::size_t i = 0; i < model.inputs.size(); ++i)
        define(values, model.inputs[i].name, place.inside("input", i));
    for (std::size_t i = 0; i < model.initializers.size(); ++i)
        define(values, model.initializers[i].name, place.inside("initializer", i));
    for (std::size_t i = 0; i < model.nodes.size(); ++i)
        check_node(model.nodes[i], place.inside("node", i), values, node_names);
    if (model.outputs.empty()) refuse(place, nullptr, "expected an output, got none");
    Names outputs;
    for (std::size_t i = 0; i < model.outputs.size(); ++i) {
        const Place at = place.inside("output", i);
        define(outputs, model.outputs[i].name, at);
        if (values.count(model.outputs[i].name) == 0)
            refuse(at, nullptr, "no node computes " + quoted(model.outputs[i].name));
    }
}

// ------------------------------------------------------------------------------------------ model

constexpr Rule kModelRules[] = {
    {1, Wire::kVarint, Use::kOne, "ir_version"},
    {2, Wire::kBytes, Use::kOne, "producer_name"},
    {3, Wire::kBytes, Use::kSkipped, "producer_version"},
    {4, Wire::kBytes, Use::kSkipped, "domain"},
    {5, Wire::kVarint, Use::kSkipped, "model_version"},
    {6, Wire::kBytes, Use::kSkipped, "doc_string"},
    {7, Wire::kBytes, Use::kOne, "graph"},
    {8, Wire::kBytes, Use::kMany, "opset_import"},
    {14, Wire::kBytes, Use::kMany, "metadata_props"},
    {20, Wire::kBytes, Use::kRefused, "training information"},
    {25, Wire::kBytes, Use::kRefused, "a function"},
    {26, Wire::kBytes, Use::kRefused, "a device configuration"},
};
constexpr Rule kOpsetRules[] = {
    {1, Wire::kBytes, Use::kOne, "domain"},
    {2, Wire::kVarint, Use::kOne, "version"},
};
constexpr Rule kEntryRules[] = {
    {1, Wire::kBytes, Use::kOne, "key"},
    {2, Wire::kBytes, Use::kOne, "value"},
};

void take_entry(const Field& field, const Place& place, OnnxModel& model) {
    const Place at = place.inside("metadata_props", model.metadata.size());
    OnnxEntry entry;
    Message message(field.bytes, kEntryRules, at);
    for (Field part; message.next(part);) {
        if (part.number() == 1) entry.key = as_text(part, kMaxNameBytes, at);
        if (part.number() == 2) entry.value = as_text(part, kMaxMetadataBytes, at);
    }
    if (entry.key.empty()) refuse(at, field.bytes.begin, "expected a key, got none");
    if (model.metadata_value(entry.key) != nullptr)
        refuse(at, field.bytes.begin, "the key " + quoted(entry.key) + " is given twice");
    append(model.metadata, entry, kMaxMetadata, field, place);
}

// Imports of other domains are allowed, as ONNX Runtime's quantiser writes them; nodes of them are
// not.
void take_opset(const Field& field, const Place& place, OnnxModel& model) {
    const Place at = place.inside("opset_import", model.opsets.size());
    OnnxOpset opset;
    Message message(field.bytes, kOpsetRules, at);
    for (Field part; message.next(part);) {
        if (part.number() == 1) opset.domain = as_text(part, kMaxNameBytes, at);
        if (part.number() == 2) opset.version = as_int(part);
    }
    if (is_standard_domain(opset.domain)) opset.domain = "";
    for (const OnnxOpset& other : model.opsets)
        if (other.domain == opset.domain)
            refuse(at, field.bytes.begin, "domain " + quoted(opset.domain) + " is imported twice");
    append(model.opsets, opset, kMaxMetadata, field, place);
    if (opset.domain.empty()) model.opset = opset.version;
}

void check_versions(const OnnxModel& model, const Place& place) {
    if (model.ir_version < kMinIrVersion || model.ir_version > kMaxIrVersion)
        refuse(place, nullptr,
               "expected IR version " + std::to_string(kMinIrVersion) + " to " +
                   std::to_string(kMaxIrVersion) + ", got " + std::to_string(model.ir_version));
    if (model.opset < kMinOpset || model.opset > kMaxOpset)
        refuse(place, nullptr,
               "expected standard operators of opset " + std::to_string(kMinOpset) + " to " +
                   std::to_string(kMaxOpset) + ", got " + std::to_string(model.opset));
}

void read_model(OnnxModel& model, Span bytes, const Place& place) {
    bool has_graph = false;
    const Place graph = place.inside("graph");
    Message message(bytes, kModelRules, place);
    for (Field field; message.next(field);) {
        switch (field.number()) {
            case 1:  // ir_version
                model.ir_version = as_int(field);
                break;
            case 2:  // producer_name
                model.producer_name = as_text(field, kMaxNameBytes, place);
                break;
            case 7:  // graph
                read_graph(model, field.bytes, graph);
                has_graph = true;
                break;
            case 8:  // opset_import
                take_opset(field, place, model);
                break;
            default:  // 14
                take_entry(field, place, model);
        }
    }
    if (!has_graph) refuse(place, bytes.begin, "expected a graph, got none");
    check_versions(model, place);
    check_graph(model, graph);
}

}  // namespace

const OnnxAttribute* OnnxNode::attribute(std::string_view attribute_name) const noexcept {
    for (const OnnxAttribute& each : attributes)
        if (each.name == attribute_name) return &each;
    return nullptr;
}

const OnnxTensor* OnnxModel::initializer(std::string_view tensor_name) const noexcept {
    for (const OnnxTensor& each : initializers)
        if (each.name == tensor_name) return &each;
    return nullptr;
}

const std::string_view* OnnxModel::metadata_value(std::string_view key) const noexcept {
    for (const OnnxEntry& each : metadata)
        if (each.key == key) return &each.value;
    return nullptr;
}

std::size_t OnnxModel::n_parameters() const {
    // Inputs 1 and 2 of QuantizeLinear and DequantizeLinear are scale and zero point.
    Names scales;
    for (const OnnxNode& node : nodes)
        if (node.op_type == "QuantizeLinear" || node.op_type == "DequantizeLinear")
            for (std::size_t i = 1; i < node.inputs.size(); ++i) scales.insert(node.inputs[i]);
    std::size_t n = 0;
    for (const OnnxTensor& each : initializers)
        if (each.type != DataType::kInt64 && scales.count(each.name) == 0) n += each.n_elements;
    return n;
}

OnnxModel read_onnx(const unsigned char* data, std::size_t size) {
    const Place place{nullptr, "model", Place::kSingle, data};
    if (size == 0)
        throw ModelError("not a usable ONNX model: expected a model, got no bytes at all");
    if (size > kMaxOnnxBytes)
        throw ModelError("not a usable ONNX model: expected at most " +
                         std::to_string(kMaxOnnxBytes) + " bytes, got " + std::to_string(size));
    OnnxModel model;
    read_model(model, {data, data + size}, place);
    return model;
}

}  // namespace nigro
