// How the outputs of a convolution are cut into tiles for Winograd's minimal filtering.
//
// A layer is one region of footprints in the plane or several: where its extent leaves a remainder,
// footprints that are shorter there may cost less than whole ones of which most is dropped. Which,
// follows from the shape of the layer alone, never from the machine: tiles round differently.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "core/graph.h"
#include "kernels/kernels.h"

namespace nigro {

// The outputs [x, x + n_x) by [y, y + n_y) of a layer, in footprints of one shape; all of z.
struct Region {
    kernels::Footprint foot;
    std::size_t x, y, n_x, n_y;

    struct Sides {
        std::size_t x, y;
    };
    Sides sides() const { return {kernels::kTileOutputs[foot.x], kernels::kTileOutputs[foot.y]}; }
    std::size_t columns_x() const { return (n_x + sides().x - 1) / sides().x; }
    std::size_t columns_y() const { return (n_y + sides().y - 1) / sides().y; }
    std::size_t positions() const { return (sides().x + 2) * (sides().y + 2); }
};

// Whether so few planes are convolved along z as it is defined: a product for each pair of them.
inline bool is_shallow(std::size_t n_z) { return n_z <= 2; }

// Tiles along z that make at least n outputs: of 4, and one of 2 where that suffices for the rest.
struct DepthTiles {
    std::size_t fours, twos, n;

    explicit DepthTiles(std::size_t n_outputs)
        : fours((n_outputs + 1) / 4),
          twos(n_outputs % 4 == 1 || n_outputs % 4 == 2 ? 1 : 0),
          n(n_outputs) {}
    std::size_t count() const { return fours + twos; }
    std::size_t n_z() const { return 4 * fours + 2 * twos; }
    // For each input and output channel.
    std::size_t products() const { return is_shallow(n) ? n * n : 6 * fours + 4 * twos; }
};

Extent pooled_extent(Extent extent);

// Outputs that are computed: where 'pooled', without the odd remainders that a max-pool drops.
Extent needed_extent(Extent extent, bool pooled);

// The regions that cost least for the extent that is needed.
std::vector<Region> plan_regions(const ConvSpec& spec, bool pooled);

}  // namespace nigro
