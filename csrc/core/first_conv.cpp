// Packs and runs the convolution of one channel: see first_conv.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/first_conv.h"

#include <cstring>
#include <limits>

#include "core/filters.h"

namespace nigro {

using kernels::Kernels;

FirstConv::FirstConv(const ConvSpec& spec, Arena& arena)
    : spec_(spec),
      weights_place_(arena.reserve(blocks_of(spec.n_out) * kPositions * kTaps * kBlock)),
      bias_place_(arena.reserve(blocks_of(spec.n_out) * kBlock)),
      patches_place_(arena.reserve(kGroup * (spec.extent.x + 2) * x_stride())) {}

Extent FirstConv::input_stored() const {
    return {spec_.extent.x + 2, n_tiles() * kRows + 2, spec_.extent.z + 2};
}

void FirstConv::pack(const Arena& arena) {
    weights_ = arena.at(weights_place_);
    bias_ = arena.at(bias_place_);
    patches_ = arena.at(patches_place_);
    if (spec_.bias) std::memcpy(bias_, spec_.bias->data, spec_.n_out * sizeof(float));
    const FilterRows& along_y = filter_rows(kernels::kFour);
    for (std::size_t out = 0; out < spec_.n_out; ++out) {
        float taps[3][3][3];
        std::memcpy(taps, spec_.weights->data + out * sizeof taps, sizeof taps);
        float* target = weights_ + out / kBlock * kPositions * kTaps * kBlock + out % kBlock;
        for (std::size_t p = 0; p < kPositions; ++p)
            for (std::size_t tap = 0; tap < kTaps; ++tap) {
                double sum = 0;
                for (std::size_t y = 0; y < 3; ++y)
                    sum += along_y[p][y] * double(taps[tap / 3][y][tap % 3]);
                target[(p * kTaps + tap) * kBlock] = static_cast<float>(sum);
            }
    }
}

float* FirstConv::plane(std::size_t sample, std::size_t x) const {
    return patches_ + (sample * (spec_.extent.x + 2) + x) * x_stride();
}

void FirstConv::transform(const Kernels& kernels, ThreadPool& threads, const Maps& in,
                          std::size_t n_samples) {
    threads.deal(n_samples * spec_.extent.x, [&](std::size_t, std::size_t i) {
        transform_plane(kernels, in, i / spec_.extent.x, i % spec_.extent.x);
    });
}

void FirstConv::transform_plane(const Kernels& kernels, const Maps& in, std::size_t sample,
                                std::size_t x) const {
    float* target = plane(sample, x + 1) + 1;
    for (std::size_t tile = 0; tile < n_tiles(); ++tile, target += kPositions * z_stride()) {
        const float* rows[kPositions];
        for (std::size_t i = 0; i < kPositions; ++i)
            rows[i] = in.stored(sample, 0, x + 1, tile * kRows + i) + 1;
        kernels.first_input(rows, spec_.extent.z, target, z_stride());
    }
}

void FirstConv::run(const Kernels& kernels, std::size_t sample, std::size_t x, std::size_t block,
                    float* out, std::size_t out_y_stride) const {
    kernels.conv_first(plane(sample, x), x_stride(), z_stride(), spec_.extent.y, spec_.extent.z,
                       weights_ + block * kPositions * kTaps * kBlock, bias_ + block * kBlock,
                       spec_.relu ? 0.0f : -std::numeric_limits<float>::infinity(), out,
                       out_y_stride);
}

}  // namespace nigro
