// NEON (Advanced SIMD) of AArch64, which every such CPU has.
// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernels.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace nigro::kernels {

void override_neon(Kernels&) {}

}  // namespace nigro::kernels
#endif
