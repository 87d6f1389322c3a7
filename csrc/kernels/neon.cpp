// NEON (Advanced SIMD) of AArch64, which every such CPU has.
//
// Ends that do not fill a vector are done by one more vector that overlaps the last, where the
// destination allows it, else element by element with the same operations.
// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernels.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace nigro::kernels {
namespace {

constexpr std::size_t kBlock = 8;   // values that `load` converts at a time
constexpr std::size_t kVector = 4;  // float32 values of one register

template <class T>
constexpr bool kIsFloat = T(0.5) != T(0);
template <class T>
constexpr bool kIsSigned = T(-1) < T(0);

// ------------------------------------------------------------------------------ stored → float32

// 16 bytes of values of `Size` bytes, in the order of this machine.
template <std::size_t Size, bool kSwapped>
uint8x16_t load16(const unsigned char* src) {
    const uint8x16_t raw = vld1q_u8(src);
    if constexpr (kSwapped && Size == 2) return vrev16q_u8(raw);
    if constexpr (kSwapped && Size == 4) return vrev32q_u8(raw);
    if constexpr (kSwapped && Size == 8) return vrev64q_u8(raw);
    return raw;
}

struct Integers {  // eight, as int32; those of u32 as their bits
    int32x4_t low, high;
};

Integers widen_signed(int16x8_t x) { return {vmovl_s16(vget_low_s16(x)), vmovl_high_s16(x)}; }

Integers widen_unsigned(uint16x8_t x) {
    return {vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(x))),
            vreinterpretq_s32_u32(vmovl_high_u16(x))};
}

template <class T, bool kSwapped>
Integers load_integers(const unsigned char* src) {
    if constexpr (sizeof(T) == 1 && kIsSigned<T>)
        return widen_signed(vmovl_s8(vreinterpret_s8_u8(vld1_u8(src))));
    else if constexpr (sizeof(T) == 1)
        return widen_unsigned(vmovl_u8(vld1_u8(src)));
    else if constexpr (sizeof(T) == 2 && kIsSigned<T>)
        return widen_signed(vreinterpretq_s16_u8(load16<2, kSwapped>(src)));
    else if constexpr (sizeof(T) == 2)
        return widen_unsigned(vreinterpretq_u16_u8(load16<2, kSwapped>(src)));
    else
        return {vreinterpretq_s32_u8(load16<4, kSwapped>(src)),
                vreinterpretq_s32_u8(load16<4, kSwapped>(src + 16))};
}

struct Floats {
    float32x4_t low, high;
};

template <bool kSwapped>
Floats load_floats(const unsigned char* src) {
    return {vreinterpretq_f32_u8(load16<4, kSwapped>(src)),
            vreinterpretq_f32_u8(load16<4, kSwapped>(src + 16))};
}

struct Doubles {
    float64x2_t part[4];
};

Doubles widen(Floats x) {
    return {{vcvt_f64_f32(vget_low_f32(x.low)), vcvt_high_f64_f32(x.low),
             vcvt_f64_f32(vget_low_f32(x.high)), vcvt_high_f64_f32(x.high)}};
}

Doubles widen_signed(Integers x) {
    return {{vcvtq_f64_s64(vmovl_s32(vget_low_s32(x.low))), vcvtq_f64_s64(vmovl_high_s32(x.low)),
             vcvtq_f64_s64(vmovl_s32(vget_low_s32(x.high))),
             vcvtq_f64_s64(vmovl_high_s32(x.high))}};
}

Doubles widen_unsigned(Integers x) {
    const uint32x4_t low = vreinterpretq_u32_s32(x.low);
    const uint32x4_t high = vreinterpretq_u32_s32(x.high);
    return {{vcvtq_f64_u64(vmovl_u32(vget_low_u32(low))), vcvtq_f64_u64(vmovl_high_u32(low)),
             vcvtq_f64_u64(vmovl_u32(vget_low_u32(high))), vcvtq_f64_u64(vmovl_high_u32(high))}};
}

// Eight stored values as float64, exactly.
template <class T, bool kSwapped>
Doubles load_doubles(const unsigned char* src) {
    if constexpr (kIsFloat<T> && sizeof(T) == 8) {
        Doubles stored;
        for (std::size_t k = 0; k < 4; ++k)
            stored.part[k] = vreinterpretq_f64_u8(load16<8, kSwapped>(src + 16 * k));
        return stored;
    } else if constexpr (kIsFloat<T>) {
        return widen(load_floats<kSwapped>(src));
    } else if constexpr (sizeof(T) == 4 && !kIsSigned<T>) {
        return widen_unsigned(load_integers<T, kSwapped>(src));
    } else {
        return widen_signed(load_integers<T, kSwapped>(src));
    }
}

