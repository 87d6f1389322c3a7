// One allocation that is planned first: every buffer reserves its place, then all get memory at
// once.
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace nigro {

// Floats, zero at first, each reservation aligned to 64 bytes.
class Arena {
public:
    // Returns the place of n_floats; valid for at() once allocate() was called.
    std::size_t reserve(std::size_t n_floats) {
        const std::size_t place = size_;
        if (n_floats > kMaxFloats - size_ - kAlignment) throw std::bad_alloc();
        size_ += (n_floats + kAlignment - 1) / kAlignment * kAlignment;
        return place;
    }

    void allocate() {
        const std::size_t n_bytes = size_ * sizeof(float);
        memory_.reset(static_cast<float*>(::operator new(n_bytes, std::align_val_t{kPage})));
#if defined(__linux__)
        // Advice only: a few large pages save thousands of page faults and of misses in the TLB.
        madvise(memory_.get(), n_bytes, MADV_HUGEPAGE);
#endif
        std::memset(memory_.get(), 0, n_bytes);
    }

    float* at(std::size_t place) const { return memory_.get() + place; }

private:
    static constexpr std::size_t kAlignment = 16;               // floats
    static constexpr std::size_t kPage = std::size_t{2} << 20;  // a large page
    static constexpr std::size_t kMaxFloats = std::numeric_limits<std::size_t>::max() / 8;

    struct Free {
        void operator()(float* memory) const { ::operator delete(memory, std::align_val_t{kPage}); }
    };
    std::unique_ptr<float, Free> memory_;
    std::size_t size_ = 0;
};

}  // namespace nigro
