// Pools that no convolution took: maxima or means of windows of any size. See stages.h.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <variant>

#include "core/stages.h"

namespace nigro {
namespace {

// Of one axis: the inputs [first, last) of an output, pads left out.
struct Reach {
    std::size_t first, last;
};

Reach reach(std::size_t output, std::size_t kernel, std::size_t stride, std::size_t pad,
            std::size_t n) {
    const std::size_t begin = output * stride;  // counted from the first pad
    return {std::max(begin, pad) - pad, std::min(begin + kernel, n + pad) - pad};
}

class PoolStage final : public Stage {
public:
    PoolStage(const Layer& layer, const MapSpec& in)
        : in_(layer.in),
          out_(layer.out),
          spec_(std::get<PoolSpec>(layer.what)),
          extent_(in.extent),
          outputs_(spec_.window.outputs(in.extent)) {}

    std::vector<MapNeed> needs() const override { return {{in_, 0, extent_}}; }
    MapId out() const override { return out_; }
    StageWork work() const override { return {"pool"}; }

    void run(const Frame& frame, const std::vector<Maps>& maps) override {
        const Maps &in = maps[in_], &out = maps[out_];
        const std::size_t n_blocks = in.n_blocks();
        frame.threads.deal(frame.n_samples * n_blocks * outputs_.x, [&](std::size_t,
                                                                        std::size_t item) {
            const std::size_t x = item % outputs_.x, at = item / outputs_.x;
            const std::size_t sample = at / n_blocks, block = at % n_blocks;
            for (std::size_t y = 0; y < outputs_.y; ++y)
                for (std::size_t z = 0; z < outputs_.z; ++z)
                    pool(in, sample, block, {x, y, z}, out.voxel(sample, block, x, y) + z * kBlock);
        });
    }

private:
    // One output: maxima, or means by sums in float64, over the window in C order.
    void pool(const Maps& in, std::size_t sample, std::size_t block, const Extent& at,
              float* target) const {
        const Extent &kernel = spec_.window.kernel, &stride = spec_.window.stride;
        const Extent& pad = spec_.window.pad;
        const Reach x = reach(at.x, kernel.x, stride.x, pad.x, extent_.x);
        const Reach y = reach(at.y, kernel.y, stride.y, pad.y, extent_.y);
        const Reach z = reach(at.z, kernel.z, stride.z, pad.z, extent_.z);
        float most[kBlock];
        double sums[kBlock] = {};
        std::fill_n(most, kBlock, -std::numeric_limits<float>::infinity());
        for (std::size_t i = x.first; i < x.last; ++i)
            for (std::size_t j = y.first; j < y.last; ++j) {
                const float* const row = in.voxel(sample, block, i, j);
                if (spec_.kind == PoolSpec::kMax)
                    raise(row, z, most);
                else
                    sum(row, z, sums);
            }
        const std::size_t n = spec_.counts_pads
                                  ? kernel.count()
                                  : (x.last - x.first) * (y.last - y.first) * (z.last - z.first);
        for (std::size_t lane = 0; lane < kBlock; ++lane)
            target[lane] = spec_.kind == PoolSpec::kMax
                               ? most[lane]
                               : static_cast<float>(sums[lane] / static_cast<double>(n));
    }

    static void raise(const float* row, const Reach& z, float* most) {
        for (std::size_t k = z.first; k < z.last; ++k)
            for (std::size_t lane = 0; lane < kBlock; ++lane)
                most[lane] = std::max(most[lane], row[k * kBlock + lane]);
    }
    static void sum(const float* row, const Reach& z, double* sums) {
        for (std::size_t k = z.first; k < z.last; ++k)
            for (std::size_t lane = 0; lane < kBlock; ++lane)
                sums[lane] += static_cast<double>(row[k * kBlock + lane]);
    }

    MapId in_, out_;
    PoolSpec spec_;
    Extent extent_, outputs_;
};

}  // namespace

StagePtr pool_stage(const Layer& layer, const MapSpec& in) {
    return std::make_unique<PoolStage>(layer, in);
}

}  // namespace nigro
