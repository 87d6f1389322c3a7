// Computes activations: see activation.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/activation.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace nigro {
namespace {

double power_of_two(int n) {
    const std::uint64_t bits = static_cast<std::uint64_t>(n + 1023) << 52;
    double value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

template <class Function>
void each(float* values, std::size_t n, const Function& function) {
    for (std::size_t i = 0; i < n; ++i)
        values[i] = static_cast<float>(function(static_cast<double>(values[i])));
}

}  // namespace

namespace {

// exp(x) = scale (1 + rest), scale a power of two.
struct Exponential {
    double scale, rest;
};

Exponential exponential(double x) {
    // x = n log 2 + r. The upper part of log 2 has 21 zero bits at its end, so that n times it is
    // exact (fdlibm's split).
    constexpr double kUpper = 6.93147180369123816490e-01, kLower = 1.90821492927058770002e-10;
    constexpr double kPerLog2 = 1.44269504088896338700;
    const double bounded = std::min(std::max(x, -700.0), 700.0);
    const double scaled = bounded * kPerLog2;
    const int n = static_cast<int>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    const double r = (bounded - n * kUpper) - n * kLower;
    // exp(r) - 1 by its series: |r| < 0.35, and 0.35^14 / 14! is 5e-18.
    constexpr double kInverseFactorials[] = {1.0 / 6227020800,
                                             1.0 / 479001600,
                                             1.0 / 39916800,
                                             1.0 / 3628800,
                                             1.0 / 362880,
                                             1.0 / 40320,
                                             1.0 / 5040,
                                             1.0 / 720,
                                             1.0 / 120,
                                             1.0 / 24,
                                             1.0 / 6,
                                             1.0 / 2,
                                             1.0};
    double sum = 0;
    for (const double coefficient : kInverseFactorials) sum = sum * r + coefficient;
    return {power_of_two(n), sum * r};
}

}  // namespace

double exp_of(double x) {
    const Exponential e = exponential(x);
    return e.scale + e.scale * e.rest;
}

double expm1_of(double x) {
    const Exponential e = exponential(x);
    return e.scale * e.rest + (e.scale - 1);
}

double log1p_of(double y) {
    // log(1 + y) = 2 artanh(s), s = y / (2 + y) up to 1/3, by its series: s^36 / 37 is 2e-19.
    const double s = y / (2 + y), square = s * s;
    double sum = 0;
    for (int k = 35; k >= 1; k -= 2) sum = sum * square + 1.0 / k;
    return 2 * s * sum;
}

void activate(const Activation& activation, float* values, std::size_t n) {
    const double alpha = static_cast<double>(activation.alpha);
    switch (activation.kind) {
        case Activation::kNone:
            return;
        case Activation::kRelu:
            for (std::size_t i = 0; i < n; ++i) values[i] = values[i] > 0 ? values[i] : 0.0F;
            return;
        case Activation::kLeakyRelu:
            for (std::size_t i = 0; i < n; ++i)
                values[i] = values[i] > 0 ? values[i] : values[i] * activation.alpha;
            return;
        case Activation::kElu:
            return each(values, n, [&](double x) { return x > 0 ? x : alpha * expm1_of(x); });
        case Activation::kSigmoid:
            return each(values, n, [](double x) { return 1 / (1 + exp_of(-x)); });
        case Activation::kSoftplus:
            return each(values, n, [](double x) {
                return std::max(x, 0.0) + log1p_of(exp_of(x > 0 ? -x : x));
            });
    }
}

}  // namespace nigro
