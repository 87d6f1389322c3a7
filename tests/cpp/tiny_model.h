// A small model file made from nothing, for tests of the C face that have no Python beside them.
//
// Convolution 3³ and ReLU, max-pool, flatten, Gemm, on patches of 7 x 6 x 4. All weights are drawn;
// those of the Gemm are so small that every answer lies within 1e-4 of the self-test's 0, and yet
// has all bits of a float32 that depends on every voxel.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace tiny {

constexpr std::size_t kShape[3] = {7, 6, 4};
constexpr std::size_t kChannels = 4;

// ------------------------------------------------------------------------ protobuf, as onnx.proto

inline std::string varint(std::uint64_t value) {
    std::string bytes;
    for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
    return bytes + static_cast<char>(value);
}
inline std::string number(std::uint64_t field, std::uint64_t value) {
    return varint(field << 3) + varint(value);
}
inline std::string bytes(std::uint64_t field, const std::string& value) {
    return varint(field << 3 | 2) + varint(value.size()) + value;
}

inline std::string tensor(const std::string& name, const std::vector<std::uint64_t>& dims,
                          std::uint32_t seed, float scale) {
    std::size_t n = 1;
    std::string message;
    for (const std::uint64_t dim : dims) {
        n *= dim;
        message += number(1, dim);
    }
    std::string raw(n * sizeof(float), '\0');
    for (std::size_t i = 0; i < n; ++i) {
        seed = 1664525U * seed + 1013904223U;
        const float value = scale * (static_cast<float>(seed >> 8) / 16777216.0F - 0.5F);
        std::memcpy(&raw[i * sizeof value], &value, sizeof value);
    }
    return message + number(2, 1) + bytes(8, name) + bytes(9, raw);
}

inline std::string ints(const std::string& name, const std::vector<std::uint64_t>& values) {
    std::string message = bytes(1, name);
    for (const std::uint64_t value : values) message += number(8, value);
    return message + number(20, 7);
}

inline std::string node(const char* op_type, const std::vector<std::string>& inputs,
                        const std::string& output, const std::vector<std::string>& attributes) {
    std::string message;
    for (const std::string& input : inputs) message += bytes(1, input);
    message += bytes(2, output) + bytes(4, op_type);
    for (const std::string& attribute : attributes) message += bytes(5, attribute);
    return message;
}

inline std::string port(const std::string& name, const std::vector<std::uint64_t>& dims) {
    std::string shape = bytes(1, bytes(2, "n"));
    for (const std::uint64_t dim : dims) shape += bytes(1, number(1, dim));
    return bytes(1, name) + bytes(2, bytes(1, number(1, 1) + bytes(2, shape)));
}

// ------------------------------------------------------------------------------------------ model

using Metadata = std::vector<std::pair<std::string, std::string>>;

inline Metadata metadata() {
    return {{"format", "1"},
            {"patch_shape", "7 6 4"},
            {"spacing_mm", "0.5 0.5 1"},
            {"axes", "ALI"},
            {"normalize", "mean"},
            {"side", "both"},
            {"mirror", "right"},
            {"card", "{\"name\": \"tiny\"}"},
            {"selftest_sbr", "0x00000000 0"}};
}

// The bytes of a model file; 'seed' chooses the weights.
inline std::string model(std::uint32_t seed = 1, const Metadata& entries = metadata()) {
    const std::uint64_t n_features =
        kChannels * (kShape[0] / 2) * (kShape[1] / 2) * (kShape[2] / 2);
    const std::string graph =
        bytes(1, node("Conv", {"patch", "w", "b"}, "c", {ints("pads", {1, 1, 1, 1, 1, 1})})) +
        bytes(1, node("Relu", {"c"}, "r", {})) +
        bytes(1, node("MaxPool", {"r"}, "p",
                      {ints("kernel_shape", {2, 2, 2}), ints("strides", {2, 2, 2})})) +
        bytes(1, node("Flatten", {"p"}, "f", {})) + bytes(1, node("Gemm", {"f", "g"}, "sbr", {})) +
        bytes(2, "tiny") + bytes(5, tensor("w", {kChannels, 1, 3, 3, 3}, seed, 0.5F)) +
        bytes(5, tensor("b", {kChannels}, seed + 1, 0.1F)) +
        bytes(5, tensor("g", {n_features, 1}, seed + 2, 1e-5F)) +
        bytes(11, port("patch", {1, kShape[0], kShape[1], kShape[2]})) +
        bytes(12, port("sbr", {1}));
    std::string file = number(1, 8) + bytes(7, graph) + bytes(8, number(2, 17));
    for (const auto& [key, value] : entries)
        file += bytes(14, bytes(1, "nigroedge." + key) + bytes(2, value));
    return file;
}

}  // namespace tiny
