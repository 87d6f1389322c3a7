// Every allocation of the C face fails once: a status comes back, nothing leaks, nothing is
// written.
//
// The allocators of this program, which the library uses too, count down to the one that fails. In
// a plain glibc build they are malloc and its kin, so that those of fopen() and of new threads fail
// as well; under a sanitizer, which has a malloc of its own, they are C++'s operator new.
// SPDX-License-Identifier: Apache-2.0
#include <nigroedge.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>
#include <string>
#include <vector>

#include "check.h"
#include "tiny_model.h"

// ------------------------------------------------------------------------------------- allocators

namespace {

std::atomic<long> allocations_left{-1};  // until one fails; negative: none will
std::atomic<long> n_live{0};             // blocks that were given out and not taken back

bool fails_now() {
    if (allocations_left.load() < 0 || allocations_left.fetch_sub(1) != 0) return false;
    errno = ENOMEM;  // as malloc does
    return true;
}

void* counted(void* block) {
    if (block != nullptr) n_live.fetch_add(1);
    return block;
}

}  // namespace

#if defined(NIGROEDGE_TEST_NATIVE)

// glibc documents that a program may replace these, and keeps its own under other names.
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);

void* malloc(std::size_t size) noexcept {
    return fails_now() ? nullptr : counted(__libc_malloc(size));
}
void* calloc(std::size_t n, std::size_t size) noexcept {
    return fails_now() ? nullptr : counted(__libc_calloc(n, size));
}
void* realloc(void* block, std::size_t size) noexcept {
    if (fails_now()) return nullptr;
    void* moved = __libc_realloc(block, size);
    return block == nullptr ? counted(moved) : moved;
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
    return fails_now() ? nullptr : counted(__libc_memalign(alignment, size));
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    return memalign(alignment, size);
}
int posix_memalign(void** block, std::size_t alignment, std::size_t size) noexcept {
    *block = memalign(alignment, size);
    return *block == nullptr ? ENOMEM : 0;
}
void free(void* block) noexcept {
    if (block != nullptr) n_live.fetch_sub(1);
    __libc_free(block);
}
}

#else

namespace {

void* allocated(std::size_t size, std::size_t alignment) {
    const std::size_t whole = (size + alignment - 1) / alignment * alignment;
    void* block = fails_now() ? nullptr : counted(std::aligned_alloc(alignment, whole));
    if (block == nullptr) throw std::bad_alloc();
    return block;
}

void released(void* block) {
    if (block != nullptr) n_live.fetch_sub(1);
    std::free(block);
}

}  // namespace

