// The networks that the built-in engine runs, as read from an ONNX graph: maps, and layers between
// them.
//
// Any graph without a circle of convolutions, pools, sums and activations, from one patch through
// one Flatten to fully connected layers and one number. What it may consist of, and what is folded
// into what: docs/notes/engine.md. Anything else is refused: other engines run it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <limits>
#include <variant>
#include <vector>

#include "core/onnx_reader.h"

namespace nigro {

// Voxels along the axes of the patch.
struct Extent {
    std::size_t x, y, z;

    std::size_t count() const { return x * y * z; }
};
inline bool operator==(const Extent& a, const Extent& b) {
    return a.x == b.x && a.y == b.y && a.z == b.z;
}

// What a convolution or a pool sees of its input for an output, and where: output i begins at voxel
// i * stride - pad, and there are as many as fit between the pads of both ends.
struct Window {
    Extent kernel, stride, pad;

    // Of a map whose sides and pads hold the kernel.
    Extent outputs(const Extent& in) const;
};

// Maps of the graph by number: 0 is the patch.
using MapId = std::size_t;
constexpr MapId kNoMap = std::numeric_limits<MapId>::max();

struct MapSpec {
    std::size_t n_channels;
    Extent extent;
};

// Applied to each value: max(x, 0); x below 0 times alpha; alpha (exp(x) - 1) below 0;
// 1 / (1 + exp(-x)); log(1 + exp(x)).
struct Activation {
    enum Kind { kNone, kRelu, kLeakyRelu, kElu, kSigmoid, kSoftplus } kind = kNone;
    float alpha = 0;
};

// One convolution, and what is folded into it, in this order: bias, 'addend', ReLU, a max-pool of
// 2 x 2 x 2 whose odd remainders are dropped. Weights are (n_out, n_in, kernel).
struct ConvSpec {
    std::size_t n_in, n_out;
    Extent extent;  // of the input
    Window window;
    const OnnxTensor* weights;
    const OnnxTensor* bias;  // nullptr: zero
    MapId addend = kNoMap;
    bool relu = false;
    bool pool = false;

    // Before the pool.
    Extent outputs() const { return window.outputs(extent); }
};

// Maxima or means of windows. Padding counts in neither, or as zeros in the mean.
struct PoolSpec {
    enum Kind { kMax, kAverage } kind;
    Window window;
    bool counts_pads = false;
};

// A sum of two maps or one map, then an activation.
struct PointwiseSpec {
    MapId addend = kNoMap;
    Activation activation;
};

struct Layer {
    MapId in, out;
    std::variant<ConvSpec, PoolSpec, PointwiseSpec> what;
};

// One fully connected layer. Weights are (n_out, n_in), or (n_in, n_out) where 'transposed'.
struct DenseSpec {
    std::size_t n_in, n_out;
    const OnnxTensor* weights;
    const OnnxTensor* bias;  // nullptr: zero
    bool transposed = false;
    Activation activation;
};

struct Graph {
    std::vector<MapSpec> maps;
    std::vector<Layer> layers;  // each after those whose maps it reads
    MapId flattened;
    std::vector<DenseSpec> denses;

    // How many layers read a map; being flattened counts.
    std::size_t n_readers(MapId map) const;
};

// Read the graph that 'model' states, a layer for each node; weights stay views into the model.
//
// Throws ModelError, naming the node and the engines that run it, for anything but such a graph
// from one float input (n, channels, x, y, z) to one float output (n, 1).
Graph read_graph(const OnnxModel& model);

}  // namespace nigro
