// The networks that the built-in engine runs, as read from an ONNX graph: a chain of layers.
//
// A chain of Conv (3 x 3 x 3, stride 1, padding 1), Relu, MaxPool (2 x 2 x 2, stride 2, odd
// remainders dropped), one Flatten, and Gemm; any number, any channels, any patch. Relu and MaxPool
// are folded into the convolution before them. Anything else is refused: other engines run it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "core/onnx_reader.h"

namespace nigro {

// Voxels along the axes of the patch.
struct Extent {
    std::size_t x, y, z;

    std::size_t count() const { return x * y * z; }
};

// One convolution: n_in maps of 'extent' to n_out maps of the same extent, or of half of it,
// rounded down, where the maxima of windows are taken. Weights are (n_out, n_in, 3, 3, 3).
struct ConvSpec {
    std::size_t n_in, n_out;
    Extent extent;
    const OnnxTensor* weights;
    const OnnxTensor* bias;  // nullptr: zero
    bool relu = false;
    std::size_t n_pools = 0;  // max-pools that follow
};

// One fully connected layer. Weights are (n_out, n_in), or (n_in, n_out) where 'transposed'.
struct DenseSpec {
    std::size_t n_in, n_out;
    const OnnxTensor* weights;
    const OnnxTensor* bias;  // nullptr: zero
    bool transposed = false;
    bool relu = false;
};

struct Graph {
    std::size_t n_channels;
    Extent patch;
    std::vector<ConvSpec> convs;
    std::size_t n_features;  // channels that are flattened
    Extent flattened;        // their extent
    std::vector<DenseSpec> denses;
};

// Read the chain that 'model' states; weights stay views into the model.
//
// Throws ModelError, naming the node and the engines that run it, for anything but such a chain
// from one float input (n, channels, x, y, z) to one float output (n, 1).
Graph read_graph(const OnnxModel& model);

}  // namespace nigro
