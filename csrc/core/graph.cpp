// Reads the layers out of an ONNX graph: see graph.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/graph.h"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>

#include "core/error.h"

namespace nigro {
namespace {

// Larger than any network of this method by far; keeps every product of sizes within 64 bits.
constexpr std::size_t kMaxSide = 4096, kMaxChannels = 65536;

// Of a window: what networks of this field have, with room.
constexpr std::int64_t kMaxKernel = 16, kMaxStride = 16;

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

std::string describe(const OnnxNode& node) {
    return "node " + std::string(node.op_type) + " '" + std::string(node.name) + "'";
}

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
    throw ModelError("the native engine does not run " + where + ": " + what +
                     "; engine 'onnx' (pip install nigroedge[onnx]) or 'openvino' may");
}

template <class T>
std::string list(const T& values) {
    std::string text;
    for (const auto& value : values) text += (text.empty() ? "[" : ", ") + std::to_string(value);
    return text.empty() ? "[]" : text + "]";
}

void expect_int(const OnnxNode& node, std::string_view name, std::int64_t usual,
                std::int64_t expected) {
    const OnnxAttribute* found = node.attribute(name);
    const std::int64_t value = found ? found->i : usual;
    if (value != expected)
        refuse(describe(node), "expected " + std::string(name) + " " + std::to_string(expected) +
                                   ", got " + std::to_string(value));
}

void expect_float(const OnnxNode& node, std::string_view name, float expected) {
    const OnnxAttribute* found = node.attribute(name);
    if (found && !(found->f == expected))
        refuse(describe(node), "expected " + std::string(name) + " " + std::to_string(expected) +
                                   ", got " + std::to_string(found->f));
}

using Ints = std::vector<std::int64_t>;

// An attribute of integers, or what it is when left out.
Ints ints_of(const OnnxNode& node, std::string_view name, Ints usual) {
    const OnnxAttribute* found = node.attribute(name);
    return found ? found->ints : usual;
}

// An attribute of 'count' integers that are all 'expected'.
void expect_ints(const OnnxNode& node, std::string_view name, std::size_t count,
                 std::int64_t expected) {
    const Ints values = ints_of(node, name, Ints(count, expected));
    if (values != Ints(count, expected))
        refuse(describe(node), "expected " + std::string(name) + " " + list(Ints(count, expected)) +
                                   ", got " + list(values));
}

void expect_attributes(const OnnxNode& node, const std::vector<std::string_view>& known) {
    for (const OnnxAttribute& attribute : node.attributes)
        if (std::find(known.begin(), known.end(), attribute.name) == known.end())
            refuse(describe(node), "attribute '" + std::string(attribute.name) + "'");
}

void expect_auto_pad(const OnnxNode& node) {
    static constexpr std::string_view kKnown[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
    const OnnxAttribute* found = node.attribute("auto_pad");
    if (found && std::find(std::begin(kKnown), std::end(kKnown), found->s) == std::end(kKnown))
        refuse(describe(node), "auto_pad '" + std::string(found->s) + "'");
}

// ------------------------------------------------------------------------------------- windows

// One for each axis, each from 1 to 'most'.
Extent sides_of(const OnnxNode& node, std::string_view name, const Ints& sides, std::int64_t most) {
    const auto unfit = [&](std::int64_t side) { return side < 1 || side > most; };
    if (sides.size() != 3 || std::any_of(sides.begin(), sides.end(), unfit))
        refuse(describe(node), "expected " + std::string(name) + " of 3 sides from 1 to " +
                                   std::to_string(most) + ", got " + list(sides));
    const auto side = [&](std::size_t i) { return static_cast<std::size_t>(sides[i]); };
    return {side(0), side(1), side(2)};
}

// Pads of an axis, each end, that make as many outputs as there are whole strides in the input.
std::int64_t same_pads(std::int64_t n, std::int64_t kernel, std::int64_t stride) {
    return std::max((divide_up(n, stride) - 1) * stride + kernel - n, std::int64_t{0});
}

Ints pads_of(const OnnxNode& node, const Extent& in, const Extent& kernel, const Extent& stride) {
    expect_auto_pad(node);
    const OnnxAttribute* automatic = node.attribute("auto_pad");
    if (!automatic || automatic->s == "NOTSET") return ints_of(node, "pads", Ints(6, 0));
    if (automatic->s == "VALID") return Ints(6, 0);
    const auto of = [](std::size_t n, std::size_t k, std::size_t s) {
        return same_pads(std::int64_t(n), std::int64_t(k), std::int64_t(s));
    };
    const Ints both{of(in.x, kernel.x, stride.x), of(in.y, kernel.y, stride.y),
                    of(in.z, kernel.z, stride.z)};
    Ints pads;
    for (const std::int64_t more : {0, 1})  // of an odd number one end has one more
        for (const std::int64_t n : both) pads.push_back((n + more) / 2);
    return pads;
}

Window window_of(const OnnxNode& node, const Extent& in, const Extent& kernel) {
    const Extent stride =
        sides_of(node, "strides", ints_of(node, "strides", Ints(3, 1)), kMaxStride);
    expect_ints(node, "dilations", 3, 1);
    const Ints pads = pads_of(node, in, kernel, stride);
    const Ints within{std::int64_t(kernel.x), std::int64_t(kernel.y), std::int64_t(kernel.z)};
    bool fits = pads.size() == 6;
    for (std::size_t i = 0; fits && i < 3; ++i)
        fits = pads[i] == pads[i + 3] && pads[i] >= 0 && pads[i] < within[i];
    if (!fits)
        refuse(describe(node),
               "expected pads that are the same at both ends and below the kernel's " +
                   list(within) + ", got " + list(pads));
    const auto pad = [&](std::size_t i) { return static_cast<std::size_t>(pads[i]); };
    const Extent pad_of{pad(0), pad(1), pad(2)};
    if (in.x + 2 * pad_of.x < kernel.x || in.y + 2 * pad_of.y < kernel.y ||
        in.z + 2 * pad_of.z < kernel.z)
        refuse(describe(node), "nothing is left of the patch");
    return {kernel, stride, pad_of};
}

// ----------------------------------------------------------------------------------------- nodes

// Reads node by node: the maps that are there, and what became of the one that was flattened.
class Reader {
public:
    explicit Reader(const OnnxModel& model) : model_(model) { begin(); }

    Graph read() {
        for (const OnnxNode& node : model_.nodes) {
            if (node.inputs.empty() || node.outputs.size() != 1)
                refuse(describe(node), "expected an input and one output");
            add(node);
        }
        end();
        return graph_;
    }

private:
    void begin() {
        if (model_.inputs.size() != 1 || model_.outputs.size() != 1)
            refuse("this graph", "expected one input and one output, got " +
                                     std::to_string(model_.inputs.size()) + " and " +
                                     std::to_string(model_.outputs.size()));
        const OnnxValue& input = model_.inputs[0];
        const auto unfit = [](std::int64_t side) {
            return side < 1 || side > static_cast<std::int64_t>(kMaxSide);
        };
        if (input.type != DataType::kFloat || input.dims.size() != 5 ||
            std::any_of(input.dims.begin() + 1, input.dims.end(), unfit))
            refuse("input '" + std::string(input.name) + "'",
                   "expected float (n, channels, x, y, z) with sides up to " +
                       std::to_string(kMaxSide) + ", got " + data_type_name(input.type) + " " +
                       list(input.dims));
        const auto side = [&](std::size_t i) { return static_cast<std::size_t>(input.dims[i]); };
        graph_.flattened = kNoMap;
        new_map(input.name, {side(1), {side(2), side(3), side(4)}});
    }

    void end() {
        if (flat_.empty() || flat_ != model_.outputs[0].name || width_ != 1)
            refuse("this graph",
                   "expected it to end, behind a Flatten, in 1 output, which is the graph's");
    }

    void add(const OnnxNode& node) {
        struct Rule {
            std::string_view op_type;
            void (Reader::*add)(const OnnxNode&);
        };
        static constexpr Rule kRules[] = {
            {"Conv", &Reader::add_conv},
            {"MaxPool", &Reader::add_pool},
            {"AveragePool", &Reader::add_pool},
            {"GlobalAveragePool", &Reader::add_global_average},
            {"Add", &Reader::add_sum},
            {"Mul", &Reader::add_factor},
            {"Relu", &Reader::add_activation},
            {"LeakyRelu", &Reader::add_activation},
            {"Elu", &Reader::add_activation},
            {"Sigmoid", &Reader::add_activation},
            {"Softplus", &Reader::add_activation},
            {"Flatten", &Reader::add_flatten},
            {"Gemm", &Reader::add_gemm},
        };
        std::string known;
        for (const Rule& rule : kRules) {
            if (node.op_type == rule.op_type) return (this->*rule.add)(node);
            known += (known.empty() ? "" : ", ") + std::string(rule.op_type);
        }
        refuse(describe(node), "it knows " + known + " only");
    }

    void add_conv(const OnnxNode& node) {
        expect_attributes(node,
                          {"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"});
        const MapSpec in = map_of(node, 0);
        const OnnxTensor& weights = tensor(node, 1);
        const Ints& dims = weights.dims;
        if (dims.size() != 5 || dims[0] < 1 || dims[1] != std::int64_t(in.n_channels))
            refuse(describe(node), "expected weights (n, " + std::to_string(in.n_channels) +
                                       ", x, y, z), got " + list(dims));
        const Ints kernel(dims.begin() + 2, dims.end());
        if (ints_of(node, "kernel_shape", kernel) != kernel)
            refuse(describe(node), "expected kernel_shape " + list(kernel) +
                                       " as the weights, got " +
                                       list(ints_of(node, "kernel_shape", kernel)));
        expect_int(node, "group", 1, 1);
        const Window window =
            window_of(node, in.extent, sides_of(node, "kernel_shape", kernel, kMaxKernel));
        const std::size_t n_out = width(node, dims[0]);
        new_layer(node, {n_out, window.outputs(in.extent)},
                  ConvSpec{in.n_channels, n_out, in.extent, window, &weights, bias(node, n_out)});
    }

    void add_pool(const OnnxNode& node) {
        expect_attributes(node, {"auto_pad", "ceil_mode", "count_include_pad", "dilations",
                                 "kernel_shape", "pads", "storage_order", "strides"});
        expect_int(node, "ceil_mode", 0, 0);
        const MapSpec in = map_of(node, 0);
        const Extent kernel =
            sides_of(node, "kernel_shape", ints_of(node, "kernel_shape", {}), kMaxKernel);
        const Window window = window_of(node, in.extent, kernel);
        const OnnxAttribute* counted = node.attribute("count_include_pad");
        const bool average = node.op_type == "AveragePool";
        new_layer(node, {in.n_channels, window.outputs(in.extent)},
                  PoolSpec{average ? PoolSpec::kAverage : PoolSpec::kMax, window,
                           counted && counted->i != 0});
    }

    void add_global_average(const OnnxNode& node) {
        expect_attributes(node, {});
        const MapSpec in = map_of(node, 0);
        new_layer(node, {in.n_channels, {1, 1, 1}},
                  PoolSpec{PoolSpec::kAverage, {in.extent, {1, 1, 1}, {0, 0, 0}}});
    }

    // Behind the Flatten: one number plus a constant, as the bias of a layer before it.
    void add_offset(const OnnxNode& node) {
        const OnnxTensor& offset = number(node);
        if (graph_.denses.empty() || graph_.denses.back().bias ||
            graph_.denses.back().activation.kind != Activation::kNone)
            refuse(describe(node), "expected a Gemm or Mul without an offset before it");
        graph_.denses.back().bias = &offset;
        flat_ = node.outputs[0];
    }

    // Behind the Flatten: one number times a constant, as a layer of one.
    void add_factor(const OnnxNode& node) {
        expect_attributes(node, {});
        if (!is_flat(node)) refuse(describe(node), "expected a Flatten before it");
        graph_.denses.push_back({1, 1, &number(node), nullptr, true, {}});
        flat_ = node.outputs[0];
    }

    // The constant of such a node.
    const OnnxTensor& number(const OnnxNode& node) const {
        const OnnxTensor& found = tensor(node, 1);
        if (found.n_elements != 1 || width_ != 1)
            refuse(describe(node), "expected one output and one number");
        return found;
    }

    void add_sum(const OnnxNode& node) {
        expect_attributes(node, {});
        if (is_flat(node)) return add_offset(node);
        const MapSpec a = map_of(node, 0), b = map_of(node, 1);
        if (node.inputs.size() != 2 || a.n_channels != b.n_channels || !(a.extent == b.extent))
            refuse(describe(node), "expected the sum of two maps of one shape");
        new_layer(node, a, PointwiseSpec{id_of(node, 1), {}});
    }

    void add_activation(const OnnxNode& node) {
        const Activation activation = activation_of(node);
        if (!is_flat(node))
            return new_layer(node, map_of(node, 0), PointwiseSpec{kNoMap, activation});
        Activation& last =
            graph_.denses.empty() ? before_flatten_ : graph_.denses.back().activation;
        if (last.kind != Activation::kNone)
            refuse(describe(node), "expected one activation behind a Gemm or Flatten");
        last = activation;
        flat_ = node.outputs[0];
        if (graph_.denses.empty()) activate_flattened();
    }

    static Activation activation_of(const OnnxNode& node) {
        struct Rule {
            std::string_view op_type;
            Activation::Kind kind;
            float alpha;  // where it is left out
        };
        static constexpr Rule kRules[] = {{"Relu", Activation::kRelu, 0},
                                          {"LeakyRelu", Activation::kLeakyRelu, 0.01F},
                                          {"Elu", Activation::kElu, 1},
                                          {"Sigmoid", Activation::kSigmoid, 0},
                                          {"Softplus", Activation::kSoftplus, 0}};
        const Rule* rule = kRules;
        while (rule->op_type != node.op_type) ++rule;
        const bool has_alpha = rule->alpha != 0;
        expect_attributes(node, has_alpha ? std::vector<std::string_view>{"alpha"}
                                          : std::vector<std::string_view>{});
        const OnnxAttribute* alpha = node.attribute("alpha");
        return {rule->kind, alpha ? alpha->f : rule->alpha};
    }

    void add_flatten(const OnnxNode& node) {
        expect_attributes(node, {"axis"});
        expect_int(node, "axis", 1, 1);
        const MapSpec in = map_of(node, 0);
        if (graph_.flattened != kNoMap) refuse(describe(node), "expected one Flatten, got two");
        graph_.flattened = id_of(node, 0);
        flat_ = node.outputs[0];
        width_ = in.n_channels * in.extent.count();
    }

    // An activation of single values is the same before they are flattened.
    void activate_flattened() {
        const MapId flattened = graph_.flattened;
        graph_.maps.push_back(graph_.maps[flattened]);
        graph_.flattened = graph_.maps.size() - 1;
        graph_.layers.push_back(
            {flattened, graph_.flattened, PointwiseSpec{kNoMap, before_flatten_}});
    }

    void add_gemm(const OnnxNode& node) {
        expect_attributes(node, {"alpha", "beta", "transA", "transB"});
        if (!is_flat(node)) refuse(describe(node), "expected a Flatten before it");
        expect_float(node, "alpha", 1.0f);
        expect_float(node, "beta", 1.0f);
        expect_int(node, "transA", 0, 0);
        const OnnxTensor& weights = tensor(node, 1);
        const OnnxAttribute* found = node.attribute("transB");
        const bool transposed = !found || found->i == 0;
        const std::size_t in = transposed ? 0 : 1;
        if (weights.dims.size() != 2 || weights.dims[1 - in] < 1 ||
            weights.dims[in] != static_cast<std::int64_t>(width_))
            refuse(describe(node), "expected weights for " + std::to_string(width_) +
                                       " inputs, got " + list(weights.dims));
        const std::size_t n_out = width(node, weights.dims[1 - in]);
        graph_.denses.push_back({width_, n_out, &weights, bias(node, n_out), transposed, {}});
        width_ = n_out;
        flat_ = node.outputs[0];
    }

    // ------------------------------------------------------------------------------------ values

    void new_map(std::string_view name, const MapSpec& spec) {
        ids_[name] = graph_.maps.size();
        graph_.maps.push_back(spec);
    }

    template <class What>
    void new_layer(const OnnxNode& node, const MapSpec& out, const What& what) {
        const MapId in = id_of(node, 0);
        if (std::max({out.extent.x, out.extent.y, out.extent.z}) > kMaxSide)
            refuse(describe(node), "expected maps with sides up to " + std::to_string(kMaxSide));
        new_map(node.outputs[0], out);
        graph_.layers.push_back({in, ids_[node.outputs[0]], what});
    }

    bool is_flat(const OnnxNode& node) const { return !flat_.empty() && node.inputs[0] == flat_; }

    MapId id_of(const OnnxNode& node, std::size_t input) const {
        const auto found = input < node.inputs.size() ? ids_.find(node.inputs[input]) : ids_.end();
        if (found == ids_.end())
            refuse(describe(node), "expected input " + std::to_string(input) +
                                       " to be maps that another node makes, before any Flatten");
        return found->second;
    }

    MapSpec map_of(const OnnxNode& node, std::size_t input) const {
        return graph_.maps[id_of(node, input)];
    }

    static std::size_t width(const OnnxNode& node, std::int64_t n_out) {
        if (n_out > static_cast<std::int64_t>(kMaxChannels))
            refuse(describe(node), "expected up to " + std::to_string(kMaxChannels) +
                                       " outputs, got " + std::to_string(n_out));
        return static_cast<std::size_t>(n_out);
    }

    const OnnxTensor& tensor(const OnnxNode& node, std::size_t input) const {
        const OnnxTensor* found =
            node.inputs.size() > input ? model_.initializer(node.inputs[input]) : nullptr;
        if (!found || found->type != DataType::kFloat)
            refuse(describe(node),
                   "expected input " + std::to_string(input) + " to be stored float32 weights");
        return *found;
    }

    const OnnxTensor* bias(const OnnxNode& node, std::size_t n_out) const {
        if (node.inputs.size() < 3 || node.inputs[2].empty()) return nullptr;
        const OnnxTensor& found = tensor(node, 2);
        if (found.n_elements != n_out || found.dims.empty() ||
            found.dims.back() != static_cast<std::int64_t>(n_out))
            refuse(describe(node),
                   "expected a bias of " + std::to_string(n_out) + ", got " + list(found.dims));
        return &found;
    }

    const OnnxModel& model_;
    Graph graph_{};
    std::map<std::string_view, MapId> ids_;
    std::string_view flat_;  // what became of the flattened map so far; empty before
    std::size_t width_ = 0;  // of it
    Activation before_flatten_;
};

}  // namespace

Extent Window::outputs(const Extent& in) const {
    const auto along = [](std::size_t n, std::size_t k, std::size_t s, std::size_t p) {
        return (n + 2 * p - k) / s + 1;
    };
    return {along(in.x, kernel.x, stride.x, pad.x), along(in.y, kernel.y, stride.y, pad.y),
            along(in.z, kernel.z, stride.z, pad.z)};
}

std::size_t Graph::n_readers(MapId map) const {
    std::size_t n = flattened == map ? 1 : 0;
    for (const Layer& layer : layers) {
        n += layer.in == map ? 1 : 0;
        if (const auto* conv = std::get_if<ConvSpec>(&layer.what)) n += conv->addend == map;
        if (const auto* sum = std::get_if<PointwiseSpec>(&layer.what)) n += sum->addend == map;
    }
    return n;
}

Graph read_graph(const OnnxModel& model) { return Reader(model).read(); }

}  // namespace nigro
