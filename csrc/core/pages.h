// Memory for something large, in large pages where the system has them.
//
// A block of 4 kB pages costs a page fault for each of them when it is first written: for a model,
// thousands, which together take as long as a prediction.
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace nigro {

constexpr std::size_t kLargePage = std::size_t{2} << 20;

// Frees the block that the items lie in.
struct FreePages {
    void* block = nullptr;
    void operator()(void*) const noexcept { std::free(block); }
};
template <class T>
using Pages = std::unique_ptr<T[], FreePages>;

// 'n' items of zeros, at the start of a large page. Throws std::bad_alloc. 'n' is at least 1.
//
// The zeros are calloc()'s, which for a large block are the pages as the system gives them: writing
// them again would cost more than all else that a model does with most of them.
template <class T>
Pages<T> allocate_pages(std::size_t n) {
    if (n > (static_cast<std::size_t>(-1) - 2 * kLargePage) / sizeof(T))
        throw std::bad_array_new_length();
    // Whole large pages, so that the last one is not made of small ones.
    const std::size_t size = (n * sizeof(T) + kLargePage - 1) / kLargePage * kLargePage;
    void* block = std::calloc(size + kLargePage, 1);
    if (block == nullptr) throw std::bad_alloc();
    const std::uintptr_t start =
        (reinterpret_cast<std::uintptr_t>(block) + kLargePage - 1) / kLargePage * kLargePage;
    T* items = reinterpret_cast<T*>(start);
#if defined(__linux__)
    madvise(items, size, MADV_HUGEPAGE);  // advice only: it may be declined
#endif
    return Pages<T>(items, FreePages{block});
}

}  // namespace nigro
