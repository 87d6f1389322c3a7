// The specification of every kernel: plain loops that can be checked by eye. Never tuned.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/kernels.h"

namespace nigro::kernels {
namespace {

template <class T, bool kSwapped>
T read(const unsigned char* src) {
    unsigned char bytes[sizeof(T)];
    std::memcpy(bytes, src, sizeof(T));
    if (kSwapped) std::reverse(bytes, bytes + sizeof(T));
    T value;
    std::memcpy(&value, bytes, sizeof(T));
    return value;
}

template <class T, bool kSwapped>
void load_strided(const unsigned char* src, std::ptrdiff_t stride, std::size_t n, double slope,
                  double intercept, float* dst) {
    for (std::size_t i = 0; i < n; ++i) {
        const auto stored = read<T, kSwapped>(src + static_cast<std::ptrdiff_t>(i) * stride);
        dst[i] = static_cast<float>(std::fma(slope, static_cast<double>(stored), intercept));
    }
}

template <class T, bool kSwapped>
void load(const unsigned char* src, std::size_t n, double slope, double intercept, float* dst) {
    load_strided<T, kSwapped>(src, sizeof(T), n, slope, intercept, dst);
}

template <class T>
void fill_loads(Kernels& table, Stored type) {
    const auto slot = static_cast<std::size_t>(type);
    table.load[slot][0] = load<T, false>;
    table.load[slot][1] = load<T, true>;
    table.load_strided[slot][0] = load_strided<T, false>;
    table.load_strided[slot][1] = load_strided<T, true>;
}

void transpose(const float* src, std::size_t src_stride, std::size_t n_rows, std::size_t n_columns,
               float* dst, std::ptrdiff_t dst_stride) {
    for (std::size_t r = 0; r < n_rows; ++r)
        for (std::size_t c = 0; c < n_columns; ++c)
            dst[static_cast<std::ptrdiff_t>(c) * dst_stride + static_cast<std::ptrdiff_t>(r)] =
                src[r * src_stride + c];
}

void blend(const float* const* rows, const float* weights, std::size_t n_rows, std::size_t n,
           float* dst) {
    for (std::size_t i = 0; i < n; ++i) {
        float acc = 0;
        for (std::size_t t = 1; t < n_rows; ++t)
            acc = std::fma(weights[t], rows[t][i] - rows[0][i], acc);
        dst[i] = rows[0][i] + acc;
    }
}

double sum_of_lanes(double* lanes) {
    for (std::size_t half = kLanes / 2; half > 0; half /= 2)
        for (std::size_t j = 0; j < half; ++j) lanes[j] += lanes[j + half];
    return lanes[0];
}

Summary summarize(const float* x, std::size_t n) {
    double lanes[kLanes] = {};
    Summary summary{0, x[0], x[0]};
    for (std::size_t i = 0; i < n; ++i) {
        lanes[i % kLanes] += static_cast<double>(x[i]);
        summary.min = std::min(summary.min, x[i]);
        summary.max = std::max(summary.max, x[i]);
    }
    summary.sum = sum_of_lanes(lanes);
    return summary;
}

double sum_squares(const float* x, std::size_t n, double centre) {
    double lanes[kLanes] = {};
    for (std::size_t i = 0; i < n; ++i) {
        const double d = static_cast<double>(x[i]) - centre;
        lanes[i % kLanes] = std::fma(d, d, lanes[i % kLanes]);
    }
    return sum_of_lanes(lanes);
}

void rescale(const float* x, std::size_t n, double shift, double gain, float* dst) {
    for (std::size_t i = 0; i < n; ++i)
        dst[i] = static_cast<float>((static_cast<double>(x[i]) - shift) * gain);
}

}  // namespace

void fill_scalar(Kernels& table) {
    fill_loads<std::uint8_t>(table, Stored::u8);
    fill_loads<std::int8_t>(table, Stored::i8);
    fill_loads<std::uint16_t>(table, Stored::u16);
    fill_loads<std::int16_t>(table, Stored::i16);
    fill_loads<std::uint32_t>(table, Stored::u32);
    fill_loads<std::int32_t>(table, Stored::i32);
    fill_loads<float>(table, Stored::f32);
    fill_loads<double>(table, Stored::f64);
    table.transpose = transpose;
    table.blend = blend;
    table.summarize = summarize;
    table.sum_squares = sum_squares;
    table.rescale = rescale;
}

}  // namespace nigro::kernels
