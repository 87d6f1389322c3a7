// Every kernel of every instruction set that runs here against the scalar specification, by ==,
// and the specification itself against a few values worked out by hand.
//
// Buffers are as long as the contract says and not one element longer, so that a sanitizer sees
// what reads or writes beyond them.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "check.h"
#include "kernels/dispatch.h"

namespace {

using check::Random;
using nigro::kernels::Kernels;
using nigro::kernels::Stored;
using Bytes = std::vector<unsigned char>;

constexpr std::size_t kSizes[nigro::kernels::kStoredTypes] = {1, 1, 2, 2, 4, 4, 4, 8};
constexpr float kUntouched = -12345.5F;

const Kernels& scalar() { return *nigro::kernels::find("scalar"); }

// ------------------------------------------------------------------------------------- examples

float load_one(Stored type, bool swapped, Bytes bytes, double slope, double intercept) {
    float value = 0;
    scalar().load[static_cast<std::size_t>(type)][swapped ? 1 : 0](bytes.data(), 1, slope,
                                                                   intercept, &value);
    return value;
}

void test_the_specification_by_hand() {
    check::that(load_one(Stored::i16, true, {0xFF, 0xFE}, 2, 1) == -3, "2 * -2 + 1, swapped");
    check::that(load_one(Stored::i8, false, {0x80}, 1, 0) == -128, "least i8");
    check::that(load_one(Stored::u32, false, {0xFF, 0xFF, 0xFF, 0xFF}, 1, 0) == 4294967296.0F,
                "greatest u32 rounds to 2^32");
    check::that(check::same(load_one(Stored::f32, false, {0, 0, 0, 0x80}, 1, 0), 0.0F),
                "a stored -0 is worth +0");

    const Bytes bytes{1, 2, 3, 4, 5, 6};
    std::vector<float> turned(6);
    scalar().load_transposed[0][0](bytes.data(), 3, 2, 3, 1, 0, turned.data(), 2);
    check::that(turned == std::vector<float>{1, 4, 2, 5, 3, 6}, "two runs of three as columns");

    const float matrix[6] = {1, 2, 3, 4, 5, 6};

    const float* rows[2] = {matrix, matrix + 3};
    const float weights[2] = {0.75F, 0.25F};
    std::vector<float> mixed(3);
    scalar().blend(rows, weights, 2, 3, mixed.data());
    check::that(mixed == std::vector<float>{1.75F, 2.75F, 3.75F}, "three quarters, one quarter");

    const auto moments = scalar().moments(matrix, 6, 3);
    check::that(moments.sum == 3 && moments.squares == 19, "-2 -1 0 1 2 3 and their squares");
    std::vector<float> scaled(6);
    scalar().rescale(matrix, 6, 2, -2, scaled.data());
    check::that(scaled == std::vector<float>{0, 2, 4, 6, 8, 10}, "2 x - 2");
}

void test_names() {
    check::that(nigro::kernels::find("sclar") == nullptr, "an unknown name finds nothing");
    check::that(std::string(nigro::kernels::available().front().name) == "scalar", "scalar first");
#if defined(__aarch64__)
    check::that(nigro::kernels::find("neon") != nullptr, "neon on AArch64");
#endif
}

// ---------------------------------------------------------------------------------------- parity

// Random bytes: every bit pattern is an integer, and among floats some are NaN, infinite or tiny.
Bytes random_bytes(Random& random, std::size_t n) {
    Bytes bytes(n);
    for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random());
    return bytes;
}

struct Scaling {
    double slope, intercept;
};
constexpr Scaling kScalings[] = {{1, 0}, {1, -0.0}, {0.0123456789, -3.25}, {-1, 0}, {1, 1e-3}};

