/* The yardstick of the smallest training, W1: what a C programmer would write for one neuron of two
 * inputs, with fastbp's own sigmoid. Prints nanoseconds a step, fastest of some runs. */
#define FBP_REAL_BITS 64
#include <stdio.h>
#include <time.h>

#include "simd/scalar.h"

#include "kernels/math.inc.h"

#define STEPS 80000
#define RUNS  15

static double losses[STEPS];

static void train(double w[2], const double x[2], double target, double rate)
{
    double w0 = w[0], w1 = w[1];
    for (int step = 0; step < STEPS; step++) {
        const double p = m_sigmoid(fma(w1, x[1], w0 * x[0]));
        const double error = p - target, delta = 2 * error * (p * (1 - p));
        losses[step] = error * error;
        w0 = fma(-rate, delta * x[0], w0);
        w1 = fma(-rate, delta * x[1], w1);
    }
    w[0] = w0, w[1] = w1;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int main(void)
{
    double w[2] = {0.3, 0.5}, least = 1;
    for (int run = 0; run < RUNS; run++) {
        const double began = now();
        train(w, (double[]){0.1, 0.4}, 0.7, 0.01);
        const double took = now() - began;
        if (took < least) least = took;
    }
    printf("%.2f\n", least / STEPS * 1e9);
    return losses[STEPS - 1] != losses[STEPS - 1];
}
