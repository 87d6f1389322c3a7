// AVX2 and FMA. The target region opens after the includes and everything in it is anonymous, so
// no function compiled here can be called on a CPU that does not run it.
//
// Ends that do not fill a vector are done by one more vector that overlaps the last, where the
// destination allows it, else element by element with the same operations.
// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

// GCC reads its own pragma, clang only its attribute.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

namespace nigro::kernels {
namespace {

constexpr std::size_t kVector = 8;  // float32 values of one register

template <class T>
constexpr bool kIsFloat = T(0.5) != T(0);
template <class T>
constexpr bool kIsSigned = T(-1) < T(0);

// ------------------------------------------------------------------------------ stored → float32

// Reverses the bytes of each value of `Size` bytes.
template <std::size_t Size>
__m128i swap_bytes(__m128i raw) {
    if constexpr (Size == 2)
        return _mm_shuffle_epi8(
            raw, _mm_setr_epi8(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
    else if constexpr (Size == 4)
        return _mm_shuffle_epi8(
            raw, _mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12));
    else if constexpr (Size == 8)
        return _mm_shuffle_epi8(
            raw, _mm_setr_epi8(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8));
    else
        return raw;
}

// 16 bytes of values of `Size` bytes, in the order of this machine.
template <std::size_t Size, bool kSwapped>
__m128i load16(const unsigned char* src) {
    const __m128i raw = _mm_loadu_si128(reinterpret_cast<const __m128i*>(src));
    if constexpr (kSwapped) return swap_bytes<Size>(raw);
    return raw;
}

template <std::size_t Size, bool kSwapped>
__m256i load32(const unsigned char* src) {
    return _mm256_set_m128i(load16<Size, kSwapped>(src + 16), load16<Size, kSwapped>(src));
}

// Eight stored integers as int32; those of u32 as their bits.
template <class T, bool kSwapped>
__m256i load_integers(const unsigned char* src) {
    if constexpr (sizeof(T) == 1) {
        const __m128i raw = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(src));
        return kIsSigned<T> ? _mm256_cvtepi8_epi32(raw) : _mm256_cvtepu8_epi32(raw);
    } else if constexpr (sizeof(T) == 2) {
        const __m128i raw = load16<2, kSwapped>(src);
        return kIsSigned<T> ? _mm256_cvtepi16_epi32(raw) : _mm256_cvtepu16_epi32(raw);
    } else {
        return load32<4, kSwapped>(src);
    }
}

struct Doubles {
    __m256d low, high;
};

Doubles widen(__m256 x) {
    return {_mm256_cvtps_pd(_mm256_castps256_ps128(x)),
            _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
}

Doubles widen(__m256i x) {
    return {_mm256_cvtepi32_pd(_mm256_castsi256_si128(x)),
            _mm256_cvtepi32_pd(_mm256_extracti128_si256(x, 1))};
}

__m256 narrow(Doubles x) {
    return _mm256_set_m128(_mm256_cvtpd_ps(x.high), _mm256_cvtpd_ps(x.low));
}

// Eight stored values as float64, exactly.
template <class T, bool kSwapped>
Doubles load_doubles(const unsigned char* src) {
    if constexpr (kIsFloat<T> && sizeof(T) == 4) {
        return widen(_mm256_castsi256_ps(load32<4, kSwapped>(src)));
    } else if constexpr (kIsFloat<T>) {
        return {_mm256_castsi256_pd(load32<8, kSwapped>(src)),
                _mm256_castsi256_pd(load32<8, kSwapped>(src + 32))};
    } else if constexpr (sizeof(T) == 4 && !kIsSigned<T>) {
        // x = (x - 2^31 as int32) + 2^31; the subtraction flips the top bit.
        const __m256i flip = _mm256_set1_epi32(INT32_MIN);
        const Doubles shifted = widen(_mm256_xor_si256(load_integers<T, kSwapped>(src), flip));
        const __m256d offset = _mm256_set1_pd(2147483648.0);
        return {_mm256_add_pd(shifted.low, offset), _mm256_add_pd(shifted.high, offset)};
    } else {
        return widen(load_integers<T, kSwapped>(src));
    }
}

template <class T, bool kSwapped>
__m256 load_scaled(const unsigned char* src, double slope, double intercept) {
    const __m256d gain = _mm256_set1_pd(slope);
    const __m256d offset = _mm256_set1_pd(intercept);
    const Doubles stored = load_doubles<T, kSwapped>(src);
    return narrow(
        {_mm256_fmadd_pd(gain, stored.low, offset), _mm256_fmadd_pd(gain, stored.high, offset)});
}

// With slope 1 and intercept 0 one conversion, or none, rounds as the two of the contract do.
// Adding the intercept, +0.0 or -0.0, gives the sign that the fused sum gives to a zero.
template <class T>
constexpr bool kHasPlain = sizeof(T) <= 4 && (kIsFloat<T> || kIsSigned<T> || sizeof(T) < 4);

template <class T, bool kSwapped>
__m256 load_plain(const unsigned char* src, double intercept) {
    if constexpr (kIsFloat<T>)
        return _mm256_add_ps(_mm256_castsi256_ps(load32<4, kSwapped>(src)),
                             _mm256_set1_ps(static_cast<float>(intercept)));
    else
        return _mm256_cvtepi32_ps(load_integers<T, kSwapped>(src));
}

template <class T, bool kSwapped, bool kPlain>
__m256 load_values(const unsigned char* src, double slope, double intercept) {
    if constexpr (kPlain) return load_plain<T, kSwapped>(src, intercept);
    return load_scaled<T, kSwapped>(src, slope, intercept);
}

template <class T, bool kSwapped, bool kPlain>
void load_run(const unsigned char* src, std::size_t n, double slope, double intercept, float* dst) {
    if (n < kVector) {
        unsigned char padded[kVector * sizeof(T)] = {};
        float values[kVector];
        __builtin_memcpy(padded, src, n * sizeof(T));
        _mm256_storeu_ps(values, load_values<T, kSwapped, kPlain>(padded, slope, intercept));
        __builtin_memcpy(dst, values, n * sizeof(float));
        return;
    }
    for (std::size_t i = 0; i < n; i += kVector) {
        const std::size_t at = i + kVector <= n ? i : n - kVector;
        _mm256_storeu_ps(dst + at,
                         load_values<T, kSwapped, kPlain>(src + at * sizeof(T), slope, intercept));
    }
}

// The 4 x 4 transposes of the 128-bit halves of four registers.
void transpose_halves(__m256* row) {
    const __m256 ab_low = _mm256_unpacklo_ps(row[0], row[1]);
    const __m256 ab_high = _mm256_unpackhi_ps(row[0], row[1]);
    const __m256 cd_low = _mm256_unpacklo_ps(row[2], row[3]);
    const __m256 cd_high = _mm256_unpackhi_ps(row[2], row[3]);
    row[0] = _mm256_shuffle_ps(ab_low, cd_low, 0x44);
    row[1] = _mm256_shuffle_ps(ab_low, cd_low, 0xEE);
    row[2] = _mm256_shuffle_ps(ab_high, cd_high, 0x44);
    row[3] = _mm256_shuffle_ps(ab_high, cd_high, 0xEE);
}

// Eight values of each of eight rows.
template <class T, bool kSwapped, bool kPlain>
void load_block(const unsigned char* src, std::ptrdiff_t src_stride, double slope, double intercept,
                float* dst, std::ptrdiff_t dst_stride) {
    __m256 row[8];
    for (std::ptrdiff_t r = 0; r < 8; ++r)
        row[r] = load_values<T, kSwapped, kPlain>(src + r * src_stride, slope, intercept);
    transpose_halves(row);
    transpose_halves(row + 4);
    for (std::ptrdiff_t i = 0; i < 4; ++i) {
        _mm256_storeu_ps(dst + i * dst_stride, _mm256_permute2f128_ps(row[i], row[i + 4], 0x20));
        _mm256_storeu_ps(dst + (i + 4) * dst_stride,
                         _mm256_permute2f128_ps(row[i], row[i + 4], 0x31));
    }
}

// Eight values of each of four rows.
template <class T, bool kSwapped, bool kPlain>
void load_half_block(const unsigned char* src, std::ptrdiff_t src_stride, double slope,
                     double intercept, float* dst, std::ptrdiff_t dst_stride) {
    __m256 row[4];
    for (std::ptrdiff_t r = 0; r < 4; ++r)
        row[r] = load_values<T, kSwapped, kPlain>(src + r * src_stride, slope, intercept);
    transpose_halves(row);
    for (std::ptrdiff_t i = 0; i < 4; ++i) {
        _mm_storeu_ps(dst + i * dst_stride, _mm256_castps256_ps128(row[i]));
        _mm_storeu_ps(dst + (i + 4) * dst_stride, _mm256_extractf128_ps(row[i], 1));
    }
}

// Fewer than eight rows or columns.
template <class T, bool kSwapped, bool kPlain>
void load_narrow(const unsigned char* src, std::ptrdiff_t src_stride, std::size_t n_rows,
                 std::size_t n, double slope, double intercept, float* dst,
                 std::ptrdiff_t dst_stride) {
    float values[kVector];
    for (std::size_t r = 0; r < n_rows; ++r)
        for (std::size_t i = 0; i < n; i += kVector) {
            const std::size_t n_values = i + kVector <= n ? kVector : n - i;
            load_run<T, kSwapped, kPlain>(
                src + static_cast<std::ptrdiff_t>(r) * src_stride + i * sizeof(T), n_values, slope,
                intercept, values);
            for (std::size_t j = 0; j < n_values; ++j)
                dst[static_cast<std::ptrdiff_t>(i + j) * dst_stride +
                    static_cast<std::ptrdiff_t>(r)] = values[j];
        }
}

// All values of eight rows, or of four.
template <class T, bool kSwapped, bool kPlain, std::size_t kRows>
void load_band(const unsigned char* src, std::ptrdiff_t src_stride, std::size_t n, double slope,
               double intercept, float* dst, std::ptrdiff_t dst_stride) {
    for (std::size_t i = 0; i < n; i += kVector) {
        const std::size_t column = i + kVector <= n ? i : n - kVector;
        const unsigned char* const from = src + column * sizeof(T);
        float* const to = dst + static_cast<std::ptrdiff_t>(column) * dst_stride;
        if constexpr (kRows == 8)
            load_block<T, kSwapped, kPlain>(from, src_stride, slope, intercept, to, dst_stride);
        else
            load_half_block<T, kSwapped, kPlain>(from, src_stride, slope, intercept, to,
                                                 dst_stride);
    }
}

template <class T, bool kSwapped, bool kPlain>
void load_columns(const unsigned char* src, std::ptrdiff_t src_stride, std::size_t n_rows,
                  std::size_t n, double slope, double intercept, float* dst,
                  std::ptrdiff_t dst_stride) {
    if (n_rows < kVector || n < kVector)
        return load_narrow<T, kSwapped, kPlain>(src, src_stride, n_rows, n, slope, intercept, dst,
                                                dst_stride);
    std::size_t row = 0;
    for (; row + 8 <= n_rows; row += 8)
        load_band<T, kSwapped, kPlain, 8>(src + static_cast<std::ptrdiff_t>(row) * src_stride,
                                          src_stride, n, slope, intercept, dst + row, dst_stride);
    const std::size_t n_left = n_rows - row;
    if (n_left > 4) {
        row = n_rows - 8;
        load_band<T, kSwapped, kPlain, 8>(src + static_cast<std::ptrdiff_t>(row) * src_stride,
                                          src_stride, n, slope, intercept, dst + row, dst_stride);
    } else if (n_left > 0) {
        row = n_rows - 4;
        load_band<T, kSwapped, kPlain, 4>(src + static_cast<std::ptrdiff_t>(row) * src_stride,
                                          src_stride, n, slope, intercept, dst + row, dst_stride);
    }
}

template <class T, bool kSwapped>
void load(const unsigned char* src, std::size_t n, double slope, double intercept, float* dst) {
    if constexpr (kHasPlain<T>)
        if (slope == 1 && intercept == 0)
            return load_run<T, kSwapped, true>(src, n, slope, intercept, dst);
    load_run<T, kSwapped, false>(src, n, slope, intercept, dst);
}

template <class T, bool kSwapped>
void load_transposed(const unsigned char* src, std::ptrdiff_t src_stride, std::size_t n_rows,
                     std::size_t n, double slope, double intercept, float* dst,
                     std::ptrdiff_t dst_stride) {
    if constexpr (kHasPlain<T>)
        if (slope == 1 && intercept == 0)
            return load_columns<T, kSwapped, true>(src, src_stride, n_rows, n, slope, intercept,
                                                   dst, dst_stride);
    load_columns<T, kSwapped, false>(src, src_stride, n_rows, n, slope, intercept, dst, dst_stride);
}

template <class T>
void override_loads(Kernels& table, Stored type) {
    const auto slot = static_cast<std::size_t>(type);
    table.load[slot][0] = load<T, false>;
    table.load[slot][1] = load<T, true>;
    table.load_transposed[slot][0] = load_transposed<T, false>;
    table.load_transposed[slot][1] = load_transposed<T, true>;
}

// ----------------------------------------------------------------------------------------- blend

__m256 blend_vector(const float* const* rows, const float* weights, std::size_t n_rows,
                    std::size_t i) {
    const __m256 first = _mm256_loadu_ps(rows[0] + i);
    __m256 acc = _mm256_setzero_ps();
    for (std::size_t t = 1; t < n_rows; ++t)
        acc = _mm256_fmadd_ps(_mm256_broadcast_ss(weights + t),
                              _mm256_sub_ps(_mm256_loadu_ps(rows[t] + i), first), acc);
    return _mm256_add_ps(first, acc);
}

float blend_value(const float* const* rows, const float* weights, std::size_t n_rows,
                  std::size_t i) {
    float acc = 0;
    for (std::size_t t = 1; t < n_rows; ++t)
        acc = __builtin_fmaf(weights[t], rows[t][i] - rows[0][i], acc);
    return rows[0][i] + acc;
}

void blend(const float* const* rows, const float* weights, std::size_t n_rows, std::size_t n,
           float* dst) {
    if (n < kVector) {
        for (std::size_t i = 0; i < n; ++i) dst[i] = blend_value(rows, weights, n_rows, i);
        return;
    }
    for (std::size_t i = 0; i < n; i += kVector) {
        const std::size_t at = i + kVector <= n ? i : n - kVector;
        _mm256_storeu_ps(dst + at, blend_vector(rows, weights, n_rows, at));
    }
}

// ------------------------------------------------------------------------------------ statistics

constexpr std::size_t kParts = kLanes / 4;  // registers that hold the lanes of a sum

double sum_of_lanes(double* lane) {
    for (std::size_t half = kLanes / 2; half > 0; half /= 2)
        for (std::size_t j = 0; j < half; ++j) lane[j] += lane[j + half];
    return lane[0];
}

// The difference is written as value * 1 - pivot, which rounds alike: where additions and fused
// products have units of their own, half of the work then falls to each.
Moments moments(const float* x, std::size_t n, double pivot) {
    __m256d sum[kParts];
    __m256d square[kParts];
    for (std::size_t k = 0; k < kParts; ++k) sum[k] = square[k] = _mm256_setzero_pd();
    const __m256d shift = _mm256_set1_pd(pivot);
    const __m256d one = _mm256_set1_pd(1);
    std::size_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
        for (std::size_t k = 0; k < kParts; ++k) {
            const __m256d value = _mm256_cvtps_pd(_mm_loadu_ps(x + i + 4 * k));
            const __m256d d = _mm256_fmsub_pd(value, one, shift);
            sum[k] = _mm256_add_pd(sum[k], d);
            square[k] = _mm256_fmadd_pd(d, d, square[k]);
        }
    double sums[kLanes];
    double squares[kLanes];
    for (std::size_t k = 0; k < kParts; ++k) {
        _mm256_storeu_pd(sums + 4 * k, sum[k]);
        _mm256_storeu_pd(squares + 4 * k, square[k]);
    }
    for (std::size_t j = 0; i + j < n; ++j) {
        const double d = static_cast<double>(x[i + j]) - pivot;
        sums[j] += d;
        squares[j] = __builtin_fma(d, d, squares[j]);
    }
    return {sum_of_lanes(sums), sum_of_lanes(squares)};
}

void rescale(const float* x, std::size_t n, double gain, double offset, float* dst) {
    const __m256d gains = _mm256_set1_pd(gain);
    const __m256d offsets = _mm256_set1_pd(offset);
    std::size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const __m256d wide = _mm256_cvtps_pd(_mm_loadu_ps(x + i));
        _mm_storeu_ps(dst + i, _mm256_cvtpd_ps(_mm256_fmadd_pd(wide, gains, offsets)));
    }
    for (; i < n; ++i)
        dst[i] = static_cast<float>(__builtin_fma(static_cast<double>(x[i]), gain, offset));
}

}  // namespace
}  // namespace nigro::kernels

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace nigro::kernels {

void override_avx2(Kernels& table) {
    override_loads<std::uint8_t>(table, Stored::u8);
    override_loads<std::int8_t>(table, Stored::i8);
    override_loads<std::uint16_t>(table, Stored::u16);
    override_loads<std::int16_t>(table, Stored::i16);
    override_loads<std::uint32_t>(table, Stored::u32);
    override_loads<std::int32_t>(table, Stored::i32);
    override_loads<float>(table, Stored::f32);
    override_loads<double>(table, Stored::f64);
    table.blend = blend;
    table.moments = moments;
    table.rescale = rescale;
}

}  // namespace nigro::kernels
#endif
