// Teams of threads from the OpenMP runtime that torch itself uses, a barrier, and memory that is kept between calls.
#pragma once
#include <atomic>
#include <cstdlib>
#include <new>
#include <sys/mman.h>
#include <sched.h>
#include <thread>
#include <vector>

typedef void (*Region)(void*);
// GOMP_parallel, omp_get_thread_num, omp_get_num_threads of torch's library; null where it has none.
static void (*team_start)(Region, void*, unsigned, unsigned) = nullptr;
static int (*team_rank)() = nullptr;
static int (*team_size)() = nullptr;

static inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

class Barrier {
    std::atomic<int> waiting{0}, round{0};

  public:
    void wait(int team) {
        if (team == 1) return;
        const int now = round.load(std::memory_order_relaxed);
        if (waiting.fetch_add(1, std::memory_order_acq_rel) == team - 1) {
            waiting.store(0, std::memory_order_relaxed);
            round.store(now + 1, std::memory_order_release);
            return;
        }
        for (int spins = 0; round.load(std::memory_order_acquire) == now; spins++) {
            if (spins < 4000) relax();
            else sched_yield();  // a partner was descheduled: let it run
        }
    }
};

// Passes side by side where one reads what another writes: each counts the steps that it has done.
static inline void announce(int64_t counter, long steps) {
    if (counter) ((std::atomic<int64_t>*)counter)->store(steps, std::memory_order_release);
}
static inline void await(int64_t counter, long steps) {
    for (int spins = 0; counter && ((std::atomic<int64_t>*)counter)->load(std::memory_order_acquire) < steps; spins++) {
        if (spins < 4000) relax();
        else sched_yield();
    }
}

// work(rank, size) on up to `wanted` threads; `size` is what the runtime granted.
template <class F> static void on_team(int wanted, F work) {
    if (wanted <= 1) return work(0, 1);
    if (team_start) {
        team_start([](void* f) { (*(F*)f)(team_rank(), team_size()); }, &work, wanted, 0);
        return;
    }
    std::vector<std::thread> others;
    for (int i = 1; i < wanted; i++) others.emplace_back([&work, i, wanted] { work(i, wanted); });
    work(0, wanted);
    for (auto& thread : others) thread.join();
}

#ifdef __SANITIZE_ADDRESS__  // a checked build sees what runs over the end of a part of the arena
extern "C" void __asan_poison_memory_region(const volatile void*, size_t);
extern "C" void __asan_unpoison_memory_region(const volatile void*, size_t);
#else
static inline void __asan_poison_memory_region(const volatile void*, size_t) {}
static inline void __asan_unpoison_memory_region(const volatile void*, size_t) {}
#endif

// Ask for pages of 2 MB in a tensor that is about to be written: fresh memory is cleared page by page as it is touched.
static inline void large_pages(int64_t address, size_t bytes) {
#ifdef MADV_HUGEPAGE
    constexpr int64_t PAGE = 2 << 20;
    const int64_t first = (address + PAGE - 1) / PAGE * PAGE, last = (address + (int64_t)bytes) / PAGE * PAGE;
    if (first < last) madvise((void*)first, last - first, MADV_HUGEPAGE);  // merely a wish
#endif
}

// One growing block of scratch memory for each calling thread, reused by the next call. Pages of 2 MB where the system
// gives them. A block over KEEP bytes goes back when the call ends.
class Arena {
    static constexpr size_t PAGE = 2 << 20, KEEP = 128 << 20;
    char* base = nullptr;
    size_t size = 0, used = 0;
    void release() {
        if (base) __asan_unpoison_memory_region(base, size), munmap(base, size);
        base = nullptr, size = 0;
    }

  public:
    ~Arena() { release(); }
    void begin(size_t bytes) {  // throws std::bad_alloc
        used = 0;
        bytes = (bytes + PAGE - 1) / PAGE * PAGE;
        if (base) __asan_poison_memory_region(base, size);
        if (bytes <= size) return;
        release();
        void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
        madvise(p, bytes, MADV_HUGEPAGE);
#endif
        base = (char*)p, size = bytes;
        __asan_poison_memory_region(base, size);
    }
    void end() {
        if (size > KEEP) release();
    }
    template <class T> T* take(size_t count) {
        T* p = (T*)(base + used);
        if (base) __asan_unpoison_memory_region(p, count * sizeof(T));
        used += (count * sizeof(T) + 127) / 64 * 64;
        return p;
    }
    size_t taken() const { return used; }
};
