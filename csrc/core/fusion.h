// Which algorithm runs a convolution, and what is folded into it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/graph.h"

namespace nigro {

// By shape alone, never by the machine: algorithms round differently.
enum class ConvKind {
    first,     // the patch of one channel, 3 x 3 x 3, read by nobody else: first_conv.h
    winograd,  // 3 x 3 x 3, stride 1, padding 1: winograd.h
    direct,    // any other: direct_conv.h
};
ConvKind kind_of(const Graph& graph, const Layer& layer);

// The same network with fewer layers: sums, ReLU and max-pools become part of the convolution
// before them wherever nobody else reads what lies between. A max-pool passes before an activation,
// which all rise: the larger value is the same, and there are fewer.
Graph fuse(Graph graph);

}  // namespace nigro
