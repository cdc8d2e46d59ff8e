/* Nanoseconds a call of a network that fastbp wrote as C: of rows in turn, which a processor may
 * overlap, and of rows that wait for the result before; fastest of some rounds of each. HEADER,
 * PREDICT, INPUTS, OUTPUTS, REAL and CALLS are given when it is compiled. */
#define _POSIX_C_SOURCE 199309L
#include HEADER

#include <stdio.h>
#include <time.h>

#define ROUNDS 200
#define ROWS   16

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static double seconds(REAL x[ROWS][INPUTS], REAL y[OUTPUTS], int waits)
{
    const double began = now();
    for (int call = 0; call < CALLS; call++) {
        PREDICT(x[call % ROWS], y);
        if (waits) x[(call + 1) % ROWS][0] = y[0];
    }
    return now() - began;
}

int main(void)
{
    static REAL x[ROWS][INPUTS];
    REAL y[OUTPUTS];
    double least[2] = {1e9, 1e9};
    for (int i = 0; i < ROWS * INPUTS; i++) x[i / INPUTS][i % INPUTS] = (REAL)(i * 37 % 101) / 101;
    for (int round = 0; round < 2 * ROUNDS; round++) {
        const double took = seconds(x, y, round % 2);
        if (took < least[round % 2]) least[round % 2] = took;
    }
    printf("%.1f %.1f\n", least[0] / CALLS * 1e9, least[1] / CALLS * 1e9);
    return 0;
}
