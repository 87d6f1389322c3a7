// Normalise the values of a patch.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

#include "kernels/kernels.h"

namespace nigro {

// How a patch is normalised. Of finite values that are not all equal:
//
//     none             x
//     mean             x / mean
//     divide K         x / K
//     zscore           (x - mean) / SD
//     zscore-nonzero   the same of the values that are not 0; those that are stay 0
//     minmax           (x - least) / (most - least)
//     percentile A B   (x - a) / (b - a), a and b the percentiles A and B of all values,
//                      interpolated linearly between order statistics; with 'clip' behind it
//                      results below 0 become 0 and those above 1 become 1
//
// Numbers are decimal, without sign or exponent: K above 0, 0 <= A < B <= 100.
struct Normalization {
    enum Kind { kNone, kMean, kDivide, kZscore, kZscoreNonzero, kMinmax, kPercentile };
    Kind kind = kMean;
    double divisor = 1;          // K
    double low = 0, high = 100;  // A and B
    bool clips = false;

    // Whether a value keeps its sign: then a patch that is never negative is not afterwards.
    bool keeps_signs() const { return kind == kNone || kind == kMean || kind == kDivide; }
};

// What 'text' says, as above with single spaces. Throws BadArgument if it says nothing.
Normalization normalization(std::string_view text);

// What 'text' may be, for messages.
inline constexpr std::string_view kNormalizations =
    "none, mean, divide K, zscore, zscore-nonzero, minmax or percentile LOW HIGH [clip]";

// Mean and population SD of finite values that are not all equal.
struct Statistics {
    double mean;
    double sd;
};

// Writes the normalised `n` values of `x` to `patch`, which may be `x`: float32(fma(x, gain,
// offset)), gain and offset in float64; one rounding to float32. Statistics are float64 and over
// every value: with d = x - x[0] and S, Q the two sums of the moments kernel, mean = x[0] + S / n
// and SD, that of the population, = sqrt(Q / n - (S / n)^2). Returns those of `x`; for
// `zscore-nonzero` of what is not 0.
//
// Throws DegeneratePatchError, with nothing written, if there are no values, some are not finite,
// all (for `zscore-nonzero`: all but zeros) are equal, what is divided by is not above 0, or a
// result would be too large for float32.
Statistics normalize(const kernels::Kernels& kernels, const Normalization& how, const float* x,
                     std::size_t n, float* patch);

}  // namespace nigro
