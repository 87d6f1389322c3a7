// Sums of maps and activations that no convolution took. See stages.h.
// SPDX-License-Identifier: Apache-2.0
#include <variant>

#include "core/activation.h"
#include "core/stages.h"

namespace nigro {
namespace {

class PointwiseStage final : public Stage {
public:
    PointwiseStage(const Layer& layer, const MapSpec& in)
        : in_(layer.in),
          out_(layer.out),
          spec_(std::get<PointwiseSpec>(layer.what)),
          extent_(in.extent) {}

    std::vector<MapNeed> needs() const override {
        std::vector<MapNeed> needs{{in_, 0, extent_}};
        if (spec_.addend != kNoMap) needs.push_back({spec_.addend, 0, extent_});
        return needs;
    }
    MapId out() const override { return out_; }
    StageWork work() const override { return {spec_.addend == kNoMap ? "activation" : "sum"}; }

    void run(const Frame& frame, const std::vector<Maps>& maps) override {
        const Maps& in = maps[in_];
        const std::size_t n_blocks = in.n_blocks();
        const Maps* const addend = spec_.addend == kNoMap ? nullptr : &maps[spec_.addend];
        frame.threads.deal(frame.n_samples * n_blocks * extent_.x,
                           [&](std::size_t, std::size_t item) {
                               const std::size_t x = item % extent_.x, at = item / extent_.x;
                               const std::size_t sample = at / n_blocks, block = at % n_blocks;
                               for (std::size_t y = 0; y < extent_.y; ++y)
                                   run_row(in.voxel(sample, block, x, y),
                                           addend ? addend->voxel(sample, block, x, y) : nullptr,
                                           maps[out_].voxel(sample, block, x, y));
                           });
    }

private:
    void run_row(const float* in, const float* addend, float* out) const {
        const std::size_t n = extent_.z * kBlock;
        for (std::size_t i = 0; i < n; ++i) out[i] = addend ? in[i] + addend[i] : in[i];
        activate(spec_.activation, out, n);
    }

    MapId in_, out_;
    PointwiseSpec spec_;
    Extent extent_;
};

}  // namespace

StagePtr pointwise_stage(const Layer& layer, const MapSpec& in) {
    return std::make_unique<PointwiseStage>(layer, in);
}

}  // namespace nigro
