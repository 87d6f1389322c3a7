// The reader of TensorProto, and what is known of each data type; see onnx_tensor.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/onnx_tensor.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "ONNX is little-endian, and its weights are used as they lie in the file"
#endif

namespace nigro {
namespace {

using namespace protobuf;

// A data type: the field of TensorProto that holds its elements unless raw_data does, and the range
// of the numbers there (onnx.proto, TensorProto.DataType and the comments of the *_data fields).
struct TypeRule {
    DataType type;
    const char* name;
    std::size_t item_bytes;
    std::uint32_t data_field;
    std::int64_t low, high;
};
constexpr std::int64_t kAnyLow = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kAnyHigh = std::numeric_limits<std::int64_t>::max();
constexpr std::uint32_t kFloatData = 4, kInt32Data = 5, kInt64Data = 7, kRawData = 9;
constexpr std::uint32_t kDoubleData = 10, kUint64Data = 11;
constexpr TypeRule kTypes[] = {
    {DataType::kFloat, "float", 4, kFloatData, 0, 0},
    {DataType::kUint8, "uint8", 1, kInt32Data, 0, 255},
    {DataType::kInt8, "int8", 1, kInt32Data, -128, 127},
    {DataType::kUint16, "uint16", 2, kInt32Data, 0, 65535},
    {DataType::kInt16, "int16", 2, kInt32Data, -32768, 32767},
    {DataType::kInt32, "int32", 4, kInt32Data, -2147483648LL, 2147483647LL},
    {DataType::kInt64, "int64", 8, kInt64Data, kAnyLow, kAnyHigh},
    {DataType::kBool, "bool", 1, kInt32Data, 0, 1},
    {DataType::kFloat16, "float16", 2, kInt32Data, 0, 65535},
    {DataType::kDouble, "double", 8, kDoubleData, 0, 0},
    {DataType::kUint32, "uint32", 4, kUint64Data, 0, 4294967295LL},
    {DataType::kUint64, "uint64", 8, kUint64Data, kAnyLow, kAnyHigh},
    {DataType::kBfloat16, "bfloat16", 2, kInt32Data, 0, 65535},
};

const TypeRule* find_type(std::int64_t number) noexcept {
    for (const TypeRule& rule : kTypes)
        if (static_cast<std::int64_t>(rule.type) == number) return &rule;
    return nullptr;
}

const TypeRule& rule_of(DataType type) noexcept {
    return *find_type(static_cast<std::int64_t>(type));
}

// How many numbers a field holds: of fixed size, or varints, each of which has one byte below 0x80.
std::size_t count_items(const Field& field, const TypeRule& type, const Place& place) {
    const Span& bytes = field.bytes;
    if (type.data_field != kFloatData && type.data_field != kDoubleData)
        return static_cast<std::size_t>(
            std::count_if(bytes.begin, bytes.end, [](unsigned char byte) { return byte < 0x80; }));
    check_whole_items(field, type.item_bytes, place);
    return bytes.size() / type.item_bytes;
}

constexpr Rule kTensorRules[] = {
    {1, Wire::kVarint, Use::kNumbers, "dims"},
    {2, Wire::kVarint, Use::kOne, "data_type"},
    {3, Wire::kBytes, Use::kRefused, "a tensor in segments"},
    {kFloatData, Wire::kFixed32, Use::kNumbers, "float_data"},
    {kInt32Data, Wire::kVarint, Use::kNumbers, "int32_data"},
    {6, Wire::kBytes, Use::kRefused, "string_data"},
    {kInt64Data, Wire::kVarint, Use::kNumbers, "int64_data"},
    {8, Wire::kBytes, Use::kOne, "name"},
    {kRawData, Wire::kBytes, Use::kOne, "raw_data"},
    {kDoubleData, Wire::kFixed64, Use::kNumbers, "double_data"},
    {kUint64Data, Wire::kVarint, Use::kNumbers, "uint64_data"},
    {12, Wire::kBytes, Use::kSkipped, "doc_string"},
    {13, Wire::kBytes, Use::kRefused, "external data"},
    {14, Wire::kVarint, Use::kOne, "data_location"},
    {16, Wire::kBytes, Use::kSkipped, "metadata_props"},
};

// What a first pass over a tensor's fields finds out about its elements.
struct TensorData {
    const TypeRule* type = nullptr;
    std::uint32_t field = 0;   // that holds the elements; 0 if none does
    std::size_t n_fields = 0;  // how often that field comes
    Span first;                // its first value
};

void take_data_field(TensorData& data, const Field& field, const Place& place) {
    if (data.field != 0 && data.field != field.number())
        refuse(place, field.bytes.begin,
               std::string(field.rule->name) + " beside another field that holds elements");
    data.field = field.number();
    if (data.n_fields++ == 0) data.first = field.bytes;
}

// The product of the dims: 0 if one of them is. Each non-zero element takes a byte of the file at
// least, which bounds the product long before it can overflow.
std::size_t count_elements(const std::vector<std::int64_t>& dims, Span bytes, const Place& place) {
    std::size_t n_elements = 1;
    bool empty = false;
    for (const std::int64_t dim : dims) {
        if (dim < 0)
            refuse(place, bytes.begin, "expected dims of 0 or more, got " + std::to_string(dim));
        empty = empty || dim == 0;
        if (dim == 0) continue;
        if (static_cast<std::uint64_t>(dim) > kMaxOnnxBytes / n_elements)
            refuse(place, bytes.begin, "dims whose product is beyond any file");
        n_elements *= static_cast<std::size_t>(dim);
    }
    return empty ? 0 : n_elements;
}

TensorData scan_tensor(Span bytes, const Place& place, OnnxTensor& tensor) {
    TensorData data;
    Message message(bytes, kTensorRules, place);
    for (Field field; message.next(field);) {
        switch (field.number()) {
            case 1:  // dims
                for_each_int(field, place, [&](std::int64_t dim) {
                    append(tensor.dims, dim, kMaxRank, field, place);
                });
                break;
            case 2:  // data_type
                data.type = &rule_of(as_data_type(field, place));
                break;
            case 8:  // name
                tensor.name = as_text(field, kMaxNameBytes, place);
                break;
            case 14:  // data_location
                if (field.value != 0)
                    refuse(place, field.bytes.begin, "external data is not allowed");
                break;
            default:
                take_data_field(data, field, place);
        }
    }
    if (data.type == nullptr) refuse(place, bytes.begin, "expected a data_type, got none");
    tensor.type = data.type->type;
    tensor.n_elements = count_elements(tensor.dims, bytes, place);
    tensor.n_bytes = tensor.n_elements * data.type->item_bytes;
    return data;
}

[[noreturn]] void refuse_size(const OnnxTensor& tensor, std::size_t got, const char* unit,
                              std::size_t expected, Span bytes, const Place& place) {
    refuse(place, bytes.begin,
           "tensor " + quoted(tensor.name) + " has dims for " + std::to_string(expected) + " " +
               unit + ", but holds " + std::to_string(got));
}

unsigned char* allocate_decoded(OnnxDecoded& decoded, std::size_t n_bytes, Span bytes,
                                const Place& place) {
    if (n_bytes > kMaxDecodedBytes - decoded.n_bytes)
        refuse(place, bytes.begin,
               "more than " + std::to_string(kMaxDecodedBytes) +
                   " bytes of elements outside raw_data");
    decoded.n_bytes += n_bytes;
    decoded.blocks.push_back(std::make_unique<unsigned char[]>(n_bytes));
    return decoded.blocks.back().get();
}

void decode_field(const Field& field, const TypeRule& type, unsigned char*& out,
                  const Place& place) {
    if (type.data_field == kFloatData || type.data_field == kDoubleData) {
        std::memcpy(out, field.bytes.begin, field.bytes.size());
        out += field.bytes.size();
        return;
    }
    for_each_int(field, place, [&](std::int64_t value) {
        if (value < type.low || value > type.high)
            refuse(place, field.bytes.begin,
                   std::to_string(value) + " is outside the range of " + type.name);
        std::memcpy(out, &value, type.item_bytes);  // little-endian: the low bytes come first
        out += type.item_bytes;
    });
}

// Elements in the field of their type: count them before anything is allocated, then decode them.
void read_typed_data(OnnxDecoded& decoded, const TensorData& data, Span bytes, const Place& place,
                     OnnxTensor& tensor) {
    const TypeRule& type = *data.type;
    std::size_t n_items = 0;
    Message counted(bytes, kTensorRules, place);
    for (Field field; counted.next(field);)
        if (field.number() == data.field) n_items += count_items(field, type, place);
    if (n_items != tensor.n_elements)
        refuse_size(tensor, n_items, "elements", tensor.n_elements, bytes, place);

    unsigned char* out = allocate_decoded(decoded, tensor.n_bytes, bytes, place);
    tensor.data = out;
    Message message(bytes, kTensorRules, place);
    for (Field field; message.next(field);)
        if (field.number() == data.field) decode_field(field, type, out, place);
}

}  // namespace

DataType as_data_type(const Field& field, const Place& place) {
    if (const TypeRule* rule = find_type(as_int(field))) return rule->type;
    refuse(place, field.bytes.begin,
           "data type " + std::to_string(as_int(field)) +
               " is not allowed; expected a number of 8 to 64 bits");
}

const char* data_type_name(DataType type) noexcept { return rule_of(type).name; }

OnnxTensor read_tensor(OnnxDecoded& decoded, Span bytes, const Place& place) {
    OnnxTensor tensor;
    const TensorData data = scan_tensor(bytes, place, tensor);
    const bool is_raw = data.field == kRawData;
    if (data.field != 0 && !is_raw && data.field != data.type->data_field)
        refuse(
            place, data.first.begin,
            std::string("elements of type ") + data.type->name + " in the field of another type");
    // One packed run of floats lies in the file exactly as raw_data does.
    const bool is_run =
        data.n_fields == 1 && (data.field == kFloatData || data.field == kDoubleData);
    if (data.field != 0 && !is_raw && !is_run) {
        read_typed_data(decoded, data, bytes, place, tensor);
        return tensor;
    }
    if (data.first.size() != tensor.n_bytes)
        refuse_size(tensor, data.first.size(), "bytes", tensor.n_bytes, bytes, place);
    tensor.data = data.field == 0 ? bytes.begin : data.first.begin;
    return tensor;
}

}  // namespace nigro
