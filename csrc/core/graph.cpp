// Reads the chain of layers out of an ONNX graph: see graph.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/graph.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "core/error.h"

namespace nigro {
namespace {

// Larger than any network of this method by far; keeps every product of sizes within 64 bits.
constexpr std::size_t kMaxSide = 4096, kMaxChannels = 65536;

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

// An attribute of integers that are all 'expected'; left out, they are all 'usual'.
void expect_ints(const OnnxNode& node, std::string_view name, std::size_t count, std::int64_t usual,
                 std::int64_t expected) {
    const OnnxAttribute* found = node.attribute(name);
    const std::vector<std::int64_t> values =
        found ? found->ints : std::vector<std::int64_t>(count, usual);
    if (values != std::vector<std::int64_t>(count, expected))
        refuse(describe(node), "expected " + std::string(name) + " " +
                                   list(std::vector<std::int64_t>(count, expected)) + ", got " +
                                   list(values));
}

bool pads_same(const OnnxNode& node) {
    const OnnxAttribute* found = node.attribute("auto_pad");
    return found && (found->s == "SAME_UPPER" || found->s == "SAME_LOWER");
}

void expect_attributes(const OnnxNode& node, const std::vector<std::string_view>& known) {
    for (const OnnxAttribute& attribute : node.attributes)
        if (std::find(known.begin(), known.end(), attribute.name) == known.end())
            refuse(describe(node), "attribute '" + std::string(attribute.name) + "'");
}

void expect_auto_pad(const OnnxNode& node, const std::vector<std::string_view>& known) {
    const OnnxAttribute* found = node.attribute("auto_pad");
    if (found && std::find(known.begin(), known.end(), found->s) == known.end())
        refuse(describe(node), "auto_pad '" + std::string(found->s) + "'");
}

// Follows the chain, node by node.
class Chain {
public:
    explicit Chain(const OnnxModel& model) : model_(model) { begin(); }

