// Read an ONNX model from memory: the part of the format that a model of this project may use.
//
// The protobuf wire format is parsed by hand: it is four encodings, the runtime has no protobuf to
// link, and a strict reader of our own can refuse what a general one accepts (unknown fields,
// repeated singular fields, external data, subgraphs, functions, sparse or string tensors). What
// read_onnx() returns has passed every check of this header, so that its users index and size
// without checking again. Nothing is copied: names and weights are views into the caller's buffer,
// which must outlive the model. Field names and numbers are those of onnx.proto, IR versions 3
// to 14. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace nigro {

// Limits. A file beyond one of them is refused before anything of that size is allocated. All are
// far above any network of this method (the largest preset: 14 initializers, 70 MB; quantised: 60
// nodes). Together they bound what read_onnx() allocates beside the caller's buffer by 160 MiB.
constexpr std::size_t kMaxOnnxBytes = std::size_t{512} << 20;
constexpr std::size_t kMaxNodes = 2048;
constexpr std::size_t kMaxInitializers = 4096;
constexpr std::size_t kMaxMetadata = 256;   // entries; also imports
constexpr std::size_t kMaxValues = 64;      // inputs or outputs, of the graph or of one node
constexpr std::size_t kMaxAttributes = 16;  // of one node
constexpr std::size_t kMaxListItems = 256;  // of one list attribute
constexpr std::size_t kMaxRank = 8;
constexpr std::size_t kMaxNameBytes = 1024;
constexpr std::size_t kMaxMetadataBytes = std::size_t{1} << 20;  // of one value
// Tensors whose elements are varints (int32_data and the like) or scattered must be decoded;
// weights of any size belong in raw_data, which is a view.
constexpr std::size_t kMaxDecodedBytes = std::size_t{64} << 20;

// TensorProto.DataType, the members that a model may use.
enum class DataType : std::int32_t {
    kFloat = 1,
    kUint8 = 2,
    kInt8 = 3,
    kUint16 = 4,
    kInt16 = 5,
    kInt32 = 6,
    kInt64 = 7,
    kBool = 9,
    kFloat16 = 10,
    kDouble = 11,
    kUint32 = 12,
    kUint64 = 13,
    kBfloat16 = 16,
};

// The lower-case name of 'type' as ONNX documents it, such as "float" or "int64".
const char* data_type_name(DataType type) noexcept;

// A tensor stored in the file. 'data' holds n_elements items of 'type', little-endian, in C order,
// n_bytes in all. It is NOT aligned: copy with memcpy.
struct OnnxTensor {
    std::string_view name;
    DataType type = DataType::kFloat;
    std::vector<std::int64_t> dims;  // each 0 or more; empty for a scalar
    std::size_t n_elements = 0;
    const unsigned char* data = nullptr;
    std::size_t n_bytes = 0;
};

// AttributeProto.AttributeType, the members that a model may use.
enum class AttributeType : std::int32_t {
    kFloat = 1,
    kInt = 2,
    kString = 3,
    kTensor = 4,
    kFloats = 6,
    kInts = 7,
};

// A node's attribute: 'type' says which member holds it.
struct OnnxAttribute {
    std::string_view name;
    AttributeType type = AttributeType::kInt;
    float f = 0;
    std::int64_t i = 0;
    std::string_view s;
    OnnxTensor t;
    std::vector<float> floats;
    std::vector<std::int64_t> ints;
};

struct OnnxNode {
    std::string_view op_type;  // one of the standard operators listed in onnx_reader.cpp
    std::string_view name;     // may be empty
    std::vector<std::string_view> inputs;   // "" where an optional input is left out
    std::vector<std::string_view> outputs;  // "" where an optional output is left out
    std::vector<OnnxAttribute> attributes;  // names are unique

    // The attribute called 'name', or nullptr.
    const OnnxAttribute* attribute(std::string_view attribute_name) const noexcept;
};

// A dimension that the file leaves open. Only the first one, the batch, may be.
constexpr std::int64_t kAnyBatch = -1;

// An input or output of the graph.
struct OnnxValue {
    std::string_view name;
    DataType type = DataType::kFloat;
    std::vector<std::int64_t> dims;  // each 1 or more, or kAnyBatch for the first
    std::string_view batch_name;     // dim_param of the first; may be empty
};

struct OnnxOpset {
    std::string_view domain;  // "" is the standard domain
    std::int64_t version = 0;
};

struct OnnxEntry {
    std::string_view key;
    std::string_view value;
};

// Elements that do not lie in the file as they are needed, decoded; OnnxTensor::data points into
// them.
struct OnnxDecoded {
    std::vector<std::unique_ptr<unsigned char[]>> blocks;
    std::size_t n_bytes = 0;
};

// A model whose parts fit together: every node's inputs are graph inputs, initializers or outputs
// of earlier nodes; no name is defined twice; graph outputs are defined.
struct OnnxModel {
    std::int64_t ir_version = 0;
    std::int64_t opset = 0;           // version of the standard domain, which all nodes use
    std::vector<OnnxOpset> opsets;    // all imports, also of domains that no node uses
    std::vector<OnnxEntry> metadata;  // metadata_props; keys are unique
    std::string_view producer_name;
    std::string_view graph_name;
    std::vector<OnnxValue> inputs;
    std::vector<OnnxValue> outputs;
    std::vector<OnnxNode> nodes;  // in topological order, as in the file
    std::vector<OnnxTensor> initializers;

    // The initializer called 'name', or nullptr.
    const OnnxTensor* initializer(std::string_view tensor_name) const noexcept;
    // The metadata value of 'key', or nullptr.
    const std::string_view* metadata_value(std::string_view key) const noexcept;

    // How many numbers the network has learnt: the elements of all initializers but integers of 64
    // bits (shapes, axes) and the scales and zero points of quantisation.
    std::size_t n_parameters() const;

    OnnxDecoded decoded;
};

// Parse the 'size' bytes at 'data'.
//
// Throws ModelError, saying what was expected, what came and where, if the bytes are not a model
// that this header allows; std::bad_alloc if memory runs out. Never reads outside the buffer. Any
// number of threads may call it at once. The result and its views live as long as the buffer.
OnnxModel read_onnx(const unsigned char* data, std::size_t size);

}  // namespace nigro
