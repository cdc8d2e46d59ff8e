/* Where a team meets, and the clock it looks at: inline, for they stand in the inner loops. */
#ifndef FASTBP_BARRIER_H
#define FASTBP_BARRIER_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#if defined(__x86_64__) || defined(__i386__)
#define FBP_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define FBP_PAUSE() __asm__ __volatile__("yield")
#else
#define FBP_PAUSE() ((void)0)
#endif
#define FBP_PAUSES 200
#define FBP_LATE   1e-3 /* seconds */

/* A barrier spins some 200 pauses, then yields its core: cheap when threads have a core each,
 * harmless when they share one. `crowded` says that a thread got its core back late, because
 * something else runs on it: each meeting may then take as long. Zero it before the region. */
typedef struct fbp_barrier {
    _Atomic int arrived;
    _Atomic unsigned passed;
    _Atomic bool crowded;
} fbp_barrier;

/* Seconds on a clock that only goes forward. */
static inline double fbp_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static inline void fbp_yield(fbp_barrier *barrier)
{
    const double start = fbp_clock();
    sched_yield();
    if (fbp_clock() - start > FBP_LATE)
        atomic_store_explicit(&barrier->crowded, true, memory_order_relaxed);
}

static inline bool fbp_is_crowded(fbp_barrier *barrier)
{
    return atomic_load_explicit(&barrier->crowded, memory_order_relaxed);
}

static inline void fbp_wait(fbp_barrier *barrier, int team_size)
{
    if (team_size == 1) return;
    unsigned passed = atomic_load_explicit(&barrier->passed, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) == team_size - 1) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&barrier->passed, passed + 1, memory_order_release);
        return;
    }
    for (int spins = 0; atomic_load_explicit(&barrier->passed, memory_order_acquire) == passed;) {
        if (spins < FBP_PAUSES) {
            spins++;
            FBP_PAUSE();
        } else {
            fbp_yield(barrier);
        }
    }
}

#endif
