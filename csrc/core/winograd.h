// 3 x 3 x 3 convolutions by Winograd's minimal filtering, with bias, ReLU and max-pool fused.
//
// Tiles of outputs (such as 4 x 4 x 4) are made from overlapping tiles of inputs: transform the
// inputs, multiply position by position with transformed weights, transform back. A layer is one
// region of tiles or several: where its extent leaves a remainder, tiles that are shorter there may
// cost less than whole ones of which half is dropped. Which, follows from the shape of the layer
// alone. A block of columns of tiles passes through the three stages while its values are in cache.
// The algorithm, its costs and its errors: docs/engine.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "core/arena.h"
#include "core/graph.h"
#include "core/maps.h"
#include "core/threads.h"
#include "kernels/kernels.h"

namespace nigro {

// Memory of one thread for one layer's block.
struct Scratch {
    float* v;
    float* m;
};

// Where a column finds the planes of its inputs: x + 2 pointers for each block of channels.
class PlaneSource {
public:
    virtual ~PlaneSource() = default;
    // Makes 'planes' point at the rows (stored coordinates) that tile (tile_x, tile_y) begins with.
    virtual void planes(std::size_t sample, std::size_t block, std::size_t x, std::size_t y,
                        std::size_t n_planes, const float** planes) const = 0;
    virtual std::size_t y_stride() const = 0;
};

// The outputs [first, first + size) of a layer, in tiles of one shape. Where a max-pool follows,
// the last regions along an axis leave out an odd remainder that it drops.
struct Region {
    kernels::Tile tile;
    Extent first, size;
};

// The regions that cost least; the first one begins at 0. 'pool' as below.
std::vector<Region> plan_regions(const ConvSpec& spec, bool pool);

// One region of a layer.
class WinogradConv {
public:
    // Plans the region and reserves its weights. 'pool' fuses one max-pool of 2 x 2 x 2.
    WinogradConv(const ConvSpec& spec, bool pool, const Region& region, Arena& arena);

    // Transforms and packs the weights into the arena, the blocks of outputs shared among
    // 'threads'.
    void pack(const Arena& arena, ThreadPool& threads);

    kernels::TileShape tile() const { return kernels::kTileShapes[region_.tile]; }
    const Extent& first() const { return region_.first; }
    std::size_t n_positions() const;
    bool pools() const { return pool_; }
    const ConvSpec& spec() const { return spec_; }

    // The extent in memory of inputs that tiles may read without a check.
    Extent input_stored() const;
    Extent output_extent(bool pooled) const;

    // Multiply-adds of the region's positions for one sample, channels in whole blocks.
    double products(bool pooled) const;

    // Floats of scratch that one thread needs.
    std::size_t v_size() const;
    std::size_t m_size() const;

    // Columns of tiles in one sample of the region: along x, along y; and tiles in one column.
    std::size_t columns_x(bool pooled) const;
    std::size_t columns_y(bool pooled) const;
    std::size_t tiles_z(bool pooled) const;

    // Blocks that a run of columns is cut into.
    std::size_t blocks(std::size_t n_columns, bool pooled) const;

    // Runs columns [first, last), counted with y fastest, then x, then the sample.
    void run(const kernels::Kernels& kernels, const PlaneSource& source, std::size_t first,
             std::size_t last, const Scratch& scratch, bool pooled, const Maps& out) const;

private:
    Extent needed(bool pooled) const;
    std::size_t block_columns(bool pooled) const;
    std::size_t v_stride(std::size_t n_tiles) const;
    std::size_t m_stride(std::size_t n_tiles) const;
    struct Block;
    void transform_inputs(const kernels::Kernels&, const PlaneSource&, const Block&) const;
    void multiply(const kernels::Kernels&, const Block&) const;
    void transform_outputs(const kernels::Kernels&, const Block&, const Maps& out) const;
    void pack_part(std::size_t block, std::size_t first, std::size_t last) const;

    ConvSpec spec_;
    bool pool_;
    Region region_;
    std::size_t weights_place_, bias_place_;
    float* weights_ = nullptr;
    float* bias_ = nullptr;
};

}  // namespace nigro
