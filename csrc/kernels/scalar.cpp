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

template <class T, bool kSwapped>
void load_transposed(const unsigned char* src, std::ptrdiff_t src_stride, std::size_t n_rows,
                     std::size_t n, double slope, double intercept, float* dst,
                     std::ptrdiff_t dst_stride) {
    for (std::size_t i = 0; i < n; ++i)
        load_strided<T, kSwapped>(src + i * sizeof(T), src_stride, n_rows, slope, intercept,
                                  dst + static_cast<std::ptrdiff_t>(i) * dst_stride);
}

template <class T>
void fill_loads(Kernels& table, Stored type) {
    const auto slot = static_cast<std::size_t>(type);
    table.load[slot][0] = load<T, false>;
    table.load[slot][1] = load<T, true>;
    table.load_transposed[slot][0] = load_transposed<T, false>;
    table.load_transposed[slot][1] = load_transposed<T, true>;
    table.load_strided[slot][0] = load_strided<T, false>;
    table.load_strided[slot][1] = load_strided<T, true>;
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

Moments moments(const float* x, std::size_t n, double pivot) {
    double sums[kLanes] = {};
    double squares[kLanes] = {};
    for (std::size_t i = 0; i < n; ++i) {
        const double d = static_cast<double>(x[i]) - pivot;
        sums[i % kLanes] += d;
        squares[i % kLanes] = std::fma(d, d, squares[i % kLanes]);
    }
    return {sum_of_lanes(sums), sum_of_lanes(squares)};
}

void rescale(const float* x, std::size_t n, double gain, double offset, float* dst) {
    for (std::size_t i = 0; i < n; ++i)
        dst[i] = static_cast<float>(std::fma(static_cast<double>(x[i]), gain, offset));
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
    table.blend = blend;
    table.moments = moments;
    table.rescale = rescale;
}

}  // namespace nigro::kernels
