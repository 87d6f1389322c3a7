// The convolution kernels in NEON (Advanced SIMD) of AArch64, whose FMA is always there.
// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernels.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace nigro::kernels {
namespace {

struct Vec {
    static constexpr std::size_t kLanes = 4;
    float32x4_t value;
};

inline Vec load(const float* source) { return {vld1q_f32(source)}; }
inline void store(float* target, Vec a) { vst1q_f32(target, a.value); }
inline Vec broadcast(float value) { return {vdupq_n_f32(value)}; }
inline Vec add(Vec a, Vec b) { return {vaddq_f32(a.value, b.value)}; }
inline Vec sub(Vec a, Vec b) { return {vsubq_f32(a.value, b.value)}; }
inline Vec mul(Vec a, Vec b) { return {vmulq_f32(a.value, b.value)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.value, a.value, b.value)}; }
inline Vec fnma(Vec a, Vec b, Vec c) { return {vfmsq_f32(c.value, a.value, b.value)}; }
// Not vmaxq_f32, which differs for NaN and for zeros of two signs.
inline Vec maximum(Vec a, Vec b) {
    return {vbslq_f32(vcgtq_f32(a.value, b.value), a.value, b.value)};
}

// Of 32 registers, 24 hold sums (6 tiles of 16 channels), 4 weights and 1 the value.
constexpr std::size_t kProductVecs = 24;
constexpr std::size_t kProductBlocks = 1;

#include "kernels/conv_body.inc"

}  // namespace

void override_conv_neon(Kernels& table) { fill_conv(table); }

}  // namespace nigro::kernels
#endif
