/* device.c - the machine's memory and cores as a device. Operations are done when they return, so
 * the queue is always empty and sync has nothing to report. */
#include "kernels/cpu/cpu.h"
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

void cpu_device(struct kernels *);

struct job { void (*fn)(void *, int, int); void *arg; };

/* Rounding to nearest, no exceptions, subnormals are zero: the same in every thread. */
static void run_part(void *arg, int part, int thread) {
    const struct job *job = arg;
    unsigned before = _mm_getcsr();
    _mm_setcsr(0x9FC0);
    job->fn(job->arg, part, thread);
    _mm_setcsr(before);
}

void cpu_run(struct device *d, int parts, int64_t bytes, void (*fn)(void *, int, int), void *arg) {
    struct job job = {fn, arg};
    pool_run(bytes < 65536 ? NULL : d->pool, parts, run_part, &job);
}

static int device_count(void) { return 1; }

static bool device_open(struct device **out, int index, struct pool *pool, char *why,
                        size_t why_size) {
    *out = NULL;
    if (index != 0) {
        snprintf(why, why_size, "backend cpu has one device, number 0; %d was asked for", index);
        return false;
    }
    *out = calloc(1, sizeof **out);
    if (!*out) {
        snprintf(why, why_size, "no memory for a device of backend cpu");
        return false;
    }
    (*out)->pool = pool;
    (*out)->threads = pool_threads(pool);
    (*out)->isa = cpu_isa;
    return true;
}

static void device_close(struct device *d) { free(d); }

static void processor_name(char *out, size_t size) {
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    snprintf(out, size, "processor");
    while (f && fgets(line, sizeof line, f)) {
        char *value = strstr(line, ": ");
        if (strncmp(line, "model name", 10) != 0 || !value) continue;
        value[strcspn(value, "\n")] = 0;
        snprintf(out, size, "%s", value + 2);
        break;
    }
    if (f) fclose(f);
}

static void device_info(struct device *d, struct device_info *out) {
    *out = (struct device_info){.backend = "cpu",
                                .library = "hone " HONE_VERSION,
                                .threads = d->threads,
                                .scratch_per_thread = CPU_SCRATCH,
                                .scratch_shared = (CPU_LEFT + CPU_RIGHT + CPU_BETWEEN) * 4};
    snprintf(out->isa, sizeof out->isa, "%s", d->isa->name);
    processor_name(out->name, sizeof out->name);
    pool_memory(&out->memory_total, &out->memory_free);
    out->fast[F32] = true;
    out->fast[BF16] = d->isa->bf16_fast;
    out->pack_rows = out->pack_cols = 1;
}

/* Seconds that this thread has run: what other processes take does not count. */
static double own_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct peak { const struct cpu_isa *isa; bool pairs; double rate[POOL_THREADS_MAX]; };

/* The best of five rounds of about 20 ms, after one that tells how long a round is. */
static void peak_part(void *arg, int part, int thread) {
    (void)thread;
    struct peak *p = arg;
    int64_t rounds = 1 << 16;
    for (int i = 0; i < 6; i++) {
        double start = own_seconds();
        p->isa->spin(rounds, p->pairs, false);
        double took = own_seconds() - start, rate = p->isa->spin(rounds, p->pairs, true) / took;
        if (i == 0) rounds = (int64_t)((double)rounds * 0.02 / took) + 1;
        else if (rate > p->rate[part]) p->rate[part] = rate;
    }
}

static double device_peak(struct device *d, enum dtype t) {
    struct peak p = {.isa = d->isa, .pairs = t == BF16};
    double sum = 0;
    cpu_run(d, d->threads, INT64_MAX, peak_part, &p);
    for (int i = 0; i < d->threads; i++) sum += p.rate[i];
    return sum;
}

/* Whole pages of its own: zeroed by the system, and of huge pages where it has them. */
static void *device_alloc(struct device *d, size_t bytes) {
    (void)d;
    void *p =
        mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    madvise(p, bytes ? bytes : 1, MADV_HUGEPAGE);
    return p;
}

static void device_free(struct device *d, void *p, size_t bytes) {
    (void)d;
    if (p) munmap(p, bytes ? bytes : 1);
}

static void device_workspace(struct device *d, void *p, size_t bytes) {
    d->workspace = p;
    d->workspace_bytes = bytes;
}

static void device_copy(struct device *d, void *to, const void *from, size_t bytes) {
    (void)d;
    if (bytes) memcpy(to, from, bytes);
}

static bool device_sync(struct device *d, char *why, size_t why_size) {
    (void)d, (void)why, (void)why_size;
    return true;
}

void cpu_device(struct kernels *k) {
    k->count = device_count;
    k->open = device_open;
    k->close = device_close;
    k->info = device_info;
    k->peak = device_peak;
    k->alloc = device_alloc;
    k->free = device_free;
    k->workspace = device_workspace;
    k->upload = device_copy;
    k->download = device_copy;
    k->sync = device_sync;
}
