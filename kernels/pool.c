/* pool.c - threads that run numbered parts.
 *
 * One word holds the number of the job and how many of its parts are not taken yet. Whoever takes
 * a part lowers the word by one with a compare-and-swap, so that a thread that wakes late for an
 * old job can neither take a part of it nor one of a job that it has not read. The job's fields
 * change only while no part is open, which makes reading them before the swap safe. */
#include "kernels/pool.h"
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* About forty microseconds, what one thread does alone between the products of a token; longer waits
 * sleep. */
#define SPINS 2048

struct pool {
    int threads;
    _Alignas(64) _Atomic uint64_t open;      /* job number << 32 | parts not taken */
    _Alignas(64) _Atomic uint32_t job;       /* low half of the job number: what sleepers wait on */
    _Atomic uint32_t sleepers;
    _Alignas(64) _Atomic uint32_t left;      /* parts not finished: what the caller waits on */
    _Atomic uint32_t caller_sleeps;
    _Atomic int parts;
    void (*_Atomic fn)(void *, int, int);
    void *_Atomic arg;
    _Atomic bool stop;
    struct worker { struct pool *pool; int thread; pthread_t id; } worker[POOL_THREADS_MAX];
};

static void futex_wait(_Atomic uint32_t *word, uint32_t while_equal) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, while_equal, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int n) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

/* Takes parts of whatever job is open until there is none. */
static void take_parts(struct pool *p, int thread) {
    for (;;) {
        uint64_t open = atomic_load(&p->open);
        uint32_t rest = (uint32_t)open;
        if (!rest) return;
        void (*fn)(void *, int, int) = atomic_load(&p->fn);
        void *arg = atomic_load(&p->arg);
        int parts = atomic_load(&p->parts);
        if (!atomic_compare_exchange_weak(&p->open, &open, open - 1)) continue;
        fn(arg, parts - (int)rest, thread);
        if (atomic_fetch_sub(&p->left, 1) == 1 && atomic_load(&p->caller_sleeps))
            futex_wake(&p->left, 1);
    }
}

static void *work(void *argument) {
    struct worker *w = argument;
    struct pool *p = w->pool;
    uint32_t seen = 0;
    while (!atomic_load(&p->stop)) {
        uint32_t job = atomic_load(&p->job);
        for (int i = 0; i < SPINS && job == seen; i++) {
            __builtin_ia32_pause();
            job = atomic_load(&p->job);
        }
        if (job == seen) {
            atomic_fetch_add(&p->sleepers, 1);
            futex_wait(&p->job, seen);
            atomic_fetch_sub(&p->sleepers, 1);
            continue;
        }
        seen = job;
        take_parts(p, w->thread);
    }
    return NULL;
}

void pool_run(struct pool *p, int parts, void (*fn)(void *, int, int), void *arg) {
    if (!p || p->threads == 1 || parts < 2) {
        for (int i = 0; i < parts; i++) fn(arg, i, 0);
        return;
    }
    atomic_store(&p->fn, fn);
    atomic_store(&p->arg, arg);
    atomic_store(&p->parts, parts);
    atomic_store(&p->left, (uint32_t)parts);
    uint32_t job = atomic_load(&p->job) + 1;
    atomic_store(&p->open, (uint64_t)job << 32 | (uint32_t)parts);
    atomic_store(&p->job, job);
    if (atomic_load(&p->sleepers)) futex_wake(&p->job, parts - 1);
    take_parts(p, 0);
    uint32_t left = atomic_load(&p->left);
    for (int i = 0; i < SPINS && left; i++) {
        __builtin_ia32_pause();
        left = atomic_load(&p->left);
    }
    if (!left) return;
    atomic_store(&p->caller_sleeps, 1);
    while ((left = atomic_load(&p->left)) != 0) futex_wait(&p->left, left);
    atomic_store(&p->caller_sleeps, 0);
}

struct pool *pool_make(int threads) {
    if (threads <= 0) threads = pool_cores();
    if (threads > POOL_THREADS_MAX) threads = POOL_THREADS_MAX;
    struct pool *p =
        mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    p->threads = 1;
    for (int i = 1; i < threads; i++) {
        p->worker[i] = (struct worker){.pool = p, .thread = i};
        if (pthread_create(&p->worker[i].id, NULL, work, &p->worker[i])) {
            pool_drop(p);
            return NULL;
        }
        p->threads = i + 1;
    }
    return p;
}

void pool_drop(struct pool *p) {
    if (!p) return;
    atomic_store(&p->stop, true);
    atomic_fetch_add(&p->job, 1);
    futex_wake(&p->job, POOL_THREADS_MAX);
    for (int i = 1; i < p->threads; i++) pthread_join(p->worker[i].id, NULL);
    munmap(p, sizeof *p);
}

