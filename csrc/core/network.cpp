// Plans and runs a network: see network.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/network.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <mutex>
#include <string>
#include <vector>

#include "core/arena.h"
#include "core/dense.h"
#include "core/error.h"
#include "core/fusion.h"
#include "core/maps.h"
#include "core/stages.h"
#include "core/threads.h"

namespace nigro {

class Network::Plan {
public:
    Plan(const OnnxModel& model, std::size_t n_threads, const kernels::Kernels& kernels)
        : graph_(fuse(read_graph(model))),
          kernels_(kernels),
          threads_(n_threads),
          scratch_(n_threads) {
        stages_ = make_stages(graph_, n_threads, arena_, scratch_, last_conv_);
        scratch_.reserve(arena_);
        plan_maps();
        plan_denses();
        plan_features();
        arena_.allocate();
        locate();
        for (const StagePtr& stage : stages_) stage->pack(kernels_, arena_, threads_);
        for (Dense& dense : denses_) dense.pack(arena_, threads_);
    }

    const Graph& graph() const { return graph_; }
    std::size_t n_threads() const { return threads_.size(); }
    const char* isa() const { return kernels_.name; }

    void run(const float* patches, std::size_t n, float* outputs) {
        const std::lock_guard<std::mutex> turn(mutex_);
        for (std::size_t first = 0; first < n; first += kGroup) {
            const Frame frame{kernels_, threads_, std::min(kGroup, n - first)};
            load(frame, patches + first * patch_size());
            for (const StagePtr& stage : stages_) stage->run(frame, maps_);
            for (std::size_t i = 0; i < denses_.size(); ++i)
                denses_[i].run(kernels_, threads_, rows_[i], rows_[i + 1], frame.n_samples);
            for (std::size_t sample = 0; sample < frame.n_samples; ++sample)
                outputs[first + sample] = rows_.back().values[sample * rows_.back().stride];
        }
    }

    std::vector<StepTime> time_steps(const float* patches, std::size_t n, std::size_t repeats) {
        if (n < 1 || n > kGroup || repeats < 1)
            throw BadArgument("expected 1 or 2 patches and at least one repeat");
        const std::lock_guard<std::mutex> turn(mutex_);
        const Frame frame{kernels_, threads_, n};
        std::vector<StepTime> steps = steps_of(double(n));
        for (std::size_t repeat = 0; repeat < repeats; ++repeat) {
            std::size_t step = 0;
            const auto timed = [&](const auto& work) {
                const auto start = std::chrono::steady_clock::now();
                work();
                const std::chrono::duration<double> taken =
                    std::chrono::steady_clock::now() - start;
                steps[step].seconds = std::min(steps[step].seconds, taken.count());
                ++step;
            };
            timed([&] { load(frame, patches); });
            for (const StagePtr& stage : stages_) timed([&] { stage->run(frame, maps_); });
            for (std::size_t i = 0; i < denses_.size(); ++i)
                timed([&] { denses_[i].run(kernels_, threads_, rows_[i], rows_[i + 1], n); });
        }
        return steps;
    }

    void features(const float* patches, std::size_t n, float* features) {
        if (!last_conv_of(graph_))
            throw BadArgument("expected a network with a convolution, got one without");
        const std::lock_guard<std::mutex> turn(mutex_);
        locate_features();
        const std::size_t size = feature_maps_.n_channels() * feature_maps_.extent().count();
        for (std::size_t first = 0; first < n; first += kGroup) {
            const Frame frame{kernels_, threads_, std::min(kGroup, n - first)};
            load(frame, patches + first * patch_size());
            for (std::size_t i = 0; i < last_conv_; ++i) stages_[i]->run(frame, maps_);
            stages_[last_conv_]->run_unpooled(frame, maps_, feature_maps_);
            for (std::size_t sample = 0; sample < frame.n_samples; ++sample)
                unpack(sample, features + (first + sample) * size);
        }
    }

private:
    const MapSpec& patch() const { return graph_.maps[0]; }
    std::size_t patch_size() const { return patch().n_channels * patch().extent.count(); }

    // Every map that a stage makes or reads, with as much room as its readers ask for together.
    void plan_maps() {
        std::vector<MapNeed> rooms(graph_.maps.size());
        std::vector<bool> used(graph_.maps.size());
        used[0] = true;
        for (const StagePtr& stage : stages_) {
            used[stage->out()] = true;
            for (const MapNeed& need : stage->needs()) widen(rooms[need.map], need);
        }
        for (MapId id = 0; id < rooms.size(); ++id) {
            const MapSpec& spec = graph_.maps[id];
            const Extent& least = spec.extent;
            MapNeed& room = rooms[id];
            if (id == graph_.flattened && room.border > 0)
                throw ModelError(
                    "the native engine does not run this graph: what is flattened "
                    "is read by a convolution too; other engines may");
            const auto side = [&](std::size_t n, std::size_t stored) {
                return std::max(room.border + n, stored);
            };
            room.stored = {side(least.x, room.stored.x), side(least.y, room.stored.y),
                           side(least.z, room.stored.z)};
            maps_.emplace_back(spec.n_channels, spec.extent, room.border, room.stored, room.plain);
            if (used[id]) maps_.back().reserve(arena_, kGroup);
        }
    }

