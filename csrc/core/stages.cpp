// The stages: a convolution, two at once, a convolution of one channel, a max-pool. See stages.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/stages.h"

#include <algorithm>
#include <limits>
#include <set>
#include <string>

#include "core/first_conv.h"

namespace nigro {
namespace {

using kernels::Kernels;

std::string text(const ConvSpec& spec) {
    const Extent& extent = spec.extent;
    return std::to_string(spec.n_in) + "→" + std::to_string(spec.n_out) + ", " +
           std::to_string(extent.x) + "×" + std::to_string(extent.y) + "×" +
           std::to_string(extent.z) + (spec.n_pools > 0 ? ", pool" : "");
}

double direct(const ConvSpec& spec) {
    return 27 * double(spec.n_in) * double(spec.n_out) * double(spec.extent.count());
}

StageWork work_of(const FirstConv& first) {
    return {text(first.spec()), direct(first.spec()), first.products()};
}

StageWork work_of(const WinogradConv& conv) {
    return {text(conv.spec()), direct(conv.spec()), conv.products(conv.pools())};
}

// ------------------------------------------------------------------------------------- Winograd

class MapPlanes final : public PlaneSource {
public:
    explicit MapPlanes(const Maps& maps) : maps_(maps) {}
    void planes(std::size_t sample, std::size_t block, std::size_t x, std::size_t y,
                std::size_t n_planes, const float** planes) const override {
        for (std::size_t i = 0; i < n_planes; ++i)
            planes[i] = maps_.stored(sample, block, x + i, y);
    }
    std::size_t y_stride() const override { return maps_.y_stride(); }

private:
    const Maps& maps_;
};

class ConvStage final : public Stage {
public:
    ConvStage(const ConvSpec& spec, bool is_last, std::size_t n_threads, Arena& arena,
              ScratchPlan& scratch)
        : conv_(spec, is_last, arena), scratch_(scratch) {
        scratch.need(conv_.scratch(n_threads));
    }

    void pack(const Kernels& kernels, const Arena& arena, ThreadPool& threads) override {
        conv_.pack(kernels, arena, threads);
    }
    void run(const Frame& frame, const Maps& in, const Maps& out) override {
        run_blocks(frame, in, conv_.pools(), out);
    }
    void run_unpooled(const Frame& frame, const Maps& in, const Maps& out) override {
        run_blocks(frame, in, false, out);
    }
    Extent output_extent() const override { return conv_.output_extent(conv_.pools()); }
    StageWork work() const override { return work_of(conv_); }
    std::size_t n_convs() const override { return 1; }
    std::size_t input_border() const override { return 1; }
    Extent input_stored() const override { return conv_.input_stored(); }

private:
    std::size_t n_columns(const Region& region, const Frame& frame) const {
        return frame.n_samples * region.columns_x() * region.columns_y();
    }
    // Blocks of columns of one region for each thread.
    std::size_t n_blocks(const Region& region, const Frame& frame, bool pooled) const {
        const std::size_t n = frame.threads.size();
        return (conv_.blocks(region, n_columns(region, frame), pooled) + n - 1) / n;
    }

    // Each thread begins with as many blocks of every region, the largest region first: so none
    // ends with one more than the others.
    void run_blocks(const Frame& frame, const Maps& in, bool pooled, const Maps& out) {
        const MapPlanes source(in);
        const std::size_t n_threads = frame.threads.size();
        std::size_t n_each = 0;
        for (const Region& region : conv_.regions(pooled))
            n_each += n_blocks(region, frame, pooled);
        frame.threads.deal(n_threads * n_each, [&](std::size_t thread, std::size_t item) {
            const Region* region = conv_.regions(pooled).data();
            std::size_t block = item % n_each, n = n_blocks(*region, frame, pooled);
            while (block >= n) {
                block -= n;
                n = n_blocks(*++region, frame, pooled);
            }
            const Share columns =
                share(n_columns(*region, frame), item / n_each * n + block, n_threads * n);
            conv_.run(frame.kernels, source, *region, columns.first, columns.last,
                      scratch_.of(thread), pooled, out);
        });
    }

    WinogradConv conv_;
    const ScratchPlan& scratch_;
};

// --------------------------------------------------------------------------------- one channel

class FirstStage final : public Stage {
public:
    FirstStage(const ConvSpec& spec, Arena& arena) : first_(spec, arena) {}

