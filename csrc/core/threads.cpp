// The pool of threads: see threads.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/threads.h"

#include <string>

#include "core/error.h"

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace nigro {
namespace {

// About 50 microseconds: longer than a layer's imbalance, shorter than a scheduler's time slice.
constexpr int kSpins = 2000;

void pause() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

long current_process() {
#if defined(__unix__) || defined(__APPLE__)
    return static_cast<long>(getpid());
#else
    return 0;
#endif
}

std::size_t checked(std::size_t n_threads) {
    if (n_threads < 1 || n_threads > ThreadPool::kMaxThreads)
        throw BadArgument("expected 1 to " + std::to_string(ThreadPool::kMaxThreads) +
                          " threads, got " + std::to_string(n_threads));
    return n_threads;
}

}  // namespace

ThreadPool::ThreadPool(std::size_t n_threads)
    : wake_(std::make_unique<std::condition_variable>()), process_(current_process()) {
    workers_.reserve(checked(n_threads) - 1);
    try {
        for (std::size_t index = 1; index < n_threads; ++index)
            workers_.emplace_back([this, index] { work(index); });
    } catch (...) {  // the system refused a thread: take back those that it gave
        stop();
        throw;
    }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
    if (current_process() != process_) {
        for (std::thread& worker : workers_) worker.detach();
        // Destroying a condition waits for those that wait on it, and they stayed in the parent.
        static_cast<void>(wake_.release());
        return;
    }
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        stopping_.store(true);
        round_.fetch_add(1);
    }
    wake_->notify_all();
    for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(const std::function<void(std::size_t)>& part) {
    if (workers_.empty() || current_process() != process_) {
        for (std::size_t index = 0; index < size(); ++index) part(index);
        return;
    }
    part_ = &part;
    unfinished_.store(workers_.size());
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        round_.fetch_add(1);
    }
    wake_->notify_all();
    part(0);
    for (int spins = 0; unfinished_.load(std::memory_order_acquire) != 0; ++spins) {
        if (spins < kSpins)
            pause();
        else
            std::this_thread::yield();
    }
}

// Waits until the round is no longer 'seen'; false when the pool ends.
bool ThreadPool::await(std::uint64_t seen) {
    for (int spins = 0; spins < kSpins; ++spins) {
        if (round_.load(std::memory_order_acquire) != seen) return !stopping_.load();
        pause();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    wake_->wait(lock, [&] { return round_.load() != seen; });
    return !stopping_.load();
}

void ThreadPool::work(std::size_t index) {
    for (std::uint64_t seen = 0; await(seen); ++seen) {
        (*part_)(index);
        unfinished_.fetch_sub(1, std::memory_order_release);
    }
}

}  // namespace nigro
