// Normalise the values of a patch.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

#include "kernels/kernels.h"

namespace nigro {

enum class Normalization { mean, zscore };

// The method of that name; BadArgument if there is none.
Normalization normalization(std::string_view name);

// Writes the normalised `n` values of `x` to `patch`, which may be `x`:
//
//     mean    float32(x * (1 / mean))
//     zscore  float32((x - mean) * (1 / SD)), SD that of the population
//
// Statistics are those of every value, in float64: the sum of the summarize kernel over n, and the
// square root of the sum_squares kernel about that mean over n. The reciprocal is rounded once to
// float64, and so is each of the two steps before the result is rounded to float32.
//
// Throws DegeneratePatchError, with nothing written, if there are no values, some are not finite,
// all are equal, or, for `mean`, their mean is not above 0 or too small to divide by.
void normalize(const kernels::Kernels& kernels, Normalization method, const float* x, std::size_t n,
               float* patch);

}  // namespace nigro
