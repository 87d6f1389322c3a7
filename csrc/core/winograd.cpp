// Plans, packs and runs one convolution: see winograd.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/winograd.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "core/filters.h"

namespace nigro {
namespace {

using kernels::Kernels;
using kernels::kTileShapes;
using kernels::OutputColumn;
using kernels::Tile;
using kernels::TileShape;

constexpr std::size_t kMaxSide = 6;       // inputs of a tile along an axis
constexpr std::size_t kPackedInputs = 8;  // whose weights one item of packing transforms

std::size_t divide_up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

std::size_t positions(TileShape tile) { return (tile.x + 2) * (tile.y + 2) * (tile.z + 2); }

std::size_t tiles_of(TileShape tile, Extent extent) {
    return divide_up(extent.x, tile.x) * divide_up(extent.y, tile.y) * divide_up(extent.z, tile.z);
}

// Multiply-adds that a layer costs, or other work expressed in them: each position of each tile is
// multiplied, and transformed on the way in and out; each weight comes from beyond the inner
// caches. The factors are measured (docs/engine.md) and part of the plan: they choose among
// algorithms that round differently, so they never depend on the machine.
double cost(TileShape tile, Extent extent, std::size_t n_in, std::size_t n_out) {
    constexpr double kInput = 7 * kBlock, kOutput = 5 * kBlock, kWeight = 4;
    const auto in = double(blocks_of(n_in)), out = double(blocks_of(n_out));
    const double product = in * out * double(kBlock * kBlock);
    return double(positions(tile)) *
           (double(tiles_of(tile, extent)) * (product + kInput * in + kOutput * out) +
            kWeight * product);
}

double cost(const std::vector<Region>& regions, const ConvSpec& spec) {
    double sum = 0;
    for (const Region& region : regions)
        sum += cost(kTileShapes[region.tile], region.size, spec.n_in, spec.n_out);
    return sum;
}

Extent pooled_extent(Extent extent) { return {extent.x / 2, extent.y / 2, extent.z / 2}; }

// Outputs that are needed: without the odd remainders that a max-pool drops.
Extent needed_of(const ConvSpec& spec, bool pool) {
    if (!pool) return spec.extent;
    const Extent half = pooled_extent(spec.extent);
    return {2 * half.x, 2 * half.y, 2 * half.z};
}

// Outputs along an axis that would be left to the last, half empty tile of 4.
std::size_t tail(std::size_t n) { return n > 4 && n % 4 <= 2 ? n % 4 : 0; }

// Tiles of 4 x 4 x 4, and for each axis that is cut a region of tiles that are 2 long there, which
// takes the tail off what is left.
std::vector<Region> cut_regions(Extent rest, bool cut_x, bool cut_y, bool cut_z) {
    std::vector<Region> regions{{kernels::kTile444, {0, 0, 0}, rest}};
    if (const std::size_t n = cut_z ? tail(rest.z) : 0) {
        rest.z -= n;
        regions.push_back({kernels::kTile442, {0, 0, rest.z}, {rest.x, rest.y, n}});
    }
    if (const std::size_t n = cut_x ? tail(rest.x) : 0) {
        rest.x -= n;
        regions.push_back({kernels::kTile244, {rest.x, 0, 0}, {n, rest.y, rest.z}});
    }
    if (const std::size_t n = cut_y ? tail(rest.y) : 0) {
        rest.y -= n;
        regions.push_back({kernels::kTile424, {0, rest.y, 0}, {rest.x, n, rest.z}});
    }
    regions.front().size = rest;
    return regions;
}

}  // namespace

std::vector<Region> plan_regions(const ConvSpec& spec, bool pool) {
    const Extent needed = needed_of(spec, pool);
    std::vector<std::vector<Region>> plans;
    for (const Tile tile : {kernels::kTile444, kernels::kTile442, kernels::kTile222})
        plans.push_back({{tile, {0, 0, 0}, needed}});
    for (int cuts = 1; cuts < 8; ++cuts)
        plans.push_back(cut_regions(needed, cuts & 1, cuts & 2, cuts & 4));
    return *std::min_element(plans.begin(), plans.end(), [&](const auto& a, const auto& b) {
        return cost(a, spec) < cost(b, spec);
    });
}

// A run of columns that passes through the stages together.
struct WinogradConv::Block {
    std::size_t first, count;  // columns
    std::size_t n_tiles, v_stride, m_stride;
    bool pooled;
    Scratch scratch;
};

// --------------------------------------------------------------------------------------- plan

WinogradConv::WinogradConv(const ConvSpec& spec, bool pool, const Region& region, Arena& arena)
    : spec_(spec), pool_(pool), region_(region) {
    const std::size_t in = blocks_of(spec.n_in), out = blocks_of(spec.n_out);
    weights_place_ = arena.reserve(n_positions() * in * out * kBlock * kBlock);
    bias_place_ = arena.reserve(out * kBlock);
}

std::size_t WinogradConv::n_positions() const { return positions(tile()); }

Extent WinogradConv::output_extent(bool pooled) const {
    return pooled ? pooled_extent(spec_.extent) : spec_.extent;
}

// Outputs that are computed. Without the pool, the last regions take what it would have dropped.
Extent WinogradConv::needed(bool pooled) const {
    if (pooled || !pool_) return region_.size;
    const Extent &all = spec_.extent, &first = region_.first, &size = region_.size;
    const Extent whole = needed_of(spec_, true);
    return {first.x + size.x == whole.x ? all.x - first.x : size.x,
            first.y + size.y == whole.y ? all.y - first.y : size.y,
            first.z + size.z == whole.z ? all.z - first.z : size.z};
}

std::size_t WinogradConv::columns_x(bool pooled) const {
    return divide_up(needed(pooled).x, tile().x);
}
std::size_t WinogradConv::columns_y(bool pooled) const {
    return divide_up(needed(pooled).y, tile().y);
}
std::size_t WinogradConv::tiles_z(bool pooled) const {
    return divide_up(needed(pooled).z, tile().z);
}

Extent WinogradConv::input_stored() const {
    return {region_.first.x + columns_x(false) * tile().x + 2,
            region_.first.y + columns_y(false) * tile().y + 2,
            region_.first.z + tiles_z(false) * tile().z + 2};
}

double WinogradConv::products(bool pooled) const {
    const std::size_t n_tiles = columns_x(pooled) * columns_y(pooled) * tiles_z(pooled);
    const std::size_t n_pairs = blocks_of(spec_.n_in) * blocks_of(spec_.n_out) * kBlock * kBlock;
    return double(n_positions()) * double(n_tiles) * double(n_pairs);
}

// Columns in a block: enough tiles to keep the registers of a product full and to use each weight
// often, few enough that the block's values stay in a second-level cache.
std::size_t WinogradConv::block_columns(bool pooled) const {
    constexpr std::size_t kTiles = 12, kBytes = 400 << 10;
    const std::size_t tile_bytes =
        n_positions() * (blocks_of(spec_.n_in) + blocks_of(spec_.n_out)) * kBlock * sizeof(float);
    const std::size_t n_tiles = std::max(kTiles, kBytes / tile_bytes);
    return std::max<std::size_t>(1, n_tiles / tiles_z(pooled));
}

std::size_t WinogradConv::blocks(std::size_t n_columns, bool pooled) const {
    return divide_up(n_columns, block_columns(pooled));
}

// An odd number of cache lines, so that the positions of a tile spread over all sets of a cache.
std::size_t WinogradConv::v_stride(std::size_t n_tiles) const {
    return (n_tiles * blocks_of(spec_.n_in) | 1) * kBlock;
}
std::size_t WinogradConv::m_stride(std::size_t n_tiles) const {
    return (n_tiles * blocks_of(spec_.n_out) | 1) * kBlock;
}

std::size_t WinogradConv::v_size() const {
    return n_positions() * std::max(v_stride(block_columns(false) * tiles_z(false)),
                                    v_stride(block_columns(pool_) * tiles_z(pool_)));
}
std::size_t WinogradConv::m_size() const {
    return n_positions() * std::max(m_stride(block_columns(false) * tiles_z(false)),
                                    m_stride(block_columns(pool_) * tiles_z(pool_)));
}

// --------------------------------------------------------------------------------------- pack

void WinogradConv::pack(const Arena& arena, ThreadPool& threads) {
    weights_ = arena.at(weights_place_);
    bias_ = arena.at(bias_place_);
    if (spec_.bias) std::memcpy(bias_, spec_.bias->data, spec_.n_out * sizeof(float));
    const std::size_t n_out = blocks_of(spec_.n_out);
    const std::size_t n_parts = divide_up(spec_.n_in, kPackedInputs);
    threads.deal(n_out * n_parts, [&](std::size_t, std::size_t item) {
        const std::size_t in = item % n_parts * kPackedInputs;
        pack_part(item / n_parts, in, std::min(spec_.n_in, in + kPackedInputs));
    });
}

// Weights from the inputs [first, last) to one block of outputs, which go to
// [position][block of outputs][inputs][16].
void WinogradConv::pack_part(std::size_t block, std::size_t first, std::size_t last) const {
    const std::size_t n_out = std::min(kBlock, spec_.n_out - block * kBlock);
    const std::size_t n_rows = blocks_of(spec_.n_in) * kBlock;
    const std::size_t position_stride = blocks_of(spec_.n_out) * n_rows * kBlock;
    std::vector<double> taps(27 * kBlock), transformed(n_positions() * kBlock);
    for (std::size_t in = first; in < last; ++in) {
        for (std::size_t lane = 0; lane < n_out; ++lane) {
            float values[27];
            const std::size_t filter = (block * kBlock + lane) * spec_.n_in + in;
            std::memcpy(values, spec_.weights->data + filter * sizeof values, sizeof values);
            for (std::size_t tap = 0; tap < 27; ++tap)
                taps[tap * kBlock + lane] = double(values[tap]);
        }
        transform_filters(tile(), taps.data(), transformed.data());
        float* target = weights_ + (block * n_rows + in) * kBlock;
        for (std::size_t p = 0; p < n_positions(); ++p, target += position_stride)
            for (std::size_t lane = 0; lane < kBlock; ++lane)
                target[lane] = static_cast<float>(transformed[p * kBlock + lane]);
    }
}

// ---------------------------------------------------------------------------------------- run

void WinogradConv::run(const Kernels& kernels, const PlaneSource& source, std::size_t first,
                       std::size_t last, const Scratch& scratch, bool pooled,
                       const Maps& out) const {
    const std::size_t n_blocks = blocks(last - first, pooled);
    for (std::size_t i = 0; i < n_blocks; ++i) {
        const Share columns = share(last - first, i, n_blocks);
        const std::size_t count = columns.last - columns.first;
        const std::size_t n_tiles = count * tiles_z(pooled);
        const Block block{first + columns.first, count,  n_tiles, v_stride(n_tiles),
                          m_stride(n_tiles),     pooled, scratch};
        transform_inputs(kernels, source, block);
        multiply(kernels, block);
        transform_outputs(kernels, block, out);
    }
}

void WinogradConv::transform_inputs(const Kernels& kernels, const PlaneSource& source,
                                    const Block& block) const {
    const std::size_t n_x = columns_x(block.pooled), n_y = columns_y(block.pooled);
    const std::size_t n_z = tiles_z(block.pooled);
    for (std::size_t i = 0; i < block.count; ++i) {
        const std::size_t column = block.first + i;
        const std::size_t sample = column / (n_x * n_y), x = column / n_y % n_x, y = column % n_y;
        for (std::size_t in = 0; in < blocks_of(spec_.n_in); ++in) {
            const float* planes[kMaxSide];
            source.planes(sample, in, region_.first.x + x * tile().x,
                          region_.first.y + y * tile().y, tile().x + 2, planes);
            for (std::size_t p = 0; p < tile().x + 2; ++p) planes[p] += region_.first.z * kBlock;
            kernels.winograd[region_.tile].input(
                planes, source.y_stride(), n_z,
                block.scratch.v + (in * block.n_tiles + i * n_z) * kBlock, block.v_stride);
        }
    }
}

void WinogradConv::multiply(const Kernels& kernels, const Block& block) const {
    const std::size_t n_in = blocks_of(spec_.n_in) * kBlock,
                      n_out = blocks_of(spec_.n_out) * kBlock;
    kernels.winograd_product(block.scratch.v, block.v_stride, weights_, block.scratch.m,
                             block.m_stride, n_positions(), block.n_tiles, n_in, n_out);
}

void WinogradConv::transform_outputs(const Kernels& kernels, const Block& block,
                                     const Maps& out) const {
    const std::size_t n_x = columns_x(block.pooled), n_y = columns_y(block.pooled);
    const std::size_t n_z = tiles_z(block.pooled), step = block.pooled ? 2 : 1;
    const std::size_t side_x = tile().x / step, side_y = tile().y / step;
    const Extent extent = output_extent(block.pooled);
    const float floor = spec_.relu ? 0.0f : -std::numeric_limits<float>::infinity();
    const auto write = block.pooled ? kernels.winograd[region_.tile].output_pool
                                    : kernels.winograd[region_.tile].output;
    const Extent first{region_.first.x / step, region_.first.y / step, region_.first.z / step};
    for (std::size_t i = 0; i < block.count; ++i) {
        const std::size_t column = block.first + i;
        const std::size_t sample = column / (n_x * n_y);
        const std::size_t x = first.x + column / n_y % n_x * side_x;
        const std::size_t y = first.y + column % n_y * side_y;
        for (std::size_t b = 0; b < blocks_of(spec_.n_out); ++b) {
            const OutputColumn target{out.voxel(sample, b, x, y) + first.z * kBlock,
                                      out.x_stride(),
                                      out.y_stride(),
                                      std::min(side_x, extent.x - x),
                                      std::min(side_y, extent.y - y),
                                      extent.z - first.z};
            write(block.scratch.m + (b * block.n_tiles + i * n_z) * kBlock, block.m_stride, n_z,
                  bias_ + b * kBlock, floor, target);
        }
    }
}

}  // namespace nigro
