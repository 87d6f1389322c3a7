// One allocation that is planned first: every buffer reserves its place, then all get memory at
// once.
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <limits>
#include <new>

#include "core/pages.h"

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

    void allocate() { memory_ = allocate_pages<float>(size_); }

    float* at(std::size_t place) const { return memory_.get() + place; }

private:
    static constexpr std::size_t kAlignment = 16;  // floats
    static constexpr std::size_t kMaxFloats = std::numeric_limits<std::size_t>::max() / 8;

    Pages<float> memory_;
    std::size_t size_ = 0;
};

}  // namespace nigro