template <class T, bool kSwapped>
Floats load_scaled(const unsigned char* src, double slope, double intercept) {
    const float64x2_t gain = vdupq_n_f64(slope);
    const float64x2_t offset = vdupq_n_f64(intercept);
    Doubles x = load_doubles<T, kSwapped>(src);
    for (std::size_t k = 0; k < 4; ++k) x.part[k] = vfmaq_f64(offset, gain, x.part[k]);
    return {vcvt_high_f32_f64(vcvt_f32_f64(x.part[0]), x.part[1]),
            vcvt_high_f32_f64(vcvt_f32_f64(x.part[2]), x.part[3])};
}

// With slope 1 and intercept 0 one conversion, or none, rounds as the two of the contract do.
// Adding the intercept, +0.0 or -0.0, gives the sign that the fused sum gives to a zero.
template <class T>
constexpr bool kHasPlain = sizeof(T) <= 4;

template <class T, bool kSwapped>
Floats load_plain(const unsigned char* src, double intercept) {
    if constexpr (kIsFloat<T>) {
        const float32x4_t zero = vdupq_n_f32(static_cast<float>(intercept));
        const Floats x = load_floats<kSwapped>(src);
        return {vaddq_f32(x.low, zero), vaddq_f32(x.high, zero)};
    } else {
        const Integers x = load_integers<T, kSwapped>(src);
        if constexpr (sizeof(T) == 4 && !kIsSigned<T>)
            return {vcvtq_f32_u32(vreinterpretq_u32_s32(x.low)),
                    vcvtq_f32_u32(vreinterpretq_u32_s32(x.high))};
        return {vcvtq_f32_s32(x.low), vcvtq_f32_s32(x.high)};
    }
}

template <class T, bool kSwapped, bool kPlain>
Floats load_values(const unsigned char* src, double slope, double intercept) {
    if constexpr (kPlain) return load_plain<T, kSwapped>(src, intercept);
    return load_scaled<T, kSwapped>(src, slope, intercept);
}

void store(Floats values, float* dst) {
    vst1q_f32(dst, values.low);
    vst1q_f32(dst + kVector, values.high);
}

template <class T, bool kSwapped, bool kPlain>
void load_run(const unsigned char* src, std::size_t n, double slope, double intercept, float* dst) {
    if (n < kBlock) {
        unsigned char padded[kBlock * sizeof(T)] = {};
        float values[kBlock];
        __builtin_memcpy(padded, src, n * sizeof(T));
        store(load_values<T, kSwapped, kPlain>(padded, slope, intercept), values);
        __builtin_memcpy(dst, values, n * sizeof(float));
        return;
    }
    for (std::size_t i = 0; i < n; i += kBlock) {
        const std::size_t at = i + kBlock <= n ? i : n - kBlock;
        store(load_values<T, kSwapped, kPlain>(src + at * sizeof(T), slope, intercept), dst + at);
    }
}

float32x4_t join(float64x2_t x) { return vreinterpretq_f32_f64(x); }

void store_transposed(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t d, float* dst,
                      std::ptrdiff_t dst_stride) {
    const float64x2_t ab_even = vreinterpretq_f64_f32(vtrn1q_f32(a, b));
    const float64x2_t ab_odd = vreinterpretq_f64_f32(vtrn2q_f32(a, b));
    const float64x2_t cd_even = vreinterpretq_f64_f32(vtrn1q_f32(c, d));
    const float64x2_t cd_odd = vreinterpretq_f64_f32(vtrn2q_f32(c, d));
    vst1q_f32(dst, join(vtrn1q_f64(ab_even, cd_even)));
    vst1q_f32(dst + dst_stride, join(vtrn1q_f64(ab_odd, cd_odd)));
    vst1q_f32(dst + 2 * dst_stride, join(vtrn2q_f64(ab_even, cd_even)));
    vst1q_f32(dst + 3 * dst_stride, join(vtrn2q_f64(ab_odd, cd_odd)));
}

// Eight values of each of four rows.
template <class T, bool kSwapped, bool kPlain>
void load_block(const unsigned char* src, std::ptrdiff_t src_stride, double slope, double intercept,
                float* dst, std::ptrdiff_t dst_stride) {
    Floats row[4];
    for (std::ptrdiff_t r = 0; r < 4; ++r)
        row[r] = load_values<T, kSwapped, kPlain>(src + r * src_stride, slope, intercept);
    store_transposed(row[0].low, row[1].low, row[2].low, row[3].low, dst, dst_stride);
    store_transposed(row[0].high, row[1].high, row[2].high, row[3].high, dst + 4 * dst_stride,
                     dst_stride);
}

