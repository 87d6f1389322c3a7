// The fuzz target of the ONNX reader: any bytes give a model or a ModelError, nothing else.
//
// A model that was read is then used as its header promises: every name and every element is
// touched (the sanitizer sees a view that leaves the buffer) and the sizes are checked against each
// other. SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "core/error.h"
#include "core/onnx_reader.h"

namespace {

volatile unsigned g_sink = 0;  // keeps the reads

void touch(const void* data, std::size_t n_bytes) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    unsigned sum = 0;
    for (std::size_t i = 0; i < n_bytes; ++i) sum += bytes[i];
    g_sink = g_sink + sum;
}

void touch(std::string_view text) { touch(text.data(), text.size()); }

void require(bool promise) {
    if (!promise) std::abort();
}

void use(const nigro::OnnxTensor& tensor) {
    std::size_t n_elements = 1;
    for (const std::int64_t dim : tensor.dims) n_elements *= static_cast<std::size_t>(dim);
    require(tensor.n_elements == n_elements);
    require(tensor.n_elements == 0 || tensor.n_bytes % tensor.n_elements == 0);
    require(tensor.dims.size() <= nigro::kMaxRank);
    touch(tensor.name);
    touch(tensor.data, tensor.n_bytes);
}

void use(const nigro::OnnxNode& node) {
    touch(node.op_type);
    touch(node.name);
    for (const std::string_view input : node.inputs) touch(input);
    for (const std::string_view output : node.outputs) touch(output);
    for (const nigro::OnnxAttribute& attribute : node.attributes) {
        touch(attribute.name);
        touch(attribute.s);
        if (attribute.type == nigro::AttributeType::kTensor) use(attribute.t);
        require(node.attribute(attribute.name) == &attribute);
    }
}

void use(const std::vector<nigro::OnnxValue>& values) {
    for (const nigro::OnnxValue& value : values) {
        touch(value.name);
        touch(value.batch_name);
        for (std::size_t i = 0; i < value.dims.size(); ++i)
            require(value.dims[i] >= 1 || (i == 0 && value.dims[i] == nigro::kAnyBatch));
    }
}

void use(const nigro::OnnxModel& model) {
    use(model.inputs);
    use(model.outputs);
    require(!model.outputs.empty());
    for (const nigro::OnnxTensor& tensor : model.initializers) {
        use(tensor);
        require(model.initializer(tensor.name) == &tensor);
    }
    for (const nigro::OnnxNode& node : model.nodes) use(node);
    for (const nigro::OnnxEntry& entry : model.metadata) {
        touch(entry.value);
        require(model.metadata_value(entry.key) == &entry.value);
    }
    touch(model.producer_name);
    touch(model.graph_name);
    require(model.n_parameters() <= nigro::kMaxOnnxBytes * nigro::kMaxInitializers);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        use(nigro::read_onnx(data, size));
    } catch (const nigro::ModelError&) {
        // the other right answer
    }
    return 0;
}
