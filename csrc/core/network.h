// The built-in engine: plans a network once, then runs patches through it.
//
// The same bits for every instruction set, number of threads and batch: each output is summed in
// one order with explicit FMA (kernels/kernels.h), and the plan depends on shapes alone.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "core/graph.h"
#include "core/onnx_reader.h"
#include "kernels/kernels.h"

namespace nigro {

class Network {
public:
    // Plans the network of 'model', packs its weights ('model' may go afterwards) and starts
    // n_threads - 1 threads. 'kernels' must outlive the network: see kernels/dispatch.h.
    // Throws ModelError if read_graph() does, BadArgument for a number of threads out of range,
    // std::bad_alloc if memory runs out.
    Network(const OnnxModel& model, std::size_t n_threads, const kernels::Kernels& kernels);
    ~Network();
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;

    std::size_t n_channels() const;
    const Extent& patch() const;
    std::size_t n_threads() const;
    const char* isa() const;

    // Runs 'n' patches of n_channels() x patch() floats in C order; 'outputs' receives n floats.
    // May be called by several threads at once; they take turns. Allocates nothing after the first
    // call of its kind.
    void run(const float* patches, std::size_t n, float* outputs);

    // Where the time goes: the seconds of each step, the least of 'repeats' runs of up to two
    // patches, and what it did in them.
    struct StepTime {
        std::string what;
        double direct, products;  // multiply-adds, of the layers as defined and as computed
        double seconds;
    };
    std::vector<StepTime> time_steps(const float* patches, std::size_t n, std::size_t repeats);

    // The maps of the last convolution, after its ReLU and before its max-pool.
    std::size_t n_features() const;
    Extent feature_extent() const;
    // 'features' receives n x n_features() x feature_extent() floats in C order. Throws BadArgument
    // for a network without a convolution.
    void features(const float* patches, std::size_t n, float* features);

private:
    class Plan;
    std::unique_ptr<Plan> plan_;
};

}  // namespace nigro
