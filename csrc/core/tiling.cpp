// Chooses the tiles of a layer: see tiling.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/tiling.h"

#include <algorithm>
#include <vector>

#include "core/maps.h"

namespace nigro {
namespace {

using kernels::Tile;

// Multiply-adds that regions cost, or other work expressed in them: each position of each column is
// multiplied along z, and transformed on the way in and out; taps come from beyond the inner
// caches. The factors are measured (docs/notes/engine.md) and part of the plan: they choose among
// algorithms that round differently, so they never depend on the machine.
double cost(const std::vector<Region>& regions, const ConvSpec& spec, std::size_t n_z) {
    constexpr double kInput = 13 * kBlock, kOutput = 10 * kBlock, kTap = 8;
    const auto in = double(blocks_of(spec.n_in)), out = double(blocks_of(spec.n_out));
    const DepthTiles tiles(n_z);
    const double filters = in * out * double(kBlock * kBlock);
    const double column = double(tiles.products()) * filters +
                          double(tiles.n_z() + 2) * kInput * in +
                          double(tiles.n_z()) * kOutput * out;
    double sum = 0;
    for (const Region& region : regions)
        sum += double(region.positions() * region.columns_x() * region.columns_y()) * column;
    return sum + 3 * kTap * filters * double(regions.front().positions());
}

// Outputs along an axis that would be left to the last tile, of which most would be dropped.
std::size_t tail(std::size_t n, std::size_t length) {
    return n > length && n % length <= 2 ? n % length : 0;
}

// Footprints of 'tile' along both axes, and for each axis that is cut a strip of footprints that
// are 'two' there.
std::vector<Region> cut_regions(std::size_t n_x, std::size_t n_y, Tile tile, Tile two, bool cut_x,
                                bool cut_y) {
    const std::size_t length = kernels::kTileOutputs[tile];
    const std::size_t tail_x = cut_x ? tail(n_x, length) : 0;
    const std::size_t tail_y = cut_y ? tail(n_y, length) : 0;
    const std::size_t main_x = n_x - tail_x, main_y = n_y - tail_y;
    std::vector<Region> regions{{{tile, tile}, 0, 0, main_x, main_y}};
    if (tail_x > 0) regions.push_back({{two, tile}, main_x, 0, tail_x, main_y});
    if (tail_y > 0) regions.push_back({{tile, two}, 0, main_y, main_x, tail_y});
    if (tail_x > 0 && tail_y > 0) regions.push_back({{two, two}, main_x, main_y, tail_x, tail_y});
    return regions;
}

}  // namespace

Extent pooled_extent(Extent extent) { return {extent.x / 2, extent.y / 2, extent.z / 2}; }

Extent needed_extent(Extent extent, bool pooled) {
    if (!pooled) return extent;
    const Extent half = pooled_extent(extent);
    return {2 * half.x, 2 * half.y, 2 * half.z};
}

std::vector<Region> plan_regions(const ConvSpec& spec, bool pooled) {
    const Extent needed = needed_extent(spec.extent, pooled);
    std::vector<std::vector<Region>> plans{
        {{{kernels::kTwo, kernels::kTwo}, 0, 0, needed.x, needed.y}}};
    for (const bool cut_x : {false, true})
        for (const bool cut_y : {false, true}) {
            plans.push_back(
                cut_regions(needed.x, needed.y, kernels::kFour, kernels::kTwo, cut_x, cut_y));
            plans.push_back(
                cut_regions(needed.x, needed.y, kernels::kSix, kernels::kTwoOfSix, cut_x, cut_y));
        }
    return *std::min_element(plans.begin(), plans.end(), [&](const auto& a, const auto& b) {
        return cost(a, spec, needed.z) < cost(b, spec, needed.z);
    });
}

}  // namespace nigro
