// The stages of a network in front of its fully connected layers: each turns maps into maps.
//
// A stage plans its buffers when it is made, packs its weights once, and runs a group of samples
// with all threads. A convolution of one channel has few inputs to transform and is computed
// directly; if a convolution reads its outputs, both are one stage, which hands over planes while
// they are in cache.
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "core/arena.h"
#include "core/graph.h"
#include "core/maps.h"
#include "core/threads.h"
#include "core/winograd.h"
#include "kernels/kernels.h"

namespace nigro {

// What a stage has to do for one sample: multiply-adds of its layers as they are defined, and those
// that it makes, apart from transforms.
struct StageWork {
    std::string what;
    double direct = 0, products = 0;
};

// What a stage runs with.
struct Frame {
    const kernels::Kernels& kernels;
    ThreadPool& threads;
    std::size_t n_samples;  // up to kGroup
};

// The scratch of each thread: all stages use the same, so that it stays in cache from one to the
// next.
class ScratchPlan {
public:
    explicit ScratchPlan(std::size_t n_threads) : places_(n_threads), all_(n_threads) {}

    // What one convolution asks for.
    void need(const ScratchSize& size) {
        size_ = {std::max(size_.planes, size.planes), std::max(size_.depth, size.depth)};
    }
    void reserve(Arena& arena) {
        for (ScratchSize& place : places_)
            place = {arena.reserve(size_.planes), arena.reserve(size_.depth)};
    }
    void locate(const Arena& arena) {
        for (std::size_t i = 0; i < all_.size(); ++i)
            all_[i] = {arena.at(places_[i].planes), arena.at(places_[i].depth)};
    }
    const Scratch& of(std::size_t thread) const { return all_[thread]; }

private:
    ScratchSize size_{0, 0};
    std::vector<ScratchSize> places_;
    std::vector<Scratch> all_;
};

// What a stage expects of a map that it reads: so much border, and so much in memory, the border
// included, that it never reads beyond.
struct MapNeed {
    MapId map;
    std::size_t border = 0;
    Extent stored{};
    bool plain = false;
};

class Stage {
public:
    virtual ~Stage() = default;

    virtual std::vector<MapNeed> needs() const = 0;
    virtual MapId out() const = 0;
    virtual StageWork work() const = 0;

    virtual void pack(const kernels::Kernels&, const Arena&, ThreadPool&) {}
    virtual void run(const Frame& frame, const std::vector<Maps>& maps) = 0;

    // Only for the last convolution: the same without its max-pool, into other maps.
    virtual void run_unpooled(const Frame&, const std::vector<Maps>&, const Maps&) {}
};

using StagePtr = std::unique_ptr<Stage>;

// The kinds of stages; what a layer is, is its caller's to know. 'is_last' says whether it is the
// last convolution, which may run without its max-pool.
StagePtr first_stage(const Layer& layer, Arena& arena);
StagePtr fused_stage(const Layer& first, const Layer& second, bool is_last, std::size_t n_threads,
                     Arena& arena, ScratchPlan& scratch);
StagePtr winograd_stage(const Layer& layer, bool is_last, std::size_t n_threads, Arena& arena,
                        ScratchPlan& scratch);
StagePtr direct_stage(const Layer& layer, Arena& arena);
StagePtr pool_stage(const Layer& layer, const MapSpec& in);
StagePtr pointwise_stage(const Layer& layer, const MapSpec& in);

// Makes the stages of 'graph', which fuse() has gone over, and reserves what they keep for
// 'n_threads' threads; 'scratch', which they go on using, is told what they need. 'last_conv'
// receives the place of the stage that holds the last convolution, or the number of stages.
std::vector<StagePtr> make_stages(const Graph& graph, std::size_t n_threads, Arena& arena,
                                  ScratchPlan& scratch, std::size_t& last_conv);

// The last convolution, or nullptr.
const ConvSpec* last_conv_of(const Graph& graph);

// How a layer is called where its time is shown.
std::string text(const ConvSpec& spec);
double direct_products(const ConvSpec& spec);

}  // namespace nigro
