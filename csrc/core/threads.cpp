// The pool of threads: see threads.h.
// SPDX-License-Identifier: Apache-2.0
#include "core/threads.h"

#include <string>
#include <system_error>

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

// ThreadPool::state_, taken apart.
constexpr std::uint64_t kOpen = std::uint64_t{1} << 31;
std::uint32_t deal_of(std::uint64_t state) { return static_cast<std::uint32_t>(state >> 32); }
std::uint64_t joined(std::uint64_t state) { return state & (kOpen - 1); }

// The two ends of a run.
std::uint64_t run_of(std::uint64_t first, std::uint64_t last) { return last << 32 | first; }
std::uint64_t first_of(std::uint64_t run) { return run & 0xffffffff; }
std::uint64_t last_of(std::uint64_t run) { return run >> 32; }

constexpr std::size_t kNone = static_cast<std::size_t>(-1);

std::size_t take_first(std::atomic<std::uint64_t>& left) {
    std::uint64_t run = left.load(std::memory_order_relaxed);
    while (first_of(run) < last_of(run))
        if (left.compare_exchange_weak(run, run_of(first_of(run) + 1, last_of(run)),
                                       std::memory_order_relaxed))
            return static_cast<std::size_t>(first_of(run));
    return kNone;
}

std::size_t take_last(std::atomic<std::uint64_t>& left) {
    std::uint64_t run = left.load(std::memory_order_relaxed);
    while (first_of(run) < last_of(run))
        if (left.compare_exchange_weak(run, run_of(first_of(run), last_of(run) - 1),
                                       std::memory_order_relaxed))
            return static_cast<std::size_t>(last_of(run) - 1);
    return kNone;
}

std::size_t checked(std::size_t n_threads) {
    if (n_threads < 1 || n_threads > ThreadPool::kMaxThreads)
        throw BadArgument("expected 1 to " + std::to_string(ThreadPool::kMaxThreads) +
                          " threads, got " + std::to_string(n_threads));
    return n_threads;
}

}  // namespace

ThreadPool::ThreadPool(std::size_t n_threads)
    : runs_(checked(n_threads)),
      wake_(std::make_unique<std::condition_variable>()),
      process_(current_process()) {
    workers_.reserve(n_threads - 1);
    try {
        for (std::size_t thread = 1; thread < n_threads; ++thread)
            workers_.emplace_back([this, thread] { work(thread); });
    } catch (const std::system_error& error) {  // take back those that it gave
        const std::size_t given = workers_.size() + 1;
        stop();
        throw NoThread("expected " + std::to_string(n_threads) + " threads, the system gave " +
                       std::to_string(given) + " (" + error.code().message() +
                       "): ask for fewer, 1 needs none but the caller's, or raise the limit of "
                       "processes");
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
    }
    wake_->notify_all();
    for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::deal(std::size_t n_items, Call call, const void* context) {
    if (workers_.empty() || n_items < 2 || current_process() != process_) {
        for (std::size_t item = 0; item < n_items; ++item) call(context, 0, item);
        return;
    }
    call_ = call;
    context_ = context;
    for (std::size_t thread = 0; thread < size(); ++thread) {
        const Share mine = share(n_items, thread, size());
        runs_[thread].left.store(run_of(mine.first, mine.last), std::memory_order_relaxed);
    }
    const std::uint64_t number = deal_of(state_.load(std::memory_order_relaxed)) + 1;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        state_.store(number << 32 | kOpen, std::memory_order_release);
    }
    wake_->notify_all();
    do_items(0);
    std::uint64_t state = state_.fetch_and(~kOpen, std::memory_order_acquire) & ~kOpen;
    for (int spins = 0; joined(state) != 0; ++spins) {
        if (spins < kSpins)
            pause();
        else
            std::this_thread::yield();
        state = state_.load(std::memory_order_acquire);
    }
}

// A thread's own items in ascending order, then what others have not come to, from their ends.
void ThreadPool::do_items(std::size_t thread) {
    std::size_t item;
    while ((item = take_first(runs_[thread].left)) != kNone) call_(context_, thread, item);
    for (std::size_t i = 1; i < size(); ++i)
        while ((item = take_last(runs_[(thread + i) % size()].left)) != kNone)
            call_(context_, thread, item);
}

// Waits for a deal other than 'seen'; false when the pool ends.
bool ThreadPool::await(std::uint32_t seen) {
    const auto over = [&] { return stopping_.load() || deal_of(state_.load()) != seen; };
    for (int spins = 0; spins < kSpins; ++spins) {
        if (over()) return !stopping_.load();
        pause();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    wake_->wait(lock, over);
    return !stopping_.load();
}

// Joins the deal that is open, if one is; 'seen' becomes its number.
bool ThreadPool::join(std::uint32_t& seen) {
    std::uint64_t state = state_.load(std::memory_order_relaxed);
    do {
        seen = deal_of(state);
        if ((state & kOpen) == 0) return false;
    } while (!state_.compare_exchange_weak(state, state + 1, std::memory_order_acquire,
                                           std::memory_order_relaxed));
    return true;
}

void ThreadPool::work(std::size_t thread) {
    for (std::uint32_t seen = 0; await(seen);) {
        if (!join(seen)) continue;
        do_items(thread);
        state_.fetch_sub(1, std::memory_order_release);
    }
}

}  // namespace nigro
