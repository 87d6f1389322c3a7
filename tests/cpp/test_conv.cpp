// The kernels of Winograd's convolutions of every instruction set that runs here against the scalar
// specification, by ==, and the specification against a convolution written from its definition.
//
// Buffers are as long as the contracts say and not one float longer, for the sanitizers.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "floats.h"

namespace {

using nigro::kernels::Addend;
using nigro::kernels::DepthShape;
using nigro::kernels::Footprint;
using nigro::kernels::InputColumn;
using nigro::kernels::kMaxPositions;
using nigro::kernels::kPositions;
using nigro::kernels::kTapScales;
using nigro::kernels::kTileOutputs;
using nigro::kernels::kTilePositions;
using nigro::kernels::kTiles;
using nigro::kernels::OutputColumn;
using nigro::kernels::ShallowShape;
using nigro::kernels::Tile;
using namespace floats;

// ----------------------------------------------------------------------------------------- plane

std::size_t positions(Tile tile) { return kTileOutputs[tile] + 2; }
std::size_t positions(const Footprint& foot) { return positions(foot.x) * positions(foot.y); }

std::vector<Footprint> footprints() {
    std::vector<Footprint> all;
    for (int x = 0; x < kTiles; ++x)
        for (int y = 0; y < kTiles; ++y) all.push_back({Tile(x), Tile(y)});
    return all;
}

// Planes of a column as it lies in memory: those of zeros first, then those that are read.
struct Planes {
    std::size_t before, n_z, after;
    std::size_t all() const { return before + n_z + after; }
};

Floats transform_input(const Kernels& kernels, const Footprint& foot, const Planes& z,
                       const Floats& in) {
    const std::size_t y_stride = z.n_z * kBlock, p_stride = (z.all() + 1) * kBlock;
    const float* planes[kMaxPositions];
    for (std::size_t x = 0; x < positions(foot.x); ++x)
        planes[x] = in.data() + x * positions(foot.y) * y_stride;
    Floats p((positions(foot) - 1) * p_stride + z.all() * kBlock, -7.0F);
    kernels.plane_input(foot, {planes, y_stride, z.before, z.n_z, z.after}, p.data(), p_stride);
    return p;
}

// 'more' is what is added, for every output before a pool, or empty.
Floats transform_output(const Kernels& kernels, const Footprint& foot, std::size_t n_z,
                        const Floats& p, const Floats& more, const Floats& bias, bool pool,
                        std::size_t drop) {
    const std::size_t step = pool ? 2 : 1, p_stride = (n_z + 1) * kBlock;
    const std::size_t n_x = kTileOutputs[foot.x] / step, n_y = kTileOutputs[foot.y] / step;
    const std::size_t out_z = n_z / step;
    Floats out(n_x * n_y * out_z * kBlock, -7.0F);
    const OutputColumn column{out.data(),       n_y * out_z * kBlock, out_z * kBlock,
                              n_x - drop % n_x, n_y - drop / 2 % n_y, out_z};
    const Addend addend =
        more.empty() ? Addend{nullptr, 0, 0}
                     : Addend{more.data(), kTileOutputs[foot.y] * n_z * kBlock, n_z * kBlock};
    (pool ? kernels.plane_output_pool : kernels.plane_output)(
        foot, p.data(), p_stride, addend, bias.data(), drop % 2 ? 0.0F : kNoFloor, column);
    return out;
}

void test_plane_transforms(const Kernels& kernels, Random& random) {
    for (const Footprint& foot : footprints())
        for (std::size_t n_z = 1; n_z < 6; ++n_z) {
            const Planes z{n_z % 3, n_z, n_z / 2};
            const Floats in = random_floats(random, positions(foot) * n_z * kBlock);
            check::that(check::same(transform_input(scalar(), foot, z, in),
                                    transform_input(kernels, foot, z, in)),
                        label(kernels, "plane input", n_z));
            const Floats p =
                random_floats(random, (positions(foot) - 1) * (n_z + 1) * kBlock + n_z * kBlock);
            const Floats bias = random_floats(random, kBlock);
            const Floats more =
                random_floats(random, kTileOutputs[foot.x] * kTileOutputs[foot.y] * n_z * kBlock);
            for (std::size_t drop = 0; drop < 6; ++drop)
                for (const bool pool : {false, true})
                    for (const Floats& addend : {Floats{}, more})
                        check::that(
                            check::same(
                                transform_output(scalar(), foot, n_z, p, addend, bias, pool, drop),
                                transform_output(kernels, foot, n_z, p, addend, bias, pool, drop)),
                            label(kernels, "plane output", n_z));
        }
}

// What is added comes before the bias and the floor, and before the maximum: added to outputs of
// zero it is the output.
void test_the_specification_adds(const Footprint& foot, Random& random) {
    const std::size_t n_z = 4, n_x = kTileOutputs[foot.x], n_y = kTileOutputs[foot.y];
    const Floats zeros((positions(foot) - 1) * (n_z + 1) * kBlock + n_z * kBlock), bias(kBlock, 1);
    const Floats more = random_floats(random, n_x * n_y * n_z * kBlock);
    Floats want = more;
    for (float& value : want) value = std::max(value + 1, 0.0F);
    Floats got = transform_output(scalar(), foot, n_z, zeros, more, bias, false, 0);
    for (float& value : got) value = std::max(value, 0.0F);
    check::that(got == want, "what is added");
    const Floats pooled = transform_output(scalar(), foot, n_z, zeros, more, bias, true, 0);
    const auto at = [&](std::size_t x, std::size_t y, std::size_t z) {
        return more[((x * n_y + y) * n_z + z) * kBlock];
    };
    float most = at(0, 0, 0);
    for (std::size_t i = 1; i < 8; ++i) most = std::max(most, at(i / 4, i / 2 % 2, i % 2));
    check::that(pooled[0] == most + 1, "what is added before a pool");
}

// Planes of zeros that are not read become what such planes in memory do, bit for bit.
void test_the_specification_knows_planes_of_zeros(const Footprint& foot, Random& random) {
    const std::size_t n_rows = positions(foot);
    const Floats in = random_floats(random, n_rows * 2 * kBlock);
    Floats with_zeros(n_rows * 5 * kBlock, 0.0F);
    for (std::size_t row = 0; row < n_rows; ++row)
        std::copy_n(&in[row * 2 * kBlock], 2 * kBlock, &with_zeros[(row * 5 + 1) * kBlock]);
    check::that(check::same(transform_input(scalar(), foot, {0, 5, 0}, with_zeros),
                            transform_input(scalar(), foot, {1, 2, 2}, in)),
                "planes of zeros");
}

// Factors for n_x and n_y positions, [n][3] of either kind, as the kernels take them.
using Factors = const float (*)[3];

Floats plane_weights(const Kernels& kernels, std::size_t n_x, const Floats& along_x,
                     std::size_t n_y, const Floats& along_y, const Floats& weights) {
    Floats result(n_x * n_y * 3 * kBlock);
    kernels.plane_weights(reinterpret_cast<Factors>(along_x.data()), n_x,
                          reinterpret_cast<Factors>(along_y.data()), n_y, weights.data(),
                          result.data());
    return result;
}

void test_plane_weights(const Kernels& kernels, Random& random) {
    for (const std::size_t n_x : {std::size_t{4}, std::size_t{6}, std::size_t{8}})
        for (const std::size_t n_y : {std::size_t{4}, std::size_t{8}}) {
            const Floats along_x = random_floats(random, n_x * 3);
            const Floats along_y = random_floats(random, 3 * n_y * 3);
            const Floats weights = random_floats(random, 27 * kBlock);
            check::that(check::same(plane_weights(scalar(), n_x, along_x, n_y, along_y, weights),
                                    plane_weights(kernels, n_x, along_x, n_y, along_y, weights)),
                        label(kernels, "plane weights", n_x));
        }
}

void test_plane_weights_by_hand() {
    // One position, factors 1, 10, 100 along x and 1, 2, 3 along y; taps along z times 1, 5, 7. All
    // weights are 1 but for the last along x and y, which is 2: 111 * 6 + 100 * 3, times 1, 5, 7.
    const Floats along_x{1, 10, 100}, along_y{1, 2, 3, 5, 10, 15, 7, 14, 21};
    Floats weights(27 * kBlock, 1.0F);
    std::fill(weights.end() - 3 * kBlock, weights.end(), 2.0F);
    const Floats got = plane_weights(scalar(), 1, along_x, 1, along_y, weights);
    check::that(got[3] == 966.0F && got[kBlock + 3] == 4830.0F && got[2 * kBlock + 3] == 6762.0F,
                "plane weights by hand");
}

// What a tile makes of the weights 0, 1, 0 along an axis: at each point p of its family, p over the
// product of its distances to the others; nothing at infinity. The kernels expect +-3/4 negative.
std::vector<double> middle_tap(Tile tile) {
    const bool six = tile == nigro::kernels::kSix || tile == nigro::kernels::kTwoOfSix;
    const std::vector<double> points = six ? std::vector<double>{0, 0.5, -0.5, 1, -1, 2, -2}
                                           : std::vector<double>{0, 0.75, -0.75, 1.5, -1.5};
    std::vector<double> family;
    for (const double p : points) {
        double factor = p;
        for (const double other : points)
            if (other != p) factor /= p - other;
        family.push_back(std::fabs(p) == 0.75 ? -factor : factor);
    }
    family.push_back(0);
    std::vector<double> row;
    for (std::size_t i = 0; i < positions(tile); ++i)
        row.push_back(family[kTilePositions[tile][i]]);
    return row;
}

// With weights that are 1 in the middle tap and 0 elsewhere, a footprint copies its inputs.
void test_the_specification_copies_with_a_middle_tap(const Footprint& foot, Random& random) {
    const std::size_t n_x = kTileOutputs[foot.x], n_y = kTileOutputs[foot.y];
    const Floats in = random_floats(random, positions(foot) * kBlock);
    Floats p = transform_input(scalar(), foot, {0, 1, 0}, in);
    float* value = p.data();
    for (const double x : middle_tap(foot.x))
        for (const double y : middle_tap(foot.y)) {
            for (std::size_t lane = 0; lane < kBlock; ++lane)
                value[lane] = float(double(value[lane]) * x * y);
            value += 2 * kBlock;
        }
    const Floats out = transform_output(scalar(), foot, 1, p, {}, Floats(kBlock, 0.0F), false, 0);
    for (std::size_t x = 0; x < n_x; ++x)
        for (std::size_t y = 0; y < n_y; ++y)
            for (std::size_t lane = 0; lane < kBlock; ++lane) {
                const std::size_t from = ((x + 1) * (n_y + 2) + y + 1) * kBlock + lane;
                // Values of at most 1; 6 x 6 outputs weigh roundings of 6e-8 by up to 32 an axis.
                check::that(std::fabs(out[(x * n_y + y) * kBlock + lane] - in[from]) < 1e-5F,
                            "the middle tap copies, footprint " + std::to_string(n_x) + " x " +
                                std::to_string(n_y));
            }
}

// ----------------------------------------------------------------------------------------- depth

std::size_t outputs_z(const DepthShape& shape) { return 4 * shape.fours + 2 * shape.twos; }

// Floats of p, of which the way in needs the first n_in blocks and the way out n_out.
std::size_t p_size(const DepthShape& shape, std::size_t n_blocks) {
    return n_blocks * shape.n_columns * (outputs_z(shape) + 2) * kBlock;
}

Floats conv_depth(const Kernels& kernels, const DepthShape& shape, const Floats& weights,
                  const Floats& in) {
    const std::size_t rows = shape.n_columns * (shape.fours + shape.twos);
    const std::size_t most = nigro::kernels::kMaxProductBlocks;
    const std::size_t n_in = shape.n_in * kBlock;
    Floats scratch(kPositions * kBlock * (rows * (shape.n_in + most) + (n_in + 1) * most));
    Floats p = in;
    p.resize(p_size(shape, std::max(shape.n_in, shape.n_out)));
    kernels.conv_depth(shape, weights.data(), p.data(), scratch.data());
    // The last two of a column are inputs that nobody cleared.
    const std::size_t n_z = outputs_z(shape);
    Floats out;
    for (std::size_t column = 0; column < shape.n_out * shape.n_columns; ++column)
        out.insert(out.end(), p.begin() + std::ptrdiff_t(column * (n_z + 2) * kBlock),
                   p.begin() + std::ptrdiff_t((column * (n_z + 2) + n_z) * kBlock));
    return out;
}

// Taps as they are stored, from taps as they are meant, [n_out][16 n_in][3][16].
Floats scaled(Floats taps) {
    for (std::size_t i = 0; i < taps.size(); ++i)
        taps[i] = float(double(taps[i]) * kTapScales[i / kBlock % 3]);
    return taps;
}

Floats transformed(const Kernels& kernels, const DepthShape& shape, const Floats& taps) {
    const std::size_t n_in = shape.n_in * kBlock;
    Floats weights(2 * taps.size());
    for (std::size_t out = 0; out < shape.n_out; ++out)
        kernels.depth_weights(taps.data() + out * 3 * n_in * kBlock, n_in,
                              weights.data() + out * 6 * n_in * kBlock, n_in * kBlock);
    return weights;
}

const std::vector<DepthShape> kDepthShapes{
    {1, 1, 0, 1, 1, true}, {1, 0, 1, 1, 1, true}, {3, 1, 1, 2, 3, true},  {2, 5, 0, 1, 2, true},
    {9, 0, 1, 3, 1, true}, {7, 2, 1, 1, 1, true}, {13, 1, 0, 2, 2, true}, {5, 3, 1, 3, 4, true},
};

void test_conv_depth(const Kernels& kernels, Random& random) {
    for (DepthShape shape : kDepthShapes) {
        const std::string what = label(kernels, "conv depth", shape.n_columns);
        const Floats in = random_floats(random, p_size(shape, shape.n_in));
        const Floats taps = random_floats(random, shape.n_out * shape.n_in * kBlock * 3 * kBlock);
        const Floats want = conv_depth(scalar(), shape, taps, in);
        check::that(check::same(want, conv_depth(kernels, shape, taps, in)), what);
        const Floats weights = transformed(kernels, shape, taps);
        check::that(check::same(transformed(scalar(), shape, taps), weights), what + ", weights");
        shape.taps = false;
        check::that(check::same(want, conv_depth(kernels, shape, weights, in)),
                    what + ", transformed before");
    }
}

// The sum of each output as it is defined, in double.
void test_the_depth_specification_convolves(Random& random) {
    for (const DepthShape& shape : kDepthShapes) {
        const std::size_t n_in = shape.n_in * kBlock, n_z = outputs_z(shape);
        const Floats in = random_floats(random, p_size(shape, shape.n_in));
        const Floats taps = random_floats(random, shape.n_out * n_in * 3 * kBlock);
        const Floats got = conv_depth(scalar(), shape, scaled(taps), in);
        double worst = 0;
        for (std::size_t at = 0; at < got.size(); ++at) {
            const std::size_t lane = at % kBlock, z = at / kBlock % n_z;
            const std::size_t column = at / kBlock / n_z % shape.n_columns;
            const std::size_t out = at / kBlock / n_z / shape.n_columns;
            double sum = 0;
            for (std::size_t i = 0; i < n_in; ++i)
                for (std::size_t tap = 0; tap < 3; ++tap)
                    sum +=
                        double(taps[((out * n_in + i) * 3 + tap) * kBlock + lane]) *
                        double(in[((i / kBlock * shape.n_columns + column) * (n_z + 2) + z + tap) *
                                      kBlock +
                                  i % kBlock]);
            worst = std::max(worst, std::fabs(sum - double(got[at])));
        }
        // 144 products of at most 1 each: sums of about 5, whose transforms are four times as
        // large.
        check::that(worst < 2e-5, "depth by definition, off by " + std::to_string(worst));
    }
}

// ---------------------------------------------------------------------------------------- shallow

constexpr std::size_t kShallowColumn = 4 * kBlock;

// The outputs, [n_out][n_columns][n_planes][16], of planes [n_in][n_columns][n_planes][16].
Floats conv_shallow(const Kernels& kernels, const ShallowShape& shape, const Floats& taps,
                    const Floats& in) {
    const std::size_t line = shape.n_planes * kBlock;
    Floats scratch(line * shape.n_columns * (shape.n_in + nigro::kernels::kMaxProductBlocks));
    Floats p(std::max(shape.n_in, shape.n_out) * shape.n_columns * kShallowColumn, NAN);
    for (std::size_t i = 0; i < shape.n_in * shape.n_columns; ++i)
        std::copy_n(&in[i * line], line, &p[i * kShallowColumn + kBlock]);
    kernels.conv_shallow(shape, taps.data(), p.data(), scratch.data());
    Floats out(shape.n_out * shape.n_columns * line);
    for (std::size_t i = 0; i < shape.n_out * shape.n_columns; ++i)
        std::copy_n(&p[i * kShallowColumn], line, &out[i * line]);
    return out;
}

const std::vector<ShallowShape> kShallowShapes{{1, 1, 1, 1}, {1, 2, 1, 1},  {9, 2, 2, 3},
                                               {7, 1, 3, 2}, {14, 2, 1, 4}, {30, 2, 2, 2}};

void test_conv_shallow(const Kernels& kernels, Random& random) {
    for (const ShallowShape& shape : kShallowShapes) {
        const Floats in =
            random_floats(random, shape.n_in * shape.n_columns * shape.n_planes * kBlock);
        const Floats taps = random_floats(random, shape.n_out * 3 * shape.n_in * kBlock * kBlock);
        check::that(check::same(conv_shallow(scalar(), shape, taps, in),
                                conv_shallow(kernels, shape, taps, in)),
                    label(kernels, "conv shallow", shape.n_columns));
    }
}

void test_the_shallow_specification_convolves(Random& random) {
    for (const ShallowShape& shape : kShallowShapes) {
        const std::size_t n_in = shape.n_in * kBlock, n = shape.n_planes;
        const Floats in = random_floats(random, n_in * shape.n_columns * n);
        const Floats taps = random_floats(random, shape.n_out * 3 * n_in * kBlock);
        const Floats got = conv_shallow(scalar(), shape, taps, in);
        double worst = 0;
        for (std::size_t at = 0; at < got.size(); ++at) {
            const std::size_t lane = at % kBlock, z = at / kBlock % n;
            const std::size_t column = at / kBlock / n % shape.n_columns;
            const std::size_t out = at / kBlock / n / shape.n_columns;
            double sum = 0;
            for (std::size_t plane = 0; plane < n; ++plane)
                for (std::size_t i = 0; i < n_in; ++i)
                    sum +=
                        double(taps[((out * 3 + plane + 1 - z) * n_in + i) * kBlock + lane]) *
                        double(in[((i / kBlock * shape.n_columns + column) * n + plane) * kBlock +
                                  i % kBlock]);
            worst = std::max(worst, std::fabs(sum - double(got[at])));
        }
        // Sums of up to 96 products of at most 1 each.
        check::that(worst < 5e-6, "shallow by definition, off by " + std::to_string(worst));
    }
}

void test_shallow_by_hand() {
    // Planes 2 and 3 of the first input, taps 1, 10, 100: 10 * 2 + 100 * 3 and 1 * 2 + 10 * 3.
    const ShallowShape shape{1, 2, 1, 1};
    Floats taps(3 * kBlock * kBlock), in(2 * kBlock);
    for (std::size_t lane = 0; lane < kBlock; ++lane)
        for (std::size_t tap = 0; tap < 3; ++tap)
            taps[tap * kBlock * kBlock + lane] = tap == 0 ? 1.0F : tap == 1 ? 10.0F : 100.0F;
    in[0] = 2;
    in[kBlock] = 3;
    const Floats out = conv_shallow(scalar(), shape, taps, in);
    check::that(out[5] == 320.0F && out[kBlock + 5] == 32.0F, "shallow by hand");
}

void test_depth_by_hand() {
    // Taps 1, 10, 100 of the first input alone, on 1, 2, 3 …: 1 + 20 + 300, 2 + 30 + 400 …
    for (const DepthShape& shape : {DepthShape{1, 1, 0, 1, 1, true}, {1, 0, 2, 1, 1, true}}) {
        Floats taps(kBlock * 3 * kBlock), in(6 * kBlock);
        for (std::size_t lane = 0; lane < kBlock; ++lane) {
            taps[lane] = 1;
            taps[kBlock + lane] = 10;
            taps[2 * kBlock + lane] = 100;
        }
        for (std::size_t z = 0; z < 6; ++z) in[z * kBlock] = float(z + 1);
        const Floats out = conv_depth(scalar(), shape, scaled(taps), in);
        for (std::size_t z = 0; z < 4; ++z)
            check::that(std::fabs(out[z * kBlock + 3] - float(321 + 111 * z)) < 1e-3F,
                        "depth by hand, output " + std::to_string(z));
    }
}

}  // namespace

int main() {
    Random random(20230517);
    test_plane_weights_by_hand();
    test_depth_by_hand();
    test_shallow_by_hand();
    test_the_depth_specification_convolves(random);
    test_the_shallow_specification_convolves(random);
    for (const Footprint& foot : footprints()) {
        test_the_specification_copies_with_a_middle_tap(foot, random);
        test_the_specification_knows_planes_of_zeros(foot, random);
        test_the_specification_adds(foot, random);
    }
    for (const Kernels& kernels : nigro::kernels::available()) {
        test_plane_weights(kernels, random);
        test_plane_transforms(kernels, random);
        test_conv_depth(kernels, random);
        test_conv_shallow(kernels, random);
    }
    return check::report("test_conv");
}
