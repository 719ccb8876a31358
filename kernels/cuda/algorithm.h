/* algorithm.h - which of cuBLASLt's algorithms a shape has.
 *
 * The first product of a shape times the library's candidates and keeps the fastest: in memory and
 * as a line of a file of HONE_HOME, so that the same shape has the same algorithm, and so the same
 * bits, in every run on such a device with such a library. Rows of a batch vary from one to the
 * next; they count rounded up, a quarter of a power of two at a time. */
#ifndef HONE_CUDA_ALGORITHM_H
#define HONE_CUDA_ALGORITHM_H
#include "kernels/cuda/host.h"

/* All fields take part in the comparison; there is no padding. */
struct shape_key {
    int32_t turn, factors, result, adds;     /* types of factors and result; beta is not 0 */
    int32_t align[3], unused;                /* of a, b, d in bytes, at most 16 */
    int64_t m, n, k;
};

struct chosen {
    struct shape_key key;
    cublasLtMatmulAlgo_t algo;
    int64_t rows;                            /* for which the library has agreed to it, or 0 */
    bool taken, refused;
};

enum { CHOSEN_MOST = 4096, CHOSEN_LINE = 512 };

struct chosen_table { struct chosen *rows; int n; };
/* The row of a key: taken, or where it would go; NULL where the table is full. */
struct chosen *chosen_find(struct chosen_table *t, const struct shape_key *key);

/* ---- the file ---- */
struct kept {
    char path[1024], head[256];
    int fd;                                  /* -1: nothing is kept */
    long read_to;
};
/* Where it cannot be kept (no home, a full disk, another head), products are searched anew. */
void kept_open(struct kept *k, const struct host_side *h, int processors);
void kept_close(struct kept *k);
/* Holds the file against other processes and reads what they have added. */
void kept_lock(struct kept *k, struct chosen_table *t);
void kept_unlock(struct kept *k);
/* While it is held. */
void kept_add(struct kept *k, const struct chosen *c);
#endif
