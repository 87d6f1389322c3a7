// Interpolate a patch, one axis after another.
//
// Planes of the image across patch axis 0 are made ready one at a time: voxels are gathered with
// patch axis 1 innermost, blended along axis 2, transposed, and blended along axis 1. A ring keeps
// as many such planes as one patch voxel needs along axis 0, so scratch memory does not grow with
// the image.
// SPDX-License-Identifier: Apache-2.0
#include "core/resample.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/gather.h"

namespace nigro {
namespace {

using kernels::Kernels;

// ------------------------------------------------------------------------------------------ taps

// A ratio this close above a whole number is that number: voxel sizes are stored as float32.
constexpr double kRatioTolerance = 1e-6;
constexpr double kMeanAbove = 1.5;

// The image voxels that one patch voxel is a weighted mean of, along one axis.
struct Taps {
    std::size_t first;   // in the oriented frame
    std::size_t count;   // at least 1
    std::size_t weight;  // where their weights begin in AxisTaps::weights
};

// The taps of every patch voxel along one axis. Both ends of the taps never move backwards.
struct AxisTaps {
    std::vector<Taps> taps;
    std::vector<float> weights;

    std::size_t begin() const { return taps.front().first; }
    std::size_t end() const { return taps.back().first + taps.back().count; }
    Range range() const { return {begin(), end()}; }

    std::size_t longest() const {
        std::size_t count = 0;
        for (const Taps& t : taps) count = std::max(count, t.count);
        return count;
    }
};

std::size_t samples_of(double step) {
    if (step <= kMeanAbove) return 1;
    return static_cast<std::size_t>(std::ceil(step - kRatioTolerance));
}

// Adds the two neighbours of `position`, clamped to the image, with weights of sum `share`.
void add_sample(double position, std::size_t n, double share, std::size_t origin,
                std::vector<double>& weights) {
    const double clamped = std::clamp(position, 0.0, static_cast<double>(n - 1));
    const auto low = static_cast<std::size_t>(clamped);
    const double above = clamped - static_cast<double>(low);
    if (low + 1 - origin >= weights.size()) weights.resize(low + 2 - origin, 0.0);
    weights[low - origin] += share * (1 - above);
    weights[low + 1 - origin] += share * above;
}

std::size_t voxel_below(double position, std::size_t n) {
    return static_cast<std::size_t>(std::clamp(position, 0.0, static_cast<double>(n - 1)));
}

// Appends the taps of patch voxel `k`, without those at the ends that weigh nothing.
void append(const PlacedAxis& axis, std::size_t k, std::vector<double>& weights, AxisTaps& all) {
    const std::size_t samples = samples_of(axis.step);
    const double share = 1 / static_cast<double>(samples);
    const double start = axis.position_of(k) - 0.5 * axis.step;
    const double stride = axis.step * share;
    const std::size_t origin = voxel_below(start + 0.5 * stride, axis.n_image);
    weights.assign(2, 0.0);
    for (std::size_t m = 0; m < samples; ++m)
        add_sample(start + (static_cast<double>(m) + 0.5) * stride, axis.n_image, share, origin,
                   weights);
    std::size_t skipped = 0;
    while (weights[skipped] == 0) ++skipped;
    while (weights.back() == 0) weights.pop_back();
    all.taps.push_back({origin + skipped, weights.size() - skipped, all.weights.size()});
    for (std::size_t t = skipped; t < weights.size(); ++t)
        all.weights.push_back(static_cast<float>(weights[t]));
}

AxisTaps taps_of(const PlacedAxis& axis) {
    AxisTaps all;
    all.taps.reserve(axis.n_patch);
    std::vector<double> weights;
    for (std::size_t k = 0; k < axis.n_patch; ++k) append(axis, k, weights, all);
    return all;
}

// ---------------------------------------------------------------------------------------- planes

// Rows of image voxels along patch axis 1 that are gathered together.
constexpr std::size_t kBlock = 64;

// Planes that are gathered together where the image is contiguous along patch axis 0, so that runs
// are worth reading; one otherwise.
constexpr std::size_t kPlanes = 16;

class Resampler {
public:
    Resampler(const Kernels& kernels, const VolumeView& volume, const Placement& placement)
        : kernels_(kernels), volume_(volume), placement_(placement) {
        for (std::size_t i = 0; i < 3; ++i) {
            taps_[i] = taps_of(placement.axes[i]);
            n_patch_[i] = placement.axes[i].n_patch;
            n_window_[i] = taps_[i].end() - taps_[i].begin();
        }
        check_held(volume,
                   window_of(placement, {taps_[0].range(), taps_[1].range(), taps_[2].range()}));
        const Box whole = window(taps_[0].range(), taps_[1].range());
        planes_ = contiguous_axis(volume, whole) == 0 ? kPlanes : 1;
        ring_size_ = taps_[0].longest();
        gathered_.resize(planes_ * n_window_[2] * kBlock);
        blended_.resize(n_patch_[2] * kBlock);
        ready_.resize(planes_ * n_window_[1] * n_patch_[2]);
        ring_.resize(ring_size_ * n_patch_[1] * n_patch_[2]);
        rows_.resize(std::max({taps_[0].longest(), taps_[1].longest(), taps_[2].longest()}));
    }