void test_load(const Kernels& kernels, Random& random) {
    for (std::size_t type = 0; type < nigro::kernels::kStoredTypes; ++type)
        for (const std::size_t swapped : {0, 1})
            for (const Scaling& scaling : kScalings)
                for (std::size_t n = 1; n < 40; ++n) {
                    const std::size_t offset = check::below(random, 8);
                    const Bytes bytes = random_bytes(random, offset + n * kSizes[type]);
                    std::vector<float> want(n), got(n);
                    scalar().load[type][swapped](bytes.data() + offset, n, scaling.slope,
                                                 scaling.intercept, want.data());
                    kernels.load[type][swapped](bytes.data() + offset, n, scaling.slope,
                                                scaling.intercept, got.data());
                    check::that(check::same(want, got), std::string(kernels.name) + " load type " +
                                                            std::to_string(type) + " n " +
                                                            std::to_string(n));
                }
}

void test_load_of_every_16_bit_value(const Kernels& kernels) {
    Bytes bytes(2 * 65536);
    for (std::size_t i = 0; i < 65536; ++i) {
        bytes[2 * i] = static_cast<unsigned char>(i);
        bytes[2 * i + 1] = static_cast<unsigned char>(i >> 8);
    }
    for (const Stored type : {Stored::u16, Stored::i16})
        for (const std::size_t swapped : {0, 1})
            for (const Scaling& scaling : kScalings) {
                std::vector<float> want(65536), got(65536);
                const auto slot = static_cast<std::size_t>(type);
                scalar().load[slot][swapped](bytes.data(), 65536, scaling.slope, scaling.intercept,
                                             want.data());
                kernels.load[slot][swapped](bytes.data(), 65536, scaling.slope, scaling.intercept,
                                            got.data());
                check::that(check::same(want, got),
                            std::string(kernels.name) + " load of every 16 bit value");
            }
}

void test_load_strided(const Kernels& kernels, Random& random) {
    for (std::size_t type = 0; type < nigro::kernels::kStoredTypes; ++type)
        for (const std::size_t swapped : {0, 1}) {
            const std::size_t size = kSizes[type];
            const std::size_t n = 1 + check::below(random, 20);
            Bytes bytes = random_bytes(random, n * size);
            std::vector<float> forward(n), backward(n);
            kernels.load[type][swapped](bytes.data(), n, 1.5, 0.25, forward.data());
            kernels.load_strided[type][swapped](bytes.data() + (n - 1) * size,
                                                -static_cast<std::ptrdiff_t>(size), n, 1.5, 0.25,
                                                backward.data());
            const std::vector<float> mirrored(backward.rbegin(), backward.rend());
            check::that(check::same(forward, mirrored),
                        std::string(kernels.name) + " load_strided type " + std::to_string(type));
        }
}

void test_load_transposed(const Kernels& kernels, Random& random) {
    for (int round = 0; round < 3000; ++round) {
        const std::size_t type = check::below(random, nigro::kernels::kStoredTypes);
        const std::size_t swapped = check::below(random, 2);
        const Scaling& scaling = kScalings[check::below(random, 5)];
        const std::size_t n_rows = 1 + check::below(random, 30);
        const std::size_t n = 1 + check::below(random, 30);
        const std::size_t offset = check::below(random, 8);
        const std::size_t src_stride = n * kSizes[type] + check::below(random, 9);
        const std::size_t dst_stride = n_rows + check::below(random, 9);
        const Bytes src =
            random_bytes(random, offset + (n_rows - 1) * src_stride + n * kSizes[type]);
        const bool downward = check::below(random, 2) == 0;
        const std::size_t origin = downward ? (n - 1) * dst_stride : 0;
        const auto step = static_cast<std::ptrdiff_t>(dst_stride) * (downward ? -1 : 1);
        std::vector<float> want((n - 1) * dst_stride + n_rows, kUntouched), got = want;
        scalar().load_transposed[type][swapped](
            src.data() + offset, static_cast<std::ptrdiff_t>(src_stride), n_rows, n, scaling.slope,
            scaling.intercept, want.data() + origin, step);
        kernels.load_transposed[type][swapped](
            src.data() + offset, static_cast<std::ptrdiff_t>(src_stride), n_rows, n, scaling.slope,
            scaling.intercept, got.data() + origin, step);
        check::that(check::same(want, got), std::string(kernels.name) + " load_transposed type " +
                                                std::to_string(type) + " " +
                                                std::to_string(n_rows) + " x " + std::to_string(n));
    }
}

