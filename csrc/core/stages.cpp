// Chooses the stages of a network: see stages.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/stages.h"

#include <string>
#include <variant>

#include "core/fusion.h"

namespace nigro {
namespace {

// The convolution, if it is one of Winograd's and alone in reading 'layer', a first convolution:
// then both are one stage, and 'layer' has no maps.
const Layer* fused_with(const Graph& graph, const Layer& layer) {
    if (graph.n_readers(layer.out) != 1) return nullptr;
    for (const Layer& other : graph.layers)
        if (other.in == layer.out && std::holds_alternative<ConvSpec>(other.what) &&
            kind_of(graph, other) == ConvKind::winograd)
            return &other;
    return nullptr;
}

// The first convolution that 'layer' is one stage with, or nullptr.
const Layer* fused_before(const Graph& graph, const Layer& layer) {
    for (const Layer& other : graph.layers)
        if (other.out == layer.in && std::holds_alternative<ConvSpec>(other.what) &&
            kind_of(graph, other) == ConvKind::first && fused_with(graph, other) == &layer)
            return &other;
    return nullptr;
}

}  // namespace

const ConvSpec* last_conv_of(const Graph& graph) {
    const ConvSpec* last = nullptr;
    for (const Layer& layer : graph.layers)
        if (const auto* conv = std::get_if<ConvSpec>(&layer.what)) last = conv;
    return last;
}

std::vector<StagePtr> make_stages(const Graph& graph, std::size_t n_threads, Arena& arena,
                                  ScratchPlan& scratch, std::size_t& last_conv) {
    std::vector<StagePtr> stages;
    const auto make = [&](const Layer& layer) -> StagePtr {
        const MapSpec& in = graph.maps[layer.in];
        if (std::holds_alternative<PoolSpec>(layer.what)) return pool_stage(layer, in);
        if (std::holds_alternative<PointwiseSpec>(layer.what)) return pointwise_stage(layer, in);
        last_conv = stages.size();
        const bool is_last = &std::get<ConvSpec>(layer.what) == last_conv_of(graph);
        const ConvKind kind = kind_of(graph, layer);
        if (kind == ConvKind::direct) return direct_stage(layer, arena);
        if (kind == ConvKind::first)
            return fused_with(graph, layer) ? nullptr : first_stage(layer, arena);
        if (const Layer* first = fused_before(graph, layer))
            return fused_stage(*first, layer, is_last, n_threads, arena, scratch);
        return winograd_stage(layer, is_last, n_threads, arena, scratch);
    };
    last_conv = 0;
    for (const Layer& layer : graph.layers)
        if (StagePtr stage = make(layer)) stages.push_back(std::move(stage));
    return stages;
}

// Sides that differ by axis are written out.
std::string text(const Extent& extent) {
    const std::string x = std::to_string(extent.x);
    if (extent.x == extent.y && extent.y == extent.z) return x + "³";
    return x + "×" + std::to_string(extent.y) + "×" + std::to_string(extent.z);
}

std::string text(const ConvSpec& spec) {
    const Extent &extent = spec.extent, &kernel = spec.window.kernel, &stride = spec.window.stride;
    std::string words = std::to_string(spec.n_in) + "→" + std::to_string(spec.n_out) + ", " +
                        std::to_string(extent.x) + "×" + std::to_string(extent.y) + "×" +
                        std::to_string(extent.z);
    if (!(kernel == Extent{3, 3, 3})) words += ", kernel " + text(kernel);
    if (!(stride == Extent{1, 1, 1})) words += ", stride " + text(stride);
    if (spec.addend != kNoMap) words += ", sum";
    return words + (spec.pool ? ", pool" : "");
}

double direct_products(const ConvSpec& spec) {
    return double(spec.window.kernel.count()) * double(spec.n_in) * double(spec.n_out) *
           double(spec.outputs().count());
}

}  // namespace nigro
