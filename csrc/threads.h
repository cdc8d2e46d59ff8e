/* Threads: the team of a parallel region, how many threads may be used, and fork. threads.c is the
 * only file that includes omp.h. */
#ifndef FASTBP_THREADS_H
#define FASTBP_THREADS_H

#include <stdbool.h>
#include <stdint.h>

/* Inside a parallel region: its size and this thread's place in it. Without OpenMP 1 and 0.
 * Threads of OpenMP's own, which have a place above 0, get no signals from then on: of one that
 * comes to such a thread Python's main thread would hear late or never. */
int fbp_team_size(void);
int fbp_team_rank(void);

/* How many threads OpenMP would give a region opened here: OMP_NUM_THREADS and whatever limits were
 * set since; 1 inside another region, and without OpenMP. */
int fbp_most_threads(void);

/* The same, but no more than CPU affinity and the cgroup's quota allow. Those two are read at most
 * once a second. */
int fbp_useful_threads(void);

/* Leave the cores but one to others, since a team has found them crowded: for 20 ms, and for twice
 * as long as before if they are crowded again soon after, up to 2 s. The second
 * says whether that time runs. */
void fbp_give_way(void);
bool fbp_gives_way(void);

/* Whether the build has OpenMP. */
bool fbp_has_openmp(void);

/* Make fork safe after a parallel region: libgomp's threads don't survive in the child, so they are
 * released before the fork and start anew in whichever process needs them. Returns false if no
 * handler could be installed. */
bool fbp_install_fork_handler(void);

#endif
