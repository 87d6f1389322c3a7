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

class Stage {
public:
    virtual ~Stage() = default;
    virtual void pack(const kernels::Kernels& kernels, const Arena& arena, ThreadPool& threads) = 0;
    virtual void run(const Frame& frame, const Maps& in, const Maps& out) = 0;

    // Only for the last convolution: the same without its max-pool.
    virtual void run_unpooled(const Frame& frame, const Maps& in, const Maps& out) = 0;

    virtual StageWork work() const = 0;
    virtual std::size_t n_convs() const = 0;
    virtual Extent output_extent() const = 0;
    // The border and the extent in memory that the stage expects of its input.
    virtual std::size_t input_border() const = 0;
    virtual Extent input_stored() const = 0;
};

// Makes the stages of 'graph' and reserves what they keep for 'n_threads' threads; 'scratch', which
// they go on using, is told what they need. 'last_conv' receives the place of the stage that holds
// the last convolution, or the number of stages.
std::vector<std::unique_ptr<Stage>> make_stages(const Graph& graph, std::size_t n_threads,
                                                Arena& arena, ScratchPlan& scratch,
                                                std::size_t& last_conv);

}  // namespace nigro
