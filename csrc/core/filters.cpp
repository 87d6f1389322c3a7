// The transforms of filters: see filters.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/filters.h"

namespace nigro {
namespace {

constexpr std::size_t kBlock = kernels::kChannelBlock;
constexpr std::size_t kLine = 3 * kBlock;  // taps along z of a block of outputs

// Rows of (1, p, p^2) / |prod (p - other points)| for each point p, and (0, 0, 1) for infinity: the
// product is negative at +-3/4, where the kernels expect the other sign.
constexpr FilterRows make_rows() {
    constexpr double kPoints[] = {0, 0.75, -0.75, 1.5, -1.5};
    FilterRows rows{};
    for (std::size_t i = 0; i < 5; ++i) {
        const double p = kPoints[i];
        double scale = 1;
        for (const double other : kPoints)
            if (other != p) scale *= p > other ? p - other : other - p;
        rows[i] = {1 / scale, p / scale, p * p / scale};
    }
    rows[5] = {0, 0, 1};
    return rows;
}

constexpr FilterRows kRows = make_rows();

}  // namespace

const FilterRows& filter_rows() noexcept { return kRows; }

void transform_filters(kernels::Sides sides, const double* weights, const double (&scales)[3],
                       float* result) {
    for (std::size_t i = 0; i < sides.x + 2; ++i) {
        const auto& x = kRows[position_of(sides.x, i)];
        double plane[3 * kLine];  // [y][z][16]
        for (std::size_t k = 0; k < 3 * kLine; ++k)
            plane[k] =
                x[0] * weights[k] + x[1] * weights[3 * kLine + k] + x[2] * weights[6 * kLine + k];
        for (std::size_t j = 0; j < sides.y + 2; ++j, result += kLine) {
            const auto& y = kRows[position_of(sides.y, j)];
            for (std::size_t k = 0; k < kLine; ++k)
                result[k] = static_cast<float>(
                    scales[k / kBlock] *
                    (y[0] * plane[k] + y[1] * plane[kLine + k] + y[2] * plane[2 * kLine + k]));
        }
    }
}

}  // namespace nigro
