// Normalise the values of a patch.
// SPDX-License-Identifier: Apache-2.0
#include "core/normalize.h"

#include <cmath>
#include <cstdio>
#include <string>

#include "core/error.h"

namespace nigro {
namespace {

std::string text(double value) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.6g", value);
    return buffer;
}

// Mean and population SD of finite values that are not all equal.
struct Statistics {
    double mean;
    double sd;
};

// The pivot is one of the values, so equal values have squares of exactly 0, and the variance loses
// at most the digits of n: (mean - pivot)^2 is no more than n - 1 times the variance.
Statistics statistics_of(const kernels::Kernels& kernels, const float* x, std::size_t n) {
    const auto pivot = static_cast<double>(x[0]);
    const kernels::Moments moments = kernels.moments(x, n, pivot);
    if (!std::isfinite(moments.squares))
        throw DegeneratePatchError("expected finite values in the patch, got NaN or infinity");
    if (moments.squares == 0)
        throw DegeneratePatchError("expected a patch with contrast, got " + std::to_string(n) +
                                   " voxels of the same value, " + text(pivot));
    const double offset = moments.sum / static_cast<double>(n);
    const double variance = moments.squares / static_cast<double>(n) - offset * offset;
    return {pivot + offset, std::sqrt(variance)};
}

// 1 / mean, if no value of a patch with these statistics can grow beyond float32 by it.
double gain_of(const Statistics& statistics, std::size_t n) {
    if (!(statistics.mean > 0))
        throw DegeneratePatchError("expected a patch of mean above 0 to divide by, got mean " +
                                   text(statistics.mean));
    const double gain = 1 / statistics.mean;
    const double farthest = statistics.mean + statistics.sd * std::sqrt(static_cast<double>(n));
    if (!std::isfinite(static_cast<float>(farthest * gain)))
        throw DegeneratePatchError("expected a patch of mean fit to divide by, got mean " +
                                   text(statistics.mean) + " with SD " + text(statistics.sd));
    return gain;
}

}  // namespace

Normalization normalization(std::string_view name) {
    if (name == "mean") return Normalization::mean;
    if (name == "zscore") return Normalization::zscore;
    throw BadArgument("expected normalisation 'mean' or 'zscore', got '" + std::string(name) + "'");
}

void normalize(const kernels::Kernels& kernels, Normalization method, const float* x, std::size_t n,
               float* patch) {
    if (n == 0) throw DegeneratePatchError("expected a patch of at least one voxel, got none");
    const Statistics statistics = statistics_of(kernels, x, n);
    if (method == Normalization::mean)
        return kernels.rescale(x, n, gain_of(statistics, n), 0, patch);
    const double gain = 1 / statistics.sd;
    kernels.rescale(x, n, gain, -statistics.mean * gain, patch);
}

}  // namespace nigro
