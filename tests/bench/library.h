/* library.h - what oneDNN does with the same product: the measure of ours. */
#ifndef HONE_BENCH_LIBRARY_H
#define HONE_BENCH_LIBRARY_H
#include "kernels/kernels.h"

/* The best of some runs of about 0.4 seconds in all. */
double best_of(void (*run)(void *), void *arg);
/* Seconds of [m, inner] x [inner, n] in type t on all threads; 0: it cannot. left_turned: the left
 * one lies by columns and the result is F32, as in a weight's gradient. packed: the right one lies
 * as the library likes it best. */
double library_time(int m, int n, int inner, enum dtype t, bool left_turned, bool packed);
const char *library_name(void); /* "oneDNN 2.6.3" */
#endif
