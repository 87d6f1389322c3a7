// Memory for something large, in large pages where the system has them.
//
// A block of 4 kB pages costs a page fault for each of them when it is first written: for a model,
// thousands, which together take as long as a prediction.
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace nigro {

constexpr std::size_t kLargePage = std::size_t{2} << 20;

struct FreePages {
    void operator()(void* memory) const noexcept {
        ::operator delete(memory, std::align_val_t{kLargePage});
    }
};
template <class T>
using Pages = std::unique_ptr<T[], FreePages>;

// 'n' items that hold nothing yet. Throws std::bad_alloc. 'n' is at least 1.
template <class T>
Pages<T> allocate_pages(std::size_t n) {
    if (n > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_array_new_length();
    void* memory = ::operator new(n * sizeof(T), std::align_val_t{kLargePage});
#if defined(__linux__)
    madvise(memory, n * sizeof(T), MADV_HUGEPAGE);  // advice only: it may be declined
#endif
    return Pages<T>(static_cast<T*>(memory));
}

}  // namespace nigro
