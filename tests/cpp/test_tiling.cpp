// How layers are cut into tiles: every output once, none beyond what a side of two may add, and the
// plans of the layers that docs/notes/engine.md names.
// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "check.h"
#include "core/tiling.h"

namespace {

using nigro::ConvSpec;
using nigro::DepthTiles;
using nigro::Extent;
using nigro::Region;

ConvSpec layer(std::size_t n_in, std::size_t n_out, Extent extent) {
    return {n_in, n_out, extent, {{3, 3, 3}, {1, 1, 1}, {1, 1, 1}}, nullptr, nullptr};
}

std::string text(const std::vector<Region>& regions) {
    std::string all;
    for (const Region& region : regions)
        all += std::to_string(region.sides().x) + "x" + std::to_string(region.sides().y) + "@" +
               std::to_string(region.x) + "," + std::to_string(region.y) + ":" +
               std::to_string(region.n_x) + "x" + std::to_string(region.n_y) + " ";
    return all;
}

void test_each_output_is_in_one_region() {
    for (std::size_t n_x = 1; n_x < 24; ++n_x)
        for (std::size_t n_y = 1; n_y < 24; ++n_y)
            for (const std::size_t n_channels : {16, 256}) {
                const auto regions =
                    plan_regions(layer(n_channels, n_channels, {n_x, n_y, 3}), false);
                std::vector<int> covered(n_x * n_y);
                bool inside = true;
                for (const Region& region : regions)
                    for (std::size_t x = region.x; x < region.x + region.n_x; ++x)
                        for (std::size_t y = region.y; y < region.y + region.n_y; ++y)
                            if (x < n_x && y < n_y)
                                ++covered[x * n_y + y];
                            else
                                inside = false;
                check::that(inside && covered == std::vector<int>(n_x * n_y, 1), text(regions));
            }
}

void test_tiles_along_z_reach_the_end_and_no_further_than_needed() {
    for (std::size_t n = 1; n < 60; ++n) {
        const DepthTiles tiles(n);
        check::that(tiles.n_z() >= n && tiles.n_z() <= n + 1 && tiles.twos <= 1,
                    "tiles along z for " + std::to_string(n));
    }
    const DepthTiles ten(10);
    check::that(ten.fours == 2 && ten.twos == 1 && ten.products() == 16, "4 + 4 + 2");
    check::that(DepthTiles(1).products() == 1 && DepthTiles(2).products() == 4, "shallow");
}

void expect(const ConvSpec& spec, bool pooled, const std::string& want) {
    const std::string got = text(plan_regions(spec, pooled));
    check::that(got == want, "plan: " + got);
}

void test_plans() {
    expect(layer(16, 16, {50, 50, 20}), true,
           "6x6@0,0:48x48 2x6@48,0:2x48 6x2@0,48:48x2 2x2@48,48:2x2 ");
    expect(layer(16, 32, {25, 25, 10}), false,
           "6x6@0,0:24x24 2x6@24,0:1x24 6x2@0,24:24x1 2x2@24,24:1x1 ");
    expect(layer(32, 32, {25, 25, 10}), true, "6x6@0,0:24x24 ");
    expect(layer(32, 64, {12, 12, 5}), false, "6x6@0,0:12x12 ");
    expect(layer(64, 64, {12, 12, 5}), true, "4x4@0,0:12x12 ");
    expect(layer(128, 128, {6, 6, 2}), true, "2x2@0,0:6x6 ");
    expect(layer(40, 40, {6, 6, 2}), true, "2x2@0,0:6x6 ");
}

}  // namespace

int main() {
    test_each_output_is_in_one_region();
    test_tiles_along_z_reach_the_end_and_no_further_than_needed();
    test_plans();
    return check::report("test_tiling");
}
