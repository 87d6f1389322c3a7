/*
 * The float32 multiply-adds that one core makes in a second when nothing else holds it up.
 *
 *	peak avx2|avx512|neon
 *
 * Fourteen chains of FMA in registers, more than latency times units of the CPUs in use.  Prints
 * thousands of millions of multiply-adds a second, the best of 20 tries.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define _POSIX_C_SOURCE 199309L

#include <stdio.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define ROUNDS 400000L
#define CHAINS(step)                                                                         \
    step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9) step(10) \
        step(11) step(12) step(13)

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* 14 chains, a factor and a summand fill the 16 registers of AVX2. */
#define DECLARE(i) vector_t sum##i = BROADCAST(1.0F + (float)i);
#define STEP(i) sum##i = FMA(sum##i);
#define ADD(i) start = PLUS(start, sum##i);
#define KERNEL(name, attribute, type)                                          \
    attribute static float name(float value) {                                 \
        typedef type vector_t;                                                 \
        const vector_t factor = BROADCAST(value), term = BROADCAST(1 - value); \
        vector_t start = BROADCAST(1.0F);                                      \
        long round;                                                            \
        CHAINS(DECLARE)                                                        \
        for (round = 0; round < ROUNDS; ++round) {                             \
            CHAINS(STEP)                                                       \
        }                                                                      \
        CHAINS(ADD)                                                            \
        return FIRST(start);                                                   \
    }

#if defined(__x86_64__)
#define BROADCAST(a) _mm256_set1_ps(a)
#define FMA(a) _mm256_fmadd_ps(a, factor, term)
#define PLUS(a, b) _mm256_add_ps(a, b)
#define FIRST(a) _mm256_cvtss_f32(a)
KERNEL(run_avx2, __attribute__((target("avx2,fma"))), __m256)
#undef BROADCAST
#undef FMA
#undef PLUS
#undef FIRST
#define BROADCAST(a) _mm512_set1_ps(a)
#define FMA(a) _mm512_fmadd_ps(a, factor, term)
#define PLUS(a, b) _mm512_add_ps(a, b)
#define FIRST(a) _mm512_cvtss_f32(a)
KERNEL(run_avx512, __attribute__((target("avx512f"))), __m512)
#elif defined(__aarch64__)
#define BROADCAST(a) vdupq_n_f32(a)
#define FMA(a) vfmaq_f32(term, a, factor)
#define PLUS(a, b) vaddq_f32(a, b)
#define FIRST(a) vgetq_lane_f32(a, 0)
KERNEL(run_neon, , float32x4_t)
#endif

struct isa {
    const char* name;
    int lanes;
    float (*run)(float);
};

static const struct isa isas[] = {
#if defined(__x86_64__)
    {"avx2", 8, run_avx2},
    {"avx512", 16, run_avx512},
#elif defined(__aarch64__)
    {"neon", 4, run_neon},
#endif
    {NULL, 0, NULL}};

int main(int argc, char** argv) {
    const struct isa* isa = isas;
    double best = 0;
    volatile float sink = 0;
    int i;

    while (isa->name != NULL && (argc != 2 || strcmp(isa->name, argv[1]) != 0)) ++isa;
    if (isa->name == NULL) {
        fprintf(stderr, "usage: %s avx2|avx512|neon, as this CPU has it\n", argv[0]);
        return 2;
    }
    for (i = 0; i < 20; ++i) {
        const double start = now();
        double rate;
        sink = sink + isa->run(0.5F);
        rate = 14.0 * (double)ROUNDS * isa->lanes / (now() - start) / 1e9;
        if (rate > best) best = rate;
    }
    printf("%.1f\n", best);
    return 0;
}
