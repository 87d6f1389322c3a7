// Which table of kernels runs: chosen once, by name, and open to be forced.
//
// NIGROEDGE_ISA=scalar|avx2|avx512|neon forces one; without it the best that this CPU runs is
// taken. A name that is unknown or cannot run here is an error, never a fallback. All functions are
// thread-safe.
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string_view>
#include <vector>

#include "kernels/kernels.h"

namespace nigro::kernels {

// NIGROEDGE_ISA names an instruction set that this build does not know or this CPU does not run.
struct UnavailableIsa : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The table that everything uses. Throws UnavailableIsa, at every call until the variable is right.
const Kernels& active();

// The table of that name, or nullptr if it is unknown or cannot run here.
const Kernels* find(std::string_view name);

// Every table that runs here, "scalar" first and the best last.
const std::vector<Kernels>& available();

}  // namespace nigro::kernels
