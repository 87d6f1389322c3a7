// The stages of convolutions of 3 x 3 x 3: one, one of one channel, the two together. See stages.h.
// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <set>
#include <string>
#include <variant>

#include "core/first_conv.h"
#include "core/stages.h"

namespace nigro {
namespace {

using kernels::Kernels;

const ConvSpec& conv_of(const Layer& layer) { return std::get<ConvSpec>(layer.what); }

StageWork work_of(const FirstConv& first) {
    return {text(first.spec()), direct_products(first.spec()), first.products()};
}

StageWork work_of(const WinogradConv& conv) {
    return {text(conv.spec()), direct_products(conv.spec()), conv.products(conv.pools())};
}

// ------------------------------------------------------------------------------------- Winograd

class MapPlanes final : public PlaneSource {
public:
    explicit MapPlanes(const Maps& maps) : maps_(maps), more_border_(maps.border() - 1) {}
    void planes(std::size_t sample, std::size_t block, std::size_t x, std::size_t y,
                std::size_t n_planes, const float** planes) const override {
        for (std::size_t i = 0; i < n_planes; ++i)
            planes[i] = maps_.stored(sample, block, x + i + more_border_, y + more_border_) +
                        more_border_ * kBlock;
    }
    std::size_t y_stride() const override { return maps_.y_stride(); }

private:
    const Maps& maps_;
    std::size_t more_border_;  // than the one voxel that a convolution needs
};

// What a convolution reads besides 'in': the border is in 'stored'.
std::vector<MapNeed> needs_of(const ConvSpec& conv, const MapNeed& in) {
    std::vector<MapNeed> needs{in};
    if (conv.addend != kNoMap) needs.push_back({conv.addend, 0, conv.outputs()});
    return needs;
}

const Maps* addend_of(const ConvSpec& conv, const std::vector<Maps>& maps) {
    return conv.addend == kNoMap ? nullptr : &maps[conv.addend];
}

class ConvStage final : public Stage {
public:
    ConvStage(const Layer& layer, bool is_last, std::size_t n_threads, Arena& arena,
              ScratchPlan& scratch)
        : in_(layer.in), out_(layer.out), conv_(conv_of(layer), is_last, arena), scratch_(scratch) {
        scratch.need(conv_.scratch(n_threads));
    }

    std::vector<MapNeed> needs() const override {
        return needs_of(conv_.spec(), {in_, 1, conv_.input_stored()});
    }
    MapId out() const override { return out_; }
    StageWork work() const override { return work_of(conv_); }

    void pack(const Kernels& kernels, const Arena& arena, ThreadPool& threads) override {
        conv_.pack(kernels, arena, threads);
    }
    void run(const Frame& frame, const std::vector<Maps>& maps) override {
        run_blocks(frame, maps, conv_.pools(), maps[out_]);
    }
    void run_unpooled(const Frame& frame, const std::vector<Maps>& maps, const Maps& out) override {
        run_blocks(frame, maps, false, out);
    }

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
    void run_blocks(const Frame& frame, const std::vector<Maps>& maps, bool pooled,
                    const Maps& out) {
        const MapPlanes source(maps[in_]);
        const Maps* const addend = addend_of(conv_.spec(), maps);
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
            conv_.run(frame.kernels, source, addend, *region, columns.first, columns.last,
                      scratch_.of(thread), pooled, out);
        });
    }

    MapId in_, out_;
    WinogradConv conv_;
    const ScratchPlan& scratch_;
};

// --------------------------------------------------------------------------------- one channel

class FirstStage final : public Stage {
public:
    FirstStage(const Layer& layer, Arena& arena)
        : in_(layer.in), out_(layer.out), first_(conv_of(layer), arena) {}

    std::vector<MapNeed> needs() const override { return {{in_, 1, first_.input_stored(), true}}; }
    MapId out() const override { return out_; }
    StageWork work() const override { return work_of(first_); }

