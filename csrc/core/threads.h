// A small pool of threads that a network keeps: the caller works too, so one thread starts none.
//
// Work is a number of items. Each thread begins with a run of its own and takes it item by item
// from the front; a thread that has none left takes the last item of another's run. Who does what
// depends on timing, but an item does the same whoever does it, so results do not. The caller never
// waits for a thread that has not begun: one that the system holds up costs at most the item in its
// hands. Between the layers of a network a worker spins for a moment, then sleeps. After fork() the
// child has no workers; there the caller does every item itself.
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace nigro {

class ThreadPool {
public:
    // Starts n_threads - 1 workers. Throws BadArgument unless 1 <= n_threads <= kMaxThreads, and
    // NoThread if the system gives fewer: then none is left behind.
    explicit ThreadPool(std::size_t n_threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    static constexpr std::size_t kMaxThreads = 1024;

    std::size_t size() const { return runs_.size(); }

    // Calls body(thread, item) once for each item below 'n_items' (less than 2^32) and returns when
    // all have returned. Calls of one thread, a number below size(), never overlap. 'body' must not
    // throw. Allocates nothing. Not for two callers at once.
    template <class Body>
    void deal(std::size_t n_items, const Body& body) {
        const Call call = [](const void* context, std::size_t thread, std::size_t item) {
            (*static_cast<const Body*>(context))(thread, item);
        };
        deal(n_items, call, &body);
    }

private:
    using Call = void (*)(const void* context, std::size_t thread, std::size_t item);

    // The items that are left of a thread's run: first in the low half, last in the high half. On a
    // cache line of its own.
    struct alignas(64) Run {
        std::atomic<std::uint64_t> left{0};
    };

    void deal(std::size_t n_items, Call call, const void* context);
    void do_items(std::size_t thread);
    void work(std::size_t thread);
    bool await(std::uint32_t seen);
    bool join(std::uint32_t& seen);
    void stop();

    std::vector<Run> runs_;
    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::unique_ptr<std::condition_variable> wake_;  // apart, so that stop() can leave it behind
    // Number of the deal in the high half; whether workers may join it, and how many are in it, in
    // the low half.
    std::atomic<std::uint64_t> state_{0};
    std::atomic<bool> stopping_{false};
    Call call_ = nullptr;
    const void* context_ = nullptr;
    long process_;  // the process whose workers these are
};

// The range [first, last) of 'n' items that part 'index' of 'n_parts' takes.
struct Share {
    std::size_t first, last;
};
inline Share share(std::size_t n, std::size_t index, std::size_t n_parts) {
    return {n * index / n_parts, n * (index + 1) / n_parts};
}

}  // namespace nigro