int pool_threads(const struct pool *p) { return p ? p->threads : 1; }

/* One small file of the system as text; false where it is not there. */
static bool read_text(char *out, size_t size, const char *path) {
    FILE *f = fopen(path, "re");
    if (!f) return false;
    size_t n = fread(out, 1, size - 1, f);
    fclose(f);
    out[n] = 0;
    return n > 0;
}

/* The folder of this process below the controllers' root: "/a/b" of "0::/a/b" (v2) or of
 * "4:memory:/a/b" (v1), empty where it is the root. */
static void cgroup_path(char *out, size_t size, const char *controller) {
    char text[4096];
    out[0] = 0;
    if (!read_text(text, sizeof text, "/proc/self/cgroup")) return;
    for (char *line = text, *end; line && *line; line = end ? end + 1 : NULL) {
        end = strchr(line, '\n');
        if (end) *end = 0;
        char *first = strchr(line, ':'), *second = first ? strchr(first + 1, ':') : NULL;
        if (!second) continue;
        *second = 0;
        if (strcmp(first + 1, controller) == 0 && second[1] == '/' && second[2])
            snprintf(out, size, "%s", second + 1);
    }
}

/* Reads `file` of the cgroup's own folder, or of the controllers' root as a container sees it. */
static bool cgroup_text(char *out, size_t size, const char *controller, const char *file) {
    char group[1024], path[2048];
    cgroup_path(group, sizeof group, controller);
    const char *root = controller[0] ? controller : "";
    snprintf(path, sizeof path, "/sys/fs/cgroup/%s%s/%s", root, group, file);
    if (read_text(out, size, path)) return true;
    snprintf(path, sizeof path, "/sys/fs/cgroup/%s/%s", root, file);
    return read_text(out, size, path);
}

static double cgroup_cores(void) {
    char text[128], period[128];
    double quota = 0, each = 0;
    if (cgroup_text(text, sizeof text, "", "cpu.max"))
        return sscanf(text, "%lf %lf", &quota, &each) == 2 && each > 0 ? quota / each : 0;
    if (!cgroup_text(text, sizeof text, "cpu", "cpu.cfs_quota_us") ||
        !cgroup_text(period, sizeof period, "cpu", "cpu.cfs_period_us"))
        return 0;
    quota = strtod(text, NULL), each = strtod(period, NULL);
    return quota > 0 && each > 0 ? quota / each : 0;
}

int pool_cores(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    int cores = sched_getaffinity(0, sizeof set, &set) ? (int)sysconf(_SC_NPROCESSORS_ONLN)
                                                       : CPU_COUNT(&set);
    double limit = cgroup_cores();
    if (limit > 0 && limit < cores)
        cores = (int)(limit + 0.5); /* 1.5 of 4: two threads share it best */
    if (cores > POOL_THREADS_MAX) cores = POOL_THREADS_MAX;
    return cores < 1 ? 1 : cores;
}

static int64_t meminfo(const char *text, const char *name) {
    const char *at = strstr(text, name);
    return at ? (int64_t)strtoll(at + strlen(name), NULL, 10) * 1024 : 0;
}

void pool_memory(int64_t *total, int64_t *available) {
    char text[4096];
    *total = *available = 0;
    if (read_text(text, sizeof text, "/proc/meminfo")) {
        *total = meminfo(text, "MemTotal:");
        *available = meminfo(text, "MemAvailable:");
    }
    static const char *const files[][3] = {{"", "memory.max", "memory.current"},
                                           {"memory", "memory.limit_in_bytes",
                                            "memory.usage_in_bytes"}};
    for (int i = 0; i < 2; i++) {
        char limit[64], used[64];
        if (!cgroup_text(limit, sizeof limit, files[i][0], files[i][1]) ||
            !cgroup_text(used, sizeof used, files[i][0], files[i][2]))
            continue;
        int64_t most = strtoll(limit, NULL, 10), rest = most - strtoll(used, NULL, 10);
        if (most <= 0 || most >= *total) continue; /* "max" reads as 0 */
        *total = most;
        if (rest < *available) *available = rest > 0 ? rest : 0;
    }
}

int64_t pool_oom_kills(void) {
    static const char *const files[][2] = {{"", "memory.events"}, {"memory", "memory.oom_control"}};
    char text[4096];
    int64_t n = 0;
    for (int i = 0; i < 2; i++) {
        const char *hit = cgroup_text(text, sizeof text, files[i][0], files[i][1])
                              ? strstr(text, "oom_kill ")
                              : NULL;
        if (hit) n += strtoll(hit + strlen("oom_kill "), NULL, 10);
    }
    return n;
}
