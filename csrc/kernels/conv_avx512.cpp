// The convolution kernels in AVX-512 (foundation).
// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx2,fma")
#endif

namespace nigro::kernels {
namespace {

struct Vec {
    static constexpr std::size_t kLanes = 16;
    __m512 value;
};

inline Vec load(const float* source) { return {_mm512_loadu_ps(source)}; }
inline void store(float* target, Vec a) { _mm512_storeu_ps(target, a.value); }
inline Vec broadcast(float value) { return {_mm512_set1_ps(value)}; }
inline Vec add(Vec a, Vec b) { return {_mm512_add_ps(a.value, b.value)}; }
inline Vec sub(Vec a, Vec b) { return {_mm512_sub_ps(a.value, b.value)}; }
inline Vec mul(Vec a, Vec b) { return {_mm512_mul_ps(a.value, b.value)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.value, b.value, c.value)}; }
inline Vec fnma(Vec a, Vec b, Vec c) { return {_mm512_fnmadd_ps(a.value, b.value, c.value)}; }
// The unmasked intrinsic reads an undefined value in GCC 12, which warns; the code is the same.
inline Vec maximum(Vec a, Vec b) { return {_mm512_maskz_max_ps(__mmask16(-1), a.value, b.value)}; }

// Of 32 registers, 24 hold sums: 12 tiles of 32 channels, or 24 of 16.
constexpr std::size_t kProductVecs = 24;
constexpr std::size_t kProductBlocks = 2;

#include "kernels/conv_body.inc"

}  // namespace

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

void override_conv_avx512(Kernels& table) { fill_conv(table); }

}  // namespace nigro::kernels
#endif
