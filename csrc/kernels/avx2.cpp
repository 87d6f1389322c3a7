// AVX2 and FMA. The target region opens after the includes and everything in it is anonymous, so no
// function compiled here can be called on a CPU that does not run it.
// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

// GCC reads its own pragma, clang only its attribute.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

namespace nigro::kernels {
namespace {
}  // namespace
}  // namespace nigro::kernels

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace nigro::kernels {

void override_avx2(Kernels&) {}

}  // namespace nigro::kernels
#endif