void test_blend(const Kernels& kernels, Random& random) {
    for (std::size_t n = 1; n < 70; ++n)
        for (std::size_t n_rows = 1; n_rows < 7; ++n_rows) {
            const float size = n % 2 == 0 ? 1000.0F : 1.0F;
            std::vector<std::vector<float>> values;
            std::vector<const float*> rows;
            for (std::size_t t = 0; t < n_rows; ++t)
                values.push_back(check::uniforms(random, n, -size, size));
            for (const auto& row : values) rows.push_back(row.data());
            const std::vector<float> weights = check::uniforms(random, n_rows, 0, 1);
            std::vector<float> want(n), got(n);
            scalar().blend(rows.data(), weights.data(), n_rows, n, want.data());
            kernels.blend(rows.data(), weights.data(), n_rows, n, got.data());
            check::that(check::same(want, got), std::string(kernels.name) + " blend n " +
                                                    std::to_string(n) + " rows " +
                                                    std::to_string(n_rows));
        }
}

void test_blend_of_equal_values(const Kernels& kernels, Random& random) {
    for (int round = 0; round < 100; ++round) {
        const std::vector<float> row(11, check::uniform(random, -1000, 1000));
        const float* const rows[3] = {row.data(), row.data(), row.data()};
        const float third[3] = {1 / 3.0F, 1 / 3.0F, 1 / 3.0F};
        std::vector<float> got(11);
        kernels.blend(rows, third, 3, 11, got.data());
        check::that(got == row, std::string(kernels.name) + " blend of equal values");
    }
}

void test_statistics(const Kernels& kernels, Random& random) {
    for (std::size_t n = 1; n < 140; ++n) {
        const std::vector<float> x = check::uniforms(random, n, -500, 2000);
        const auto want = scalar().moments(x.data(), n, 123.4567);
        const auto got = kernels.moments(x.data(), n, 123.4567);
        const std::string what = std::string(kernels.name) + " statistics n " + std::to_string(n);
        check::that(check::same(want.sum, got.sum), what + " sum");
        check::that(check::same(want.squares, got.squares), what + " squares");
        std::vector<float> scaled(n), in_place = x;
        scalar().rescale(x.data(), n, 0.0123, -77.7, scaled.data());
        kernels.rescale(in_place.data(), n, 0.0123, -77.7, in_place.data());
        check::that(check::same(scaled, in_place), what + " rescale");
    }
}

void test_squares_say_what_cannot_be_normalised(const Kernels& kernels, Random& random) {
    const float infinity = std::numeric_limits<float>::infinity();
    for (const float poison : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()})
        for (std::size_t n = 1; n < 70; ++n) {
            std::vector<float> x = check::uniforms(random, n, -1, 1);
            x[check::below(random, n)] = poison;
            check::that(!std::isfinite(kernels.moments(x.data(), n, 0.5).squares),
                        std::string(kernels.name) + " value that is not finite");
        }
    std::vector<float> x(1000, std::numeric_limits<float>::max());
    check::that(std::isfinite(kernels.moments(x.data(), x.size(), -1e38).squares), "huge values");
    check::that(kernels.moments(x.data(), x.size(), x[0]).squares == 0, "equal values");
    std::fill(x.begin(), x.end(), 0.0F);
    x[999] = std::numeric_limits<float>::denorm_min();
    check::that(kernels.moments(x.data(), x.size(), 0).squares > 0, "the least difference");
}

}  // namespace

int main() {
    test_the_specification_by_hand();
    test_names();
    for (const Kernels& kernels : nigro::kernels::available()) {
        Random random(20230613);
        std::printf("instruction set %s\n", kernels.name);
        test_load(kernels, random);
        test_load_of_every_16_bit_value(kernels);
        test_load_strided(kernels, random);
        test_load_transposed(kernels, random);
        test_blend(kernels, random);
        test_blend_of_equal_values(kernels, random);
        test_statistics(kernels, random);
        test_squares_say_what_cannot_be_normalised(kernels, random);
    }
    return check::report("test_kernels");
}
