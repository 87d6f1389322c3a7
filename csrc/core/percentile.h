// Percentiles of a patch.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace nigro {

// Of finite values.
struct Extremes {
    float least, most;
};
Extremes range_of(const float* x, std::size_t n);

struct Percentiles {
    double low, high;
};

// The percentiles 'low' and 'high' (0 to 100) of n finite values with that range, by linear
// interpolation between order statistics, as numpy.percentile has it: at h = (n - 1) * q / 100 they
// are x(floor h) + (h - floor h) (x(floor h + 1) - x(floor h)).
Percentiles percentiles(const float* x, std::size_t n, const Extremes& range, double low,
                        double high);

}  // namespace nigro
