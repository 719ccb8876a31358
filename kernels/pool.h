/* pool.h - the cores of this machine as one tool: a pool of threads that run numbered parts.
 *
 * The parts of a job and what each computes never depend on the number of threads, so that
 * threads change the time and never a bit. Waiting threads sleep (futex), they do not spin for
 * longer than a few microseconds. */
#ifndef HONE_POOL_H
#define HONE_POOL_H
#include <stdint.h>

struct pool;

#define POOL_THREADS_MAX 256

int pool_cores(void); /* cores this process may use: affinity and cgroup limit, at least 1 */
/* Bytes of memory that this process may use (the machine's, or its cgroup's limit), and what is
 * free of them now. 0 where the system does not say. */
void pool_memory(int64_t *total, int64_t *available);
/* Processes of this cgroup that the kernel killed for want of memory, since ever. */
int64_t pool_oom_kills(void);
/* `threads` in all, the caller of pool_run included; 0: pool_cores(), at most POOL_THREADS_MAX.
 * NULL where the system refuses threads. Called from the main thread before any device is opened. */
struct pool *pool_make(int threads);
void pool_drop(struct pool *p);
int pool_threads(const struct pool *p);
/* Runs fn(arg, part, thread) for part 0..parts-1 and returns when all are done. Which thread takes
 * which part is open; thread is 0..threads-1, for scratch memory. One job at a time; not reentrant.
 * p may be NULL: all parts run in the caller. */
void pool_run(struct pool *p, int parts, void (*fn)(void *arg, int part, int thread), void *arg);
#endif
