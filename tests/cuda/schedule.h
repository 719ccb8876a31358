/* schedule.h - what a test in C sees of the shim: the order of threads and the filling of fresh
 * shared memory of the launches to come, what a launch failed with, and counts since the start. */
#ifndef HONE_CUDA_SCHEDULE_H
#define HONE_CUDA_SCHEDULE_H
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif
void shim_schedule(int order, int poison);
const char *shim_fault(void);
void shim_counts(long *launches, long *blocks, long *switches, size_t *shared_most);
#ifdef __cplusplus
}
#endif
#endif