// Fewer than four rows or eight columns.
template <class T, bool kSwapped, bool kPlain>
void load_narrow(const unsigned char* src, std::ptrdiff_t src_stride, std::size_t n_rows,
                 std::size_t n, double slope, double intercept, float* dst,
                 std::ptrdiff_t dst_stride) {
    float values[kBlock];
    for (std::size_t r = 0; r < n_rows; ++r)
        for (std::size_t i = 0; i < n; i += kBlock) {
            const std::size_t n_values = i + kBlock <= n ? kBlock : n - i;
            load_run<T, kSwapped, kPlain>(
                src + static_cast<std::ptrdiff_t>(r) * src_stride + i * sizeof(T), n_values, slope,
                intercept, values);
            for (std::size_t j = 0; j < n_values; ++j)
                dst[static_cast<std::ptrdiff_t>(i + j) * dst_stride +
                    static_cast<std::ptrdiff_t>(r)] = values[j];
        }
}

template <class T, bool kSwapped, bool kPlain>
void load_columns(const unsigned char* src, std::ptrdiff_t src_stride, std::size_t n_rows,
                  std::size_t n, double slope, double intercept, float* dst,
                  std::ptrdiff_t dst_stride) {
    if (n_rows < kVector || n < kBlock)
        return load_narrow<T, kSwapped, kPlain>(src, src_stride, n_rows, n, slope, intercept, dst,
                                                dst_stride);
    for (std::size_t r = 0; r < n_rows; r += kVector) {
        const std::size_t row = r + kVector <= n_rows ? r : n_rows - kVector;
        const unsigned char* const src_row = src + static_cast<std::ptrdiff_t>(row) * src_stride;
        for (std::size_t i = 0; i < n; i += kBlock) {
            const std::size_t column = i + kBlock <= n ? i : n - kBlock;
            load_block<T, kSwapped, kPlain>(
                src_row + column * sizeof(T), src_stride, slope, intercept,
                dst + static_cast<std::ptrdiff_t>(column) * dst_stride + row, dst_stride);
        }
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

float32x4_t blend_vector(const float* const* rows, const float* weights, std::size_t n_rows,
                         std::size_t i) {
    const float32x4_t first = vld1q_f32(rows[0] + i);
    float32x4_t acc = vdupq_n_f32(0);
    for (std::size_t t = 1; t < n_rows; ++t)
        acc = vfmaq_f32(acc, vdupq_n_f32(weights[t]), vsubq_f32(vld1q_f32(rows[t] + i), first));
    return vaddq_f32(first, acc);
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
        vst1q_f32(dst + at, blend_vector(rows, weights, n_rows, at));
    }
}

// ------------------------------------------------------------------------------------ statistics

constexpr std::size_t kParts = kLanes / 2;  // registers that hold the lanes of a sum

double sum_of_lanes(double* lane) {
    for (std::size_t half = kLanes / 2; half > 0; half /= 2)
        for (std::size_t j = 0; j < half; ++j) lane[j] += lane[j + half];
    return lane[0];
}

Moments moments(const float* x, std::size_t n, double pivot) {
    float64x2_t sum[kParts];
    float64x2_t square[kParts];
    for (std::size_t k = 0; k < kParts; ++k) sum[k] = square[k] = vdupq_n_f64(0);
    const float64x2_t shift = vdupq_n_f64(pivot);
    std::size_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
        for (std::size_t k = 0; k < kParts; ++k) {
            const float64x2_t d = vsubq_f64(vcvt_f64_f32(vld1_f32(x + i + 2 * k)), shift);
            sum[k] = vaddq_f64(sum[k], d);
            square[k] = vfmaq_f64(square[k], d, d);
        }
    double sums[kLanes];
    double squares[kLanes];
    for (std::size_t k = 0; k < kParts; ++k) {
        vst1q_f64(sums + 2 * k, sum[k]);
        vst1q_f64(squares + 2 * k, square[k]);
    }
    for (std::size_t j = 0; i + j < n; ++j) {
        const double d = static_cast<double>(x[i + j]) - pivot;
        sums[j] += d;
        squares[j] = __builtin_fma(d, d, squares[j]);
    }
    return {sum_of_lanes(sums), sum_of_lanes(squares)};
}

void rescale(const float* x, std::size_t n, double gain, double offset, float* dst) {
    const float64x2_t gains = vdupq_n_f64(gain);
    const float64x2_t offsets = vdupq_n_f64(offset);
    std::size_t i = 0;
    for (; i + kVector <= n; i += kVector) {
        const float32x4_t values = vld1q_f32(x + i);
        const float64x2_t low = vfmaq_f64(offsets, vcvt_f64_f32(vget_low_f32(values)), gains);
        const float64x2_t high = vfmaq_f64(offsets, vcvt_high_f64_f32(values), gains);
        vst1q_f32(dst + i, vcvt_high_f32_f64(vcvt_f32_f64(low), high));
    }
    for (; i < n; ++i)
        dst[i] = static_cast<float>(__builtin_fma(static_cast<double>(x[i]), gain, offset));
}

}  // namespace

void override_neon(Kernels& table) {
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
