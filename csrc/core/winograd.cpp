// Plans, packs and runs one convolution: see winograd.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/winograd.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

namespace nigro {
namespace {

using kernels::Addend;
using kernels::DepthShape;
using kernels::Footprint;
using kernels::Kernels;
using kernels::kMaxPositions;
using kernels::kPositions;
using kernels::OutputColumn;

// Weights are transformed along z at load where so many blocks of columns use them that doing it
// each time costs more than reading twice as much, unless that is very much.
constexpr std::size_t kMaxTransformed = 1 << 21;  // floats
constexpr std::size_t kMinBlocks = 6;

std::size_t divide_up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

// The same regions where no pool drops a remainder: those at the far end take it in.
std::vector<Region> widened(std::vector<Region> regions, Extent from, Extent to) {
    for (Region& region : regions) {
        if (region.x + region.n_x == from.x) region.n_x += to.x - from.x;
        if (region.y + region.n_y == from.y) region.n_y += to.y - from.y;
    }
    return regions;
}

// Floats from one position to the next: an odd number of cache lines, so that the positions of a
// column spread over all sets of a cache.
std::size_t stride_of(std::size_t n_lines) { return (n_lines | 1) * kBlock; }

}  // namespace

// A run of columns of a region that passes through the steps together.
struct WinogradConv::Block {
    const Region& region;
    std::size_t first;  // column
    DepthShape shape;
    std::size_t n_z;  // outputs along z that the tiles make
    bool pooled;
    Scratch scratch;