void* operator new(std::size_t size) { return allocated(size == 0 ? 1 : size, 16); }
void* operator new[](std::size_t size) { return allocated(size == 0 ? 1 : size, 16); }
void* operator new(std::size_t size, std::align_val_t alignment) {
    return allocated(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
    return allocated(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* block) noexcept { released(block); }
void operator delete[](void* block) noexcept { released(block); }
void operator delete(void* block, std::size_t) noexcept { released(block); }
void operator delete[](void* block, std::size_t) noexcept { released(block); }
void operator delete(void* block, std::align_val_t) noexcept { released(block); }
void operator delete[](void* block, std::align_val_t) noexcept { released(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { released(block); }
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept { released(block); }

#endif

// ------------------------------------------------------------------------------------------ tests

namespace {

using check::that;

// Runs 'call' with the k-th allocation failing, for k = 0, 1, ... until it needs no more; returns
// how many there were. What is once in a process (tables of kernels, buffers of the C library) may
// stay, so the balance is checked from the second round on.
long fail_each(const char* what, const std::function<nigro_status()>& call) {
    long n_sites = 0;
    for (int round = 0; round < 2; ++round)
        for (n_sites = 0; n_sites < 100000; ++n_sites) {
            const long before = n_live.load();
            allocations_left.store(n_sites);
            const nigro_status status = call();
            const bool needed_more = allocations_left.exchange(-1) < 0;
            const long after = n_live.load();
            if (!needed_more) {
                that(status == NIGRO_OK, std::string(what) + ": " + nigro_last_error());
                break;
            }
            const std::string site = std::string(what) + ", allocation " + std::to_string(n_sites);
            // A failure that nobody needs to hear of, such as that of an optional buffer, is none.
            that(status == NIGRO_NO_MEMORY || status == NIGRO_OK,
                 site + " gives status " + std::to_string(status) + ": " + nigro_last_error());
            if (round == 1)
                that(after == before, site + " leaks " + std::to_string(after - before));
        }
    return n_sites;
}

void report_sites(const char* what, long n_sites) {
    std::printf("%s: %ld allocations, each failed once\n", what, n_sites);
    that(n_sites > 0, std::string(what) + " allocates");
}

std::string written(const std::string& content) {
    const std::string path = "test_capi_memory.onnx";
    std::FILE* file = std::fopen(path.c_str(), "wb");
    if (file == nullptr) return "";
    that(std::fwrite(content.data(), 1, content.size(), file) == content.size(), "write");
    std::fclose(file);
    return path;
}

nigro_status open_and_free(const std::function<nigro_status(nigro_model**)>& open) {
    nigro_model* model = nullptr;
    const nigro_status status = open(&model);
    if (status != NIGRO_OK) that(model == nullptr, "a failed open gives no model");
    nigro_model_free(model);
    return status;
}

void test_open(const std::string& file, const std::string& path) {
    for (const std::int32_t num_threads : {1, 3}) {
        const nigro_options options{sizeof options, num_threads};
        const long n_sites = fail_each("open_memory", [&] {
            return open_and_free([&](nigro_model** model) {
                return nigro_model_open_memory(file.data(), file.size(), &options, model);
            });
        });
        report_sites("nigro_model_open_memory", n_sites);
    }
    const long n_sites = fail_each("open", [&] {
        return open_and_free(
            [&](nigro_model** model) { return nigro_model_open(path.c_str(), nullptr, model); });
    });
    report_sites("nigro_model_open", n_sites);
}

void test_predict(nigro_model* model) {
    std::vector<std::uint8_t> voxels(40 * 40 * 32);
    for (std::size_t i = 0; i < voxels.size(); ++i) voxels[i] = static_cast<std::uint8_t>(i % 251);
    const nigro_volume volume{sizeof volume,
                              voxels.data(),
                              NIGRO_UINT8,
                              0,
                              {40, 40, 32},
                              {1, 40, 1600},
                              {0.4, 0, 0, 0, 0, 0.4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1},
                              1.0,
                              0.0,
                              {},
                              {}};
    const std::int32_t sides[2] = {NIGRO_LEFT, NIGRO_RIGHT};
    const double centres[6] = {3.5, 8, 16, 12, 8, 16};
    float expected[2] = {-1, -1};
    nigro_predict(model, &volume, 2, sides, centres, expected, nullptr);
    const long n_sites = fail_each("predict", [&] {
        float sbr[2] = {-1, -1};
        const nigro_status status = nigro_predict(model, &volume, 2, sides, centres, sbr, nullptr);
        const bool is_whole = sbr[0] == expected[0] && sbr[1] == expected[1];
        that(status == NIGRO_OK ? is_whole : sbr[0] == -1 && sbr[1] == -1, "all or nothing");
        return status;
    });
    report_sites("nigro_predict", n_sites);
    std::int64_t begin[3], end[3];
    report_sites("nigro_get_window", fail_each("window", [&] {
                     return nigro_get_window(model, &volume, 2, sides, centres, begin, end);
                 }));
}

void test_predict_patches(nigro_model* model) {
    check::Random random(1);
    const std::vector<float> patches = check::uniforms(random, 3 * 7 * 6 * 4, 0.5F, 1.5F);
    const long n_sites = fail_each("predict_patches", [&] {
        float sbr[3] = {-1, -1, -1};
        const nigro_status status =
            nigro_predict_patches(model, patches.data(), patches.size(), sbr, 3);
        that(status == NIGRO_OK || sbr[0] == -1, "all or nothing");
        return status;
    });
    report_sites("nigro_predict_patches", n_sites);
}

// Where memory fails while an error is being told.
void test_refusals(const std::string& file) {
    for (long k = 0; k < 200; ++k) {
        nigro_model* model = nullptr;
        const long before = n_live.load();
        allocations_left.store(k);
        const nigro_status status =
            nigro_model_open_memory(file.data(), file.size() / 2, nullptr, &model);
        allocations_left.store(-1);
        const bool is_balanced = n_live.load() == before;
        that(status == NIGRO_BAD_MODEL || status == NIGRO_NO_MEMORY, "a refusal");
        that(model == nullptr && is_balanced, "a refusal leaves nothing");
    }
}

}  // namespace

int main() {
    const std::string file = tiny::model();
    const std::string path = written(file);
    test_open(file, path);
    std::remove(path.c_str());
    nigro_model* model = nullptr;
    const nigro_options options{sizeof options, 2};
    that(nigro_model_open_memory(file.data(), file.size(), &options, &model) == NIGRO_OK, "open");
    test_predict(model);
    test_predict_patches(model);
    test_refusals(file);
    nigro_model_free(model);
    return check::report("test_capi_memory");
}
