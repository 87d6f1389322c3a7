// Convolutions of any window, as they are defined: the stage for what Winograd's tiles do not fit.
//
// A run of outputs along z is made at once, for one block of channels; the rows of inputs that it
// sees lie in the maps as they are, borders of zeros included.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <limits>
#include <variant>

#include "core/stages.h"

namespace nigro {
namespace {

using kernels::DirectShape;
using kernels::Kernels;

class DirectStage final : public Stage {
public:
    DirectStage(const Layer& layer, Arena& arena)
        : in_(layer.in),
          out_(layer.out),
          spec_(std::get<ConvSpec>(layer.what)),
          outputs_(spec_.outputs()),
          weights_place_(arena.reserve(blocks_of(spec_.n_out) * block_weights())),
          bias_place_(arena.reserve(blocks_of(spec_.n_out) * kBlock)) {}

    std::vector<MapNeed> needs() const override {
        const Window& window = spec_.window;
        const std::size_t border = std::max({window.pad.x, window.pad.y, window.pad.z});
        const auto stored = [&](std::size_t outputs, std::size_t stride, std::size_t kernel,
                                std::size_t pad) {
            return border - pad + (outputs - 1) * stride + kernel;
        };
        std::vector<MapNeed> needs{
            {in_,
             border,
             {stored(outputs_.x, window.stride.x, window.kernel.x, window.pad.x),
              stored(outputs_.y, window.stride.y, window.kernel.y, window.pad.y),
              stored(outputs_.z, window.stride.z, window.kernel.z, window.pad.z)}}};
        if (spec_.addend != kNoMap) needs.push_back({spec_.addend, 0, outputs_});
        return needs;
    }
    MapId out() const override { return out_; }
    StageWork work() const override {
        return {text(spec_), direct_products(spec_),
                double(block_weights() * blocks_of(spec_.n_out)) * double(outputs_.count())};
    }

    void pack(const Kernels&, const Arena& arena, ThreadPool& threads) override {
        weights_ = arena.at(weights_place_);
        bias_ = arena.at(bias_place_);
        if (spec_.bias) std::memcpy(bias_, spec_.bias->data, spec_.n_out * sizeof(float));
        threads.deal(spec_.n_out, [&](std::size_t, std::size_t out) { pack_output(out); });
    }

    void run(const Frame& frame, const std::vector<Maps>& maps) override {
        run_unpooled(frame, maps, maps[out_]);
    }
    void run_unpooled(const Frame& frame, const std::vector<Maps>& maps, const Maps& out) override {
        const std::size_t n_blocks = blocks_of(spec_.n_out);
        const Maps* const addend = spec_.addend == kNoMap ? nullptr : &maps[spec_.addend];
        frame.threads.deal(
            frame.n_samples * n_blocks * outputs_.x, [&](std::size_t, std::size_t item) {
                const std::size_t x = item % outputs_.x, at = item / outputs_.x;
                run_plane(frame.kernels, maps[in_], addend, out, {at / n_blocks, at % n_blocks, x});
            });
    }

private:
    // Of one sample, one block of outputs at one x.
    struct Plane {
        std::size_t sample, block, x;
    };

    void run_plane(const Kernels& kernels, const Maps& in, const Maps* addend, const Maps& out,
                   const Plane& plane) const {
        const Extent &kernel = spec_.window.kernel, &stride = spec_.window.stride;
        const DirectShape shape{spec_.n_in,        kernel.x * kernel.y, kernel.z,
                                in.block_stride(), stride.z * kBlock,   outputs_.z};
        const float floor = spec_.relu ? 0.0f : -std::numeric_limits<float>::infinity();
        const Extent first = first_input(in);
        const float* rows[kMaxRows];
        for (std::size_t y = 0; y < outputs_.y; ++y) {
            for (std::size_t r = 0; r < shape.n_rows; ++r)
                rows[r] = in.stored(plane.sample, 0, first.x + plane.x * stride.x + r / kernel.y,
                                    first.y + y * stride.y + r % kernel.y) +
                          first.z * kBlock;
            kernels.conv_direct(
                shape, rows, weights_ + plane.block * block_weights(),
                addend ? addend->voxel(plane.sample, plane.block, plane.x, y) : nullptr,
                bias_ + plane.block * kBlock, floor,
                out.voxel(plane.sample, plane.block, plane.x, y));
        }
    }

    // Where the window of output 0 begins, in stored coordinates.
    Extent first_input(const Maps& in) const {
        const Extent& pad = spec_.window.pad;
        return {in.border() - pad.x, in.border() - pad.y, in.border() - pad.z};
    }

    // Weights of one block of outputs: [block of inputs][row][tap][input of the block][16].
    std::size_t block_weights() const { return spec_.window.kernel.count() * spec_.n_in * kBlock; }

    void pack_output(std::size_t out) const {
        const std::size_t n_taps = spec_.window.kernel.count();
        float* const target = weights_ + out / kBlock * block_weights() + out % kBlock;
        for (std::size_t in = 0; in < spec_.n_in; ++in) {
            const std::size_t before = in / kBlock * kBlock;  // channels of earlier blocks
            const std::size_t n_lanes = std::min(kBlock, spec_.n_in - before);
            for (std::size_t tap = 0; tap < n_taps; ++tap)
                std::memcpy(
                    target + (before * n_taps + tap * n_lanes + in % kBlock) * kBlock,
                    spec_.weights->data + ((out * spec_.n_in + in) * n_taps + tap) * sizeof(float),
                    sizeof(float));
        }
    }

    static constexpr std::size_t kMaxRows = 256;  // graph.cpp takes kernels up to 16

    MapId in_, out_;
    ConvSpec spec_;
    Extent outputs_;
    std::size_t weights_place_, bias_place_;
    float* weights_ = nullptr;
    float* bias_ = nullptr;
};

}  // namespace

StagePtr direct_stage(const Layer& layer, Arena& arena) {
    return std::make_unique<DirectStage>(layer, arena);
}

}  // namespace nigro
