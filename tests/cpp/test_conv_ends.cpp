// The kernels of convolutions as they are defined, of the first layer and of dense ones, of every
// instruction set that runs here against the scalar specification, by ==, and that by hand and
// against the definition.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "floats.h"

namespace {

using nigro::kernels::DirectShape;
using namespace floats;

void test_first_input(const Kernels& kernels, Random& random) {
    for (std::size_t n_z = 1; n_z < 40; ++n_z) {
        const Floats in = random_floats(random, 6 * n_z);
        const float* rows[6];
        for (std::size_t y = 0; y < 6; ++y) rows[y] = in.data() + y * n_z;
        Floats want(6 * n_z), got(6 * n_z);
        scalar().first_input(rows, n_z, want.data(), n_z);
        kernels.first_input(rows, n_z, got.data(), n_z);
        check::that(check::same(want, got), label(kernels, "first input", n_z));
    }
}

Floats conv_first(const Kernels& kernels, std::size_t n_y, std::size_t n_z, const Floats& v,
                  const Floats& w, const Floats& bias, float floor) {
    const std::size_t v_stride = n_z + 2, x_stride = (n_y + 3) / 4 * 6 * v_stride;
    Floats out(n_y * n_z * kBlock);
    kernels.conv_first(v.data(), x_stride, v_stride, n_y, n_z, w.data(), bias.data(), floor,
                       out.data(), n_z * kBlock);
    return out;
}

void test_conv_first(const Kernels& kernels, Random& random) {
    for (std::size_t n_z = 1; n_z < 60; ++n_z) {
        const std::size_t n_y = 1 + n_z % 7;
        const Floats v = random_floats(random, 3 * ((n_y + 3) / 4) * 6 * (n_z + 2));
        const Floats w = random_floats(random, 6 * 9 * kBlock);
        const Floats bias = random_floats(random, kBlock);
        check::that(check::same(conv_first(scalar(), n_y, n_z, v, w, bias, 0),
                                conv_first(kernels, n_y, n_z, v, w, bias, 0)),
                    label(kernels, "first convolution", n_z));
    }
}

// Buffers of one row of outputs: inputs of whole blocks, rows x taps of them for each output.
struct DirectCase {
    std::size_t n_in, n_rows, n_taps, step, n;