    void pack(const Kernels&, const Arena& arena, ThreadPool&) override { first_.pack(arena); }
    void run(const Frame& frame, const Maps& in, const Maps& out) override {
        first_.transform(frame.kernels, frame.threads, in, frame.n_samples);
        const std::size_t n_x = first_.spec().extent.x;
        frame.threads.deal(frame.n_samples * n_x, [&](std::size_t, std::size_t plane) {
            for (std::size_t block = 0; block < first_.n_blocks(); ++block)
                first_.run(frame.kernels, plane / n_x, plane % n_x, block,
                           out.voxel(plane / n_x, block, plane % n_x, 0), out.y_stride());
        });
    }
    void run_unpooled(const Frame& frame, const Maps& in, const Maps& out) override {
        run(frame, in, out);
    }
    Extent output_extent() const override { return first_.spec().extent; }
    StageWork work() const override { return work_of(first_); }
    std::size_t n_convs() const override { return 1; }
    std::size_t input_border() const override { return 1; }
    Extent input_stored() const override { return first_.input_stored(); }

private:
    FirstConv first_;
};

// The planes of a first convolution that the tiles of one row along x need, made when they are.
// Stored plane q is kept in slot q modulo the number of slots.
class RingPlanes final : public PlaneSource {
public:
    RingPlanes(const FirstConv& first, Extent stored, std::size_t n_slots)
        : first_(first), stored_(stored), n_slots_(n_slots) {}

    void reserve(Arena& arena) { place_ = arena.reserve((n_slots_ + 1) * plane_size()); }
    void locate(const Arena& arena) { slots_ = arena.at(place_); }
    void restart() { sample_ = std::numeric_limits<std::size_t>::max(); }

    // Makes the stored planes [x, x + n_slots) of a sample. Rows that come in ascending order share
    // planes with the row before.
    void prepare(const Kernels& kernels, std::size_t sample, std::size_t x) {
        if (sample != sample_ || x < first_x_) next_ = 0;
        sample_ = sample;
        first_x_ = x;
        for (next_ = std::max(next_, x); next_ < x + n_slots_; ++next_)
            if (holds(next_))
                for (std::size_t block = 0; block < first_.n_blocks(); ++block)
                    first_.run(kernels, sample, next_ - 1, block,
                               row(next_ % n_slots_, block, 1) + kBlock, y_stride());
    }

    void planes(std::size_t, std::size_t block, std::size_t x, std::size_t y, std::size_t n_planes,
                const float** planes) const override {
        for (std::size_t i = 0; i < n_planes; ++i)
            planes[i] = row(holds(x + i) ? (x + i) % n_slots_ : n_slots_, block, y);
    }
    std::size_t y_stride() const override { return stored_.z * kBlock; }

private:
    // Stored planes beyond the map are the last slot, which stays zero.
    bool holds(std::size_t stored_x) const {
        return stored_x >= 1 && stored_x <= first_.spec().extent.x;
    }
    std::size_t plane_size() const { return first_.n_blocks() * stored_.y * y_stride(); }
    float* row(std::size_t slot, std::size_t block, std::size_t y) const {
        return slots_ + slot * plane_size() + (block * stored_.y + y) * y_stride();
    }

    const FirstConv& first_;
    Extent stored_;
    std::size_t n_slots_;
    std::size_t place_ = 0;
    float* slots_ = nullptr;
    std::size_t sample_ = 0, first_x_ = 0, next_ = 0;
};

class FusedStage final : public Stage {
public:
    FusedStage(const ConvSpec& first, const ConvSpec& second, bool is_last, std::size_t n_threads,
               Arena& arena, ScratchPlan& scratch)
        : first_(first, arena),
          second_(second, is_last, arena),
          scratch_(scratch),
          rings_(n_threads, RingPlanes(first_, second_.input_stored(),
                                       second_.regions(true).front().sides().x + 2)) {
        scratch.need(second_.scratch(1));  // a run is a row, however many threads there are
        for (RingPlanes& ring : rings_) ring.reserve(arena);
        for (const bool pooled : {false, true}) starts_[pooled] = row_starts(pooled);
    }

    void pack(const Kernels& kernels, const Arena& arena, ThreadPool& threads) override {
        first_.pack(arena);
        second_.pack(kernels, arena, threads);
        for (RingPlanes& ring : rings_) ring.locate(arena);
    }
    void run(const Frame& frame, const Maps& in, const Maps& out) override {
        run_rows(frame, in, second_.pools(), out);
    }
    void run_unpooled(const Frame& frame, const Maps& in, const Maps& out) override {
        run_rows(frame, in, false, out);
    }
    Extent output_extent() const override { return second_.output_extent(second_.pools()); }
    StageWork work() const override {
        const StageWork first = work_of(first_), second = work_of(second_);
        return {first.what + "; " + second.what, first.direct + second.direct,
                first.products + second.products};
    }
    std::size_t n_convs() const override { return 2; }
    std::size_t input_border() const override { return 1; }
    Extent input_stored() const override { return first_.input_stored(); }

private:
    // Where rows of tiles begin along x, all regions taken together.
    std::vector<std::size_t> row_starts(bool pooled) const {
        std::set<std::size_t> starts;
        for (const Region& region : second_.regions(pooled))
            for (std::size_t i = 0; i < region.columns_x(); ++i)
                starts.insert(region.x + i * region.sides().x);
        return {starts.begin(), starts.end()};
    }

