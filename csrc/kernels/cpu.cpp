// What this CPU and its operating system can run, as the compiler's run-time library reports it.
// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu.h"

namespace nigro::kernels {

bool cpu_runs_scalar() { return true; }

#if defined(__x86_64__)
// The run-time library looks at CPUID and, through XGETBV, at what the operating system saves.
bool cpu_runs_avx2() {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
bool cpu_runs_avx512() { return cpu_runs_avx2() && __builtin_cpu_supports("avx512f"); }
#else
bool cpu_runs_avx2() { return false; }
bool cpu_runs_avx512() { return false; }
#endif

#if defined(__aarch64__)
bool cpu_runs_neon() { return true; }
#else
bool cpu_runs_neon() { return false; }
#endif

}  // namespace nigro::kernels
