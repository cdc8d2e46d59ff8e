#define _GNU_SOURCE
#include "threads.h"

#include "barrier.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#if FBP_OPENMP
#include <omp.h>
#endif

#if FBP_OPENMP
int fbp_team_size(void) { return omp_get_num_threads(); }

/* Those that tell of an error of this very thread stay. */
static void leave_signals_to_others(void)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    static _Thread_local bool done;
    sigset_t signals;
    if (done) return;
    sigfillset(&signals);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(&signals, own[i]);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    done = true;
}

int fbp_team_rank(void)
{
    const int rank = omp_get_thread_num();
    if (rank > 0) leave_signals_to_others();
    return rank;
}

bool fbp_has_openmp(void) { return true; }

int fbp_most_threads(void)
{
    return omp_get_active_level() >= omp_get_max_active_levels() ? 1 : omp_get_max_threads();
}

static void release_threads(void) { (void)omp_pause_resource_all(omp_pause_hard); }
bool fbp_install_fork_handler(void) { return pthread_atfork(release_threads, NULL, NULL) == 0; }
#else
int fbp_team_size(void) { return 1; }
int fbp_team_rank(void) { return 0; }
bool fbp_has_openmp(void) { return false; }
int fbp_most_threads(void) { return 1; }
bool fbp_install_fork_handler(void) { return true; }
#endif

/* CPU quota of the cgroup in whole cores, rounded up; 0 if there is none (cgroup v2, then v1). */
static int quota_cores(void)
{
    double quota = 0, period = 0;
    char word[32];
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (file) {
        if (fscanf(file, "%31s %lf", word, &period) != 2 || sscanf(word, "%lf", &quota) != 1)
            quota = 0;
        fclose(file);
    } else if ((file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r"))) {
        if (fscanf(file, "%lf", &quota) != 1) quota = 0;
        fclose(file);
        file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r");
        if (file && fscanf(file, "%lf", &period) != 1) period = 0;
        if (file) fclose(file);
    }
    if (quota <= 0 || period <= 0) return 0;
    int cores = (int)(quota / period);
    return cores < quota / period ? cores + 1 : cores;
}

static int usable_cores(void)
{
    int cores = 1 << 20, quota = quota_cores();
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) cores = CPU_COUNT(&set);
#endif
    return quota && quota < cores ? quota : cores;
}

int fbp_useful_threads(void)
{
    static _Atomic int cores;
    static _Atomic int64_t read_at; /* seconds */
    int most = fbp_most_threads();
    if (most == 1) return 1;
    int64_t now = (int64_t)fbp_clock();
    if (atomic_load(&cores) == 0 || atomic_load(&read_at) != now) {
        atomic_store(&cores, usable_cores());
        atomic_store(&read_at, now);
    }
    int most_cores = atomic_load(&cores);
    return most < most_cores ? most : most_cores;
}

/* Seconds, of all teams of the process: races cost no more than a time that is off. */
static _Atomic double alone_until, alone_for;
#define SHORTEST_ALONE 0.02
#define LONGEST_ALONE  2.0

void fbp_give_way(void)
{
    const double now = fbp_clock(), until = atomic_load(&alone_until);
    const double last = atomic_load(&alone_for);
    double next = SHORTEST_ALONE;
    if (now < until) return;
    if (now < until + last) next = 2 * last < LONGEST_ALONE ? 2 * last : LONGEST_ALONE;
    atomic_store(&alone_for, next);
    atomic_store(&alone_until, now + next);
}

bool fbp_gives_way(void) { return fbp_clock() < atomic_load(&alone_until); }
