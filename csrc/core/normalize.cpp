// Normalise the values of a patch.
// SPDX-License-Identifier: Apache-2.0
#include "core/normalize.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/percentile.h"

namespace nigro {
namespace {

using kernels::Kernels;

std::string text(double value) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.6g", value);
    return buffer;
}

// ----------------------------------------------------------------------------------------- words

std::vector<std::string_view> words_of(std::string_view text) {
    std::vector<std::string_view> words;
    while (true) {
        const std::size_t end = text.find(' ');
        words.push_back(text.substr(0, end));
        if (end == std::string_view::npos) return words;
        text.remove_prefix(end + 1);
    }
}

// Digits, and perhaps a point between them, up to 20 characters; -1 otherwise.
double number(std::string_view word) {
    const bool fits = !word.empty() && word.size() <= 20 && word.front() != '.' &&
                      word.back() != '.' &&
                      word.find_first_not_of("0123456789.") == std::string_view::npos;
    double value = -1;
    const char* const end = word.data() + word.size();
    if (!fits || std::from_chars(word.data(), end, value, std::chars_format::fixed).ptr != end)
        return -1;
    return value;
}

// ------------------------------------------------------------------------------------ statistics

// The pivot is one of the values, so equal values have squares of exactly 0, and the variance loses
// at most the digits of n: (mean - pivot)^2 is no more than n - 1 times the variance.
Statistics statistics_of(const Kernels& kernels, const float* x, std::size_t n) {
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

Statistics statistics_of_nonzero(const Kernels& kernels, const float* x, std::size_t n) {
    std::vector<float> kept(n);
    kept.resize(
        std::size_t(std::copy_if(x, x + n, kept.begin(), [](float value) { return value != 0; }) -
                    kept.begin()));
    return statistics_of(kernels, kept.data(), kept.size());  // one is there: not all are equal
}

// --------------------------------------------------------------------------------------- scaling

// What x becomes: x * gain + offset.
struct Scaling {
    double gain, offset;

    double of(float value) const { return static_cast<double>(value) * gain + offset; }
};

// If no value of a patch with these statistics can grow beyond float32 by it.
Scaling by_mean(const Statistics& statistics, std::size_t n) {
    if (!(statistics.mean > 0))
        throw DegeneratePatchError("expected a patch of mean above 0 to divide by, got mean " +
                                   text(statistics.mean));
    const double gain = 1 / statistics.mean;
    const double farthest = statistics.mean + statistics.sd * std::sqrt(static_cast<double>(n));
    if (!std::isfinite(static_cast<float>(farthest * gain)))
        throw DegeneratePatchError("expected a patch of mean fit to divide by, got mean " +
                                   text(statistics.mean) + " with SD " + text(statistics.sd));
    return {gain, 0};
}

Scaling by_sd(const Statistics& statistics) {
    const double gain = 1 / statistics.sd;
    return {gain, -statistics.mean * gain};
}

// Extremes become extremes: if they fit float32, all do.
Scaling checked(const Scaling& scaling, const Extremes& range) {
    for (const float value : {range.least, range.most})
        if (!std::isfinite(static_cast<float>(scaling.of(value))))
            throw DegeneratePatchError("expected a patch fit to be scaled, got values from " +
                                       text(static_cast<double>(range.least)) + " to " +
                                       text(static_cast<double>(range.most)) + " times " +
                                       text(scaling.gain));
    return scaling;
}

// So that 'low' becomes 0 and 'high' 1.
Scaling between(double low, double high, const Extremes& range) {
    if (!(high > low))
        throw DegeneratePatchError("expected percentiles that differ, got " + text(low) + " twice");
    const double gain = 1 / (high - low);
    return checked({gain, -low * gain}, range);
}

Statistics statistics_for(const Kernels& kernels, const Normalization& how, const float* x,
                          std::size_t n) {
    const Statistics statistics = statistics_of(kernels, x, n);  // also of zeros: checked
    return how.kind == Normalization::kZscoreNonzero ? statistics_of_nonzero(kernels, x, n)
                                                     : statistics;
}

Scaling scaling_of(const Statistics& statistics, const Normalization& how, const float* x,
                   std::size_t n) {
    if (how.kind == Normalization::kNone) return {1, 0};
    if (how.kind == Normalization::kMean) return by_mean(statistics, n);
    if (how.kind == Normalization::kZscore || how.kind == Normalization::kZscoreNonzero)
        return by_sd(statistics);
    const Extremes range = range_of(x, n);
    if (how.kind == Normalization::kDivide) return checked({1 / how.divisor, 0}, range);
    if (how.kind == Normalization::kMinmax)
        return between(static_cast<double>(range.least), static_cast<double>(range.most), range);
    const Percentiles found = percentiles(x, n, range, how.low, how.high);
    return between(found.low, found.high, range);
}

}  // namespace

Normalization normalization(std::string_view text) {
    using N = Normalization;
    const std::vector<std::string_view> words = words_of(text);
    constexpr struct {
        std::string_view name;
        N::Kind kind;
    } kPlain[] = {{"none", N::kNone},
                  {"mean", N::kMean},
                  {"zscore", N::kZscore},
                  {"zscore-nonzero", N::kZscoreNonzero},
                  {"minmax", N::kMinmax}};
    N how;
    for (const auto& plain : kPlain) {
        how.kind = plain.kind;
        if (text == plain.name) return how;
    }
    if (words.size() == 2 && words[0] == "divide") {
        how.kind = N::kDivide;
        how.divisor = number(words[1]);
        if (how.divisor > 0) return how;
    }
    how.clips = words.size() == 4 && words[3] == "clip";
    if (words[0] == "percentile" && (words.size() == 3 || how.clips)) {
        how.kind = N::kPercentile;
        how.low = number(words[1]);
        how.high = number(words[2]);
        if (0 <= how.low && how.low < how.high && how.high <= 100) return how;
    }
    throw BadArgument("expected normalisation " + std::string(kNormalizations) + ", got '" +
                      std::string(text) + "'");
}

Statistics normalize(const Kernels& kernels, const Normalization& how, const float* x,
                     std::size_t n, float* patch) {
    if (n == 0) throw DegeneratePatchError("expected a patch of at least one voxel, got none");
    const Statistics statistics = statistics_for(kernels, how, x, n);
    const Scaling scaling = scaling_of(statistics, how, x, n);
    if (how.kind == Normalization::kZscoreNonzero) {
        for (std::size_t i = 0; i < n; ++i)  // the kernel's operations, but for zeros
            patch[i] = x[i] == 0 ? 0.0F
                                 : static_cast<float>(std::fma(static_cast<double>(x[i]),
                                                               scaling.gain, scaling.offset));
        return statistics;
    }
    kernels.rescale(x, n, scaling.gain, scaling.offset, patch);
    if (how.clips || how.kind == Normalization::kMinmax)  // what rounding has put a hair beyond
        for (std::size_t i = 0; i < n; ++i) patch[i] = std::min(std::max(patch[i], 0.0F), 1.0F);
    return statistics;
}

}  // namespace nigro
