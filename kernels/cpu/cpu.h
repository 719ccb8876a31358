/* cpu.h - what the files of the CPU backend share.
 *
 * Every file except load.c and device.c is compiled once for each instruction set (ISA is its
 * name). Such a file has static functions and one visible one, CPU_NAME(family), that writes its
 * rows into the table of that instruction set.
 *
 * An operation cuts its work into parts by the shapes alone and runs them on the caller's pool. A
 * part may use the scratch of the thread it runs on and writes what no other part writes or reads;
 * sums over parts are kept apart and added in order afterwards. So the number of threads changes
 * no bit. */
#ifndef HONE_CPU_H
#define HONE_CPU_H
#include "kernels/kernels.h"
#include "kernels/pool.h"

enum { CPU_SCRATCH = 3 << 20 };      /* bytes of a thread; the largest user is attention backward */
/* What a product packs at once, in the shared workspace, in floats: panels of the left and of the
 * right factor, and the sums between slices of an inner dimension of more units than a slice has. */
enum { CPU_LEFT = 1 << 20, CPU_RIGHT = 2 << 20, CPU_BETWEEN = 1 << 20, CPU_UNITS = 2048 };
enum { CPU_SUMS = 32 };              /* partial sums of rows at most, each as wide as a row */
enum { CPU_PARTS = 256 };            /* parts of an update or of a norm of all gradients */

/* One instruction set: its operations and how fast it is. */
struct cpu_isa {
    const char *name;
    void (*fill)(struct kernels *);                      /* writes the operations into a table */
    double (*spin)(int64_t rounds, bool pairs,
                   bool count); /* FLOP of `rounds`; count: without doing them */
    bool bf16_fast;
};

struct device {
    struct pool *pool;
    int threads;
    const struct cpu_isa *isa;
    char *workspace;                 /* scratch of each thread, then what an operation shares */
    size_t workspace_bytes;
    double partial[CPU_PARTS];
};

/* The table that load.c filled for the instruction set it chose. */
extern struct kernels cpu_table;
extern const struct cpu_isa *cpu_isa;

/* Runs the parts on the pool, or in the caller where they touch too few bytes to wake a thread.
 * Subnormal numbers are taken as zero in all of them. */
void cpu_run(struct device *d, int parts, int64_t bytes,
             void (*fn)(void *arg, int part, int thread), void *arg);

static inline void *cpu_scratch(const struct device *d, int thread) {
    return d->workspace + (size_t)thread * CPU_SCRATCH;
}
static inline void *cpu_shared(const struct device *d) {
    return d->workspace + (size_t)d->threads * CPU_SCRATCH;
}

static inline void *cpu_row(struct mat m, int row) {
    return (char *)m.p + (size_t)row * (size_t)m.ld * (m.t == BF16 ? 2 : 4);
}
static inline int cpu_least(int a, int b) { return a < b ? a : b; }
static inline int cpu_most(int a, int b) { return a > b ? a : b; }
static inline int64_t cpu_bytes(struct mat m) {
    return (int64_t)m.rows * m.cols * (m.t == BF16 ? 2 : 4);
}

/* Rows of a part so that it touches about 64 KB. */
static inline int cpu_rows_of_part(int64_t bytes_of_row) {
    int64_t rows = bytes_of_row > 0 ? 65536 / bytes_of_row : 1;
    return rows < 1 ? 1 : rows > 1024 ? 1024 : (int)rows;
}

#ifdef ISA
#define CPU_PASTE(name, isa) name##_##isa
#define CPU_PASTE_ISA(name, isa) CPU_PASTE(name, isa)
#define CPU_NAME(name) CPU_PASTE_ISA(name, ISA)
#define CPU_FAMILIES(X) \
    X(product) X(rows) X(norm) X(rope) X(attention) X(activation) X(loss) X(update) X(sample)
#define CPU_DECLARE(family) void CPU_NAME(family)(struct kernels *);
CPU_FAMILIES(CPU_DECLARE)
extern const struct cpu_isa CPU_NAME(cpu_isa);
#endif
#endif
