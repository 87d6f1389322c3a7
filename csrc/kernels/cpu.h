// What this CPU and its operating system can run.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace nigro::kernels {

bool cpu_runs_scalar();  // always
bool cpu_runs_avx2();    // AVX2 and FMA, with the registers saved by the operating system
bool cpu_runs_avx512();  // that and the foundation of AVX-512
bool cpu_runs_neon();    // every AArch64 CPU has it

}  // namespace nigro::kernels
