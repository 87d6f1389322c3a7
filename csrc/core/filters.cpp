// The transforms of filters: see filters.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/filters.h"

namespace nigro {
namespace {

constexpr std::size_t kBlock = kernels::kChannelBlock;
constexpr std::size_t kMaxSide = 6;  // positions along an axis

// Values of kBlock lanes; 'from' and 'to' run over one axis with the given strides in lanes.
void apply(const FilterTransform& rows, const double* from, std::size_t from_stride, double* to,
           std::size_t to_stride) {
    for (std::size_t row = 0; row < rows.size(); ++row)
        for (std::size_t lane = 0; lane < kBlock; ++lane)
            to[row * to_stride * kBlock + lane] =
                rows[row][0] * from[lane] + rows[row][1] * from[from_stride * kBlock + lane] +
                rows[row][2] * from[2 * from_stride * kBlock + lane];
}

}  // namespace

// Rows of (1, p, p^2) / prod (p - other points) for each point p, and (0, 0, 1) for infinity.
FilterTransform filter_transform(std::size_t m) {
    if (m == 2) return {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
    constexpr double kPoints[] = {0, 0.75, -0.75, 1.5, -1.5};
    FilterTransform rows;
    for (const double p : kPoints) {
        double scale = 1;
        for (const double other : kPoints)
            if (other != p) scale *= p - other;
        rows.push_back({1 / scale, p / scale, p * p / scale});
    }
    rows.push_back({0, 0, 1});
    return rows;
}

void transform_filters(kernels::TileShape tile, const double* weights, double* result) {
    const FilterTransform x = filter_transform(tile.x), y = filter_transform(tile.y),
                          z = filter_transform(tile.z);
    double along_z[9 * kMaxSide * kBlock], along_yz[3 * kMaxSide * kMaxSide * kBlock];
    const std::size_t n_z = z.size(), n_yz = y.size() * z.size();
    for (std::size_t i = 0; i < 9; ++i)
        apply(z, weights + i * 3 * kBlock, 1, along_z + i * n_z * kBlock, 1);
    for (std::size_t i = 0; i < 3; ++i)
        for (std::size_t k = 0; k < n_z; ++k)
            apply(y, along_z + (i * 3 * n_z + k) * kBlock, n_z, along_yz + (i * n_yz + k) * kBlock,
                  n_z);
    for (std::size_t k = 0; k < n_yz; ++k)
        apply(x, along_yz + k * kBlock, n_yz, result + k * kBlock, n_yz);
}

}  // namespace nigro
