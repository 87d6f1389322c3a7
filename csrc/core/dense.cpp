// Packs and runs one fully connected layer: see dense.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/dense.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/activation.h"
#include "core/maps.h"

namespace nigro {

Dense::Dense(const DenseSpec& spec, std::size_t n_channels, Extent extent, Arena& arena)
    : spec_(spec),
      n_channels_(n_channels),
      extent_(extent),
      n_in_(blocks_of(n_channels) * extent.count() * kBlock) {
    weights_place_ = arena.reserve(blocks_of(spec.n_out) * n_in_ * kBlock);
    bias_place_ = arena.reserve(n_stored());
}

std::size_t Dense::n_stored() const { return blocks_of(spec_.n_out) * kBlock; }

void Dense::pack(const Arena& arena, ThreadPool& threads) {
    weights_ = arena.at(weights_place_);
    bias_ = arena.at(bias_place_);
    if (spec_.bias) std::memcpy(bias_, spec_.bias->data, spec_.n_out * sizeof(float));
    threads.deal(blocks_of(spec_.n_out),
                 [&](std::size_t, std::size_t block) { pack_block(block); });
}

// Weights of one block of outputs, to [inputs in memory][16].
void Dense::pack_block(std::size_t block) const {
    const std::size_t n_out = std::min(kBlock, spec_.n_out - block * kBlock);
    const std::size_t count = extent_.count();
    const std::size_t out_stride = spec_.transposed ? 1 : spec_.n_in;
    const std::size_t in_stride = spec_.transposed ? spec_.n_out : 1;
    float* target = weights_ + block * n_in_ * kBlock;
    for (std::size_t channel = 0; channel < n_channels_; ++channel)
        for (std::size_t voxel = 0; voxel < count; ++voxel) {
            const std::size_t in = channel * count + voxel;
            const std::size_t stored =
                (channel / kBlock * count + voxel) * kBlock + channel % kBlock;
            for (std::size_t lane = 0; lane < n_out; ++lane) {
                const std::size_t out = block * kBlock + lane;
                const std::size_t place = out * out_stride + in * in_stride;
                std::memcpy(&target[stored * kBlock + lane],
                            spec_.weights->data + place * sizeof(float), sizeof(float));
            }
        }
}

void Dense::run(const kernels::Kernels& kernels, ThreadPool& threads, const Rows& in,
                const Rows& out, std::size_t n_samples) const {
    const bool relu = spec_.activation.kind == Activation::kRelu;
    const float floor = relu ? 0.0f : -std::numeric_limits<float>::infinity();
    threads.deal(blocks_of(spec_.n_out), [&](std::size_t, std::size_t block) {
        kernels.dense(in.values, in.stride, n_samples, weights_ + block * n_in_ * kBlock, n_in_,
                      bias_ + block * kBlock, floor, out.values + block * kBlock, out.stride);
        for (std::size_t sample = 0; sample < n_samples && !relu; ++sample)
            activate(spec_.activation, out.values + sample * out.stride + block * kBlock, kBlock);
    });
}

}  // namespace nigro
