// Normalise the values of a patch.
// SPDX-License-Identifier: Apache-2.0
#include "core/normalize.h"

#include <algorithm>
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

void check(const kernels::Summary& summary, std::size_t n) {
    if (!std::isfinite(summary.sum))
        throw DegeneratePatchError("expected finite values in the patch, got NaN or infinity");
    if (summary.min == summary.max)
        throw DegeneratePatchError("expected a patch with contrast, got " + std::to_string(n) +
                                   " voxels of the same value, " +
                                   text(static_cast<double>(summary.min)));
}

double gain_of_mean(double mean, const kernels::Summary& summary) {
    if (!(mean > 0))
        throw DegeneratePatchError("expected a patch of mean above 0 to divide by, got mean " +
                                   text(mean));
    const double gain = 1 / mean;
    const double greatest = std::max(std::abs(static_cast<double>(summary.min)),
                                     std::abs(static_cast<double>(summary.max)));
    if (!std::isfinite(static_cast<float>(greatest * gain)))
        throw DegeneratePatchError("expected a patch of mean fit to divide by, got mean " +
                                   text(mean) + " beside a value of size " + text(greatest));
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
    const kernels::Summary summary = kernels.summarize(x, n);
    check(summary, n);
    const auto count = static_cast<double>(n);
    const double mean = summary.sum / count;
    if (method == Normalization::mean)
        return kernels.rescale(x, n, 0, gain_of_mean(mean, summary), patch);
    const double sd = std::sqrt(kernels.sum_squares(x, n, mean) / count);
    kernels.rescale(x, n, mean, 1 / sd, patch);
}

}  // namespace nigro
