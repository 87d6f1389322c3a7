// Feature maps as the kernels see them: channels innermost in blocks of 16, with room around.
//
// A map of C channels is [C / 16][x][y][z][16] for each sample; nobody minds what the channels
// beyond C hold, as long as it is finite. A border of zeros before and after each axis stands for
// the padding of the layers that read it and for what their last tiles reach beyond. Nobody ever
// writes there. The input of a convolution of one channel is 'plain': one float for a voxel instead
// of a block. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>

#include "core/arena.h"
#include "core/graph.h"
#include "kernels/kernels.h"

namespace nigro {

constexpr std::size_t kBlock = kernels::kChannelBlock;

inline std::size_t blocks_of(std::size_t n_channels) { return (n_channels + kBlock - 1) / kBlock; }

// Samples that run together: the two sides of one person. More are run as several groups.
constexpr std::size_t kGroup = 2;

class Maps {
public:
    Maps() = default;

    // 'border' voxels before each axis; 'stored' is the extent in memory, borders included.
    Maps(std::size_t n_channels, Extent extent, std::size_t border, Extent stored, bool plain)
        : n_channels_(n_channels),
          extent_(extent),
          border_(border),
          stored_(stored),
          lanes_(plain ? 1 : kBlock) {}

    void reserve(Arena& arena, std::size_t n_samples) {
        place_ = arena.reserve(n_samples * sample_stride());
    }
    void locate(const Arena& arena) { values_ = arena.at(place_); }

    std::size_t n_channels() const { return n_channels_; }
    std::size_t n_blocks() const { return blocks_of(n_channels_); }
    const Extent& extent() const { return extent_; }
    std::size_t border() const { return border_; }
    std::size_t y_stride() const { return stored_.z * lanes_; }
    std::size_t x_stride() const { return stored_.y * y_stride(); }
    std::size_t block_stride() const { return stored_.x * x_stride(); }
    std::size_t sample_stride() const { return n_blocks() * block_stride(); }

    // The block of channels at a voxel in stored coordinates: the border begins at 0.
    float* stored(std::size_t sample, std::size_t block, std::size_t x, std::size_t y) const {
        return values_ + sample * sample_stride() + block * block_stride() + x * x_stride() +
               y * y_stride();
    }
    // The same in the coordinates of the map.
    float* voxel(std::size_t sample, std::size_t block, std::size_t x, std::size_t y) const {
        return stored(sample, block, x + border_, y + border_) + border_ * lanes_;
    }

    // Write the values of one sample, [n_channels][x][y][z].
    void fill(std::size_t sample, const float* values) const;

private:
    std::size_t n_channels_ = 0;
    Extent extent_{};
    std::size_t border_ = 0;
    Extent stored_{};
    std::size_t lanes_ = kBlock;
    std::size_t place_ = 0;
    float* values_ = nullptr;
};

}  // namespace nigro