    std::size_t stride() const {
        return stride_of(std::max(shape.n_in, shape.n_out) * shape.n_columns * (n_z + 2));
    }
};

// --------------------------------------------------------------------------------------- plan

WinogradConv::WinogradConv(const ConvSpec& spec, bool has_whole, Arena& arena)
    : spec_(spec), always_pools_(spec.pool && !has_whole) {
    regions_[true] = plan_regions(spec, pools());
    regions_[false] = widened(regions_[true], needed_extent(spec.extent, pools()),
                              needed_extent(spec.extent, always_pools_));
    depth_ = choose_depth();
    weights_place_ = arena.reserve(n_positions() * n_filters() * depth_places());
    bias_place_ = arena.reserve(blocks_of(spec.n_out) * kBlock);
}

std::size_t WinogradConv::n_positions() const { return regions_[true].front().positions(); }

// Blocks of columns that one sample is cut into.
std::size_t WinogradConv::n_blocks() const {
    std::size_t n = 0;
    for (const Region& region : regions_[pools()])
        n += blocks(region, region.columns_x() * region.columns_y(), pools());
    return n;
}

WinogradConv::Depth WinogradConv::choose_depth() const {
    if (is_shallow(spec_.extent.z)) return Depth::shallow;
    const bool fits = n_positions() * n_filters() * kPositions <= kMaxTransformed;
    return fits && n_blocks() >= kMinBlocks ? Depth::transformed : Depth::taps;
}

// Weights of a filter at one position of the plane.
std::size_t WinogradConv::depth_places() const {
    return depth_ == Depth::transformed ? kPositions : 3;
}

std::size_t WinogradConv::n_filters() const {
    return blocks_of(spec_.n_in) * blocks_of(spec_.n_out) * kBlock * kBlock;
}

Extent WinogradConv::output_extent(bool pooled) const {
    return pooled ? pooled_extent(spec_.extent) : spec_.extent;
}

DepthTiles WinogradConv::depth(bool pooled) const {
    return DepthTiles(needed_extent(spec_.extent, pooled || always_pools_).z);
}

Extent WinogradConv::input_stored() const {
    Extent most{0, 0, depth(false).n_z() + 2};
    for (const Region& region : regions_[false]) {
        most.x = std::max(most.x, region.x + region.columns_x() * region.sides().x + 2);
        most.y = std::max(most.y, region.y + region.columns_y() * region.sides().y + 2);
    }
    return most;
}

double WinogradConv::products(bool pooled) const {
    std::size_t n_positions = 0;
    for (const Region& region : regions_[pooled])
        n_positions += region.positions() * region.columns_x() * region.columns_y();
    return double(n_positions) * double(depth(pooled).products()) * double(n_filters());
}

// Columns in a block: enough tiles to keep the registers of a product full and to use each weight
// often, few enough that the block's values stay in a second-level cache.
std::size_t WinogradConv::block_columns(const Region& region, bool pooled) const {
    constexpr std::size_t kTiles = 24, kBytes = 300 << 10;
    const std::size_t n_blocks = std::max(blocks_of(spec_.n_in), blocks_of(spec_.n_out));
    const std::size_t column_bytes =
        region.positions() * n_blocks * (depth(pooled).n_z() + 2) * kBlock * sizeof(float);
    return std::max({std::size_t{1}, kTiles / depth(pooled).count(), kBytes / column_bytes});
}

std::size_t WinogradConv::blocks(const Region& region, std::size_t n_columns, bool pooled) const {
    return divide_up(n_columns, block_columns(region, pooled));
}

ScratchSize WinogradConv::scratch(std::size_t n_parts) const {
    ScratchSize size{0, 0};
    const std::size_t in = blocks_of(spec_.n_in), out = blocks_of(spec_.n_out);
    for (const bool pooled : {false, pools()})
        for (const Region& region : regions_[pooled]) {
            const DepthTiles tiles = depth(pooled);
            const std::size_t part =
                divide_up(kGroup * region.columns_x() * region.columns_y(), n_parts);
            const std::size_t n = std::min(block_columns(region, pooled), part);
            const std::size_t rows = n * tiles.count();
            size.planes =
                std::max(size.planes,
                         region.positions() * stride_of(std::max(in, out) * n * (tiles.n_z() + 2)));
            size.depth = std::max(size.depth, kPositions * kBlock *
                                                  (rows * (in + kernels::kMaxProductBlocks) +
                                                   (kBlock * in + 1) * kernels::kMaxProductBlocks));
        }
    return size;
}

// --------------------------------------------------------------------------------------- pack

void WinogradConv::pack(const Kernels& kernels, const Arena& arena, ThreadPool& threads) {
    weights_ = arena.at(weights_place_);
    bias_ = arena.at(bias_place_);
    if (spec_.bias) std::memcpy(bias_, spec_.bias->data, spec_.n_out * sizeof(float));
    constexpr double kPlain[3] = {1, 1, 1};
    const FilterTransform transform(regions_[true].front().foot,
                                    depth_ == Depth::shallow ? kPlain : kernels::kTapScales);
    threads.deal(blocks_of(spec_.n_out) * spec_.n_in, [&](std::size_t, std::size_t item) {
        pack_input(kernels, transform, item % spec_.n_in, item / spec_.n_in);
    });
}

// Weights from one input to one block of outputs.
void WinogradConv::pack_input(const Kernels& kernels, const FilterTransform& transform,
                              std::size_t in, std::size_t block) const {
    constexpr std::size_t kTaps = 3 * kBlock;  // along z
    const std::size_t n_out = std::min(kBlock, spec_.n_out - block * kBlock);
    float filters[27 * kBlock] = {};
    for (std::size_t lane = 0; lane < n_out; ++lane) {
        float values[27];
        const std::size_t filter = (block * kBlock + lane) * spec_.n_in + in;
        std::memcpy(values, spec_.weights->data + filter * sizeof values, sizeof values);
        for (std::size_t tap = 0; tap < 27; ++tap) filters[tap * kBlock + lane] = values[tap];
    }
    float taps[kMaxPositions * kMaxPositions * kTaps];
    transform.run(kernels, filters, taps);
    const std::size_t n_in = blocks_of(spec_.n_in) * kBlock;
    for (std::size_t position = 0; position < n_positions(); ++position) {
        float* const weights = weights_of(position, block);
        const float* const from = taps + position * kTaps;
        if (depth_ == Depth::taps)
            std::memcpy(weights + in * kTaps, from, kTaps * sizeof(float));
        else if (depth_ == Depth::transformed)
            kernels.depth_weights(from, 1, weights + in * kBlock, n_in * kBlock);
        else
            for (std::size_t tap = 0; tap < 3; ++tap)
                std::memcpy(weights + (tap * n_in + in) * kBlock, from + tap * kBlock,
                            kBlock * sizeof(float));
    }
}

float* WinogradConv::weights_of(std::size_t position, std::size_t block) const {
    const std::size_t n_out = blocks_of(spec_.n_out);
    return weights_ + (position * n_out + block) * (n_filters() / n_out) * depth_places();
}

// ---------------------------------------------------------------------------------------- run

void WinogradConv::run(const Kernels& kernels, const PlaneSource& source, const Maps* addend,
                       const Region& region, std::size_t first, std::size_t last,
                       const Scratch& scratch, bool pooled, const Maps& out) const {
    const DepthTiles tiles = depth(pooled);
    const std::size_t n_blocks = blocks(region, last - first, pooled);
    for (std::size_t i = 0; i < n_blocks; ++i) {
        const Share columns = share(last - first, i, n_blocks);
        const DepthShape shape{
            columns.last - columns.first, tiles.fours,          tiles.twos, blocks_of(spec_.n_in),
            blocks_of(spec_.n_out),       depth_ == Depth::taps};
        const Block block{region, first + columns.first, shape, tiles.n_z(), pooled, scratch};
        transform_inputs(kernels, source, block);
        convolve_depth(kernels, block);
        transform_outputs(kernels, block, addend, out);
    }
}

// Column i of a block, and the outputs that it begins with.
struct WinogradConv::Column {
    std::size_t sample, x, y;
};

WinogradConv::Column WinogradConv::column(const Block& block, std::size_t i) const {
    const Region& region = block.region;
    const std::size_t n_y = region.columns_y(), n_xy = region.columns_x() * n_y;
    const std::size_t at = block.first + i;
    return {at / n_xy, region.x + at % n_xy / n_y * region.sides().x,
            region.y + at % n_y * region.sides().y};
}

void WinogradConv::transform_inputs(const Kernels& kernels, const PlaneSource& source,
                                    const Block& block) const {
    const std::size_t n_planes = block.region.sides().x + 2, column_z = block.n_z + 2;
    // The border of zeros is there without being read; of a shallow map nobody wants it.
    const std::size_t n_z = std::min(spec_.extent.z, column_z - 1);
    const bool shallow = depth_ == Depth::shallow;
    const std::size_t before = shallow ? 0 : 1, after = shallow ? 0 : column_z - 1 - n_z;
    for (std::size_t i = 0; i < block.shape.n_columns; ++i) {
        const Column at = column(block, i);
        for (std::size_t in = 0; in < block.shape.n_in; ++in) {
            const float* planes[kMaxPositions];
            source.planes(at.sample, in, at.x, at.y, n_planes, planes);
            for (std::size_t x = 0; x < n_planes; ++x) planes[x] += kBlock;
            const std::size_t line = (in * block.shape.n_columns + i) * column_z + 1 - before;
            kernels.plane_input(block.region.foot, {planes, source.y_stride(), before, n_z, after},
                                block.scratch.planes + line * kBlock, block.stride());
        }
    }
}

void WinogradConv::convolve_depth(const Kernels& kernels, const Block& block) const {
    const Footprint& foot = block.region.foot;
    const Region::Sides sides = block.region.sides();
    // Weights are packed for the positions of the first region, which are all of the family or
    // those of every region.
    const bool packed_all = regions_[true].front().foot.x != kernels::kTwo;
    std::size_t packed = 0;
    for (std::size_t x = 0; x < sides.x + 2; ++x)
        for (std::size_t y = 0; y < sides.y + 2; ++y, ++packed) {
            const std::size_t place =
                kernels::kTilePositions[foot.x][x] * kernels::kFamilyPositions[foot.y] +
                kernels::kTilePositions[foot.y][y];
            const float* const weights = weights_of(packed_all ? place : packed, 0);
            float* const planes = block.scratch.planes + packed * block.stride();
            if (depth_ == Depth::shallow)
                kernels.conv_shallow(
                    {block.shape.n_columns, spec_.extent.z, block.shape.n_in, block.shape.n_out},
                    weights, planes, block.scratch.depth);
            else
                kernels.conv_depth(block.shape, weights, planes, block.scratch.depth);
        }
}

void WinogradConv::transform_outputs(const Kernels& kernels, const Block& block, const Maps* addend,
                                     const Maps& out) const {
    const std::size_t step = block.pooled ? 2 : 1;
    const Region::Sides sides{block.region.sides().x / step, block.region.sides().y / step};
    const Extent extent = output_extent(block.pooled);
    const float floor = spec_.relu ? 0.0f : -std::numeric_limits<float>::infinity();
    const auto write = block.pooled ? kernels.plane_output_pool : kernels.plane_output;
    for (std::size_t i = 0; i < block.shape.n_columns; ++i) {
        const Column at = column(block, i);
        const std::size_t x = at.x / step, y = at.y / step;
        for (std::size_t b = 0; b < block.shape.n_out; ++b) {
            const OutputColumn target{out.voxel(at.sample, b, x, y),
                                      out.x_stride(),
                                      out.y_stride(),
                                      std::min(sides.x, extent.x - x),
                                      std::min(sides.y, extent.y - y),
                                      extent.z};
            const Addend more = addend ? Addend{addend->voxel(at.sample, b, at.x, at.y),
                                                addend->x_stride(), addend->y_stride()}
                                       : Addend{nullptr, 0, 0};
            write(block.region.foot,
                  block.scratch.planes + (b * block.shape.n_columns + i) * (block.n_z + 2) * kBlock,
                  block.stride(), more, bias_ + b * kBlock, floor, target);
        }
    }
}

}  // namespace nigro