    void run_rows(const Frame& frame, const Maps& in, bool pooled, const Maps& out) {
        first_.transform(frame.kernels, frame.threads, in, frame.n_samples);
        const std::vector<std::size_t>& starts = starts_[pooled];
        for (RingPlanes& ring : rings_) ring.restart();
        frame.threads.deal(
            frame.n_samples * starts.size(), [&](std::size_t thread, std::size_t item) {
                const std::size_t sample = item / starts.size(), x = starts[item % starts.size()];
                rings_[thread].prepare(frame.kernels, sample, x);
                for (const Region& region : second_.regions(pooled))
                    run_row(frame.kernels, region, sample, x, thread, pooled, out);
            });
    }

    // The row of columns of a region that begins at x, if one does.
    void run_row(const Kernels& kernels, const Region& region, std::size_t sample, std::size_t x,
                 std::size_t thread, bool pooled, const Maps& out) {
        const std::size_t step = region.sides().x, n_x = region.columns_x();
        if (x < region.x || (x - region.x) % step != 0 || (x - region.x) / step >= n_x) return;
        const std::size_t n_y = region.columns_y();
        const std::size_t row = sample * n_x + (x - region.x) / step;
        second_.run(kernels, rings_[thread], region, row * n_y, (row + 1) * n_y,
                    scratch_.of(thread), pooled, out);
    }

    FirstConv first_;
    WinogradConv second_;
    const ScratchPlan& scratch_;
    std::vector<RingPlanes> rings_;
    std::vector<std::size_t> starts_[2];  // of rows, without and with the pool
};

// ------------------------------------------------------------------------------------ max-pool

// A max-pool that follows another, or a convolution of one channel: too rare to be fused.
class PoolStage final : public Stage {
public:
    explicit PoolStage(Extent input) : input_(input) {}

    void pack(const Kernels&, const Arena&, ThreadPool&) override {}
    void run(const Frame& frame, const Maps& in, const Maps& out) override {
        for (std::size_t sample = 0; sample < frame.n_samples; ++sample)
            for (std::size_t block = 0; block < in.n_blocks(); ++block)
                for (std::size_t x = 0; x < out.extent().x; ++x)
                    for (std::size_t y = 0; y < out.extent().y; ++y)
                        pool_row(in, out, sample, block, x, y);
    }
    void run_unpooled(const Frame& frame, const Maps& in, const Maps& out) override {
        run(frame, in, out);
    }
    Extent output_extent() const override { return {input_.x / 2, input_.y / 2, input_.z / 2}; }
    StageWork work() const override { return {"pool"}; }
    std::size_t n_convs() const override { return 0; }
    std::size_t input_border() const override { return 0; }
    Extent input_stored() const override { return input_; }

private:
    static void pool_row(const Maps& in, const Maps& out, std::size_t sample, std::size_t block,
                         std::size_t x, std::size_t y) {
        float* target = out.voxel(sample, block, x, y);
        for (std::size_t z = 0; z < out.extent().z; ++z)
            for (std::size_t lane = 0; lane < kBlock; ++lane) {
                float best = -std::numeric_limits<float>::infinity();
                for (std::size_t i = 0; i < 8; ++i) {
                    const float* source = in.voxel(sample, block, 2 * x + i / 4, 2 * y + i / 2 % 2);
                    best = std::max(best, source[(2 * z + i % 2) * kBlock + lane]);
                }
                target[z * kBlock + lane] = best;
            }
    }

    Extent input_;
};

}  // namespace

std::vector<std::unique_ptr<Stage>> make_stages(const Graph& graph, std::size_t n_threads,
                                                Arena& arena, ScratchPlan& scratch,
                                                std::size_t& last_conv) {
    std::vector<std::unique_ptr<Stage>> stages;
    last_conv = 0;
    for (std::size_t i = 0; i < graph.convs.size(); ++i) {
        const ConvSpec* spec = &graph.convs[i];
        const bool direct = i == 0 && spec->n_in == 1;
        const bool fused = direct && spec->n_pools == 0 && graph.convs.size() > 1;
        if (fused) ++i;
        const bool is_last = i + 1 == graph.convs.size();
        const ConvSpec* const first = spec;
        spec = &graph.convs[i];
        if (fused)
            stages.push_back(
                std::make_unique<FusedStage>(*first, *spec, is_last, n_threads, arena, scratch));
        else if (direct)
            stages.push_back(std::make_unique<FirstStage>(*spec, arena));
        else
            stages.push_back(
                std::make_unique<ConvStage>(*spec, is_last, n_threads, arena, scratch));
        last_conv = stages.size() - 1;
        for (std::size_t pools = direct && !fused ? 0 : 1; pools < spec->n_pools; ++pools)
            stages.push_back(std::make_unique<PoolStage>(stages.back()->output_extent()));
    }
    return stages;
}

}  // namespace nigro
