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
//     mean    x / mean           float32(x * gain), gain = 1 / mean
//     zscore  (x - mean) / SD    float32(fma(x, gain, -(mean * gain))), gain = 1 / SD
//
// Everything is float64 and over every value. With d = x - x[0] and S, Q the two sums of the
// moments kernel, mean = x[0] + S / n and SD, that of the population, = sqrt(Q / n - (S / n)^2).
//
// Throws DegeneratePatchError, with nothing written, if there are no values, some are not finite,
// all are equal, or, for `mean`, their mean is not above 0 or too small to divide by.
void normalize(const kernels::Kernels& kernels, Normalization method, const float* x, std::size_t n,
               float* patch);

}  // namespace nigro
