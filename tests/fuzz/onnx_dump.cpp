// Print all that the ONNX reader read of each FILE, for a comparison with another reader of ONNX.
//
// One line for each thing, in the order of the file; names in quotes, elements in hexadecimal.
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "core/error.h"
#include "core/onnx_reader.h"

namespace {

std::string text(std::string_view view) { return "'" + std::string(view) + "'"; }

std::string list(const std::vector<std::int64_t>& items) {
    std::string out;
    for (const std::int64_t item : items) out += " " + std::to_string(item);
    return out;
}

std::string hex(const void* data, std::size_t n_bytes) {
    static const char* const kDigits = "0123456789abcdef";
    std::string out;
    for (std::size_t i = 0; i < n_bytes; ++i) {
        const unsigned byte = static_cast<const unsigned char*>(data)[i];
        out += {kDigits[byte >> 4], kDigits[byte & 15]};
    }
    return out;
}

std::string describe(const nigro::OnnxTensor& tensor) {
    return text(tensor.name) + " " + nigro::data_type_name(tensor.type) + list(tensor.dims) +
           " = " + hex(tensor.data, tensor.n_bytes);
}

std::string value_of(const nigro::OnnxAttribute& attribute) {
    switch (attribute.type) {
        case nigro::AttributeType::kFloat:
            return hex(&attribute.f, sizeof attribute.f);
        case nigro::AttributeType::kInt:
            return std::to_string(attribute.i);
        case nigro::AttributeType::kString:
            return text(attribute.s);
        case nigro::AttributeType::kTensor:
            return describe(attribute.t);
        case nigro::AttributeType::kFloats:
            return hex(attribute.floats.data(), attribute.floats.size() * sizeof(float));
        default:
            return list(attribute.ints);
    }
}

void print(const char* noun, const nigro::OnnxValue& value) {
    std::printf("%s %s %s%s batch %s\n", noun, text(value.name).c_str(),
                nigro::data_type_name(value.type), list(value.dims).c_str(),
                text(value.batch_name).c_str());
}

void print(const nigro::OnnxNode& node) {
    std::printf("node %s %s\n", std::string(node.op_type).c_str(), text(node.name).c_str());
    for (const std::string_view input : node.inputs) std::printf("  in %s\n", text(input).c_str());
    for (const std::string_view output : node.outputs)
        std::printf("  out %s\n", text(output).c_str());
    for (const nigro::OnnxAttribute& each : node.attributes)
        std::printf("  %s %d %s\n", text(each.name).c_str(), static_cast<int>(each.type),
                    value_of(each).c_str());
}

void print(const nigro::OnnxModel& model) {
    std::printf("ir %lld producer %s graph %s\n", static_cast<long long>(model.ir_version),
                text(model.producer_name).c_str(), text(model.graph_name).c_str());
    for (const nigro::OnnxOpset& each : model.opsets)
        std::printf("opset %s %lld\n", text(each.domain).c_str(),
                    static_cast<long long>(each.version));
    for (const nigro::OnnxEntry& each : model.metadata)
        std::printf("meta %s %s\n", text(each.key).c_str(), text(each.value).c_str());
    for (const nigro::OnnxValue& each : model.inputs) print("input", each);
    for (const nigro::OnnxValue& each : model.outputs) print("output", each);
    for (const nigro::OnnxTensor& each : model.initializers)
        std::printf("init %s\n", describe(each).c_str());
    for (const nigro::OnnxNode& each : model.nodes) print(each);
}

}  // namespace

int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        std::ifstream file(argv[i], std::ios::binary);
        const std::string bytes{std::istreambuf_iterator<char>(file), {}};
        try {
            print(nigro::read_onnx(reinterpret_cast<const unsigned char*>(bytes.data()),
                                   bytes.size()));
        } catch (const nigro::ModelError& error) {
            std::printf("refused: %s\n", error.what());
        }
    }
}
