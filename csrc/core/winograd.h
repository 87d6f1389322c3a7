// 3 x 3 x 3 convolutions by Winograd's minimal filtering, with bias, ReLU and max-pool fused.
//
// Columns (a footprint in the plane at every z) pass through three steps, a block of them at a
// time, while their values are in cache: transform the planes of inputs; for each position of the
// plane convolve along z, with weights that are transformed along x and y; transform back. The
// algorithm, its costs and its errors: docs/notes/engine.md.
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "core/arena.h"
#include "core/filters.h"
#include "core/graph.h"
#include "core/maps.h"
#include "core/threads.h"
#include "core/tiling.h"
#include "kernels/kernels.h"

namespace nigro {

// One thread's memory for a block of columns: their transformed planes, and what the convolution
// along z needs. As a size: floats of each.
template <class T>
struct ScratchOf {
    T planes, depth;
};
using Scratch = ScratchOf<float*>;
using ScratchSize = ScratchOf<std::size_t>;

// Where a column finds the planes of its inputs: x + 2 pointers for each block of channels.
class PlaneSource {
public:
    virtual ~PlaneSource() = default;
    // Makes 'planes' point at the rows (stored coordinates) that column (x, y) begins with.
    virtual void planes(std::size_t sample, std::size_t block, std::size_t x, std::size_t y,
                        std::size_t n_planes, const float** planes) const = 0;
    virtual std::size_t y_stride() const = 0;
};

class WinogradConv {
public:
    // Plans the layer and reserves its weights. A max-pool that follows is fused. Where
    // 'has_whole', the layer may also be run without it.
    WinogradConv(const ConvSpec& spec, bool has_whole, Arena& arena);

    // Transforms and packs the weights into the arena with all threads.
    void pack(const kernels::Kernels& kernels, const Arena& arena, ThreadPool& threads);

    bool pools() const { return spec_.pool; }
    const ConvSpec& spec() const { return spec_; }
    // The regions with the max-pool if there is one, or without it where there is none or
    // 'has_whole': then they take in what it would have dropped.
    const std::vector<Region>& regions(bool pooled) const { return regions_[pooled]; }

    // The extent in memory of inputs that columns may read without a check.
    Extent input_stored() const;
    Extent output_extent(bool pooled) const;

    // Multiply-adds of the positions of one sample, channels in whole blocks.
    double products(bool pooled) const;

    // For runs of at most one of 'n_parts' equal parts of a group's columns.
    ScratchSize scratch(std::size_t n_parts) const;

    // Blocks that a run of columns of a region is cut into.
    std::size_t blocks(const Region& region, std::size_t n_columns, bool pooled) const;

    // Runs columns [first, last) of a region, counted with y fastest, then x, then the sample.
    // 'addend' is what the layer adds, or nullptr.
    void run(const kernels::Kernels& kernels, const PlaneSource& source, const Maps* addend,
             const Region& region, std::size_t first, std::size_t last, const Scratch& scratch,
             bool pooled, const Maps& out) const;

private:
    struct Block;
    struct Column;
    // How positions are convolved along z, which says what is stored of their weights.
    enum class Depth {
        taps,         // [inputs][3 taps along z][16], for conv_depth()
        transformed,  // [6 positions along z][inputs][16], for conv_depth()
        shallow,      // [3 taps along z][inputs][16], for conv_shallow()
    };
    DepthTiles depth(bool pooled) const;
    std::size_t block_columns(const Region& region, bool pooled) const;
    std::size_t n_positions() const;
    std::size_t n_blocks() const;
    std::size_t n_filters() const;
    Depth choose_depth() const;
    std::size_t depth_places() const;
    Column column(const Block& block, std::size_t i) const;
    void transform_inputs(const kernels::Kernels&, const PlaneSource&, const Block&) const;
    void convolve_depth(const kernels::Kernels&, const Block&) const;
    void transform_outputs(const kernels::Kernels&, const Block&, const Maps* addend,
                           const Maps& out) const;
    void pack_input(const kernels::Kernels& kernels, const FilterTransform& transform,
                    std::size_t in, std::size_t block) const;
    float* weights_of(std::size_t position, std::size_t block) const;

    ConvSpec spec_;
    bool always_pools_;
    std::vector<Region> regions_[2];  // without and with the pool
    std::size_t weights_place_, bias_place_;
    // [position][block of outputs], as depth_ says.
    float* weights_ = nullptr;
    Depth depth_;
    float* bias_ = nullptr;
};

}  // namespace nigro
