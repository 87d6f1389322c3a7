// The transforms of filters: see filters.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/filters.h"

namespace nigro {
namespace {

constexpr std::size_t kBlock = kernels::kChannelBlock;
constexpr std::size_t kLine = 3 * kBlock;  // taps along z of a block of outputs

// Rows of (1, p, p^2) / prod (p - other points) for each point p, and (0, 0, 1) for infinity.
template <std::size_t N>
constexpr FilterRows make_rows(const double (&points)[N]) {
    FilterRows rows{};
    for (std::size_t i = 0; i < N; ++i) {
        const double p = points[i];
        double product = 1;
        for (const double other : points)
            if (other != p) product *= p - other;
        rows[i] = {1 / product, p / product, p * p / product};
    }
    rows[N] = {0, 0, 1};
    return rows;
}

// The kernels expect the other sign at +-3/4.
constexpr FilterRows rows_of_four() {
    FilterRows rows = make_rows({0, 0.75, -0.75, 1.5, -1.5});
    for (std::size_t i = 1; i <= 2; ++i)
        for (double& factor : rows[i]) factor = -factor;
    return rows;
}

constexpr FilterRows kFourRows = rows_of_four();
constexpr FilterRows kSixRows = make_rows({0, 0.5, -0.5, 1, -1, 2, -2});

}  // namespace

const FilterRows& filter_rows(kernels::Tile tile) noexcept {
    static constexpr const FilterRows* kRows[kernels::kTiles] = {&kFourRows, &kFourRows, &kSixRows,
                                                                 &kSixRows};
    return *kRows[tile];
}

void transform_filters(const kernels::Footprint& foot, const double* weights,
                       const double (&scales)[3], float* result) {
    const FilterRows &along_x = filter_rows(foot.x), &along_y = filter_rows(foot.y);
    for (std::size_t i = 0; i < kernels::kTileOutputs[foot.x] + 2; ++i) {
        const auto& x = along_x[kernels::kTilePositions[foot.x][i]];
        double plane[3 * kLine];  // [y][z][16]
        for (std::size_t k = 0; k < 3 * kLine; ++k)
            plane[k] =
                x[0] * weights[k] + x[1] * weights[3 * kLine + k] + x[2] * weights[6 * kLine + k];
        for (std::size_t j = 0; j < kernels::kTileOutputs[foot.y] + 2; ++j, result += kLine) {
            const auto& y = along_y[kernels::kTilePositions[foot.y][j]];
            for (std::size_t k = 0; k < kLine; ++k)
                result[k] = static_cast<float>(
                    scales[k / kBlock] *
                    (y[0] * plane[k] + y[1] * plane[kLine + k] + y[2] * plane[2 * kLine + k]));
        }
    }
}

}  // namespace nigro