    void pack(const Kernels&, const Arena& arena, ThreadPool&) override { first_.pack(arena); }
    void run(const Frame& frame, const std::vector<Maps>& maps) override {
        run_unpooled(frame, maps, maps[out_]);
    }
    void run_unpooled(const Frame& frame, const std::vector<Maps>& maps, const Maps& out) override {
        first_.transform(frame.kernels, frame.threads, maps[in_], frame.n_samples);
        const std::size_t n_x = first_.spec().extent.x;
        frame.threads.deal(frame.n_samples * n_x, [&](std::size_t, std::size_t plane) {
            for (std::size_t block = 0; block < first_.n_blocks(); ++block)
                first_.run(frame.kernels, plane / n_x, plane % n_x, block,
                           out.voxel(plane / n_x, block, plane % n_x, 0), out.y_stride());
        });
    }

private:
    MapId in_, out_;
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
    FusedStage(const Layer& first, const Layer& second, bool is_last, std::size_t n_threads,
               Arena& arena, ScratchPlan& scratch)
        : in_(first.in),
          out_(second.out),
          first_(conv_of(first), arena),
          second_(conv_of(second), is_last, arena),
          scratch_(scratch),
          rings_(n_threads, RingPlanes(first_, second_.input_stored(),
                                       second_.regions(true).front().sides().x + 2)) {
        scratch.need(second_.scratch(1));  // a run is a row, however many threads there are
        for (RingPlanes& ring : rings_) ring.reserve(arena);
        for (const bool pooled : {false, true}) starts_[pooled] = row_starts(pooled);
    }

    std::vector<MapNeed> needs() const override {
        return needs_of(second_.spec(), {in_, 1, first_.input_stored(), true});
    }
    MapId out() const override { return out_; }
    StageWork work() const override {
        const StageWork first = work_of(first_), second = work_of(second_);
        return {first.what + "; " + second.what, first.direct + second.direct,
                first.products + second.products};
    }

    void pack(const Kernels& kernels, const Arena& arena, ThreadPool& threads) override {
        first_.pack(arena);
        second_.pack(kernels, arena, threads);
        for (RingPlanes& ring : rings_) ring.locate(arena);
    }
    void run(const Frame& frame, const std::vector<Maps>& maps) override {
        run_rows(frame, maps, second_.pools(), maps[out_]);
    }
    void run_unpooled(const Frame& frame, const std::vector<Maps>& maps, const Maps& out) override {
        run_rows(frame, maps, false, out);
    }

private:
    // Where rows of tiles begin along x, all regions taken together.
    std::vector<std::size_t> row_starts(bool pooled) const {
        std::set<std::size_t> starts;
        for (const Region& region : second_.regions(pooled))
            for (std::size_t i = 0; i < region.columns_x(); ++i)
                starts.insert(region.x + i * region.sides().x);
        return {starts.begin(), starts.end()};
    }

    void run_rows(const Frame& frame, const std::vector<Maps>& maps, bool pooled, const Maps& out) {
        first_.transform(frame.kernels, frame.threads, maps[in_], frame.n_samples);
        const Maps* const addend = addend_of(second_.spec(), maps);
        const std::vector<std::size_t>& starts = starts_[pooled];
        for (RingPlanes& ring : rings_) ring.restart();
        frame.threads.deal(
            frame.n_samples * starts.size(), [&](std::size_t thread, std::size_t item) {
                const std::size_t sample = item / starts.size(), x = starts[item % starts.size()];
                rings_[thread].prepare(frame.kernels, sample, x);
                for (const Region& region : second_.regions(pooled))
                    run_row(frame.kernels, region, sample, x, thread, addend, pooled, out);
            });
    }

    // The row of columns of a region that begins at x, if one does.
    void run_row(const Kernels& kernels, const Region& region, std::size_t sample, std::size_t x,
                 std::size_t thread, const Maps* addend, bool pooled, const Maps& out) {
        const std::size_t step = region.sides().x, n_x = region.columns_x();
        if (x < region.x || (x - region.x) % step != 0 || (x - region.x) / step >= n_x) return;
        const std::size_t n_y = region.columns_y();
        const std::size_t row = sample * n_x + (x - region.x) / step;
        second_.run(kernels, rings_[thread], addend, region, row * n_y, (row + 1) * n_y,
                    scratch_.of(thread), pooled, out);
    }

    MapId in_, out_;
    FirstConv first_;
    WinogradConv second_;
    const ScratchPlan& scratch_;
    std::vector<RingPlanes> rings_;
    std::vector<std::size_t> starts_[2];  // of rows, without and with the pool
};

}  // namespace

StagePtr first_stage(const Layer& layer, Arena& arena) {
    return std::make_unique<FirstStage>(layer, arena);
}

StagePtr fused_stage(const Layer& first, const Layer& second, bool is_last, std::size_t n_threads,
                     Arena& arena, ScratchPlan& scratch) {
    return std::make_unique<FusedStage>(first, second, is_last, n_threads, arena, scratch);
}

StagePtr winograd_stage(const Layer& layer, bool is_last, std::size_t n_threads, Arena& arena,
                        ScratchPlan& scratch) {
    return std::make_unique<ConvStage>(layer, is_last, n_threads, arena, scratch);
}

}  // namespace nigro
