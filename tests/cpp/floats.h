// What tests of convolution kernels share: random floats, the scalar specification, labels.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "check.h"
#include "kernels/dispatch.h"

namespace floats {

using check::Random;
using nigro::kernels::Kernels;
using Floats = std::vector<float>;

constexpr std::size_t kBlock = nigro::kernels::kChannelBlock;
constexpr float kNoFloor = -std::numeric_limits<float>::infinity();

inline const Kernels& scalar() { return *nigro::kernels::find("scalar"); }

inline Floats random_floats(Random& random, std::size_t n) {
    Floats values(n);
    for (float& value : values) value = float(check::below(random, 2001)) / 1000.0F - 1.0F;
    return values;
}

inline std::string label(const Kernels& kernels, const std::string& slot, std::size_t n) {
    return std::string(kernels.name) + " " + slot + " " + std::to_string(n);
}

}  // namespace floats
