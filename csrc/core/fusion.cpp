// Folds layers into convolutions: see fusion.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/fusion.h"

#include <utility>
#include <vector>

namespace nigro {
namespace {

constexpr Extent kOne{1, 1, 1}, kTwo{2, 2, 2}, kThree{3, 3, 3}, kZero{0, 0, 0};

bool is(const Window& window, const Extent& kernel, const Extent& stride, const Extent& pad) {
    return window.kernel == kernel && window.stride == stride && window.pad == pad;
}

bool rises(const Activation& activation) { return activation.alpha >= 0; }

class Fuser {
public:
    explicit Fuser(Graph graph) : graph_(std::move(graph)) {}

    Graph run() {
        std::vector<Layer>& layers = graph_.layers;  // grows shorter: no iterators
        for (std::size_t i = 0; i < layers.size(); ++i) order_pool(layers[i], false);
        for (std::size_t i = layers.size(); i-- > 0;) order_pool(layers[i], true);
        for (std::size_t i = 0; i < layers.size(); ++i)
            while (std::holds_alternative<ConvSpec>(layers[i].what) && take_next(layers[i])) {
            }
        for (std::size_t i = 0; i < layers.size(); ++i) activate_sum(layers[i]);
        return std::move(graph_);
    }

private:
    // The layer that is alone in reading a map, or nullptr.
    Layer* only_reader(MapId map) {
        if (graph_.flattened == map || graph_.n_readers(map) != 1) return nullptr;
        for (Layer& layer : graph_.layers)
            if (layer.in == map || addend_of(layer) == map) return &layer;
        return nullptr;
    }

    static MapId addend_of(const Layer& layer) {
        const auto* sum = std::get_if<PointwiseSpec>(&layer.what);
        const auto* conv = std::get_if<ConvSpec>(&layer.what);
        return sum ? sum->addend : conv ? conv->addend : kNoMap;
    }

    // Swaps a max-pool with the activation that is alone in reading it or, where not 'pool_first',
    // that it is alone in reading. ReLU goes first, to the convolution.
    void order_pool(Layer& layer, bool pool_first) {
        Layer* const next = only_reader(layer.out);
        if (!next) return;
        const auto* const pool = std::get_if<PoolSpec>(pool_first ? &layer.what : &next->what);
        const auto* const other =
            std::get_if<PointwiseSpec>(pool_first ? &next->what : &layer.what);
        if (!pool || pool->kind != PoolSpec::kMax || !other || other->addend != kNoMap ||
            (other->activation.kind == Activation::kRelu) != pool_first ||
            !rises(other->activation))
            return;
        graph_.maps[layer.out].extent =
            pool_first ? graph_.maps[layer.in].extent : graph_.maps[next->out].extent;
        std::swap(layer.what, next->what);
    }

    // Folds the layer that reads a convolution into it. Whether there was such a layer.
    bool take_next(Layer& layer) {
        Layer* const next = only_reader(layer.out);
        if (!next) return false;
        auto& conv = std::get<ConvSpec>(layer.what);
        const bool taken =
            take_pool(layer, conv, *next) || take_sum(layer, conv, *next) || take_relu(conv, *next);
        if (taken) {
            layer.out = next->out;
            graph_.layers.erase(graph_.layers.begin() + (next - graph_.layers.data()));
        }
        return taken;
    }

    bool take_pool(const Layer& layer, ConvSpec& conv, const Layer& next) const {
        const auto* const pool = std::get_if<PoolSpec>(&next.what);
        if (!pool || pool->kind != PoolSpec::kMax || !is(pool->window, kTwo, kTwo, kZero) ||
            conv.pool || kind_of(graph_, layer) != ConvKind::winograd)
            return false;
        return conv.pool = true;
    }

    bool take_sum(const Layer& layer, ConvSpec& conv, const Layer& next) const {
        const auto* const sum = std::get_if<PointwiseSpec>(&next.what);
        if (!sum || sum->addend == kNoMap || conv.addend != kNoMap || conv.relu || conv.pool ||
            kind_of(graph_, layer) == ConvKind::first)
            return false;
        const MapId other = sum->addend == layer.out ? next.in : sum->addend;
        if (!is_made_before(other, layer)) return false;
        conv.addend = other;
        return true;
    }

    static bool take_relu(ConvSpec& conv, const Layer& next) {
        const auto* const pointwise = std::get_if<PointwiseSpec>(&next.what);
        if (!pointwise || pointwise->addend != kNoMap ||
            pointwise->activation.kind != Activation::kRelu)
            return false;
        return conv.relu = true;  // after a pool too: the two commute
    }

    bool is_made_before(MapId map, const Layer& layer) const {
        if (map == 0) return true;
        for (const Layer& other : graph_.layers) {
            if (&other == &layer) return false;
            if (other.out == map) return true;
        }
        return false;
    }

    // Gives a sum that no convolution took the activation that follows it.
    void activate_sum(Layer& layer) {
        auto* const sum = std::get_if<PointwiseSpec>(&layer.what);
        Layer* const next = sum ? only_reader(layer.out) : nullptr;
        const auto* const then = next ? std::get_if<PointwiseSpec>(&next->what) : nullptr;
        if (!then || then->addend != kNoMap || sum->activation.kind != Activation::kNone) return;
        sum->activation = then->activation;
        layer.out = next->out;
        graph_.layers.erase(graph_.layers.begin() + (next - graph_.layers.data()));
    }

    Graph graph_;
};

}  // namespace

ConvKind kind_of(const Graph& graph, const Layer& layer) {
    const auto& conv = std::get<ConvSpec>(layer.what);
    if (!is(conv.window, kThree, kOne, kOne)) return ConvKind::direct;
    if (layer.in == 0 && conv.n_in == 1 && graph.n_readers(0) == 1) return ConvKind::first;
    return ConvKind::winograd;
}

Graph fuse(Graph graph) { return Fuser(std::move(graph)).run(); }

}  // namespace nigro
