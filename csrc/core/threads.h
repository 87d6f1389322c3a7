// A small pool of threads that a network keeps: the caller works too, so one thread starts none.
//
// Work is cut into as many parts as there are threads and part i is always thread i's: nothing is
// stolen and nothing depends on timing. Between the layers of a network a worker spins for a
// moment, then sleeps. After fork() the child has no workers; there the caller does every part
// itself.
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace nigro {

class ThreadPool {
public:
    // Starts n_threads - 1 workers. Throws BadArgument unless 1 <= n_threads <= kMaxThreads.
    explicit ThreadPool(std::size_t n_threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    static constexpr std::size_t kMaxThreads = 1024;

    std::size_t size() const { return workers_.size() + 1; }

    // Calls part(0) … part(size() - 1), each once, and returns when all have returned. 'part' must
    // not throw. Not for two callers at once.
    void run(const std::function<void(std::size_t)>& part);

private:
    void work(std::size_t index);
    bool await(std::uint64_t seen);
    void stop();

    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::unique_ptr<std::condition_variable> wake_;  // apart, so that stop() can leave it behind
    std::atomic<std::uint64_t> round_{0};  // grows with every run(); workers wait for it to change
    std::atomic<std::size_t> unfinished_{0};
    std::atomic<bool> stopping_{false};
    const std::function<void(std::size_t)>* part_ = nullptr;
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