    void run(float* patch) {
        const std::size_t plane_size = n_patch_[1] * n_patch_[2];
        std::size_t next = taps_[0].begin();  // the first plane not yet made
        for (std::size_t i = 0; i < n_patch_[0]; ++i) {
            const Taps& taps = taps_[0].taps[i];
            for (; next < taps.first + taps.count; ++next) make_plane(next);
            for (std::size_t t = 0; t < taps.count; ++t) rows_[t] = plane(taps.first + t);
            blend(taps_[0], taps, plane_size, patch + i * plane_size);
        }
    }

private:
    float* plane(std::size_t a) {
        return ring_.data() + (a % ring_size_) * n_patch_[1] * n_patch_[2];
    }

    void blend(const AxisTaps& axis, const Taps& taps, std::size_t n, float* dst) {
        kernels_.blend(rows_.data(), axis.weights.data() + taps.weight, taps.count, n, dst);
    }

    // Image voxels with axes in the order patch 0, patch 2, patch 1; all of axis 2's window.
    Box window(Range a, Range b) const {
        Box box{volume_.voxels, {}, {}};
        box.set_axis(0, volume_, placement_.axes[0], a);
        box.set_axis(1, volume_, placement_.axes[2], taps_[2].range());
        box.set_axis(2, volume_, placement_.axes[1], b);
        return box;
    }

    // Blends plane `a` along axis 1 into the ring; gathers it first, and its followers, if needed.
    void make_plane(std::size_t a) {
        if (a >= ready_end_) make_ready(a);
        const float* const ready = ready_.data() + (a - ready_begin_) * n_window_[1] * n_patch_[2];
        for (std::size_t j = 0; j < n_patch_[1]; ++j) {
            const Taps& taps = taps_[1].taps[j];
            for (std::size_t t = 0; t < taps.count; ++t)
                rows_[t] = ready + (taps.first - taps_[1].begin() + t) * n_patch_[2];
            blend(taps_[1], taps, n_patch_[2], plane(a) + j * n_patch_[2]);
        }
    }

    // Planes from `a` on, blended along axis 2: (planes, window of axis 1, patch of axis 2).
    void make_ready(std::size_t a) {
        ready_begin_ = a;
        ready_end_ = std::min(a + planes_, taps_[0].end());
        for (std::size_t b = 0; b < n_window_[1]; b += kBlock) {
            const std::size_t n_b = std::min(kBlock, n_window_[1] - b);
            const std::size_t n_a = ready_end_ - ready_begin_;
            const std::size_t first_b = taps_[1].begin() + b;
            gather(kernels_, volume_, window({a, ready_end_}, {first_b, first_b + n_b}),
                   {gathered_.data(),
                    {static_cast<std::ptrdiff_t>(n_window_[2] * n_b),
                     static_cast<std::ptrdiff_t>(n_b)}});
            for (std::size_t p = 0; p < n_a; ++p)
                blend_last_axis(gathered_.data() + p * n_window_[2] * n_b, n_b,
                                ready_.data() + (p * n_window_[1] + b) * n_patch_[2]);
        }
    }

    // (window of axis 2, n_b) -> (n_b, patch of axis 2)
    void blend_last_axis(const float* gathered, std::size_t n_b, float* ready) {
        for (std::size_t k = 0; k < n_patch_[2]; ++k) {
            const Taps& taps = taps_[2].taps[k];
            for (std::size_t t = 0; t < taps.count; ++t)
                rows_[t] = gathered + (taps.first - taps_[2].begin() + t) * n_b;
            blend(taps_[2], taps, n_b, blended_.data() + k * n_b);
        }
        constexpr auto kFloat = static_cast<std::size_t>(kernels::Stored::f32);
        kernels_.load_transposed[kFloat][0](reinterpret_cast<const unsigned char*>(blended_.data()),
                                            static_cast<std::ptrdiff_t>(n_b * sizeof(float)),
                                            n_patch_[2], n_b, 1, 0, ready,
                                            static_cast<std::ptrdiff_t>(n_patch_[2]));
    }

    const Kernels& kernels_;
    const VolumeView& volume_;
    const Placement& placement_;
    AxisTaps taps_[3];
    std::size_t n_patch_[3];
    std::size_t n_window_[3];  // image voxels that the patch needs along each axis
    std::size_t planes_;
    std::size_t ring_size_;
    std::size_t ready_begin_ = 0;
    std::size_t ready_end_ = 0;
    std::vector<float> gathered_;  // (planes, window of axis 2, block of axis 1)
    std::vector<float> blended_;   // (patch of axis 2, block of axis 1)
    std::vector<float> ready_;     // (planes, window of axis 1, patch of axis 2)
    std::vector<float> ring_;      // (ring, patch of axis 1, patch of axis 2)
    std::vector<const float*> rows_;
};

}  // namespace

void resample(const Kernels& kernels, const VolumeView& volume, const Placement& placement,
              float* patch) {
    Resampler(kernels, volume, placement).run(patch);
}

std::array<Range, 3> resampled_ranges(const Placement& placement) {
    std::array<Range, 3> ranges{};
    for (std::size_t i = 0; i < 3; ++i) ranges[i] = taps_of(placement.axes[i]).range();
    return ranges;
}

}  // namespace nigro
