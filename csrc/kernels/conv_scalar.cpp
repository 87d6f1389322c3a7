// The convolution kernels with one lane: the specification that every instruction set must match.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels/kernels.h"

namespace nigro::kernels {
namespace {

struct Vec {
    static constexpr std::size_t kLanes = 1;
    float value;
};

inline Vec load(const float* source) { return {*source}; }
inline void store(float* target, Vec a) { *target = a.value; }
inline Vec broadcast(float value) { return {value}; }
inline Vec add(Vec a, Vec b) { return {a.value + b.value}; }
inline Vec sub(Vec a, Vec b) { return {a.value - b.value}; }
inline Vec mul(Vec a, Vec b) { return {a.value * b.value}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {std::fma(a.value, b.value, c.value)}; }
inline Vec fnma(Vec a, Vec b, Vec c) { return {std::fma(-a.value, b.value, c.value)}; }
inline Vec maximum(Vec a, Vec b) { return {a.value > b.value ? a.value : b.value}; }

#define NIGRO_SCALAR

// One tile and one block of channels at a time.
constexpr std::size_t kProductVecs = 16;
constexpr std::size_t kProductBlocks = 1;

#include "kernels/conv_body.inc"

}  // namespace

void fill_conv_scalar(Kernels& table) { fill_conv(table); }

}  // namespace nigro::kernels