    Graph follow() {
        for (const OnnxNode& node : model_.nodes) {
            if (node.inputs.empty() || node.inputs[0] != value_ || node.outputs.size() != 1)
                refuse(describe(node),
                       "expected one chain of nodes, each with one output that the "
                       "next one reads");
            add(node);
            value_ = node.outputs[0];
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
        const auto too_large = [](std::int64_t side) { return side < 1 || side > 4096; };
        if (input.type != DataType::kFloat || input.dims.size() != 5 ||
            std::any_of(input.dims.begin() + 1, input.dims.end(), too_large))
            refuse("input '" + std::string(input.name) + "'",
                   "expected float (n, channels, x, y, z) with sides up to " +
                       std::to_string(kMaxSide) + ", got " + data_type_name(input.type) + " " +
                       list(input.dims));
        const auto side = [&](std::size_t i) { return static_cast<std::size_t>(input.dims[i]); };
        graph_.n_channels = channels_ = side(1);
        graph_.patch = extent_ = {side(2), side(3), side(4)};
        value_ = input.name;
    }

    void end() {
        if (value_ != model_.outputs[0].name || graph_.denses.empty() || channels_ != 1)
            refuse("this graph",
                   "expected it to end in a Gemm with 1 output, which is the graph's");
    }

    void add(const OnnxNode& node) {
        struct Rule {
            std::string_view op_type;
            void (Chain::*add)(const OnnxNode&);
        };
        static constexpr Rule kRules[] = {{"Conv", &Chain::add_conv},
                                          {"Relu", &Chain::add_relu},
                                          {"MaxPool", &Chain::add_pool},
                                          {"Flatten", &Chain::add_flatten},
                                          {"Gemm", &Chain::add_gemm}};
        for (const Rule& rule : kRules)
            if (node.op_type == rule.op_type) return (this->*rule.add)(node);
        refuse(describe(node), "it knows Conv, Relu, MaxPool, Flatten and Gemm only");
    }

    void add_conv(const OnnxNode& node) {
        expect_attributes(node,
                          {"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"});
        expect_auto_pad(node, {"NOTSET", "SAME_UPPER", "SAME_LOWER"});
        expect_spatial(node);
        const OnnxTensor& weights = tensor(node, 1);
        const auto n_in = static_cast<std::int64_t>(channels_);
        if (weights.dims.size() != 5 || weights.dims[0] < 1 ||
            weights.dims != std::vector<std::int64_t>{weights.dims[0], n_in, 3, 3, 3})
            refuse(describe(node), "expected weights (n, " + std::to_string(n_in) +
                                       ", 3, 3, 3), got " + list(weights.dims));
        expect_ints(node, "kernel_shape", 3, 3, 3);
        expect_ints(node, "strides", 3, 1, 1);
        expect_ints(node, "dilations", 3, 1, 1);
        expect_int(node, "group", 1, 1);
        if (!pads_same(node)) expect_ints(node, "pads", 6, 0, 1);
        const std::size_t n_out = width(node, weights.dims[0]);
        graph_.convs.push_back({channels_, n_out, extent_, &weights, bias(node, n_out)});
        channels_ = n_out;
    }

    void add_relu(const OnnxNode& node) {
        expect_attributes(node, {});
        if (!graph_.denses.empty())
            graph_.denses.back().relu = true;
        else if (!graph_.convs
                      .empty())  // also after its max-pool or Flatten: it commutes with both
            graph_.convs.back().relu = true;
        else
            refuse(describe(node), "expected a Conv or Gemm before it");
    }

    void add_pool(const OnnxNode& node) {
        expect_attributes(node, {"auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads",
                                 "storage_order", "strides"});
        expect_auto_pad(node, {"NOTSET", "VALID"});
        expect_spatial(node);
        expect_ints(node, "kernel_shape", 3, 0, 2);
        expect_ints(node, "strides", 3, 1, 2);
        expect_ints(node, "dilations", 3, 1, 1);
        expect_ints(node, "pads", 6, 0, 0);
        expect_int(node, "ceil_mode", 0, 0);
        if (graph_.convs.empty()) refuse(describe(node), "expected a Conv before it");
        extent_ = {extent_.x / 2, extent_.y / 2, extent_.z / 2};
        if (extent_.count() == 0) refuse(describe(node), "nothing is left of the patch");
        ++graph_.convs.back().n_pools;
    }

    void add_flatten(const OnnxNode& node) {
        expect_attributes(node, {"axis"});
        expect_int(node, "axis", 1, 1);
        expect_spatial(node);
        flat_ = true;
        graph_.n_features = channels_;
        graph_.flattened = extent_;
        channels_ *= extent_.count();
    }

    void add_gemm(const OnnxNode& node) {
        expect_attributes(node, {"alpha", "beta", "transA", "transB"});
        if (!flat_) refuse(describe(node), "expected a Flatten before it");
        expect_float(node, "alpha", 1.0f);
        expect_float(node, "beta", 1.0f);
        expect_int(node, "transA", 0, 0);
        const OnnxTensor& weights = tensor(node, 1);
        const OnnxAttribute* found = node.attribute("transB");
        const bool transposed = !found || found->i == 0;
        const std::size_t in = transposed ? 0 : 1;
        if (weights.dims.size() != 2 || weights.dims[1 - in] < 1 ||
            weights.dims[in] != static_cast<std::int64_t>(channels_))
            refuse(describe(node), "expected weights for " + std::to_string(channels_) +
                                       " inputs, got " + list(weights.dims));
        const std::size_t n_out = width(node, weights.dims[1 - in]);
        graph_.denses.push_back({channels_, n_out, &weights, bias(node, n_out), transposed});
        channels_ = n_out;
    }

    void expect_spatial(const OnnxNode& node) const {
        if (flat_) refuse(describe(node), "it comes after a Flatten");
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
    std::string_view value_;    // what the next node must read
    std::size_t channels_ = 0;  // its channels, or its width once it is flat
    Extent extent_{};
    bool flat_ = false;
};

}  // namespace

Graph read_graph(const OnnxModel& model) { return Chain(model).follow(); }

}  // namespace nigro
