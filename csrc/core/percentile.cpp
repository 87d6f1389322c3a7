// Finds percentiles: see percentile.h.
//
// Sorting is more than is asked for. Values are counted in bins of equal width, which the values of
// an image fill evenly enough; then only those of the bin that holds an order statistic are sorted
// out. Whatever the bins hold, what comes out is that order statistic.
// SPDX-License-Identifier: Apache-2.0
#include "core/percentile.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace nigro {
namespace {

class Bins {
public:
    Bins(const float* x, std::size_t n, const Extremes& range) : x_(x), bin_of_(n), ends_(kBins) {
        const auto least = static_cast<double>(range.least);
        const double width = static_cast<double>(range.most) - least;
        const double per_width = width > 0 ? (kBins - 1) / width : 0;
        for (std::size_t i = 0; i < n; ++i) {
            const double place = (static_cast<double>(x[i]) - least) * per_width;
            bin_of_[i] = static_cast<std::uint16_t>(place);  // rises with x: both roundings do
            ++ends_[bin_of_[i]];
        }
        for (std::size_t bin = 1; bin < kBins; ++bin) ends_[bin] += ends_[bin - 1];
    }

    // The value that has 'rank' smaller or equal ones before it.
    double at(std::size_t rank) {
        const auto bin = static_cast<std::size_t>(
            std::upper_bound(ends_.begin(), ends_.end(), rank) - ends_.begin());
        held_.clear();
        for (std::size_t i = 0; i < bin_of_.size(); ++i)
            if (bin_of_[i] == bin) held_.push_back(x_[i]);
        const std::size_t before = bin == 0 ? 0 : ends_[bin - 1];
        const auto wanted = held_.begin() + static_cast<std::ptrdiff_t>(rank - before);
        std::nth_element(held_.begin(), wanted, held_.end());
        return static_cast<double>(*wanted);
    }

private:
    static constexpr std::size_t kBins = 4096;

    const float* x_;
    std::vector<std::uint16_t> bin_of_;
    std::vector<std::size_t> ends_;  // values in a bin and those before it
    std::vector<float> held_;
};

double percentile(Bins& bins, std::size_t n, double q) {
    const double place = static_cast<double>(n - 1) * (q / 100);
    const double whole = std::floor(place), part = place - whole;
    const auto rank = static_cast<std::size_t>(whole);
    const double below = bins.at(rank);
    const double above = part > 0 ? bins.at(rank + 1) : below;
    // From the nearer end, as numpy does.
    return part < 0.5 ? below + (above - below) * part : above - (above - below) * (1 - part);
}

}  // namespace

// Lanes that do not meet: the compiler makes vectors of them.
Extremes range_of(const float* x, std::size_t n) {
    constexpr std::size_t kLanes = 16;
    float least[kLanes], most[kLanes];
    std::fill_n(least, kLanes, x[0]);
    std::fill_n(most, kLanes, x[0]);
    const std::size_t whole = n / kLanes * kLanes;
    for (std::size_t i = 0; i < whole; i += kLanes)
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            least[lane] = std::min(least[lane], x[i + lane]);
            most[lane] = std::max(most[lane], x[i + lane]);
        }
    for (std::size_t i = whole; i < n; ++i) {
        least[0] = std::min(least[0], x[i]);
        most[0] = std::max(most[0], x[i]);
    }
    return {*std::min_element(least, least + kLanes), *std::max_element(most, most + kLanes)};
}

Percentiles percentiles(const float* x, std::size_t n, const Extremes& range, double low,
                        double high) {
    Bins bins(x, n, range);
    return {percentile(bins, n, low), percentile(bins, n, high)};
}

}  // namespace nigro
