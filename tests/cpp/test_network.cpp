// Whole networks: the same bits for every instruction set that runs here, any number of threads and
// any batch; and, by a digest, the same bits as on every other machine.
//
// Chains of the reference model's kind, narrow, on odd patch shapes: every tile, fused and unfused
// first layers, pools that drop remainders, channels that do not fill a block. And graphs with
// branches, other windows and other activations.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "check.h"
#include "core/network.h"
#include "core/onnx_reader.h"
#include "kernels/dispatch.h"
#include "tiny_model.h"

namespace {

using nigro::Network;
using nigro::kernels::Kernels;

struct Layer {
    std::uint64_t n_out;
    bool pool;
};

struct Chain {
    std::string name;
    std::uint64_t shape[3];
    std::vector<Layer> layers;
    std::uint64_t hidden;  // 0: none
};

const std::vector<Chain> kChains{
    {"slim, small", {18, 15, 11}, {{16, false}, {16, true}, {32, false}, {32, true}}, 20},
    {"one layer", {7, 6, 4}, {{4, true}}, 0},
    {"odd", {13, 9, 7}, {{5, false}, {17, false}, {33, true}, {3, true}}, 3},
    {"direct then pool", {6, 7, 8}, {{18, true}, {2, false}}, 0},
    {"weights transformed before", {50, 26, 6}, {{16, false}, {16, false}}, 0},
    {"one voxel deep", {4, 11, 3}, {{1, true}, {18, false}, {7, false}}, 0},
    {"wide and shallow", {26, 20, 2}, {{16, false}, {16, false}, {16, true}}, 0},
    {"small", {6, 6, 2}, {{40, false}, {40, true}}, 0},
};

// Graphs that are no chains, a word for each node: convolutions c<width>, with k<side> of the
// kernel and s<step> for those after it; r, l, e, g, o for ReLU, leaky ReLU, ELU, sigmoid and
// softplus; p and q for max-pools of 2³ and, with padding, 3³; m for means of 2³. '(' keeps the
// present map, ')' adds the one kept last, '^' swaps it with the present one. Means of all and a
// Gemm end them.
struct Branched {
    std::string name;
    std::uint64_t shape[3];
    std::string plan;
};

const std::vector<Branched> kBranched{
    {"residual", {18, 15, 11}, "c16 r ( c16 r c16 ) r p c20 r ( c20 r c20 ) r p"},
    {"shortcut of its own", {17, 14, 9}, "c16 r ( s2 c24 r s1 c24 ^ k1 s2 c24 s1 ) r k3 c5 l p"},
    {"any window", {13, 12, 11}, "k5 c18 e q k2 s2 c7 o m k1 s1 c3 g"},
    {"sums that no convolution takes", {9, 8, 7}, "c3 l ( e ) e ( c3 l )"},
};

// Writes the file of a network, node by node.
class File {
public:
    explicit File(const std::uint64_t (&shape)[3]) : shape_{shape[0], shape[1], shape[2]} {}

    std::string value = "patch";  // the present one
    std::uint64_t width = 1;      // of it

    void put(const char* op, const std::vector<std::string>& others,
             const std::vector<std::string>& attributes = {}) {
        std::vector<std::string> inputs{value};
        inputs.insert(inputs.end(), others.begin(), others.end());
        value = "v" + std::to_string(seed_++);
        nodes_ += tiny::bytes(1, tiny::node(op, inputs, value, attributes));
    }
    void conv(std::uint64_t n_out, std::uint64_t kernel, std::uint64_t stride) {
        const std::vector<std::uint64_t> dims{n_out, width, kernel, kernel, kernel};
        const std::string w = weights(dims, 0.3F);
        put("Conv", {w, weights({n_out}, 0.1F)},
            {tiny::ints("pads", std::vector<std::uint64_t>(6, (kernel - 1) / 2)),
             tiny::ints("strides", {stride, stride, stride})});
        width = n_out;
    }
    void pool(const char* op, std::uint64_t side, std::uint64_t pad) {
        put(op, {},
            {tiny::ints("kernel_shape", {side, side, side}), tiny::ints("strides", {2, 2, 2}),
             tiny::ints("pads", std::vector<std::uint64_t>(6, pad))});
    }
    void gemm(std::uint64_t n_in, std::uint64_t n_out) {
        put("Gemm", {weights({n_in, n_out}, 0.05F)});
    }

    std::string bytes() const {
        using namespace tiny;
        return number(1, 8) +
               tiny::bytes(
                   7, nodes_ + tiny::bytes(2, "network") + tensors_ +
                          tiny::bytes(11, port("patch", {1, shape_[0], shape_[1], shape_[2]})) +
                          tiny::bytes(12, port(value, {1}))) +
               tiny::bytes(8, number(2, 17));
    }

private:
    std::string weights(const std::vector<std::uint64_t>& dims, float scale) {
        const std::string name = "w" + std::to_string(seed_++);
        tensors_ +=
            tiny::bytes(5, tiny::tensor(name, dims, static_cast<std::uint32_t>(seed_), scale));
        return name;
    }

