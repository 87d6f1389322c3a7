// The few things that every C++ test here needs: count, compare bits, report, draw numbers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace check {

struct Tally {
    long checks = 0;
    long failures = 0;
};

inline Tally& tally() {
    static Tally counts;
    return counts;
}

// Counts one check; prints the first few failures.
inline void that(bool holds, const std::string& what) {
    ++tally().checks;
    if (holds) return;
    if (++tally().failures <= 20) std::printf("FAILED %s\n", what.c_str());
}

// The same bits, or both NaN: the payload of a NaN is nobody's promise.
template <class T>
bool same(T a, T b) {
    return std::memcmp(&a, &b, sizeof(T)) == 0 || (std::isnan(a) && std::isnan(b));
}

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (!same(a[i], b[i])) return false;
    return true;
}

// FNV-1a over float32 values, the same on every machine. Every NaN counts alike.
class Digest {
public:
    void add(const std::vector<float>& values) {
        for (const float value : values) add(value);
    }

    std::uint64_t value() const { return hash_; }

private:
    void add(float value) {
        std::uint32_t bits = 0x7FC00000;
        if (!std::isnan(value)) std::memcpy(&bits, &value, sizeof bits);
        for (int shift = 0; shift < 32; shift += 8)
            hash_ = (hash_ ^ ((bits >> shift) & 0xFF)) * 0x100000001B3;
    }

    std::uint64_t hash_ = 0xCBF29CE484222325;
};

// Prints the count and gives the exit code of main.
inline int report(const char* program) {
    std::printf("%s: %ld checks, %ld failed\n", program, tally().checks, tally().failures);
    return tally().failures == 0 && tally().checks > 0 ? 0 : 1;
}

using Random = std::mt19937_64;

inline std::size_t below(Random& random, std::size_t n) {
    return static_cast<std::size_t>(random() % n);
}

inline float uniform(Random& random, float low, float high) {
    return low + (high - low) * static_cast<float>(random() >> 40) / 16777216.0F;
}

inline std::vector<float> uniforms(Random& random, std::size_t n, float low, float high) {
    std::vector<float> values(n);
    for (float& value : values) value = uniform(random, low, high);
    return values;
}

}  // namespace check
