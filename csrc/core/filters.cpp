// The factors of weights: see filters.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/filters.h"

namespace nigro {
namespace {

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

FilterTransform::FilterTransform(const kernels::Footprint& foot, const double (&scales)[3])
    : n_x_(kernels::kTileOutputs[foot.x] + 2), n_y_(kernels::kTileOutputs[foot.y] + 2) {
    for (std::size_t x = 0; x < n_x_; ++x)
        for (std::size_t i = 0; i < 3; ++i)
            along_x_[x][i] = float(filter_rows(foot.x)[kernels::kTilePositions[foot.x][x]][i]);
    for (std::size_t z = 0; z < 3; ++z)
        for (std::size_t y = 0; y < n_y_; ++y)
            for (std::size_t i = 0; i < 3; ++i)
                along_y_[z * n_y_ + y][i] =
                    float(scales[z] * filter_rows(foot.y)[kernels::kTilePositions[foot.y][y]][i]);
}

}  // namespace nigro
