// The convolution of one channel that networks begin with.
//
// With one input channel there is nothing to sum over but the taps, so three-dimensional tiles
// would cost more in transforms than they save. F(4, 3) along y alone halves the products: the
// patch is transformed once, for all output channels, and each output plane is made when somebody
// needs it.
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "core/arena.h"
#include "core/graph.h"
#include "core/maps.h"
#include "core/threads.h"
#include "kernels/kernels.h"

namespace nigro {

class FirstConv {
public:
    // Plans the layer and reserves its weights and the transformed patches of one group.
    FirstConv(const ConvSpec& spec, Arena& arena);

    void pack(const Arena& arena);

    // Transforms the patches of a group, plain maps with a border of one voxel, with all threads.
    void transform(const kernels::Kernels& kernels, ThreadPool& threads, const Maps& in,
                   std::size_t n_samples);

    // Makes one block of plane x of the outputs, [y at out_y_stride][z][16]. Any thread may.
    void run(const kernels::Kernels& kernels, std::size_t sample, std::size_t x, std::size_t block,
             float* out, std::size_t out_y_stride) const;

    const ConvSpec& spec() const { return spec_; }
    std::size_t n_blocks() const { return blocks_of(spec_.n_out); }
    // Multiply-adds for one sample: 'kTaps' for each position of a tile.
    double products() const {
        return double(n_blocks() * kBlock * kPositions * kTaps) *
               double(spec_.extent.x * n_tiles() * spec_.extent.z);
    }
    Extent input_stored() const;  // rows up to the end of the last tile

private:
    static constexpr std::size_t kRows = 4, kPositions = kRows + 2, kTaps = 9;

    std::size_t n_tiles() const { return (spec_.extent.y + kRows - 1) / kRows; }
    std::size_t z_stride() const { return spec_.extent.z + 2; }
    std::size_t x_stride() const { return n_tiles() * kPositions * z_stride(); }
    float* plane(std::size_t sample, std::size_t x) const;
    void transform_plane(const kernels::Kernels& kernels, const Maps& in, std::size_t sample,
                         std::size_t x) const;

    ConvSpec spec_;
    std::size_t weights_place_, bias_place_, patches_place_;
    float* weights_ = nullptr;  // [block][position][taps along x, z][16]
    float* bias_ = nullptr;
    float* patches_ = nullptr;  // [sample][x + 2][tile][position][z + 2], zero at both ends
};

}  // namespace nigro
