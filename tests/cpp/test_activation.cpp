// Activations: near the C library in float64, exact where that is known, and the same bits
// everywhere. SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "core/activation.h"

namespace {

using nigro::Activation;

// A few units of the last place of float64: the sums of the series round once for each term.
constexpr double kTolerance = 1e-15;

void test_exp_and_log_are_near_the_c_library(check::Random& random) {
    double exp_off = 0, expm1_off = 0, log1p_off = 0;
    for (int i = 0; i < 100000; ++i) {
        const double u = double(check::below(random, 1000001)) / 1e6;
        const double x = (u - 0.5) * (i % 2 ? 2 : 1200), y = u;
        exp_off = std::max(exp_off, std::abs(nigro::exp_of(x) / std::exp(x) - 1));
        const double m1 = std::expm1(x);
        expm1_off = std::max(expm1_off, std::abs(nigro::expm1_of(x) - m1) / (1 + std::abs(m1)));
        log1p_off = std::max(log1p_off, std::abs(nigro::log1p_of(y) - std::log1p(y)));
    }
    check::that(exp_off < kTolerance, "exp off by " + std::to_string(exp_off * 1e16) + "e-16");
    check::that(expm1_off < kTolerance,
                "expm1 off by " + std::to_string(expm1_off * 1e16) + "e-16");
    check::that(log1p_off < kTolerance,
                "log1p off by " + std::to_string(log1p_off * 1e16) + "e-16");
}

std::vector<float> activated(Activation activation, std::vector<float> values) {
    nigro::activate(activation, values.data(), values.size());
    return values;
}

void test_by_hand() {
    const std::vector<float> x{-2, 0, 3};
    check::that(activated({Activation::kNone}, x) == x, "none");
    check::that(activated({Activation::kRelu}, x) == std::vector<float>{0, 0, 3}, "relu");
    check::that(activated({Activation::kLeakyRelu, 0.5F}, x) == std::vector<float>{-1, 0, 3},
                "leaky relu");
    check::that(activated({Activation::kSigmoid}, {0, 800, -800}) == std::vector<float>{0.5F, 1, 0},
                "sigmoid");
    check::that(activated({Activation::kElu, 2}, {0, 5, -800}) == std::vector<float>{0, 5, -2},
                "elu");
    const auto soft = activated({Activation::kSoftplus}, {0, 800, -800});
    check::that(soft == std::vector<float>{0.693147182F, 800, 0}, "softplus");
    check::that(nigro::expm1_of(0) == 0 && nigro::exp_of(0) == 1 && nigro::log1p_of(0) == 0,
                "zero");
}

void test_bits(check::Random& random, check::Digest& digest) {
    const std::vector<float> x = check::uniforms(random, 1000, -20.0F, 20.0F);
    for (const auto kind : {Activation::kElu, Activation::kSigmoid, Activation::kSoftplus})
        digest.add(activated({kind, 1}, x));
}

}  // namespace

int main() {
    check::Random random(11);
    check::Digest digest;
    test_by_hand();
    test_exp_and_log_are_near_the_c_library(random);
    test_bits(random, digest);
    // Made on x86-64; emulated 64-bit Arm must come to the same.
    constexpr std::uint64_t kDigest = 9982613911608336788U;
    check::that(digest.value() == kDigest, "digest " + std::to_string(digest.value()));
    return check::report("test_activation");
}
