/* norm.cu - root mean square norm fused with the residual sum, and its gradient: with r = rstd and
 * n columns, dx_j = r (w_j dy_j - x_j r^2 sum_k(w_k dy_k x_k) / n). A block has a row at a time;
 * the second pass over it finds it in the cache. */
#include "kernels/cuda/sums.h"

enum { NORM = 256 };

template <int W>
KERNEL(NORM) norm_row(struct mat y, float *rstd, struct mat x, struct mat residual,
                      struct mat weight, float eps) {
    SHARED(float, between, [NORM / 32]);
    int row = (int)blockIdx.x;
    float squares = 0;
    for (int col = (int)threadIdx.x * W; col < x.cols; col += NORM * W) {
        float v[W], r[W];
        take(v, x, row, col);
        if (residual.p) {
            take(r, residual, row, col);
            for (int i = 0; i < W; i++) v[i] = rounded(v[i] + r[i], x.t);
            give(x, row, col, v);
        }
        for (int i = 0; i < W; i++) squares += v[i] * v[i];
    }
    squares = block_sum(squares, between);
    float r = 1 / sqrtf(squares / (float)x.cols + eps);
    if (rstd && threadIdx.x == 0) rstd[row] = r;
    for (int col = (int)threadIdx.x * W; col < x.cols; col += NORM * W) {
        float v[W], w[W];
        take(v, x, row, col);
        take(w, weight, 0, col);
        for (int i = 0; i < W; i++) v[i] = v[i] * r * w[i];
        give(y, row, col, v);
    }
}

void cuda_norm(struct device *d, struct mat y, float *rstd, struct mat x, struct mat residual,
               struct mat weight, float eps) {
    if (x.rows == 0) return;
    bool is_wide = wide(x) && wide(y) && wide(weight) && (!residual.p || wide(residual));
    launch(d, "norm", is_wide ? norm_row<WIDE> : norm_row<1>, (unsigned)x.rows, NORM, 0, y, rstd, x,
           residual, weight, eps);
}

/* The block's rows one after the other. Where the weight is trained `sums` has a row of floats a
 * block: its sums over these rows are kept in shared memory where `in_shared` says that they fit,
 * else there. A column belongs to one thread all the time. */
template <int W>
KERNEL(NORM) norm_back_rows(struct mat dx, float *sums, bool in_shared, struct mat dy, struct mat x,
                            struct mat weight, const float *rstd, int part_rows) {
    SHARED(float, between, [NORM / 32]);
    SHARED_DYNAMIC(float, kept);
    int first = (int)blockIdx.x * part_rows, end = min(first + part_rows, x.rows), step = NORM * W;
    float *own = sums ? sums + (size_t)blockIdx.x * (size_t)x.cols : sums;
    float *sum = in_shared ? kept : own;
    for (int col = (int)threadIdx.x * W; sum && col < x.cols; col += step)
        for (int i = 0; i < W; i++) sum[col + i] = 0;
    for (int row = first; row < end; row++) {
        float dot = 0, r = rstd[row], g[W], v[W], w[W], to[W];
        for (int col = (int)threadIdx.x * W; col < x.cols; col += step) {
            take(g, dy, row, col);
            take(v, x, row, col);
            take(w, weight, 0, col);
            for (int i = 0; i < W; i++) dot += w[i] * g[i] * v[i];
        }
        dot = block_sum(dot, between) * r * r / (float)x.cols;
        for (int col = (int)threadIdx.x * W; col < x.cols; col += step) {
            take(g, dy, row, col);
            take(v, x, row, col);
            take(w, weight, 0, col);
            take(to, dx, row, col);
            for (int i = 0; i < W; i++) to[i] += r * (w[i] * g[i] - v[i] * dot);
            give(dx, row, col, to);
            for (int i = 0; i < W && sum; i++) sum[col + i] += g[i] * v[i] * r;
        }
    }
    for (int col = (int)threadIdx.x * W; in_shared && col < x.cols; col += step)
        for (int i = 0; i < W; i++) own[col + i] = kept[col + i];
}

void cuda_norm_back(struct device *d, struct mat dx, struct mat dweight, struct mat dy,
                    struct mat x, struct mat weight, const float *rstd) {
    if (x.rows == 0) return;
    float *sums = dweight.p ? (float *)d->workspace : NULL;
    int rows = sums ? (int)parts_of(x.rows, sum_parts(x.rows, x.cols)) : 1;
    unsigned parts = parts_of(x.rows, rows);
    size_t bytes = sums && x.cols <= 8192 ? (size_t)x.cols * sizeof(float) : 0;
    bool is_wide = wide(dx) && wide(dy) && wide(x) && wide(weight);
    launch(d, "norm_back", is_wide ? norm_back_rows<WIDE> : norm_back_rows<1>, parts, NORM, bytes,
           dx, sums, bytes > 0, dy, x, weight, rstd, rows);
    if (sums)
        launch(d, "norm_back", add_parts, parts_of(x.cols, 256), 256, 0, (float *)dweight.p, sums,
               (int)parts, x.cols);
}
