// The convolution kernels in AVX2 with FMA.
// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

namespace nigro::kernels {
namespace {

struct Vec {
    static constexpr std::size_t kLanes = 8;
    __m256 value;
};

inline Vec load(const float* source) { return {_mm256_loadu_ps(source)}; }
inline void store(float* target, Vec a) { _mm256_storeu_ps(target, a.value); }
inline Vec broadcast(float value) { return {_mm256_set1_ps(value)}; }
inline Vec add(Vec a, Vec b) { return {_mm256_add_ps(a.value, b.value)}; }
inline Vec sub(Vec a, Vec b) { return {_mm256_sub_ps(a.value, b.value)}; }
inline Vec mul(Vec a, Vec b) { return {_mm256_mul_ps(a.value, b.value)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.value, b.value, c.value)}; }
inline Vec fnma(Vec a, Vec b, Vec c) { return {_mm256_fnmadd_ps(a.value, b.value, c.value)}; }
inline Vec maximum(Vec a, Vec b) { return {_mm256_max_ps(a.value, b.value)}; }

// Of 16 registers, 12 hold sums (6 tiles of 16 channels), 2 weights and 1 the value.
constexpr std::size_t kProductVecs = 12;
constexpr std::size_t kProductBlocks = 1;

#include "kernels/conv_body.inc"

}  // namespace

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

void override_conv_avx2(Kernels& table) { fill_conv(table); }

}  // namespace nigro::kernels
#endif
