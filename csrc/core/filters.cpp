// The transforms of filters: see filters.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/filters.h"

#include <cmath>

namespace nigro {
namespace {

constexpr std::size_t kBlock = kernels::kChannelBlock,
                      kLine = 3 * kBlock;  // taps along z of a block of outputs

}  // namespace

// Rows of (1, p, p^2) / |prod (p - other points)| for each point p, and (0, 0, 1) for infinity: the
// product is negative at +-3/4, where the kernels expect the other sign.
FilterTransform filter_transform(std::size_t m) {
    constexpr double kPoints[] = {0, 0.75, -0.75, 1.5, -1.5};
    FilterTransform rows;
    for (const double p : kPoints) {
        double scale = 1;
        for (const double other : kPoints)
            if (other != p) scale *= std::fabs(p - other);
        rows.push_back({1 / scale, p / scale, p * p / scale});
    }
    rows.push_back({0, 0, 1});
    if (m == 4) return rows;
    FilterTransform of_two;
    for (const std::size_t position : kernels::kPositionsOfTwo) of_two.push_back(rows[position]);
    return of_two;
}

void transform_filters(kernels::Sides sides, const double* weights, float* result) {
    const FilterTransform along_x = filter_transform(sides.x), along_y = filter_transform(sides.y);
    for (const auto& x : along_x) {
        double line[3 * kLine];  // [y][z][16]
        for (std::size_t i = 0; i < 3 * kLine; ++i)
            line[i] =
                x[0] * weights[i] + x[1] * weights[3 * kLine + i] + x[2] * weights[6 * kLine + i];
        for (const auto& y : along_y) {
            for (std::size_t i = 0; i < kLine; ++i)
                result[i] = static_cast<float>(
                    kernels::kTapScales[i / kBlock] *
                    (y[0] * line[i] + y[1] * line[kLine + i] + y[2] * line[2 * kLine + i]));
            result += kLine;
        }
    }
}

}  // namespace nigro