    // What is stored begins with the border: of the wider one.
    static void widen(MapNeed& room, const MapNeed& need) {
        const std::size_t border = std::max(room.border, need.border);
        const auto side = [&](std::size_t a, std::size_t b) {
            return std::max(a + border - room.border, b + border - need.border);
        };
        room.stored = {side(room.stored.x, need.stored.x), side(room.stored.y, need.stored.y),
                       side(room.stored.z, need.stored.z)};
        room.border = border;
        room.plain |= need.plain;
    }

    std::vector<StepTime> steps_of(double n) const {
        constexpr double kNever = std::numeric_limits<double>::infinity();
        std::vector<StepTime> steps{{"input", 0, 0, kNever}};
        for (const StagePtr& stage : stages_) {
            const StageWork work = stage->work();
            steps.push_back({work.what, n * work.direct, n * work.products, kNever});
        }
        for (const Dense& dense : denses_) {
            const DenseSpec& spec = dense.spec();
            const double products = n * double(spec.n_in) * double(spec.n_out);
            steps.push_back({std::to_string(spec.n_in) + "→" + std::to_string(spec.n_out), products,
                             products, kNever});
        }
        return steps;
    }

    void plan_denses() {
        std::size_t n_channels = graph_.maps[graph_.flattened].n_channels;
        Extent extent = graph_.maps[graph_.flattened].extent;
        for (const DenseSpec& spec : graph_.denses) {
            denses_.emplace_back(spec, n_channels, extent, arena_);
            row_places_.push_back(arena_.reserve(kGroup * denses_.back().n_stored()));
            n_channels = spec.n_out;
            extent = {1, 1, 1};
        }
    }

    void plan_features() {
        const ConvSpec* const last = last_conv_of(graph_);
        if (!last) return;
        feature_maps_ = Maps(last->n_out, last->outputs(), 0, last->outputs(), false);
        feature_maps_.reserve(feature_arena_, kGroup);
    }

    // Few ask for features, and only who does pays for their memory.
    void locate_features() {
        if (has_features_) return;
        feature_arena_.allocate();
        feature_maps_.locate(feature_arena_);
        has_features_ = true;
    }

    void locate() {
        scratch_.locate(arena_);
        for (Maps& maps : maps_) maps.locate(arena_);
        const Maps& flattened = maps_[graph_.flattened];
        rows_.push_back({flattened.stored(0, 0, 0, 0), flattened.sample_stride()});
        for (std::size_t i = 0; i < denses_.size(); ++i)
            rows_.push_back({arena_.at(row_places_[i]), denses_[i].n_stored()});
    }

    void load(const Frame& frame, const float* patches) {
        for (std::size_t sample = 0; sample < frame.n_samples; ++sample)
            maps_.front().fill(sample, patches + sample * patch_size());
    }

    void unpack(std::size_t sample, float* features) const {
        const Extent& extent = feature_maps_.extent();
        for (std::size_t channel = 0; channel < feature_maps_.n_channels(); ++channel)
            for (std::size_t x = 0; x < extent.x; ++x)
                for (std::size_t y = 0; y < extent.y; ++y) {
                    const float* row = feature_maps_.voxel(sample, channel / kBlock, x, y);
                    for (std::size_t z = 0; z < extent.z; ++z)
                        *features++ = row[z * kBlock + channel % kBlock];
                }
    }

    Graph graph_;
    const kernels::Kernels& kernels_;
    ThreadPool threads_;
    std::mutex mutex_;
    Arena arena_;
    ScratchPlan scratch_;
    std::size_t last_conv_ = 0;
    std::vector<StagePtr> stages_;
    std::vector<Maps> maps_;  // of the graph, by number; those between fused layers have no memory
    Arena feature_arena_;
    Maps feature_maps_;
    bool has_features_ = false;
    std::vector<Dense> denses_;
    std::vector<std::size_t> row_places_;
    std::vector<Rows> rows_;
};

Network::Network(const OnnxModel& model, std::size_t n_threads, const kernels::Kernels& kernels)
    : plan_(std::make_unique<Plan>(model, n_threads, kernels)) {}

Network::~Network() = default;

std::size_t Network::n_channels() const { return plan_->graph().maps[0].n_channels; }
const Extent& Network::patch() const { return plan_->graph().maps[0].extent; }
std::size_t Network::n_threads() const { return plan_->n_threads(); }
const char* Network::isa() const { return plan_->isa(); }

std::size_t Network::n_features() const {
    const ConvSpec* const last = last_conv_of(plan_->graph());
    return last ? last->n_out : 0;
}
Extent Network::feature_extent() const {
    const ConvSpec* const last = last_conv_of(plan_->graph());
    return last ? last->outputs() : patch();
}

void Network::run(const float* patches, std::size_t n, float* outputs) {
    plan_->run(patches, n, outputs);
}

std::vector<Network::StepTime> Network::time_steps(const float* patches, std::size_t n,
                                                   std::size_t repeats) {
    return plan_->time_steps(patches, n, repeats);
}

void Network::features(const float* patches, std::size_t n, float* features) {
    plan_->features(patches, n, features);
}

}  // namespace nigro
