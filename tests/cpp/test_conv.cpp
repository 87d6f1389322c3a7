// The convolution kernels of every instruction set that runs here against the scalar specification,
// by ==, and the specification against a convolution written from its definition.
//
// Buffers are as long as the contracts say and not one float longer, for the sanitizers.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "check.h"
#include "kernels/dispatch.h"

namespace {

using check::Random;
using nigro::kernels::Kernels;
using nigro::kernels::kTileKinds;
using nigro::kernels::kTileShapes;
using nigro::kernels::OutputColumn;
using nigro::kernels::TileShape;
using Floats = std::vector<float>;

constexpr std::size_t kBlock = nigro::kernels::kChannelBlock;
constexpr float kNoFloor = -std::numeric_limits<float>::infinity();

const Kernels& scalar() { return *nigro::kernels::find("scalar"); }

Floats random_floats(Random& random, std::size_t n) {
    Floats values(n);
    for (float& value : values) value = float(check::below(random, 2001)) / 1000.0F - 1.0F;
    return values;
}

std::string label(const Kernels& kernels, const std::string& slot, std::size_t n) {
    return std::string(kernels.name) + " " + slot + " " + std::to_string(n);
}

// -------------------------------------------------------------------------------------- Winograd

std::size_t positions(TileShape tile) { return (tile.x + 2) * (tile.y + 2) * (tile.z + 2); }

Floats transform_input(const Kernels& kernels, int kind, std::size_t n_tiles, const Floats& in) {
    const TileShape tile = kTileShapes[kind];
    const std::size_t y_stride = (n_tiles * tile.z + 2) * kBlock;
    const std::size_t v_stride = (n_tiles + 1) * kBlock;
    const float* planes[6];
    for (std::size_t x = 0; x < tile.x + 2; ++x)
        planes[x] = in.data() + x * (tile.y + 2) * y_stride;
    Floats v((positions(tile) - 1) * v_stride + n_tiles * kBlock);
    kernels.winograd[kind].input(planes, y_stride, n_tiles, v.data(), v_stride);
    return v;
}

Floats transform_output(const Kernels& kernels, int kind, std::size_t n_tiles, const Floats& m,
                        const Floats& bias, bool pool, std::size_t drop) {
    const TileShape tile = kTileShapes[kind];
    const std::size_t step = pool ? 2 : 1, m_stride = (n_tiles + 1) * kBlock;
    const std::size_t n_x = tile.x / step, n_y = tile.y / step, n_z = n_tiles * tile.z / step;
    Floats out(n_x * n_y * n_z * kBlock, -7.0F);
    const OutputColumn column{out.data(),       n_y * n_z * kBlock,   n_z * kBlock,
                              n_x - drop % n_x, n_y - drop / 2 % n_y, n_z - drop % n_z};
    (pool ? kernels.winograd[kind].output_pool : kernels.winograd[kind].output)(
        m.data(), m_stride, n_tiles, bias.data(), drop % 2 ? 0.0F : kNoFloor, column);
    return out;
}

void test_winograd_transforms(const Kernels& kernels, Random& random) {
    for (int kind = 0; kind < kTileKinds; ++kind)
        for (std::size_t n_tiles = 1; n_tiles < 5; ++n_tiles) {
            const TileShape tile = kTileShapes[kind];
            const Floats in = random_floats(
                random, (tile.x + 2) * (tile.y + 2) * (n_tiles * tile.z + 2) * kBlock);
            check::that(check::same(transform_input(scalar(), kind, n_tiles, in),
                                    transform_input(kernels, kind, n_tiles, in)),
                        label(kernels, "winograd input", n_tiles));
            const Floats m = random_floats(
                random, (positions(tile) - 1) * (n_tiles + 1) * kBlock + n_tiles * kBlock);
            const Floats bias = random_floats(random, kBlock);
            for (std::size_t drop = 0; drop < 4; ++drop)
                for (const bool pool : {false, true})
                    check::that(
                        check::same(transform_output(scalar(), kind, n_tiles, m, bias, pool, drop),
                                    transform_output(kernels, kind, n_tiles, m, bias, pool, drop)),
                        label(kernels, "winograd output", n_tiles));
        }
}

void test_winograd_product(const Kernels& kernels, Random& random) {
    for (std::size_t n_tiles = 1; n_tiles < 40; ++n_tiles) {
        const std::size_t n_in = kBlock * (1 + n_tiles % 2), n_out = kBlock * (1 + n_tiles % 3);
        const Floats v = random_floats(random, 2 * n_tiles * n_in);
        const Floats u = random_floats(random, 2 * n_in * n_out);
        Floats want(2 * n_tiles * n_out), got(2 * n_tiles * n_out);
        scalar().winograd_product(v.data(), n_tiles * n_in, u.data(), want.data(), n_tiles * n_out,
                                  2, n_tiles, n_in, n_out);
        kernels.winograd_product(v.data(), n_tiles * n_in, u.data(), got.data(), n_tiles * n_out, 2,
                                 n_tiles, n_in, n_out);
        check::that(check::same(want, got), label(kernels, "winograd product", n_tiles));
    }
}

// An impulse passes input and output transforms as the definition of F(m, 3) says: with weights
// that are 1 in the middle tap and 0 elsewhere, whose transform is known, a tile copies its inputs.
void test_the_specification_copies_with_a_middle_tap(int kind, Random& random) {
    const TileShape tile = kTileShapes[kind];
    const Floats in = random_floats(random, (tile.x + 2) * (tile.y + 2) * (tile.z + 2) * kBlock);
    const auto row = [](std::size_t m) -> std::vector<double> {  // of the middle of three weights
        if (m == 2) return {0, 0.5, -0.5, 0};
        const double a = 0.75, b = 1.5, c = 2 * a * (a * a - b * b), d = 2 * b * (b * b - a * a);
        return {0, 1 / c, -1 / c, 1 / d, -1 / d, 0};
    };
    Floats sums = transform_input(scalar(), kind, 1, in);
    std::size_t p = 0;
    for (const double x : row(tile.x))
        for (const double y : row(tile.y))
            for (const double z : row(tile.z)) {
                // Of a point p: the weight is p / (p * product of the others) after division by p.
                const double weight = x * y * z;
                for (std::size_t lane = 0; lane < kBlock; ++lane)
                    sums[p * 2 * kBlock + lane] =
                        float(double(sums[p * 2 * kBlock + lane]) * weight);
                ++p;
            }
    const Floats out = transform_output(scalar(), kind, 1, sums, Floats(kBlock, 0.0F), false, 0);
    for (std::size_t x = 0; x < tile.x; ++x)
        for (std::size_t y = 0; y < tile.y; ++y)
            for (std::size_t z = 0; z < tile.z; ++z) {
                const std::size_t from = ((x + 1) * (tile.y + 2) + y + 1) * (tile.z + 2) + z + 1;
                const std::size_t to = (x * tile.y + y) * tile.z + z;
                check::that(std::fabs(out[to * kBlock] - in[from * kBlock]) < 1e-5F,
                            "the middle tap copies, tile " + std::to_string(kind));
            }
}

// ------------------------------------------------------------------------- first layer and dense

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

    // Nine taps of one on values of one give 9 in each of six positions; y = 0 adds the first five,
    // in y = 1 the pairs cancel.
    const Floats ones(3 * 6 * 3, 1.0F), taps(6 * 9 * kBlock, 1.0F), bias(kBlock, -46.0F);
    check::that(conv_first(scalar(), 1, 1, ones, taps, bias, kNoFloor) == Floats(kBlock, -1.0F),
                "first convolution by hand");
    check::that(conv_first(scalar(), 1, 1, ones, taps, bias, 0) == Floats(kBlock, 0.0F),
                "first convolution, cut");
    check::that(conv_first(scalar(), 2, 1, ones, taps, bias, kNoFloor)[kBlock] == -46.0F,
                "first convolution, second row");
}

}  // namespace

int main() {
    Random random(20230517);
    test_the_specification_by_hand();
    for (int kind = 0; kind < kTileKinds; ++kind)
        test_the_specification_copies_with_a_middle_tap(kind, random);
    for (const Kernels& kernels : nigro::kernels::available()) {
        test_winograd_transforms(kernels, random);
        test_winograd_product(kernels, random);
        test_first_input(kernels, random);
        test_conv_first(kernels, random);
        test_dense(kernels, random);
    }
    return check::report("test_conv");
}