    std::size_t n_z() const { return (n - 1) * step + n_taps; }
    std::size_t n_blocks() const { return (n_in + kBlock - 1) / kBlock; }
    std::size_t n_weights() const { return n_in * n_rows * n_taps * kBlock; }
    DirectShape shape() const {
        return {n_in, n_rows, n_taps, n_rows * n_z() * kBlock, step * kBlock, n};
    }
};

Floats conv_direct(const Kernels& kernels, const DirectCase& it, const Floats& in, const Floats& w,
                   const Floats& more, const Floats& bias, float floor) {
    std::vector<const float*> rows;
    for (std::size_t r = 0; r < it.n_rows; ++r) rows.push_back(&in[r * it.n_z() * kBlock]);
    Floats out(it.n * kBlock, -7.0F);
    kernels.conv_direct(it.shape(), rows.data(), w.data(), more.empty() ? nullptr : more.data(),
                        bias.data(), floor, out.data());
    return out;
}

std::vector<DirectCase> direct_cases() {
    std::vector<DirectCase> all;
    for (std::size_t n = 1; n < 30; ++n)
        all.push_back({1 + 7 * n % 40, 1 + n % 4, 1 + n % 3, 1 + n % 2, n});
    return all;
}

// By its definition, in float64.
void test_the_direct_specification_convolves(Random& random) {
    for (const DirectCase& it : direct_cases()) {
        const Floats in = random_floats(random, it.n_blocks() * it.n_rows * it.n_z() * kBlock);
        const Floats w = random_floats(random, it.n_weights());
        const Floats more = random_floats(random, it.n * kBlock),
                     bias = random_floats(random, kBlock);
        const Floats got = conv_direct(scalar(), it, in, w, more, bias, kNoFloor);
        double worst = 0;
        for (std::size_t i = 0; i < it.n * kBlock; ++i) {
            double sum = double(more[i]) + double(bias[i % kBlock]);
            std::size_t at = i % kBlock;
            for (std::size_t block = 0; block < it.n_blocks(); ++block)
                for (std::size_t r = 0; r < it.n_rows; ++r)
                    for (std::size_t tap = 0; tap < it.n_taps; ++tap)
                        for (std::size_t lane = 0;
                             lane < std::min(kBlock, it.n_in - block * kBlock); ++lane) {
                            const std::size_t z = i / kBlock * it.step + tap;
                            const std::size_t line = (block * it.n_rows + r) * it.n_z() + z;
                            sum += double(w[at]) * double(in[line * kBlock + lane]);
                            at += kBlock;
                        }
            worst = std::max(worst, std::abs(sum - double(got[i])));
        }
        // Up to 480 products of values below 1: sums wander to some 20, and each addition rounds by
        // 2^-24 of that; 480 such roundings, of either sign, come to about 3e-5.
        check::that(worst < 1e-4, "direct convolution, off by " + std::to_string(worst));
    }
}

void test_conv_direct(const Kernels& kernels, Random& random) {
    for (const DirectCase& it : direct_cases()) {
        const Floats in = random_floats(random, it.n_blocks() * it.n_rows * it.n_z() * kBlock);
        const Floats w = random_floats(random, it.n_weights()),
                     bias = random_floats(random, kBlock);
        for (const Floats& more : {Floats{}, random_floats(random, it.n * kBlock)})
            for (const float floor : {0.0F, kNoFloor})
                check::that(check::same(conv_direct(scalar(), it, in, w, more, bias, floor),
                                        conv_direct(kernels, it, in, w, more, bias, floor)),
                            label(kernels, "direct convolution", it.n));
    }
}

void test_dense(const Kernels& kernels, Random& random) {
    for (std::size_t n_samples = 1; n_samples < 6; ++n_samples)
        for (const std::size_t n_in : {std::size_t{2}, std::size_t{16}, std::size_t{98}}) {
            const Floats x = random_floats(random, n_samples * n_in);
            const Floats w = random_floats(random, n_in * kBlock);
            const Floats bias = random_floats(random, kBlock);
            Floats want(n_samples * kBlock), got(n_samples * kBlock);
            scalar().dense(x.data(), n_in, n_samples, w.data(), n_in, bias.data(), kNoFloor,
                           want.data(), kBlock);
            kernels.dense(x.data(), n_in, n_samples, w.data(), n_in, bias.data(), kNoFloor,
                          got.data(), kBlock);
            check::that(check::same(want, got), label(kernels, "dense", n_samples));
        }
}

void test_the_specification_by_hand() {
    // Two inputs 2 and 3, weights 10 and 100 for every output, bias 0.5: 20 + 300 + 0.5.
    Floats w(2 * kBlock, 10.0F), out(kBlock);
    for (std::size_t lane = 0; lane < kBlock; ++lane) w[kBlock + lane] = 100.0F;
    const float x[2] = {2, 3};
    scalar().dense(x, 2, 1, w.data(), 2, Floats(kBlock, 0.5F).data(), 0, out.data(), kBlock);
    check::that(out == Floats(kBlock, 320.5F), "dense by hand");

    // Two taps of 1 and 10 along z on inputs 1, 2, 3 of one channel: 1 + 20
    // and 2 + 30; plus 100, minus 1.
    Floats in(3 * kBlock), two(2 * kBlock, 1.0F);
    for (std::size_t z = 0; z < 3; ++z) in[z * kBlock] = float(z + 1);
    std::fill_n(&two[kBlock], kBlock, 10.0F);
    const Floats direct = conv_direct(scalar(), {1, 1, 2, 1, 2}, in, two,
                                      Floats(2 * kBlock, 100.0F), Floats(kBlock, -1.0F), 0);
    check::that(direct[0] == 120.0F && direct[kBlock] == 131.0F, "direct convolution by hand");

    // Nine taps of one on values of one give 9 in each of six positions; y = 0 adds the first and
    // the pair of +-3/2 and takes off that of +-3/4: 9 + 18 - 18; in y = 1 the pairs cancel.
    const Floats ones(3 * 6 * 3, 1.0F), taps(6 * 9 * kBlock, 1.0F), bias(kBlock, -10.0F);
    check::that(conv_first(scalar(), 1, 1, ones, taps, bias, kNoFloor) == Floats(kBlock, -1.0F),
                "first convolution by hand");
    check::that(conv_first(scalar(), 1, 1, ones, taps, bias, 0) == Floats(kBlock, 0.0F),
                "first convolution, cut");
    check::that(conv_first(scalar(), 2, 1, ones, taps, bias, kNoFloor)[kBlock] == -10.0F,
                "first convolution, second row");
}

}  // namespace

int main() {
    Random random(20230517);
    test_the_specification_by_hand();
    test_the_direct_specification_convolves(random);
    for (const Kernels& kernels : nigro::kernels::available()) {
        test_first_input(kernels, random);
        test_conv_first(kernels, random);
        test_conv_direct(kernels, random);
        test_dense(kernels, random);
    }
    return check::report("test_conv_ends");
}
