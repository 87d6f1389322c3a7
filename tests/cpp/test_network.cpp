// Whole networks: the same bits for every instruction set that runs here, any number of threads and
// any batch; and, by a digest, the same bits as on every other machine.
//
// Layers of the reference model's kind, narrow, on odd patch shapes: every tile, fused and unfused
// first layers, pools that drop remainders, channels that do not fill a block.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <string>
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

// The file of a chain of convolutions with ReLU, a hidden layer perhaps, and one output.
std::string file_of(const Chain& chain) {
    using namespace tiny;
    std::string nodes, tensors, value = "patch";
    std::uint64_t n_in = 1, seed = 1, extent[3] = {chain.shape[0], chain.shape[1], chain.shape[2]};
    const auto put = [&](const char* op, const std::vector<std::string>& weights,
                         const std::vector<std::string>& attributes) {
        std::vector<std::string> inputs{value};
        inputs.insert(inputs.end(), weights.begin(), weights.end());
        value = "v" + std::to_string(seed++);
        nodes += bytes(1, node(op, inputs, value, attributes));
    };
    const auto weights = [&](const std::vector<std::uint64_t>& dims, float scale) {
        const std::string name = "w" + std::to_string(seed++);
        tensors += bytes(5, tensor(name, dims, static_cast<std::uint32_t>(seed), scale));
        return name;
    };
    for (const Layer& layer : chain.layers) {
        const std::string w = weights({layer.n_out, n_in, 3, 3, 3}, 0.3F);
        put("Conv", {w, weights({layer.n_out}, 0.1F)}, {ints("pads", {1, 1, 1, 1, 1, 1})});
        put("Relu", {}, {});
        if (layer.pool) {
            put("MaxPool", {}, {ints("kernel_shape", {2, 2, 2}), ints("strides", {2, 2, 2})});
            for (std::uint64_t& side : extent) side /= 2;
        }
        n_in = layer.n_out;
    }
    put("Flatten", {}, {});
    std::uint64_t n_features = n_in * extent[0] * extent[1] * extent[2];
    if (chain.hidden > 0) {
        put("Gemm", {weights({n_features, chain.hidden}, 0.05F)}, {});
        put("Relu", {}, {});
        n_features = chain.hidden;
    }
    put("Gemm", {weights({n_features, 1}, 0.05F)}, {});
    const std::uint64_t* s = chain.shape;
    return number(1, 8) +
           bytes(7, nodes + bytes(2, "chain") + tensors +
                        bytes(11, port("patch", {1, s[0], s[1], s[2]})) +
                        bytes(12, port(value, {1}))) +
           bytes(8, number(2, 17));
}

constexpr std::size_t kPatches = 5;

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

void test_chain(const Chain& chain, check::Digest& digest) {
    const std::string file = file_of(chain);
    check::Random random(7);
    const std::vector<float> patches = check::uniforms(
        random, kPatches * chain.shape[0] * chain.shape[1] * chain.shape[2], 0.0F, 2.0F);
    const Answers want = run(file, *nigro::kernels::find("scalar"), 1, kPatches, patches);
    digest.add(want.outputs);
    digest.add(want.features);
    constexpr struct {
        std::size_t n_threads, batch;
    } kWays[] = {{1, 1}, {1, 2}, {1, 5}, {2, 2}, {3, 5}, {8, 2}};
    for (const Kernels& kernels : nigro::kernels::available())
        for (const auto& way : kWays) {
            const Answers got = run(file, kernels, way.n_threads, way.batch, patches);
            const std::string what = chain.name + ", " + kernels.name + ", " +
                                     std::to_string(way.n_threads) + " threads, batches of " +
                                     std::to_string(way.batch);
            check::that(check::same(want.outputs, got.outputs), what);
            check::that(check::same(want.features, got.features), what + ": features");
        }
}

}  // namespace

int main() {
    check::Digest digest;
    for (const Chain& chain : kChains) test_chain(chain, digest);
    // Made on x86-64; emulated 64-bit Arm must come to the same.
    constexpr std::uint64_t kDigest = 4579033103327593432U;
    check::that(digest.value() == kDigest, "digest " + std::to_string(digest.value()));
    return check::report("test_network");
}
