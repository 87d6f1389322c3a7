// One fully connected layer: weights packed once, streamed once for all samples of a group.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "core/arena.h"
#include "core/graph.h"
#include "core/threads.h"
#include "kernels/kernels.h"

namespace nigro {

// Vectors of samples: sample s begins at values + s * stride.
struct Rows {
    float* values;
    std::size_t stride;
};

class Dense {
public:
    // The inputs are flattened maps of 'n_channels' channels and 'extent', in their order in memory
    // (maps.h); for a layer after another one, n_channels is its width and the extent 1 x 1 x 1.
    Dense(const DenseSpec& spec, std::size_t n_channels, Extent extent, Arena& arena);

    const DenseSpec& spec() const { return spec_; }

    void pack(const Arena& arena, ThreadPool& threads);
    void run(const kernels::Kernels& kernels, ThreadPool& threads, const Rows& in, const Rows& out,
             std::size_t n_samples) const;

    // Outputs of one sample in memory, padded with zeros to a block.
    std::size_t n_stored() const;

private:
    void pack_block(std::size_t block) const;

    DenseSpec spec_;
    std::size_t n_channels_;
    Extent extent_;
    std::size_t n_in_;  // inputs in memory
    std::size_t weights_place_, bias_place_;
    float* weights_ = nullptr;
    float* bias_ = nullptr;
};

}  // namespace nigro