    std::uint64_t shape_[3], seed_ = 1;
    std::string nodes_, tensors_;
};

// Convolutions with ReLU, a hidden layer perhaps, and one output.
std::string file_of(const Chain& chain) {
    File file(chain.shape);
    std::uint64_t n_voxels[3] = {chain.shape[0], chain.shape[1], chain.shape[2]};
    for (const Layer& layer : chain.layers) {
        file.conv(layer.n_out, 3, 1);
        file.put("Relu", {});
        if (!layer.pool) continue;
        file.pool("MaxPool", 2, 0);
        for (std::uint64_t& side : n_voxels) side /= 2;
    }
    file.put("Flatten", {});
    std::uint64_t n_features = file.width * n_voxels[0] * n_voxels[1] * n_voxels[2];
    if (chain.hidden > 0) {
        file.gemm(n_features, chain.hidden);
        file.put("Relu", {});
        n_features = chain.hidden;
    }
    file.gemm(n_features, 1);
    return file.bytes();
}

std::string file_of(const Branched& branched) {
    const std::map<std::string, const char*> activations{
        {"r", "Relu"}, {"l", "LeakyRelu"}, {"e", "Elu"}, {"g", "Sigmoid"}, {"o", "Softplus"}};
    File file(branched.shape);
    std::uint64_t kernel = 3, stride = 1;
    std::vector<std::pair<std::string, std::uint64_t>> kept;
    std::istringstream words(branched.plan);
    for (std::string word; words >> word;) {
        const std::uint64_t number = word.size() > 1 ? std::stoul(word.substr(1)) : 0;
        if (activations.count(word)) file.put(activations.at(word), {});
        if (word == "p") file.pool("MaxPool", 2, 0);
        if (word == "q") file.pool("MaxPool", 3, 1);
        if (word == "m") file.pool("AveragePool", 2, 0);
        if (word[0] == 'k') kernel = number;
        if (word[0] == 's') stride = number;
        if (word[0] == 'c') file.conv(number, kernel, stride);
        if (word == "(") kept.emplace_back(file.value, file.width);
        if (word == "^") {
            std::swap(file.value, kept.back().first);
            std::swap(file.width, kept.back().second);
        }
        if (word == ")") {
            file.put("Add", {kept.back().first});
            kept.pop_back();
        }
    }
    file.put("GlobalAveragePool", {});
    file.put("Flatten", {});
    file.gemm(file.width, 1);
    return file.bytes();
}

constexpr std::size_t kPatches = 3;

struct Answers {
    std::vector<float> outputs, features;
};

Answers run(const std::string& file, const Kernels& kernels, std::size_t n_threads,
            std::size_t batch, const std::vector<float>& patches) {
    const auto* data = reinterpret_cast<const unsigned char*>(file.data());
    Network network(nigro::read_onnx(data, file.size()), n_threads, kernels);
    const std::size_t n_features = network.n_features() * network.feature_extent().count();
    Answers answers{std::vector<float>(kPatches), std::vector<float>(kPatches * n_features)};
    const std::size_t size = patches.size() / kPatches;
    for (std::size_t first = 0; first < kPatches; first += batch) {
        const std::size_t n = std::min(batch, kPatches - first);
        network.run(patches.data() + first * size, n, answers.outputs.data() + first);
        network.features(patches.data() + first * size, n,
                         answers.features.data() + first * n_features);
    }
    return answers;
}

template <class Net>
void test_bits(const Net& net, check::Digest& digest) {
    const std::string file = file_of(net);
    check::Random random(7);
    const std::vector<float> patches =
        check::uniforms(random, kPatches * net.shape[0] * net.shape[1] * net.shape[2], 0.0F, 2.0F);
    const Answers want = run(file, *nigro::kernels::find("scalar"), 1, kPatches, patches);
    digest.add(want.outputs);
    digest.add(want.features);
    constexpr struct {
        std::size_t n_threads, batch;
    } kWays[] = {{3, 3}, {8, 2}, {1, 1}, {1, 2}, {1, 3}, {2, 2}};
    for (const Kernels& kernels : nigro::kernels::available()) {
        // The answers wanted are one lane's already, and under the sanitizers, where an fma is a
        // call, each more takes a minute; what branches and windows add does not know of batches.
        const std::size_t n_ways = kernels.name == std::string("scalar") ? 1
                                   : std::is_same_v<Net, Branched>       ? 2
                                                                         : std::size(kWays);
        for (std::size_t i = 0; i < n_ways; ++i) {
            const auto& way = kWays[i];
            const Answers got = run(file, kernels, way.n_threads, way.batch, patches);
            const std::string what = net.name + ", " + kernels.name + ", " +
                                     std::to_string(way.n_threads) + " threads, batches of " +
                                     std::to_string(way.batch);
            check::that(check::same(want.outputs, got.outputs), what);
            check::that(check::same(want.features, got.features), what + ": features");
        }
    }
}

}  // namespace

int main() {
    check::Digest chains, branched;
    for (const Chain& chain : kChains) test_bits(chain, chains);
    for (const Branched& net : kBranched) test_bits(net, branched);
    // Made on x86-64; emulated 64-bit Arm must come to the same.
    constexpr std::uint64_t kChainDigest = 8713742840308476813U,
                            kBranchedDigest = 17193943558389033683U;
    check::that(chains.value() == kChainDigest, "chains " + std::to_string(chains.value()));
    check::that(branched.value() == kBranchedDigest,
                "branched " + std::to_string(branched.value()));
    return check::report("test_network");
}
