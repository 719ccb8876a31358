/* t_pool.c - the pool runs every part once, whatever its threads, and gives memory and cores that
 * make sense. */
#include "tests/test.h"
#include "kernels/pool.h"
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

enum { PARTS = 1000 };
struct counting { atomic_int done[PARTS]; atomic_int bad_thread; int threads; };

static void count(void *arg, int part, int thread) {
    struct counting *c = arg;
    atomic_fetch_add(&c->done[part], 1);
    if (thread < 0 || thread >= c->threads) atomic_fetch_add(&c->bad_thread, 1);
}

static void every_part_runs_once(void **state) {
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        struct pool *p = pool_make(threads);
        assert_non_null(p);
        assert_int_equal(pool_threads(p), threads);
        static const int sizes[] = {0, 1, 2, 3, 7, 100, PARTS};
        for (int round = 0; round < 300; round++) {
            static struct counting c;
            memset(&c, 0, sizeof c);
            c.threads = threads;
            int parts = sizes[round % 7];
            pool_run(p, parts, count, &c);
            for (int i = 0; i < PARTS; i++) assert_int_equal(c.done[i], i < parts);
            assert_int_equal(c.bad_thread, 0);
        }
        pool_drop(p);
    }
}

static void no_pool_means_the_caller(void **state) {
    (void)state;
    static struct counting c;
    c.threads = 1;
    pool_run(NULL, 10, count, &c);
    for (int i = 0; i < 10; i++) assert_int_equal(c.done[i], 1);
    assert_int_equal(c.bad_thread, 0);
    assert_int_equal(pool_threads(NULL), 1);
    pool_drop(NULL);
}

/* Each part waits until all four have begun: with fewer threads at work it would never end. */
static void meet(void *arg, int part, int thread) {
    atomic_int *here = arg;
    (void)part, (void)thread;
    atomic_fetch_add(here, 1);
    while (atomic_load(here) % 4 != 0) sched_yield();
}

static void parts_run_at_the_same_time(void **state) {
    (void)state;
    struct pool *p = pool_make(4);
    assert_non_null(p);
    atomic_int here = 0;
    struct timespec nap = {.tv_nsec = 2000000};
    for (int i = 0; i < 20; i++) { /* some rounds find the threads asleep */
        pool_run(p, 4, meet, &here);
        if (i % 4 == 0) nanosleep(&nap, NULL);
    }
    assert_int_equal(here, 80);
    pool_drop(p);
}

static void waiting_threads_sleep(void **state) {
    (void)state;
    struct pool *p = pool_make(4);
    struct rusage before, after;
    struct timespec nap = {.tv_nsec = 300000000};
    static struct counting c;
    c.threads = 4;
    pool_run(p, 100, count, &c);
    getrusage(RUSAGE_SELF, &before);
    nanosleep(&nap, NULL);
    getrusage(RUSAGE_SELF, &after);
    double used = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
                  (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec) * 1e-6;
    assert_true(used < 0.1); /* three spinning threads would have used 0.3 to 0.9 */
    pool_drop(p);
}

static void cores_follow_the_affinity(void **state) {
    (void)state;
    cpu_set_t all, one;
    int cores = pool_cores();
    assert_true(cores >= 1 && cores <= POOL_THREADS_MAX);
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    assert_true(cores <= CPU_COUNT(&all));
    int first = 0;
    while (!CPU_ISSET(first, &all)) first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(pool_cores(), 1);
    struct pool *p = pool_make(0);
    assert_int_equal(pool_threads(p), 1);
    pool_drop(p);
    sched_setaffinity(0, sizeof all, &all);
}

static void memory_is_told(void **state) {
    (void)state;
    int64_t total, available;
    pool_memory(&total, &available);
    assert_true(total > (64 << 20) && available > 0 && available <= total);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_runs_once),    cmocka_unit_test(no_pool_means_the_caller),
        cmocka_unit_test(parts_run_at_the_same_time), cmocka_unit_test(waiting_threads_sleep),
        cmocka_unit_test(cores_follow_the_affinity), cmocka_unit_test(memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
