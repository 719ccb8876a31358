/* sums.h - sums over rows: those of a part of the rows each, in a row of floats of the workspace,
 * then the parts in order. */
#ifndef HONE_CUDA_SUMS_H
#define HONE_CUDA_SUMS_H
#include "kernels/cuda/element.h"

enum { SUM_ROWS = 8, SUM_PARTS = 1024 };

/* How many parts: by the shape alone, so that their sums, `cols` floats each, fit CUDA_SCRATCH. */
static inline int sum_parts(int rows, int cols) {
    int64_t parts = parts_of(rows, SUM_ROWS), room = CUDA_SCRATCH / ((int64_t)cols * 4);
    parts = parts < SUM_PARTS ? parts : (int64_t)SUM_PARTS;
    parts = parts < room ? parts : room;
    return parts > 0 ? (int)parts : 1;
}

KERNEL(256) add_parts(float *to, const float *sums, int parts, int cols) {
    int col = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (col >= cols) return;
    float sum = 0;
    for (int p = 0; p < parts; p++) sum += sums[(size_t)p * (size_t)cols + (size_t)col];
    to[col] += sum;
}
#endif
